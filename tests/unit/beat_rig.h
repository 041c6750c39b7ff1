/* SPDX-License-Identifier: MIT */
/*
 * A node that beats against a Redis of a few lines, and another node that is made up.  Linked with
 * --wrap for redis_command, mirror_status and log_event.
 */
#ifndef BEAT_RIG_H
#define BEAT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "balance/stick.h"
#include "base/log.h"
#include "base/mem.h"
#include "mirror/beat_internal.h"
#include "mirror/redis.h"
#include "session/traffic.h"

int __wrap_redis_command(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n,
			 const char **words, const size_t *sizes);
void __wrap_mirror_status(struct mirror_status *status);
void __wrap_log_event(enum log_level level, const char *event, const struct log_field *fields,
		      const char *fmt, ...) printf_like(4, 5);

/*
 * Redis: one hash, one number, answers that wait for answer().
 */
#define FIELDS 64
static struct {
	char *names[FIELDS], *texts[FIELDS];
	size_t n;
} hash;
static char number[32];
struct pending {
	redis_reply_fn *fn;
	void *arg;
	redisReply reply;
	redisReply elements[2 * FIELDS], *pointers[2 * FIELDS];
	char *owned[2 * FIELDS];
};
static struct pending *pending[64];
static size_t pending_n;
static bool is_error; /* Redis answers errors alone */

static size_t field_of(const char *name)
{
	size_t i = 0;

	while (i < hash.n && strcmp(hash.names[i], name) != 0)
		i++;
	return i;
}

static const char *field(const char *name)
{
	size_t i = field_of(name);

	return i < hash.n ? hash.texts[i] : NULL;
}

static void put_field(const char *name, struct str text)
{
	size_t i = field_of(name);

	if (i == hash.n) {
		assert_true(hash.n < FIELDS);
		hash.names[hash.n] = xstrdup(name);
		hash.texts[hash.n++] = NULL;
	}
	free(hash.texts[i]);
	hash.texts[i] = xstrndup(text);
}

static void drop_field(const char *name)
{
	size_t i = field_of(name);

	if (i == hash.n)
		return;
	free(hash.names[i]);
	free(hash.texts[i]);
	hash.n--;
	hash.names[i] = hash.names[hash.n];
	hash.texts[i] = hash.texts[hash.n];
}

static void flush(void)
{
	while (hash.n)
		drop_field(hash.names[0]);
	number[0] = '\0';
}

static void text_reply(redisReply *reply, char *text, size_t len)
{
	*reply = (redisReply){ .type = REDIS_REPLY_STRING, .str = text };
	reply->len = len;
}

static void hash_reply(struct pending *p)
{
	p->reply.type = REDIS_REPLY_ARRAY;
	p->reply.elements = 2 * hash.n;
	p->reply.element = p->pointers;
	for (size_t i = 0; i < 2 * hash.n; i++) {
		p->owned[i] = xstrdup(i % 2 ? hash.texts[i / 2] : hash.names[i / 2]);
		text_reply(&p->elements[i], p->owned[i], strlen(p->owned[i]));
		p->pointers[i] = &p->elements[i];
	}
}

int __wrap_redis_command(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n,
			 const char **words, const size_t *sizes)
{
	struct pending *p = xcalloc(1, sizeof(*p));
	struct str verb = { words[0], sizes[0] };
	char *name = n > 2 ? xstrndup((struct str){ words[2], sizes[2] }) : NULL;

	assert_non_null(redis);
	assert_true(pending_n < 64);
	*p = (struct pending){ .fn = fn, .arg = arg, .reply.type = REDIS_REPLY_INTEGER };
	if (is_error) {
		p->reply.type = REDIS_REPLY_ERROR;
	} else if (str_eq(verb, STR("HGETALL"))) {
		assert_true(str_eq((struct str){ words[1], sizes[1] }, STR("{pair}:n")));
		hash_reply(p);
	} else if (str_eq(verb, STR("GET"))) {
		p->reply.type = REDIS_REPLY_NIL;
		if (number[0])
			text_reply(&p->reply, number, strlen(number));
	} else if (str_eq(verb, STR("HSET"))) {
		put_field(name, (struct str){ words[3], sizes[3] });
	} else if (str_eq(verb, STR("HSETNX"))) {
		if (!field(name))
			put_field(name, (struct str){ words[3], sizes[3] });
	} else if (str_eq(verb, STR("HDEL"))) {
		drop_field(name);
	} else {
		fail_msg("%.*s", STR_ARG(verb));
	}
	free(name);
	pending[pending_n++] = p;
	return 0;
}

static void answer(bool is_lost)
{
	for (size_t i = 0; i < pending_n; i++) {
		struct pending *p = pending[i];

		p->fn(p->arg, is_lost ? NULL : &p->reply);
		for (size_t e = 0; e < 2 * FIELDS; e++)
			free(p->owned[e]);
		free(p);
	}
	pending_n = 0;
}

void __wrap_mirror_status(struct mirror_status *status)
{
	*status = (struct mirror_status){ .state = MIRROR_UP };
}

/*
 * What was told.
 */
static char told[4096];

void __wrap_log_event(enum log_level level, const char *event, const struct log_field *fields,
		      const char *fmt, ...)
{
	size_t len = strlen(told);

	(void)level;
	(void)fmt;
	snprintf(told + len, sizeof(told) - len, "%s %s\n", event, fields[0].text);
}

static void assert_told(const char *want)
{
	assert_string_equal(told, want);
	told[0] = '\0';
}

/*
 * A node.
 */
static struct loop loop;
static struct config *config;
static int64_t now_ms = 1000000;
static uint64_t last_number;

static struct config *load(const char *node)
{
	struct config_messages messages = { 0 };
	char *text = xasprintf("global: {node: '%s', mirror: {redis: 'unix:/x', prefix: pair}}\n"
			       "frontends: {web: {bind: '127.0.0.1:1', backend: chat}}\n"
			       "backends:\n"
			       "  chat: {stick: [engineio: {}], hosts: {a: {address: 127.0.0.1, "
			       "workers: [3001, 3002]}}}\n",
			       node);
	struct config *loaded = config_load_text("t", str_of(text), &messages);

	if (!loaded)
		fail_msg("%s", messages.texts[0]);
	config_messages_fini(&messages);
	free(text);
	return loaded;
}

static void on_number(uint64_t n)
{
	last_number = n;
}

static void prepare(struct backend *backend)
{
	static const struct srvset_spec specs[] = {
		{ .host = STR_INIT("a"), .worker = STR_INIT("3001"), .weight = 100 },
		{ .host = STR_INIT("a"), .worker = STR_INIT("3002"), .weight = 100 },
	};

	backend->state = backend_state_get(backend->name);
	srvset_free(srvset_publish(backend->state, srvset_build(backend->state, specs, 2)));
	stick_prepare(backend);
}

static void start_node(const char *node)
{
	config = load(node);
	prepare(&config->backends[0]);
	beat_init(&loop, on_number);
	beat_apply(config);
	beat_up((struct redis *)(uintptr_t)16, STR("pair"));
}

static void kill_node(void)
{
	beat_fini();
	answer(true);
	config_unref(config);
	config = NULL;
}

static void pass(int64_t ms)
{
	now_ms += ms;
	clock_set_ms(now_ms);
	wheel_advance(&loop.wheel, now_ms);
}

/* A second of this node, answers included. */
static void second(void)
{
	pass(1000);
	answer(false);
	answer(false);
}

/* What the node of the tests' other side would say. */
static struct beat_value peer_value;

static void peer_beats(const char *name)
{
	char text[BEAT_VALUE_SIZE];

	peer_value.beat++;
	put_field(name, (struct str){ text, beat_value_write(text, &peer_value) });
}

static void seconds_with(const char *name, int n)
{
	for (int i = 0; i < n; i++) {
		peer_beats(name);
		second();
	}
}

static const struct beat_peer *peer_at(size_t i)
{
	const struct beat_peer *peers;

	assert_true(i < beat_peers(&peers));
	return &peers[i];
}

static int set_up(void **state)
{
	(void)state;
	clock_set_ms(now_ms);
	assert_int_equal(loop_init(&loop), 0);
	process_state.counters.scope = SCOPE_process;
	told[0] = '\0';
	last_number = 77;
	start_node("lb-1");
	fingerprint(config, &peer_value);
	peer_value.boot = 0xb2;
	peer_value.version = STR("9.9");
	peer_value.state = MIRROR_UP;
	memset(peer_value.base, 0, sizeof(peer_value.base));
	memset(peer_value.counts, 0, sizeof(peer_value.counts));
	peer_value.is_stopping = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kill_node();
	flush();
	is_error = false;
	srvset_free(srvset_publish(backend_state_get(STR("chat")), NULL));
	stick_fini();
	counters_clear(&process_state.counters);
	loop_fini(&loop);
	return 0;
}

#endif
