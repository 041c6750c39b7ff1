/* SPDX-License-Identifier: MIT */
/*
 * floor - a relay that parses nothing: what the kernel, and OpenSSL, charge for what a proxy does.
 *
 *	bench_floor [-1] [-s] [-2] [-c FILE.pem] [-B BYTES] 127.0.0.1:8000 127.0.0.1:9001
 *
 *	-1	one exchange a client: its connection is closed behind the first answer,
 *		which must come in one piece, and the server's goes to the next client.
 *		The least for "a connection per request" where a proxy would know the
 *		answer's end
 *	-s	bulk by splice, over pipes of 1 MiB
 *	-2	a PROXY v2 header before the first bytes to the server, in the same send
 *	-c	TLS towards the clients
 *	-B	bytes of a receive (65536)
 *
 * It is no proxy: it takes one server, ends both sides when one has ended, and has no time limits.
 * One thread, edge-triggered: each socket is registered once, the first receive comes straight
 * after the accept, the first send straight after the connect, and a receive that filled less than
 * its room is the last until the next event.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BATCH  512
#define HEADER 28 /* of PROXY v2 with two IPv4 addresses */
#define PIPE   (1 << 20)

/* One socket.  Its peer is the other side's; NULL: it waits among the unused. */
struct end {
	int fd;
	bool is_server, shaking;
	struct end *peer, *next;
	SSL *ssl;   /* (own) */
	char *held; /* (own) what this socket would not take yet */
	size_t held_n;
	int pipe[2];  /* towards this socket; -1: none */
	size_t piped; /* bytes in it */
};

static int epoll, listener;
static struct sockaddr_storage server_sa;
static socklen_t server_sa_n;
static struct sockaddr_in own_sa;
static struct end *idle, *spare;
static bool one, splicing, proxy;
static SSL_CTX *tls;
static char *buffer;
static size_t room = 65536;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "floor: %s: %s\n", what, why);
	exit(2);
}

static void watch(struct end *e)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = e };

	epoll_ctl(epoll, EPOLL_CTL_ADD, e->fd, &event);
}

static struct end *end_new(int fd, bool is_server)
{
	struct end *e = spare;

	if (e != NULL)
		spare = e->next;
	else
		e = malloc(sizeof(*e));
	if (e == NULL)
		die("end", "no memory");
	*e = (struct end){ .fd = fd, .is_server = is_server, .pipe = { -1, -1 } };
	if (is_server || !one)
		watch(e);
	return e;
}

static void end_close(struct end *e)
{
	if (e->ssl != NULL) {
		if (SSL_is_init_finished(e->ssl))
			SSL_shutdown(e->ssl);
		ERR_clear_error();
		SSL_free(e->ssl);
	}
	if (e->pipe[0] >= 0) {
		close(e->pipe[0]);
		close(e->pipe[1]);
	}
	close(e->fd);
	free(e->held);
	e->fd = -1;
	e->next = spare;
	spare = e;
}

static void both_close(struct end *e)
{
	struct end *peer = e->peer;

	if (peer != NULL)
		end_close(peer);
	end_close(e);
}

static void idle_remove(struct end *e)
{
	struct end **at = &idle;

	while (*at != NULL && *at != e)
		at = &(*at)->next;
	if (*at == e)
		*at = e->next;
	end_close(e);
}

/* As recv(2) and send(2), with errno EAGAIN for what TLS wants first. */
static ssize_t end_recv(struct end *e, char *data, size_t n)
{
	int got, why;

	if (e->ssl == NULL)
		return recv(e->fd, data, n, 0);
	got = SSL_read(e->ssl, data, (int)n);
	if (got > 0)
		return got;
	why = SSL_get_error(e->ssl, got);
	ERR_clear_error();
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
	return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t end_send(struct end *e, const char *data, size_t n)
{
	int sent, why;

	if (e->ssl == NULL)
		return send(e->fd, data, n, MSG_NOSIGNAL);
	sent = SSL_write(e->ssl, data, (int)n);
	if (sent > 0)
		return sent;
	why = SSL_get_error(e->ssl, sent);
	ERR_clear_error();
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
	return -1;
}

/* Sends N bytes at DATA, holds what does not go.  False: E is broken. */
static bool give(struct end *e, const char *data, size_t n)
{
	while (n != 0) {
		ssize_t sent = end_send(e, data, n);

		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0)
			break;
		data += sent;
		n -= (size_t)sent;
	}
	e->held_n = n;
	if (n == 0)
		return true;
	if (e->held == NULL)
		e->held = malloc(room + HEADER);
	if (e->held == NULL)
		die("buffer", "no memory");
	memmove(e->held, data, n);
	return true;
}

/* Relays from E by splice; false: the end, or broken. */
static bool splice_run(struct end *e)
{
	struct end *to = e->peer;

	if (to->pipe[0] < 0) {
		if (pipe2(to->pipe, O_NONBLOCK | O_CLOEXEC) != 0)
			return false;
		fcntl(to->pipe[1], F_SETPIPE_SZ, PIPE);
	}
	for (;;) {
		bool was_empty = to->piped == 0;
		ssize_t n = splice(e->fd, NULL, to->pipe[1], NULL, PIPE,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		bool dry = n < 0 && errno == EAGAIN;

		if (n == 0 || (n < 0 && !dry))
			return false;
		if (n > 0)
			to->piped += (size_t)n;
		while (to->piped != 0) {
			n = splice(to->pipe[0], NULL, to->fd, NULL, to->piped,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			if (n < 0 && errno == EAGAIN)
				return true;
			if (n <= 0)
				return false;
			to->piped -= (size_t)n;
		}
		if (dry && was_empty) /* else it was the pipe that was full */
			return true;
	}
}

static void server_release(struct end *s)
{
	end_close(s->peer);
	s->peer = NULL;
	s->next = idle;
	idle = s;
}

/* Relays what E has.  ENDED: its end is behind that. */
static void pump(struct end *e, bool ended)
{
	for (;;) {
		ssize_t n;

		if (e->peer->held_n != 0)
			return;
		if (splicing && e->is_server) {
			if (!splice_run(e))
				both_close(e);
			return;
		}
		n = end_recv(e, buffer, room);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || !give(e->peer, buffer, (size_t)n)) {
			both_close(e);
			return;
		}
		if (one && e->is_server) {
			server_release(e);
			return;
		}
		if (e->ssl != NULL ? !SSL_has_pending(e->ssl) && !ended
				   : (size_t)n < room && !ended)
			return;
	}
}

static size_t proxy_write(char *to, const struct sockaddr_in *from)
{
	memcpy(to, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16);
	memcpy(to + 16, &from->sin_addr, 4);
	memcpy(to + 20, &own_sa.sin_addr, 4);
	memcpy(to + 24, &from->sin_port, 2);
	memcpy(to + 26, &own_sa.sin_port, 2);
	return HEADER;
}

static struct end *server_get(void)
{
	struct end *s = idle;
	int fd;

	if (s != NULL) {
		idle = s->next;
		return s;
	}
	fd = socket(server_sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&server_sa, server_sa_n) != 0 &&
	    errno != EINPROGRESS) {
		close(fd);
		return NULL;
	}
	return end_new(fd, true);
}

static bool server_attach(struct end *c)
{
	c->peer = server_get();
	if (c->peer == NULL) {
		end_close(c);
		return false;
	}
	c->peer->peer = c;
	return true;
}

/* The first bytes of client C may be there already; those decide nothing but go along. */
static void client_begin(struct end *c, const struct sockaddr_in *from)
{
	size_t n = proxy ? proxy_write(buffer, from) : 0;
	ssize_t got = -1;

	if (tls == NULL) {
		got = recv(c->fd, buffer + n, room - n, 0);
		if (got == 0 || (got < 0 && errno != EAGAIN)) {
			end_close(c);
			return;
		}
	} else {
		c->ssl = SSL_new(tls);
		SSL_set_fd(c->ssl, c->fd);
		SSL_set_accept_state(c->ssl);
		c->shaking = true;
	}
	if (one && got < 0)
		watch(c); /* else nothing more is expected of it */
	if (got > 0)
		n += (size_t)got;
	/* With TLS, one exchange has use for a server behind the handshake alone. */
	if (!(one && tls != NULL) && !server_attach(c))
		return;
	if (n != 0 && !give(c->peer, buffer, n))
		both_close(c);
}

static void on_accept(void)
{
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	int fd;

	while ((fd = accept4(listener, (struct sockaddr *)&from, &n,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		client_begin(end_new(fd, false), &from);
		n = sizeof(from);
	}
}

static void on_end(struct end *e, uint32_t events)
{
	bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;

	if (e->fd < 0)
		return; /* closed in this batch, through its peer */
	if (e->peer == NULL && e->is_server) {
		if (ended)
			idle_remove(e);
		return;
	}
	if (e->shaking) {
		int done = SSL_do_handshake(e->ssl), why = SSL_get_error(e->ssl, done);

		ERR_clear_error();
		if (done != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			both_close(e);
		if (done != 1)
			return;
		e->shaking = false;
		events |= EPOLLIN;
		if (e->peer == NULL && !server_attach(e))
			return;
	}
	if ((events & EPOLLOUT) != 0 && (e->held_n != 0 || e->piped != 0)) {
		if (!give(e, e->held, e->held_n)) {
			both_close(e);
			return;
		}
		if (e->held_n == 0 && !e->peer->shaking)
			pump(e->peer, false);
		if (e->fd < 0)
			return;
	}
	if ((events & EPOLLIN) != 0 || ended)
		pump(e, ended);
}

static void run(void)
{
	struct epoll_event events[BATCH];

	for (;;) {
		int n = epoll_wait(epoll, events, BATCH, -1);

		for (int i = 0; i < n; i++)
			if (events[i].data.ptr == NULL)
				on_accept();
			else
				on_end(events[i].data.ptr, events[i].events);
	}
}

static void tls_setup(const char *pem)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (tls == NULL || SSL_CTX_use_certificate_chain_file(tls, pem) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, pem, SSL_FILETYPE_PEM) != 1)
		die(pem, "no certificate");
	SSL_CTX_set_num_tickets(tls, 1);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF); /* tickets do without */
	SSL_CTX_set_read_ahead(tls, 1);
	SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_id_context(tls, (const unsigned char *)"floor", 5);
}

static socklen_t address(const char *text, struct sockaddr_storage *sa)
{
	struct sockaddr_un *un = (struct sockaddr_un *)sa;
	struct sockaddr_in *in = (struct sockaddr_in *)sa;
	char host[64];
	const char *colon = strrchr(text, ':');

	memset(sa, 0, sizeof(*sa));
	if (strncmp(text, "unix:", 5) == 0) {
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", text + 5);
		return sizeof(*un);
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		die(text, "not an address");
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		die(text, "not an IPv4 address");
	return sizeof(*in);
}

static void listen_on(const char *text)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	struct sockaddr_storage sa;
	socklen_t n = address(text, &sa);
	int yes = 1;

	memcpy(&own_sa, &sa, sizeof(own_sa));
	listener = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &yes, sizeof(yes));
	if (bind(listener, (const struct sockaddr *)&sa, n) != 0 || listen(listener, 16384) != 0)
		die(text, strerror(errno));
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int letter;

	signal(SIGPIPE, SIG_IGN);
	while ((letter = getopt(argc, argv, "1s2c:B:")) != -1)
		switch (letter) {
		case '1':
			one = true;
			break;
		case 's':
			splicing = true;
			break;
		case '2':
			proxy = true;
			break;
		case 'c':
			tls_setup(optarg);
			break;
		case 'B':
			room = strtoul(optarg, NULL, 10);
			break;
		default:
			die("usage", "see the top of bench/floor.c");
		}
	if (argc - optind != 2 || room < 1024 || (tls != NULL && splicing) || (one && proxy))
		die("usage", "see the top of bench/floor.c");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	buffer = malloc(room + HEADER);
	if (buffer == NULL)
		die("buffer", "no memory");
	epoll = epoll_create1(EPOLL_CLOEXEC);
	listen_on(argv[optind]);
	server_sa_n = address(argv[optind + 1], &server_sa);
	run();
	return 0;
}
