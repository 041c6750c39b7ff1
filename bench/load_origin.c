/* SPDX-License-Identifier: MIT */
/*
 * load_origin - the servers behind the proxy, in the same process and loop as the clients.
 *
 *	GET /N			N bytes
 *	GET /socket.io/?...	without a sid: an Engine.IO handshake with the next id; with one: a
 *				message, and a note when the id was given out by another server
 *	Upgrade: websocket	101, then each message comes back
 *
 * A PROXY v2 header at the start is skipped.  The body's first byte names the server: 'a' for the
 * first address, and so on.
 */
#include "config.h"

#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_ROOM (1 << 20)
#define PART_MAX  16384
#define ACCEPT    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct listener {
	struct source source;
	unsigned number;
};

struct server {
	struct source source;
	struct server *next; /* among the unused */
	unsigned number;     /* of the listener */
	bool started;        /* the first bytes have been looked at */
	bool ws, last;
	uint64_t left; /* of the body, to be sent */
	uint32_t part_length;
	char *part; /* (own) the beginning of a request */
};

static struct listener listeners[ORIGINS_MAX];
static struct server *unused;
static char body[BODY_ROOM];
static uint8_t *owner; /* of each id: number of its server and 1; 0: nobody's */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/*
 * Ids look like those of engine.io: 16 characters that tell nothing, four that count.  The same
 * number has the same id in every run, so that a later run can ask for those of an earlier one.
 */
void sid_write(uint32_t n, char sid[SID_LENGTH])
{
	uint64_t x = (n + 1) * 0x9e3779b97f4a7c15ull;

	for (int i = 0; i < 16; i++) {
		x ^= x >> 29;
		x *= 0xbf58476d1ce4e5b9ull;
		sid[i] = alphabet[x >> 58];
	}
	for (int i = 0; i < 4; i++)
		sid[16 + i] = alphabet[(n >> (18 - 6 * i)) & 63];
}

bool sid_read(const char *sid, uint32_t *n)
{
	char again[SID_LENGTH];

	*n = 0;
	for (int i = 16; i < SID_LENGTH; i++) {
		const char *at = memchr(alphabet, sid[i], 64);

		if (at == NULL)
			return false;
		*n = *n << 6 | (uint32_t)(at - alphabet);
	}
	sid_write(*n, again);
	return memcmp(again, sid, SID_LENGTH) == 0;
}

static void server_close(struct server *s)
{
	close(s->source.fd);
	s->source.fd = -1;
	s->next = unused;
	unused = s;
}

/* Sends what is left of a body; closes behind the last. */
static void server_push(struct server *s)
{
	while (s->left != 0) {
		ssize_t n = send(s->source.fd, body,
				 s->left < BODY_ROOM ? (size_t)s->left : BODY_ROOM, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			server_close(s);
			return;
		}
		s->left -= (uint64_t)n;
	}
	if (s->last)
		server_close(s);
}

/* Answers with N bytes of FIRST, then of the usual body; "" for that alone. */
static void answer(struct server *s, const char *first, uint64_t n)
{
	char head[4096];
	size_t first_n = strlen(first), now = 0;
	int head_n = snprintf(
		head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %llu\r\n%s\r\n",
		(unsigned long long)n, s->last ? "Connection: close\r\n" : "");
	struct iovec iov[2] = { { .iov_base = head } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t sent;

	if (first_n == 0 && n != 0)
		head[head_n] = (char)('a' + s->number), first_n = 1;
	else
		memcpy(head + head_n, first, first_n);
	iov[0].iov_len = (size_t)head_n + first_n;
	now = n - first_n < BODY_ROOM ? (size_t)(n - first_n) : BODY_ROOM;
	iov[1] = (struct iovec){ .iov_base = body, .iov_len = now };
	s->left = n - first_n - now;
	sent = sendmsg(s->source.fd, &msg, MSG_NOSIGNAL);
	if (sent < (ssize_t)iov[0].iov_len) { /* a head always fits into the socket */
		server_close(s);
		return;
	}
	s->left += now + iov[0].iov_len - (size_t)sent;
	if (s->left != 0 || s->last)
		server_push(s);
}

static void handshake(struct server *s)
{
	char text[256], sid[SID_LENGTH];
	uint32_t n = (uint32_t)tally.made++ % SIDS_MAX;

	sid_write(n, sid);
	if (owner != NULL && n < opt.sids)
		owner[n] = (uint8_t)(s->number + 1);
	answer(s, text,
	       (uint64_t)snprintf(
		       text, sizeof(text),
		       "0{\"sid\":\"%.20s\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
		       "\"pingTimeout\":20000,\"maxPayload\":1000000}",
		       sid));
}

static void engine(struct server *s, const char *query, size_t n)
{
	static char message[129] = "42[\"message\",\"";
	const char *sid = memmem(query, n, "sid=", 4);
	uint32_t number;

	if (message[127] == '\0') {
		memset(message + strlen(message), 'm', 128 - strlen(message));
		memcpy(message + 126, "\"]", 2);
	}
	if (sid == NULL) {
		handshake(s);
		return;
	}
	if ((size_t)(query + n - sid) >= 4 + SID_LENGTH && sid_read(sid + 4, &number)) {
		if (owner != NULL && number < opt.sids) {
			if (opt.engine == ENGINE_ASK && owner[number] == 0)
				owner[number] = (uint8_t)(s->number + 1);
			else if (owner[number] != 0 && owner[number] != s->number + 1)
				tally.astray++;
		}
	} else {
		tally.astray++;
	}
	answer(s, message, 128);
}

/* One request, its head N bytes long.  Returns false when the connection is closed. */
static bool request_take(struct server *s, char *head, size_t n)
{
	const char *line = head, *end = head + n, *path = head + 4;
	bool upgrade = false;

	s->last = memmem(head, n, " HTTP/1.0", 9) != NULL;
	while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL && ++line < end) {
		if ((*line | 32) == 'c' && strncasecmp(line, "connection: close", 17) == 0)
			s->last = true;
		else if ((*line | 32) == 'u' && strncasecmp(line, "upgrade: websocket", 18) == 0)
			upgrade = true;
	}
	line = memchr(head, '\n', n);
	if (upgrade) {
		static const char text[] =
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			"Upgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n";

		s->ws = true;
		if (send(s->source.fd, text, sizeof(text) - 1, MSG_NOSIGNAL) !=
		    (ssize_t)sizeof(text) - 1)
			server_close(s);
	} else if (strncmp(head, "GET /socket.io/", 15) == 0) {
		engine(s, path, (size_t)(line - path));
	} else if (strncmp(head, "GET /", 5) == 0) {
		answer(s, "", strtoull(head + 5, NULL, 10));
	} else {
		server_close(s);
	}
	return s->source.fd >= 0;
}

/* Messages as clients of ours send them: masked, short, whole.  Returns what was taken. */
static size_t messages_take(struct server *s, const char *data, size_t n)
{
	char out[4096];
	size_t taken = 0, made = 0;

	while (n - taken >= 6) {
		const char *frame = data + taken;
		size_t size = (size_t)(frame[1] & 0x7f);

		if (size > 125 || n - taken < 6 + size || made + 2 + size > sizeof(out))
			break;
		out[made++] = frame[0];
		out[made++] = (char)size;
		for (size_t i = 0; i < size; i++)
			out[made++] = (char)(frame[6 + i] ^ frame[2 + i % 4]);
		taken += 6 + size;
	}
	if (made != 0 && send(s->source.fd, out, made, MSG_NOSIGNAL) != (ssize_t)made)
		server_close(s);
	return taken;
}

static size_t proxy_header(const char *data, size_t n)
{
	if (n < 16 || memcmp(data, "\r\n\r\n\0\r\nQUIT\n", 12) != 0)
		return 0;
	return 16 + ((size_t)(unsigned char)data[14] << 8 | (unsigned char)data[15]);
}

/* Takes all whole requests of the N bytes at DATA; keeps the rest.  False: closed. */
static bool server_take(struct server *s, char *data, size_t n)
{
	size_t at = 0;

	if (!s->started) {
		at = proxy_header(data, n);
		s->started = true;
	}
	while (at < n) {
		char *end;

		if (s->ws) {
			size_t taken = messages_take(s, data + at, n - at);

			if (s->source.fd < 0)
				return false;
			at += taken;
			if (taken == 0)
				break;
			continue;
		}
		end = memmem(data + at, n - at, "\r\n\r\n", 4);
		if (end == NULL)
			break;
		if (!request_take(s, data + at, (size_t)(end + 4 - data) - at))
			return false;
		at = (size_t)(end + 4 - data);
	}
	s->part_length = at < n ? (uint32_t)(n - at) : 0;
	if (s->part_length > PART_MAX) {
		server_close(s);
		return false;
	}
	if (s->part_length != 0) {
		if (s->part == NULL)
			s->part = malloc(PART_MAX);
		if (s->part == NULL)
			die("origin", "no memory");
		memcpy(s->part, data + at, s->part_length);
	}
	return true;
}

static void server_run(struct source *source, uint32_t events)
{
	struct server *s = (struct server *)source;

	if (s->source.fd < 0)
		return;
	if (s->left != 0 && (events & EPOLLOUT) != 0) {
		server_push(s);
		if (s->source.fd < 0)
			return;
	}
	for (;;) {
		size_t kept = s->part_length;
		ssize_t n;

		if (kept != 0)
			memcpy(room, s->part, kept);
		n = recv(s->source.fd, room + kept, ROOM - kept, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			server_close(s);
			return;
		}
		if (!server_take(s, room, kept + (size_t)n))
			return;
		if ((size_t)n < ROOM - kept && (events & EPOLLRDHUP) == 0)
			return;
	}
}

static struct server *server_new(int fd, unsigned number)
{
	struct server *s = unused;
	char *part;

	if (s == NULL)
		s = calloc(1, sizeof(*s));
	else
		unused = s->next;
	if (s == NULL)
		die("origin", "no memory");
	part = s->part;
	*s = (struct server){ .source = { .on_event = server_run, .fd = fd },
			      .number = number,
			      .part = part };
	return s;
}

static void on_listener(struct source *source, uint32_t events)
{
	struct listener *l = (struct listener *)source;
	int fd;

	(void)events;
	while ((fd = accept4(l->source.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct server *s = server_new(fd, l->number);
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
					     .data.ptr = s };

		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	}
}

void origins_open(uint8_t *owners)
{
	int yes = 1;

	owner = owners;
	memset(body, 'x', sizeof(body));
	for (unsigned i = 0; i < opt.origins_n; i++) {
		struct listener *l = &listeners[i];
		struct address *a = &opt.origins[i];
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = l };

		l->number = i;
		l->source.on_event = on_listener;
		l->source.fd =
			socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (a->sa.ss_family == AF_UNIX)
			unlink(((struct sockaddr_un *)&a->sa)->sun_path);
		/* Both are inherited by what is accepted. */
		setsockopt(l->source.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
		setsockopt(l->source.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		if (bind(l->source.fd, (const struct sockaddr *)&a->sa, a->length) != 0 ||
		    listen(l->source.fd, 16384) != 0)
			die("origin", strerror(errno));
		epoll_ctl(epoll, EPOLL_CTL_ADD, l->source.fd, &event);
	}
}
