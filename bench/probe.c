/* SPDX-License-Identifier: MIT */
/*
 * probe - the clients and servers of latency.py.
 *
 *	probe rate TARGET CONNS RATE SECONDS FILE ORIGIN
 *		RATE requests of 1 KiB a second, evenly, whatever becomes of them (open loop);
 *		FILE gets for each the instant it was due and its time from then on, two
 *		numbers of 64 bits, nanoseconds of CLOCK_MONOTONIC.  Serves ORIGIN in the same
 *		loop.
 *	probe full TARGET CONNS PATH
 *		as fast as they go, until SIGTERM; prints how many
 *	probe burst TARGET N
 *		N connections at once with a request each, held until SIGTERM; prints "ready"
 *		when all are answered
 *	probe hold TARGET N
 *		N WebSockets, held until SIGTERM; prints "ready", at the end how many were
 *		closed by the other side
 *	probe origin ADDRESS
 *		GET /N is answered with N bytes, an Upgrade with 101 and silence
 *
 * Addresses are 127.0.0.1:PORT or unix:PATH.  One thread; one epoll set; nothing spins.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum kind { LISTENER, SERVER, CLIENT };
enum mode { RATE, FULL, BURST, HOLD, ORIGIN };

struct conn {
	enum kind kind;
	int fd;
	uint64_t due_ns; /* CLIENT: of the request under way */
	uint64_t left;   /* bytes of the body to read (CLIENT), to write (SERVER) */
	bool has_head, is_connecting, is_upgraded;
	bool is_last; /* the answer says Connection: close */
	struct conn *next_free;
};

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_un un;
};

#define PAYLOAD (1u << 20)
static char payload[PAYLOAD], room[262144];
static char request[256];
static size_t request_n;
static enum mode mode;
static int epoll_fd;
static volatile sig_atomic_t is_over;
static struct conn *free_conns;
static uint64_t done_n, closed_n, failed_n, open_n, reopen_n;

static void die(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static socklen_t parse_address(const char *text, union address *address)
{
	const char *colon = strrchr(text, ':');

	memset(address, 0, sizeof(*address));
	if (strncmp(text, "unix:", 5) == 0) {
		address->un.sun_family = AF_UNIX;
		snprintf(address->un.sun_path, sizeof(address->un.sun_path), "%s", text + 5);
		return sizeof(address->un);
	}
	address->in.sin_family = AF_INET;
	address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address->in.sin_port = htons((uint16_t)strtoul(colon ? colon + 1 : text, NULL, 10));
	return sizeof(address->in);
}

static struct conn *conn_new(enum kind kind, int fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP,
				     .data.ptr = conn };

	if (!conn)
		die("calloc");
	if (kind == LISTENER)
		event.events = EPOLLIN;
	*conn = (struct conn){ .kind = kind, .fd = fd, .is_connecting = kind == CLIENT };
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
	return conn;
}

static void serve(const char *text)
{
	union address address;
	socklen_t size = parse_address(text, &address);
	int fd = socket(address.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	if (address.sa.sa_family == AF_UNIX)
		unlink(address.un.sun_path);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &address.sa, size) != 0 || listen(fd, 16384) != 0)
		die(text);
	conn_new(LISTENER, fd);
}

static void open_client(const union address *address, socklen_t size)
{
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0)
		die("socket");
	if (address->sa.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, &address->sa, size) != 0 && errno != EINPROGRESS)
		die("connect");
	conn_new(CLIENT, fd);
}

static void conn_end(struct conn *conn)
{
	if (conn->fd < 0)
		return;
	close(conn->fd);
	conn->fd = -1; /* the memory stays: an event may be under way */
	if (conn->kind != CLIENT)
		return;
	closed_n++;
	if (mode == RATE && !is_over) {
		failed_n += conn->due_ns != 0;
		reopen_n++;
	}
}

/*
 * The server.
 */
static void server_write(struct conn *conn)
{
	while (conn->left && conn->fd >= 0) {
		size_t n = conn->left < PAYLOAD ? (size_t)conn->left : PAYLOAD;
		ssize_t put = send(conn->fd, payload, n, MSG_NOSIGNAL);

		if (put < 0 && errno == EAGAIN)
			return;
		if (put < 0)
			conn_end(conn);
		else
			conn->left -= (uint64_t)put;
	}
}

static void server_answer(struct conn *conn)
{
	char head[2048];
	uint64_t length = strtoull(room + 5, NULL, 10); /* "GET /N" */
	int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
			 (unsigned long long)length);

	if (strstr(room, "\r\nUpgrade:") || strstr(room, "\r\nupgrade:")) {
		conn->is_upgraded = true;
		length = 0;
		n = snprintf(head, sizeof(head),
			     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			     "Upgrade: websocket\r\n"
			     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
	} else if (length + (size_t)n <= sizeof(head)) { /* one packet */
		memset(head + n, 'x', length);
		n += (int)length;
		length = 0;
	}
	conn->left = length;
	if (send(conn->fd, head, (size_t)n, MSG_NOSIGNAL | (length ? MSG_MORE : 0)) != n)
		conn_end(conn);
	else
		server_write(conn);
}

/* One request at a time, each in one read: the proxy under test writes heads whole. */
static void server_run(struct conn *conn)
{
	while (conn->fd >= 0) {
		ssize_t got = recv(conn->fd, room, sizeof(room) - 1, 0);

		if (got < 0 && errno == EAGAIN)
			break;
		if (got <= 0) {
			conn_end(conn);
			return;
		}
		room[got] = '\0';
		if (!conn->is_upgraded)
			server_answer(conn);
		if (got < (ssize_t)sizeof(room) - 1)
			break;
	}
	server_write(conn);
}

/*
 * The clients.
 */
struct sample {
	uint64_t due_ns, took_ns;
};
static struct sample *samples;
static size_t samples_n, samples_max;

static void client_ask(struct conn *conn, uint64_t due_ns)
{
	conn->due_ns = due_ns;
	conn->has_head = false;
	conn->left = 0;
	if (send(conn->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
		conn_end(conn);
}

static void client_done(struct conn *conn)
{
	done_n++;
	if (mode == RATE && samples_n < samples_max)
		samples[samples_n++] = (struct sample){ conn->due_ns, now_ns() - conn->due_ns };
	if (mode == RATE) {
		conn->due_ns = 0;
		if (conn->is_last) {
			conn_end(conn);
			return;
		}
		conn->next_free = free_conns;
		free_conns = conn;
	} else if (mode == FULL) {
		client_ask(conn, 0);
	}
}

/* Returns bytes of the body that came with the head; false when this is no answer of ours. */
static bool client_head(struct conn *conn, size_t got, size_t *body)
{
	const char *end, *length;

	room[got] = '\0';
	end = strstr(room, "\r\n\r\n");
	if (!end || (strncmp(room, "HTTP/1.1 200", 12) != 0 && strncmp(room, "HTTP/1.1 101", 12)))
		return false;
	conn->is_upgraded = room[9] == '1';
	conn->is_last = strcasestr(room, "\r\nconnection: close\r\n") != NULL;
	length = strcasestr(room, "\r\ncontent-length:");
	if (!conn->is_upgraded && !length)
		return false;
	conn->left = conn->is_upgraded ? 0 : strtoull(length + 17, NULL, 10);
	conn->has_head = true;
	*body = got - (size_t)(end + 4 - room);
	return true;
}

static void client_read(struct conn *conn)
{
	while (conn->fd >= 0) {
		ssize_t got = recv(conn->fd, room, sizeof(room) - 1, 0);
		size_t body = got > 0 ? (size_t)got : 0;

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			conn_end(conn);
			return;
		}
		if (conn->is_upgraded)
			continue;
		if (!conn->has_head && !client_head(conn, (size_t)got, &body)) {
			failed_n++;
			conn_end(conn);
			return;
		}
		conn->left -= body < conn->left ? body : conn->left;
		if (!conn->left)
			client_done(conn);
		if (got < (ssize_t)sizeof(room) - 1)
			return;
	}
}

static void client_run(struct conn *conn, uint32_t events)
{
	if (conn->is_connecting) {
		if (events & EPOLLERR) {
			failed_n++;
			conn_end(conn);
			return;
		}
		if (!(events & EPOLLOUT))
			return;
		conn->is_connecting = false;
		open_n++;
		if (mode == RATE) {
			conn->next_free = free_conns;
			free_conns = conn;
		} else {
			client_ask(conn, 0);
		}
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		client_read(conn);
}

static void accept_all(struct conn *listener)
{
	int fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		conn_new(SERVER, fd);
}

static void turn(int64_t wait_ns)
{
	struct timespec wait = { wait_ns / 1000000000, wait_ns % 1000000000 };
	struct epoll_event events[64];
	int n = epoll_pwait2(epoll_fd, events, 64, wait_ns < 0 ? NULL : &wait, NULL);

	for (int i = 0; i < n; i++) {
		struct conn *conn = events[i].data.ptr;

		if (conn->fd < 0)
			continue;
		if (conn->kind == LISTENER)
			accept_all(conn);
		else if (conn->kind == SERVER)
			server_run(conn);
		else
			client_run(conn, events[i].events);
	}
}

static void rate(char **argv, const union address *address, socklen_t size)
{
	uint64_t conns = strtoull(argv[3], NULL, 10);
	uint64_t every_ns = 1000000000 / strtoull(argv[4], NULL, 10), seconds;
	uint64_t due_ns, end_ns;
	FILE *file = fopen(argv[6], "wb");

	seconds = strtoull(argv[5], NULL, 10);
	samples_max = seconds * 1000000000 / every_ns + 1;
	samples = calloc(samples_max, sizeof(*samples));
	if (!file || !samples)
		die(argv[6]);
	memset(samples, 1, samples_max * sizeof(*samples)); /* its pages are there */
	serve(argv[7]);
	for (uint64_t i = 0; i < conns; i++)
		open_client(address, size);
	while (open_n < conns && !is_over)
		turn(1000000000);
	due_ns = now_ns();
	end_ns = due_ns + seconds * 1000000000;
	while (due_ns < end_ns && !is_over) {
		uint64_t now = now_ns();

		while (free_conns && due_ns <= now) {
			struct conn *conn = free_conns;

			free_conns = conn->next_free;
			if (conn->fd < 0)
				continue;
			client_ask(conn, due_ns);
			due_ns += every_ns;
		}
		for (; reopen_n; reopen_n--)
			open_client(address, size);
		now = now_ns();
		turn(due_ns > now ? (int64_t)(due_ns - now) : free_conns ? 0 : 1000000);
	}
	if (fwrite(samples, sizeof(*samples), samples_n, file) != samples_n || fclose(file) != 0)
		die(argv[6]);
	printf("requests %zu failed %llu\n", samples_n, (unsigned long long)failed_n);
}

static void load(char **argv, const union address *address, socklen_t size)
{
	uint64_t conns = strtoull(argv[3], NULL, 10);
	bool is_ready = false;

	for (uint64_t i = 0; i < conns; i++)
		open_client(address, size);
	while (!is_over) {
		turn(100000000);
		if (!is_ready && mode != FULL && done_n >= conns) {
			is_ready = true;
			printf("ready\n");
			fflush(stdout);
		}
	}
	printf("done %llu closed %llu failed %llu\n", (unsigned long long)done_n,
	       (unsigned long long)closed_n, (unsigned long long)failed_n);
}

static void on_term(int signal)
{
	(void)signal;
	is_over = 1;
}

static const char *const upgrade =
	"GET /0 HTTP/1.1\r\nHost: probe\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args_n;
	} modes[] = { [RATE] = { "rate", 8 },
		      [FULL] = { "full", 5 },
		      [BURST] = { "burst", 4 },
		      [HOLD] = { "hold", 4 },
		      [ORIGIN] = { "origin", 3 } };
	union address address;
	socklen_t size;

	while (mode <= ORIGIN &&
	       (argc < 2 || strcmp(argv[1], modes[mode].name) != 0 || argc != modes[mode].args_n))
		mode++;
	if (mode > ORIGIN) {
		fprintf(stderr, "probe: see the head of probe.c\n");
		return 2;
	}
	signal(SIGTERM, on_term);
	memset(payload, 'x', sizeof(payload));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	size = parse_address(argv[2], &address);
	request_n = (size_t)snprintf(request, sizeof(request), "%s",
				     mode == HOLD ? upgrade
						  : "GET /1024 HTTP/1.1\r\nHost: probe\r\n\r\n");
	if (mode == FULL)
		request_n = (size_t)snprintf(request, sizeof(request),
					     "GET %s HTTP/1.1\r\nHost: probe\r\n\r\n", argv[4]);
	if (mode == ORIGIN) {
		serve(argv[2]);
		while (!is_over)
			turn(-1);
	} else if (mode == RATE) {
		rate(argv, &address, size);
	} else {
		load(argv, &address, size);
	}
	return 0;
}
