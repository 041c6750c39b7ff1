/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "redis_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/buf.h"
#include "net/addr.h"

struct rig rig;

static void tell(const char *fmt, ...) printf_like(1, 2);
static void tell(const char *fmt, ...)
{
	size_t n = strlen(rig.told);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(rig.told + n, sizeof(rig.told) - n, fmt, args);
	va_end(args);
}

static void on_up(void *arg)
{
	assert_ptr_equal(arg, &rig);
	tell("up ");
	if (rig.on_up)
		rig.on_up();
}

static void on_down(void *arg, const char *why)
{
	assert_ptr_equal(arg, &rig);
	tell("down(%s) ", why);
	if (rig.on_down)
		rig.on_down();
}

static void on_reply(void *arg, const redisReply *reply)
{
	const char *name = arg;

	if (!reply)
		tell("%s=NULL ", name);
	else if (reply->type == REDIS_REPLY_INTEGER)
		tell("%s=%lld ", name, reply->integer);
	else
		tell("%s=%.40s ", name, reply->str ? reply->str : "?");
	if (rig.on_reply)
		rig.on_reply();
}

static int listen_at(struct sock_addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &addr->sa, addr->size), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

int rig_listen_tcp(uint16_t *port)
{
	struct sock_addr addr;
	int fd;

	assert_int_equal(sock_addr_parse(STR("127.0.0.1:0"), &addr), 0);
	fd = listen_at(&addr);
	addr.size = sizeof(addr.in);
	assert_int_equal(getsockname(fd, &addr.sa, &addr.size), 0);
	*port = sock_addr_ip(&addr).port;
	return fd;
}

int rig_setup(void **state)
{
	struct sock_addr addr;

	(void)state;
	alarm(60);
	memset(&rig, 0, sizeof(rig));
	rig.peer = -1;
	clock_update();
	snprintf(rig.dir, sizeof(rig.dir), "/tmp/limpet-redis-XXXXXX");
	if (!mkdtemp(rig.dir) || loop_init(&rig.loop) != 0)
		return -1;
	snprintf(rig.url, sizeof(rig.url), "unix:%s/s", rig.dir);
	if (sock_addr_parse(str_of(rig.url), &addr) != 0)
		return -1;
	rig.server = listen_at(&addr);
	rig.options = (struct redis_options){
		.name = "test", .url = str_of(rig.url), .connect_ms = 2000, .answer_ms = 2000
	};
	return 0;
}

int rig_teardown(void **state)
{
	char path[160];

	(void)state;
	rig.on_up = rig.on_down = rig.on_reply = NULL;
	redis_free(rig.redis);
	loop_turn(&rig.loop, 0);
	loop_fini(&rig.loop);
	buf_pool_fini();
	rig_hang_up(&rig.peer);
	close(rig.server);
	snprintf(path, sizeof(path), "%s/s", rig.dir);
	unlink(path);
	rmdir(rig.dir);
	return 0;
}

void rig_start(void)
{
	const struct redis_events events = { on_up, on_down, &rig };

	rig.redis = redis_new(&rig.loop, &rig.options, &events);
}

void rig_start_up(void)
{
	rig_start();
	rig.peer = rig_accept(rig.server);
	rig_hear(rig.peer, "PING");
	rig_say(rig.peer, "+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	assert_string_equal(rig.told, "up ");
	rig.told[0] = '\0';
}

void rig_turns(unsigned ms)
{
	int64_t end_us = clock_now_us() + ms * 1000;

	while (clock_now_us() < end_us)
		loop_turn(&rig.loop, 1);
}

int rig_accept(int listener)
{
	int fd = -1;

	rig_until((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	return fd;
}

void rig_hear(int fd, const char *commands)
{
	char want[4096] = "", got[4096];
	size_t size = 0, n = 0;
	char *copy = strdup(commands), *rest = copy, *one;

	assert_non_null(copy);
	while ((one = strsep(&rest, ";")) != NULL) {
		char *bytes = NULL;
		int len = redisFormatCommand(&bytes, one);

		assert_in_range(len, 1, (int)(sizeof(want) - size));
		memcpy(want + size, bytes, (size_t)len);
		size += (size_t)len;
		redisFreeCommand(bytes);
	}
	free(copy);
	while (n < size) {
		ssize_t rc = 0;

		rig_until((rc = recv(fd, got + n, sizeof(got) - n, 0)) >= 0);
		if (rc == 0)
			fail_msg("closed instead of '%s'; told: %s", commands, rig.told);
		n += (size_t)rc;
	}
	if (n != size || memcmp(got, want, size) != 0)
		fail_msg("instead of '%s': %.*s", commands, (int)n, got);
}

void rig_say(int fd, const char *bytes)
{
	assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), (ssize_t)strlen(bytes));
}

void rig_hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int rig_command(const char *name, const char *words)
{
	const char *parts[16];
	char *copy = strdup(words), *rest = copy, *one;
	size_t n = 0;
	int rc;

	assert_non_null(copy);
	while ((one = strsep(&rest, " ")) != NULL && n < 16)
		parts[n++] = one;
	rc = redis_command(rig.redis, on_reply, (void *)(uintptr_t)name, n, parts, NULL);
	free(copy);
	return rc;
}
