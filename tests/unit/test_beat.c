/* SPDX-License-Identifier: MIT */
/*
 * The beat against a Redis of a few lines: who is there, who shares nothing, and that nothing
 * which was counted is lost or doubled, whoever dies when.
 */
#include "config.h"

#include "mirror/beat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
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

static void a_node_says_what_it_is_each_second(void **state unused_arg)
{
	struct beat_value value;
	uint64_t beat;

	second();
	assert_true(beat_value_read(str_of(field("lb-1")), &value));
	assert_true(value.boot == beat_boot());
	assert_int_equal(value.backends_n, 1);
	assert_true(str_eq(value.backends[0].name, STR("chat")));
	assert_true(str_eq(value.version, STR(PACKAGE_VERSION)));
	beat = value.beat;
	second();
	assert_true(beat_value_read(str_of(field("lb-1")), &value));
	assert_true(value.beat > beat);
	assert_told("");
}

static void the_number_of_the_stream_is_passed_on(void **state unused_arg)
{
	second();
	assert_int_equal(last_number, 0);
	snprintf(number, sizeof(number), "4711");
	second();
	assert_int_equal(last_number, 4711);
	snprintf(number, sizeof(number), "garbage");
	second();
	assert_int_equal(last_number, 4711);
}

static void a_peer_is_there_while_its_beat_moves(void **state unused_arg)
{
	seconds_with("lb-2", 1);
	assert_false(peer_at(0)->is_present);
	seconds_with("lb-2", 3);
	assert_true(peer_at(0)->is_present);
	assert_told("mirror_peer_up lb-2\n");
	for (int i = 0; i < 5; i++)
		second();
	assert_true(peer_at(0)->is_present);
	second();
	assert_false(peer_at(0)->is_present);
	for (int i = 0; i < 10; i++)
		second();
	assert_told("mirror_peer_gone lb-2\n");
	seconds_with("lb-2", 3);
	assert_told("mirror_peer_up lb-2\n");
}

static void a_peer_that_stops_is_gone_at_once(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	peer_value.is_stopping = true;
	seconds_with("lb-2", 1);
	assert_told("mirror_peer_up lb-2\nmirror_peer_gone lb-2\n");
	second();
	assert_told("");
	/* It starts again. */
	peer_value.is_stopping = false;
	peer_value.boot++;
	seconds_with("lb-2", 1);
	assert_told("mirror_peer_up lb-2\n");
}

static void silence_while_redis_is_away_says_nothing(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	beat_down();
	answer(true);
	pass(60000);
	beat_up((struct redis *)(uintptr_t)32, STR("pair"));
	second();
	assert_true(peer_at(0)->is_present);
	seconds_with("lb-2", 2);
	assert_told("mirror_peer_up lb-2\n");
}

static void answers_of_a_link_that_is_lost_are_too_late(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	pass(1000);
	beat_down();
	beat_up((struct redis *)(uintptr_t)32, STR("pair"));
	drop_field("lb-2");
	answer(true);
	second();
	assert_true(peer_at(0)->is_present);
}

static void another_secret_is_told_once(void **state unused_arg)
{
	peer_value.key_check ^= 2;
	seconds_with("lb-2", 10);
	assert_true(peer_at(0)->is_key_wrong);
	assert_told("mirror_peer_up lb-2\nmirror_key_mismatch lb-2\n");
	peer_value.key_check ^= 2;
	seconds_with("lb-2", 2);
	assert_false(peer_at(0)->is_key_wrong);
	assert_told("mirror_key_match lb-2\n");
}

static void other_servers_are_told_when_it_lasts(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	assert_told("mirror_peer_up lb-2\n");
	peer_value.servers++;
	peer_value.backends[0].hash++;
	seconds_with("lb-2", 8);
	assert_told("");
	seconds_with("lb-2", 5);
	assert_told("mirror_servers_differ lb-2\n");
	assert_true(peer_at(0)->has_other_servers);
	assert_string_equal(peer_at(0)->differences, "chat");
	peer_value.servers--;
	peer_value.backends[0].hash--;
	seconds_with("lb-2", 2);
	assert_told("mirror_servers_alike lb-2\n");
}

static void the_order_of_servers_has_no_say(void **state unused_arg)
{
	static const struct srvset_spec specs[] = {
		{ .host = STR_INIT("a"), .worker = STR_INIT("3002"), .weight = 1 },
		{ .host = STR_INIT("a"), .worker = STR_INIT("3001"), .weight = 100 },
	};
	struct backend_state *backend = config->backends[0].state;
	struct beat_value value = { 0 };

	srvset_free(srvset_publish(backend, srvset_build(backend, specs, 2)));
	fingerprint(config, &value);
	assert_true(value.servers == peer_value.servers);
	srvset_free(srvset_publish(backend, srvset_build(backend, specs, 1)));
	fingerprint(config, &value);
	assert_true(value.servers != peer_value.servers);
	assert_true(value.key_check == peer_value.key_check);
}

static void the_secret_is_checked(void **state unused_arg)
{
	struct beat_value value = { 0 };

	table_digest_set(&(struct siphash_key){ 1, 2 });
	fingerprint(config, &value);
	assert_true(value.key_check && value.key_check != peer_value.key_check);
}

static void two_nodes_of_one_name_are_told_of(void **state unused_arg)
{
	second();
	seconds_with("lb-1", 4);
	assert_true(beat_is_name_taken());
	assert_told("mirror_name_twice lb-1\n");
	for (int i = 0; i < 6; i++)
		second();
	assert_told("mirror_name_once lb-1\n");
}

static void the_process_before_is_no_other_node(void **state unused_arg)
{
	seconds_with("lb-1", 2); /* its last words came late */
	for (int i = 0; i < 10; i++)
		second();
	assert_told("");
}

static void of_many_names_some_are_kept(void **state unused_arg)
{
	const struct beat_peer *peers;
	char name[16];

	put_field("", STR("1"));
	put_field("lb\n", STR("1"));
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "lb-%d", 100 + i);
		peer_beats(name);
	}
	second();
	assert_int_equal(beat_peers(&peers), BEAT_PEERS_MAX);
	for (size_t i = 1; i < BEAT_PEERS_MAX; i++)
		assert_true(strcmp(peers[i - 1].name, peers[i].name) < 0);
}

static void garbage_says_nothing(void **state unused_arg)
{
	const struct beat_peer *peers;

	put_field("lb-2", STR("garbage"));
	put_field("lb-1", STR("garbage"));
	second();
	second();
	assert_int_equal(beat_peers(&peers), 0);
	is_error = true;
	second();
	is_error = false;
	second();
	assert_told("");
}

static void a_name_that_was_removed_is_forgotten(void **state unused_arg)
{
	const struct beat_peer *peers;

	seconds_with("lb-2", 2);
	for (int i = 0; i < 7; i++)
		second();
	drop_field("lb-2");
	second();
	assert_int_equal(beat_peers(&peers), 0);
}

static void who_is_gone_survives_a_flush(void **state unused_arg)
{
	uint64_t pair[BEAT_COUNTS_N];

	peer_value.base[BEAT_sessions] = 40;
	peer_value.counts[BEAT_sessions] = 2;
	seconds_with("lb-2", 2);
	for (int i = 0; i < 10; i++)
		second();
	flush();
	second();
	assert_non_null(field("lb-2"));
	second();
	beat_totals(NULL, pair);
	assert_int_equal(pair[BEAT_sessions], 42);
}

static void a_node_that_is_renamed_takes_its_counts_along(void **state unused_arg)
{
	struct config *renamed = load("lb-9");
	uint64_t own[BEAT_COUNTS_N], pair[BEAT_COUNTS_N];

	count_add(&process_state.counters, process_requests, 5);
	second();
	second();
	prepare(&renamed->backends[0]);
	beat_apply(renamed);
	second();
	second();
	assert_null(field("lb-1"));
	assert_non_null(field("lb-9"));
	beat_totals(own, pair);
	assert_int_equal(own[BEAT_requests], 5);
	assert_int_equal(pair[BEAT_requests], 5);
	config_unref(config);
	config = renamed;
}

/*
 * Counters.
 */
static void restart(const char *node)
{
	kill_node();
	counters_clear(&process_state.counters);
	start_node(node);
}

static void a_restart_goes_on_from_what_was_told(void **state unused_arg)
{
	uint64_t own[BEAT_COUNTS_N];

	for (int boot = 0; boot < 3; boot++) {
		count_add(&process_state.counters, process_requests, 10);
		second();
		second();
		count_add(&process_state.counters, process_requests, 1); /* never told */
		restart("lb-1");
		second();
		second();
	}
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 30);
}

static void counters_that_are_cleared_count_on(void **state unused_arg)
{
	uint64_t own[BEAT_COUNTS_N];

	count_add(&process_state.counters, process_requests, 10);
	second();
	counters_clear(&process_state.counters);
	count_add(&process_state.counters, process_requests, 3);
	second();
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 13);
}

static void an_upgrade_counts_nothing_twice(void **state unused_arg)
{
	uint64_t own[BEAT_COUNTS_N], boot = beat_boot();

	count_add(&process_state.counters, process_requests, 10);
	second();
	second();
	kill_node();
	/* The counters come with the upgrade, some of them a moment later. */
	counters_clear(&process_state.counters);
	count_add(&process_state.counters, process_requests, 4);
	beat_set_boot(boot);
	start_node("lb-1");
	second();
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 10);
	count_add(&process_state.counters, process_requests, 6 + 5);
	second();
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 15);
	assert_told("");
}

/*
 * Two nodes that count, tell, die and start in any order; Redis that is emptied now and then while
 * somebody lives who remembers.
 */
struct life {
	struct beat_ledger ledger;
	uint64_t counters[BEAT_COUNTS_N];
	uint64_t all, told; /* ever counted: what the pair must say is what was told */
	bool is_alive;
};

static struct beat_value fields[2];
static bool has_field[2];

static void tell(struct life *life, int node)
{
	struct beat_value value = { 0 };

	beat_ledger_meet(&life->ledger, has_field[node] ? &fields[node] : NULL);
	beat_ledger_count(&life->ledger, life->counters);
	beat_ledger_tell(&life->ledger, &value);
	value.boot = life->ledger.boot;
	fields[node] = value;
	has_field[node] = true;
	life->told = life->all;
}

static void step(struct life *lives, unsigned *boot)
{
	int node = rand() % 2;
	struct life *life = &lives[node];
	uint64_t n = (uint64_t)(rand() % 100);

	if (!life->is_alive) {
		life->ledger = (struct beat_ledger){ .boot = ++*boot };
		memset(life->counters, 0, sizeof(life->counters));
		life->is_alive = true;
		life->all = life->told;
		return;
	}
	switch (rand() % 8) {
	case 0:
		life->is_alive = false;
		break;
	case 1:
		memset(life->counters, 0, sizeof(life->counters)); /* clear counters all */
		/* What was counted since the last look is the operator's to forget. */
		life->all = life->told;
		memset(life->ledger.read, 0, sizeof(life->ledger.read));
		break;
	case 2:
		if (life->ledger.is_open) /* an emptied Redis: this node's field is told anew */
			has_field[node] = false;
		tell(life, node);
		break;
	case 3:
	case 4:
		tell(life, node);
		break;
	default:
		life->counters[BEAT_requests] += n;
		life->all += n;
	}
}

static void nothing_is_lost_or_doubled_whoever_dies(void **state unused_arg)
{
	unsigned seed = (unsigned)time(NULL), boot = 0;

	for (unsigned run = 0; run < 2000; run++) {
		struct life lives[2] = { { .is_alive = false } };

		srand(seed + run);
		memset(has_field, 0, sizeof(has_field));
		for (int i = 0; i < 100; i++) {
			uint64_t sum = 0;

			step(lives, &boot);
			for (int node = 0; node < 2; node++)
				if (has_field[node])
					sum += fields[node].base[BEAT_requests] +
					       fields[node].counts[BEAT_requests];
			if (sum != lives[0].told + lives[1].told)
				fail_msg("seed %u, step %d: %llu, not %llu", seed + run, i,
					 (unsigned long long)sum,
					 (unsigned long long)(lives[0].told + lives[1].told));
		}
	}
}

static void the_last_words_of_the_boot_before_are_counted(void **state unused_arg)
{
	struct beat_ledger ledger = { .boot = 2 };
	struct beat_value field_1 = { .boot = 1, .counts = { 10 } }, value;

	beat_ledger_meet(&ledger, &field_1);
	field_1.counts[0] = 12;
	beat_ledger_meet(&ledger, &field_1);
	beat_ledger_meet(&ledger, &field_1);
	field_1.boot = 3; /* nobody's that we know */
	beat_ledger_meet(&ledger, &field_1);
	beat_ledger_tell(&ledger, &value);
	assert_int_equal(value.base[0], 12);
}

static void sums_do_not_wrap(void **state unused_arg)
{
	struct beat_ledger ledger = { .boot = 2 };
	struct beat_value hostile = { .boot = 1, .base = { UINT64_MAX }, .counts = { UINT64_MAX } };
	uint64_t counters[BEAT_COUNTS_N] = { 5 };
	struct beat_value value;

	beat_ledger_meet(&ledger, &hostile);
	beat_ledger_count(&ledger, counters);
	beat_ledger_tell(&ledger, &value);
	assert_true(beat_add(value.base[0], value.counts[0]) == UINT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_node_says_what_it_is_each_second),
		TEST(the_number_of_the_stream_is_passed_on),
		TEST(a_peer_is_there_while_its_beat_moves),
		TEST(a_peer_that_stops_is_gone_at_once),
		TEST(silence_while_redis_is_away_says_nothing),
		TEST(answers_of_a_link_that_is_lost_are_too_late),
		TEST(another_secret_is_told_once),
		TEST(other_servers_are_told_when_it_lasts),
		TEST(the_order_of_servers_has_no_say),
		TEST(the_secret_is_checked),
		TEST(two_nodes_of_one_name_are_told_of),
		TEST(the_process_before_is_no_other_node),
		TEST(of_many_names_some_are_kept),
		TEST(garbage_says_nothing),
		TEST(a_name_that_was_removed_is_forgotten),
		TEST(who_is_gone_survives_a_flush),
		TEST(a_node_that_is_renamed_takes_its_counts_along),
		TEST(a_restart_goes_on_from_what_was_told),
		TEST(counters_that_are_cleared_count_on),
		TEST(an_upgrade_counts_nothing_twice),
		cmocka_unit_test(nothing_is_lost_or_doubled_whoever_dies),
		cmocka_unit_test(the_last_words_of_the_boot_before_are_counted),
		cmocka_unit_test(sums_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
