/* SPDX-License-Identifier: MIT */
/*
 * load_client - the clients.
 *
 *	CLOSED -> CONNECT -> (SHAKE) -> FREE -> HEAD -> BODY -> FREE ...
 *	                                             -> EOF -> CLOSED     a connection per request
 *	                                HEAD -> ECHO -> ECHO ...          WebSocket
 *	                                FREE or HEAD -> HELD              idle
 *
 * A connection that was closed is opened again after the batch of events in which that happened, so
 * that no event of the old socket can meet the new one.  Sockets are registered once,
 * edge-triggered: a receive that filled less than its room has seen everything.
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
#include <unistd.h>

enum {
	CLOSED,
	CONNECT, /* for the socket */
	SHAKE,   /* for TLS */
	FREE,    /* for something to ask */
	HEAD,    /* for the answer's head */
	BODY,
	END,  /* for the proxy's close after the answer */
	ECHO, /* for a message to come back */
	HELD
};

#define HEAD_MAX    16384
#define OPENING_MAX 64 /* idle connections that are being opened */
#define KEY         "dGhlIHNhbXBsZSBub25jZQ=="

static struct client *clients;
static struct client **reopen, **free_ring;
static unsigned reopen_n, free_first, free_n, held, opening, next_idle;
static char request[2048];
static size_t request_n, sid_at; /* sid_at: where the id belongs; 0: none */
static uint64_t asked, first_due, body_want;
static uint32_t sid_next;
static uint64_t dice = 0x9e3779b97f4a7c15ull;
struct hist latency, latency_interval;

static void client_run(struct source *source, uint32_t events);

/* xorshift: which id is asked for must not cost anything that shows. */
static uint32_t roll(uint32_t below)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)(((dice >> 32) * below) >> 32);
}

static void client_close(struct client *c)
{
	if (c->state == CLOSED)
		return;
	if (c->state == CONNECT || c->state == SHAKE || c->state == HEAD)
		opening -= opt.mode == MODE_IDLE;
	held -= c->state == HELD;
	tls_end(c);
	close(c->source.fd);
	c->source.fd = -1;
	c->part_length = 0;
	c->closing = false;
	c->state = CLOSED;
	reopen[reopen_n++] = c;
}

/* ERROR as wire_recv() and wire_send() give it. */
static void client_fails(struct client *c, int error)
{
	if (c->state == FREE || c->state == HELD)
		tally.idle_closed++;
	else if (error == -EPROTO || c->state == SHAKE)
		tally.tls++;
	else if (c->state == CONNECT)
		tally.connect++;
	else if (error == 0)
		tally.cut++;
	else
		tally.reset++;
	client_close(c);
}

static void client_free(struct client *c)
{
	c->state = FREE;
	if (!c->queued) {
		free_ring[(free_first + free_n++) % opt.conns] = c;
		c->queued = true;
	}
}

static bool has_more(void)
{
	return opt.most == 0 || asked < opt.most;
}

/* Sends what the mode asks for.  DUE is when the request should have gone out. */
static void client_ask(struct client *c, uint64_t due)
{
	char text[sizeof(request) + sizeof(c->cookie) + 16];
	const char *data = request;
	size_t n = request_n;
	int sent;

	if (sid_at != 0) {
		sid_write(opt.engine == ENGINE_ASK ? sid_next++ % opt.sids : roll(opt.sids),
			  request + sid_at);
	} else if (c->cookie[0] != '\0') {
		n = (size_t)snprintf(text, sizeof(text), "%.*sCookie: %s\r\n\r\n",
				     (int)(request_n - 2), request, c->cookie);
		data = text;
	}
	asked += opt.mode != MODE_CLOSE; /* there, to open is to ask */
	c->asked_at = due;
	c->want = body_want;
	c->state = HEAD;
	sent = wire_send(c, data, n);
	if (sent != (int)n)
		client_fails(c, sent < 0 ? sent : -EIO);
}

static void client_ready(struct client *c)
{
	if (opt.mode == MODE_WS || opt.mode == MODE_IDLE)
		client_ask(c, now_ns());
	else if (opt.mode == MODE_CLOSE)
		client_ask(c, c->asked_at);
	else if (opt.rate == 0 && has_more())
		client_ask(c, now_ns());
	else
		client_free(c);
}

static void client_connected(struct client *c)
{
	int error = 0;
	socklen_t length = sizeof(error);

	getsockopt(c->source.fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error != 0) {
		client_fails(c, -error);
		return;
	}
	tally.opened++;
	if (opt.tls) {
		tls_begin(c);
		c->state = SHAKE;
		return;
	}
	client_ready(c);
}

static void client_open(struct client *c, uint64_t due)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = c };
	int yes = 1;

	c->source.on_event = client_run;
	c->source.fd =
		socket(opt.target.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->source.fd < 0)
		die("socket", strerror(errno));
	c->asked_at = due;
	asked += opt.mode == MODE_CLOSE;
	c->state = CONNECT;
	opening += opt.mode == MODE_IDLE;
	setsockopt(c->source.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (connect(c->source.fd, (const struct sockaddr *)&opt.target.sa, opt.target.length) !=
		    0 &&
	    errno != EINPROGRESS) {
		client_fails(c, -errno);
		return;
	}
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->source.fd, &event);
}

static void message_send(struct client *c)
{
	static const char zeros[126];
	char frame[6 + 126] = { (char)0x82, (char)(0x80 | opt.ws_bytes), 1, 2, 3, 4 };
	size_t n = 6 + opt.ws_bytes;
	int sent;

	memcpy(frame + 6, zeros, opt.ws_bytes);
	asked++;
	c->asked_at = now_ns();
	c->left = 2 + opt.ws_bytes;
	c->state = ECHO;
	sent = wire_send(c, frame, n);
	if (sent != (int)n)
		client_fails(c, sent < 0 ? sent : -EIO);
}

/* The whole of an answer, or of an echo, is there. */
static void client_done(struct client *c)
{
	uint64_t spent = now_ns() - c->asked_at;

	tally.requests++;
	hist_add(&latency, spent);
	if (opt.interval_seconds > 0)
		hist_add(&latency_interval, spent);
	if (opt.mode == MODE_IDLE) {
		c->state = HELD;
		held++;
		opening--;
	} else if (opt.mode == MODE_WS) {
		message_send(c);
	} else if (opt.mode == MODE_CLOSE && !opt.bare) {
		c->state = END;
	} else if (opt.mode == MODE_CLOSE || c->closing) {
		client_close(c);
	} else {
		client_ready(c);
	}
}

/* Value of the field NAME, or NULL; HEAD ends with an empty line. */
static const char *field(const char *head, const char *name, size_t name_n)
{
	const char *line = head;

	while ((line = strchr(line, '\n')) != NULL && *++line != '\r')
		if (strncasecmp(line, name, name_n) == 0 && line[name_n] == ':')
			return line + name_n + 1 + strspn(line + name_n + 1, " ");
	return NULL;
}

/* Looks at a head of N bytes; returns false when this connection is no more. */
static bool head_take(struct client *c, char *head, size_t n)
{
	const char *length, *text;
	char last = head[n - 1];
	bool upgraded;

	head[n - 1] = '\0';
	upgraded = strncmp(head, "HTTP/1.1 101", 12) == 0;
	if (strncmp(head, "HTTP/1.", 7) != 0 || (strncmp(head + 8, " 200", 4) != 0 && !upgraded)) {
		tally.status++;
		client_close(c);
		return false;
	}
	length = field(head, "content-length", 14);
	c->left = length != NULL ? strtoull(length, NULL, 10) : 0;
	if (!upgraded && (length == NULL || (c->want != UINT64_MAX && c->left != c->want))) {
		tally.length++;
		client_close(c);
		return false;
	}
	text = field(head, "connection", 10);
	c->closing = text != NULL && strncasecmp(text, "close", 5) == 0;
	if (opt.cookies && (text = field(head, "set-cookie", 10)) != NULL)
		snprintf(c->cookie, sizeof(c->cookie), "%.*s", (int)strcspn(text, ";\r"), text);
	head[n - 1] = last;
	return true;
}

/* Puts what came behind what is there of the head.  Returns where the whole begins. */
static char *head_join(struct client *c, char *data, size_t *n)
{
	if (c->part_length != 0 || memmem(data, *n, "\r\n\r\n", 4) == NULL) {
		if (c->part == NULL)
			c->part = calloc(1, HEAD_MAX + ROOM);
		if (c->part == NULL || c->part_length + *n > HEAD_MAX + ROOM)
			return NULL;
		memcpy(c->part + c->part_length, data, *n);
		c->part_length += (uint32_t)*n;
		*n = c->part_length;
		return c->part;
	}
	return data;
}

/* Takes N bytes at DATA; returns how many of them were a head, 0: not all of it, -1: end of this.
 */
static ssize_t head_run(struct client *c, char **data, size_t *n)
{
	char *end;

	*data = head_join(c, *data, n);
	if (*data == NULL ||
	    (c->part_length > HEAD_MAX && memmem(*data, HEAD_MAX, "\r\n\r\n", 4) == NULL)) {
		tally.status++;
		client_close(c);
		return -1;
	}
	end = memmem(*data, *n, "\r\n\r\n", 4);
	if (end == NULL)
		return 0;
	c->part_length = 0;
	return head_take(c, *data, (size_t)(end + 4 - *data)) ? end + 4 - *data : -1;
}

static void home_check(struct client *c, char server)
{
	if (c->home != '\0' && c->home != server)
		tally.astray++;
	c->home = server;
}

/* Takes N bytes; returns false when nothing more is to be read from this socket now. */
static bool bytes_take(struct client *c, char *data, size_t n)
{
	if (c->state == HEAD) {
		ssize_t head = head_run(c, &data, &n);

		if (head <= 0)
			return head == 0;
		data += head;
		n -= (size_t)head;
		c->state = BODY;
		if (opt.cookies && n != 0 && c->cookie[0] != '\0')
			home_check(c, *data);
	}
	tally.bytes += n;
	if ((c->state != BODY && c->state != ECHO) || n > c->left) {
		tally.length++; /* more than was asked for */
		client_close(c);
		return false;
	}
	c->left -= n;
	if (c->left != 0)
		return true;
	client_done(c);
	return c->state != CLOSED;
}

static void client_read(struct client *c)
{
	for (;;) {
		int n = wire_recv(c, room, ROOM);

		if (n == -EAGAIN)
			return;
		if (n <= 0 && c->state == END) {
			client_close(c);
			return;
		}
		if (n <= 0) {
			client_fails(c, n);
			return;
		}
		if (!bytes_take(c, room, (size_t)n))
			return;
		if (n < ROOM && c->ssl == NULL)
			return;
	}
}

static void client_run(struct source *source, uint32_t events)
{
	struct client *c = (struct client *)source;

	if (c->state == CLOSED)
		return;
	if (c->state == CONNECT && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
		client_connected(c);
	if (c->state == SHAKE) {
		int done = tls_shake(c);

		if (done == 1)
			client_ready(c);
		else if (done != -EAGAIN)
			client_fails(c, done);
	}
	if (c->state == CLOSED || c->state == CONNECT || c->state == SHAKE)
		return;
	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0)
		client_read(c);
	/* An end that came together with data is no event again. */
	if ((events & EPOLLRDHUP) != 0 && c->state != CLOSED && c->ssl == NULL)
		client_read(c);
}

uint64_t clients_due(void)
{
	return opt.rate == 0 || !has_more() ? 0 : first_due + asked * SECOND / opt.rate;
}

/* The next that is free, or NULL.  Connections that were closed meanwhile left their places. */
static struct client *free_next(void)
{
	while (free_n != 0) {
		struct client *c = free_ring[free_first];

		free_first = (free_first + 1) % opt.conns;
		free_n--;
		c->queued = false;
		if (c->state == FREE)
			return c;
	}
	return NULL;
}

/* What is due is asked, as far as there are connections for it. */
static void open_loop(uint64_t now)
{
	struct client *c;

	if (first_due == 0 && (opt.mode == MODE_CLOSE || free_n == opt.conns))
		first_due = now;
	while (first_due != 0 && has_more() && clients_due() <= now) {
		uint64_t due = clients_due();

		if (opt.mode == MODE_CLOSE && reopen_n != 0)
			client_open(reopen[--reopen_n], due);
		else if (opt.mode != MODE_CLOSE && (c = free_next()) != NULL)
			client_ask(c, due);
		else
			return;
	}
}

void clients_after_batch(uint64_t now)
{
	unsigned n = reopen_n;

	if (opt.mode == MODE_IDLE) {
		reopen_n = 0;
		while (next_idle < opt.conns && opening < OPENING_MAX)
			client_open(&clients[next_idle++], now);
	} else if (opt.mode != MODE_CLOSE || opt.rate == 0) {
		for (unsigned i = 0; i < n; i++)
			if (opt.mode != MODE_CLOSE || has_more())
				client_open(reopen[i], now);
		memmove(reopen, reopen + n, (reopen_n - n) * sizeof(struct client *));
		reopen_n -= n;
	}
	if (opt.rate != 0)
		open_loop(now);
}

unsigned clients_held(void)
{
	return held;
}

void clients_stuck(uint64_t now)
{
	for (unsigned i = 0; i < opt.conns && opt.mode != MODE_IDLE; i++)
		if ((clients[i].state == HEAD || clients[i].state == BODY ||
		     clients[i].state == ECHO) &&
		    clients[i].asked_at + SECOND < now)
			tally.stuck++;
}

/* What each request says; the body's length follows from a path like /1024. */
static void request_build(void)
{
	bool upgrade = opt.mode == MODE_WS || opt.upgrade;
	const char *more = "";
	char path[256];
	char *end;

	snprintf(path, sizeof(path), "%s", opt.path);
	if (opt.engine != ENGINE_NONE)
		snprintf(path, sizeof(path), "/socket.io/?EIO=4&transport=polling%s",
			 opt.engine == ENGINE_FILL ? "" : "&sid=@@@@@@@@@@@@@@@@@@@@");
	if (upgrade)
		more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		       "Sec-WebSocket-Key: " KEY "\r\n";
	else if (opt.mode == MODE_CLOSE && !opt.bare)
		more = "Connection: close\r\n";
	request_n = (size_t)snprintf(request, sizeof(request),
				     "GET %s HTTP/1.1\r\nHost: bench.test\r\n%s\r\n", path, more);
	end = strchr(request, '@');
	sid_at = end != NULL ? (size_t)(end - request) : 0;
	body_want = UINT64_MAX;
	if (opt.engine == ENGINE_NONE && !upgrade && path[0] == '/' && path[1] >= '0' &&
	    path[1] <= '9')
		body_want = strtoull(path + 1, NULL, 10);
}

void clients_open(void)
{
	request_build();
	clients = calloc(opt.conns, sizeof(*clients));
	reopen = calloc(2 * (size_t)opt.conns, sizeof(struct client *));
	free_ring = calloc(opt.conns, sizeof(struct client *));
	if (clients == NULL || reopen == NULL || free_ring == NULL)
		die("clients", "no memory");
	if (opt.mode != MODE_IDLE)
		for (unsigned i = 0; i < opt.conns; i++)
			reopen[reopen_n++] = &clients[i];
	clients_after_batch(now_ns());
}
