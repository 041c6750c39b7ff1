/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2: a client and a server that do what the input says, with the whole engine between them.
 *
 * The input is a row of steps: a letter, a length of two bytes, and so many bytes.
 *   's' the client sends them as they are   'f' as a frame: type, flags, stream, payload
 *   'b' the server sends them on its last connection   'u' it answers an upgrade first
 *   'x' the server closes   'r' the client resets a stream   't' a turn of the loop
 * Whatever they do, everything is over when the client has gone.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../unit/session_rig.h"
#include "main/runtime.h"
#include "proto/websocket.h"

#define must(cond) bug_on(!(cond))
#define SERVERS    8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
	"frontends:\n"
	"  web: {bind: \"unix:DIR/in\", backend: app, http2: {cleartext: true, max_streams: 5}}\n"
	"backends:\n"
	"  app: {stick: engineio, retries: 0, hosts: {one: \"unix:DIR/a\"}}\n";

static struct rig *rig;
static int accepted[SERVERS];
static unsigned accepted_n;
static char heard[65536]; /* by the servers */

static void turn(void)
{
	loop_turn(&rig->traffic->loop, 0);
	loop_turn(&control_loop, 0);
}

static void accept_all(void)
{
	for (;;) {
		int fd = accept4(rig->listeners[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (accepted_n == SERVERS)
			close(accepted[--accepted_n]);
		accepted[accepted_n++] = fd;
	}
}

static void say(int fd, const void *bytes, size_t size)
{
	(void)!send(fd, bytes, size, MSG_NOSIGNAL);
}

/* The key of the request that the last server has got. */
static void upgrade(int fd)
{
	static const char name[] = "Sec-WebSocket-Key: ";
	char accept[WEBSOCKET_ACCEPT_SIZE], head[256];
	ssize_t n = recv(fd, heard, sizeof(heard) - 1, 0);
	char *at;

	heard[n > 0 ? n : 0] = '\0';
	at = strstr(heard, name);
	if (!at || !websocket_accept_key((struct str){ at + sizeof(name) - 1, 24 }, accept))
		return;
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		     "Sec-WebSocket-Accept: %s\r\n\r\n",
		     accept);
	say(fd, head, (size_t)n);
}

static void send_frame(int client, const uint8_t *bytes, size_t size)
{
	size_t payload = size > 3 ? size - 3 : 0;
	uint8_t head[9] = { (uint8_t)(payload >> 16), (uint8_t)(payload >> 8), (uint8_t)payload };

	if (size < 3)
		return;
	memcpy(head + 3, bytes, 2);
	head[8] = bytes[2];
	say(client, head, sizeof(head));
	say(client, bytes + 3, payload);
}

static void step(int client, char what, const uint8_t *bytes, size_t size)
{
	static char sink[262144];

	switch (what) {
	case 's':
		say(client, bytes, size);
		break;
	case 'f':
		send_frame(client, bytes, size);
		break;
	case 'b':
	case 'u':
	case 'x':
		turn();
		accept_all();
		if (!accepted_n)
			break;
		if (what == 'u')
			upgrade(accepted[accepted_n - 1]);
		say(accepted[accepted_n - 1], bytes, size);
		if (what == 'x')
			close(accepted[--accepted_n]);
		break;
	case 'g':
		(void)!recv(client, sink, sizeof(sink), 0);
		break;
	default:
		break;
	}
	turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int client;

	if (!rig)
		rig = rig_new(yaml);
	client = rig_client(rig);
	while (size >= 3) {
		size_t n = (size_t)data[1] << 8 | data[2];

		if (n > size - 3)
			n = size - 3;
		step(client, (char)data[0], data + 3, n);
		data += 3 + n;
		size -= 3 + n;
	}
	close(client);
	for (int i = 0; i < 20 && !list_is_empty(&rig->traffic->clients); i++)
		turn();
	must(list_is_empty(&rig->traffic->clients));
	accept_all();
	while (accepted_n)
		close(accepted[--accepted_n]);
	turn();
	rig_assert_quiet(rig);
	return 0;
}
