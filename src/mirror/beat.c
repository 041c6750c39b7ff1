/* SPDX-License-Identifier: MIT */
/*
 * The rounds.  Each second, pipelined: HGETALL, then HSET of our field, then GET of the stream's
 * number.  HGETALL comes first so that it shows what stood there before: our last beat, or that of
 * another process with our name.  The first round of all does not write: our own field has to be
 * read before.
 */
#include "config.h"

#include "mirror/beat.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/mem.h"
#include "mirror/beat_internal.h"
#include "mirror/redis.h"
#include "model/server.h"
#include "session/traffic.h"

#define ROUND_MS    SEC(1)
#define FIELDS_MAX  4096 /* of the hash that are looked at */
#define TAKEN_AFTER 3    /* rounds in which another process' beat stood in our field */
#define FREE_AFTER  5    /* rounds in which it was ours */

static struct {
	struct loop *loop;
	beat_number_fn *on_number;
	struct timer timer;
	struct config *config; /* (ref) NULL = no mirror */
	char node[BEAT_NODE_MAX + 1];
	char former_node[BEAT_NODE_MAX + 1]; /* before a reload; its field is to go.  "" = none */
	struct redis *redis;                 /* (view) NULL = away */
	uintptr_t link;                      /* counts them: answers of an old one are too late */
	bool is_waiting;                     /* a round is under way */
	bool has_written;                    /* our field, in the hash of this prefix */
	char hash_key[512], number_key[512];
	struct beat_value own;
	struct beat_ledger ledger;
	/* Another process under our name. */
	uint64_t other_boot, other_beat;
	unsigned others, ours; /* rounds in a row */
	bool is_taken;
} the;

/*
 * Own values.
 */
static void read_counters(uint64_t counters[BEAT_COUNTS_N])
{
	memset(counters, 0, BEAT_COUNTS_N * sizeof(*counters));
	counters[BEAT_requests] = counters_sum(&process_state.counters, process_requests);
	for (struct frontend_state *at = frontend_state_first(); at; at = at->next)
		counters[BEAT_tunnels] += counters_sum(&at->counters, frontend_tunnels);
	for (struct backend_state *at = backend_state_first(); at; at = at->next) {
		counters[BEAT_sessions] += counters_sum(&at->counters, backend_sids_learned);
		counters[BEAT_hits] += counters_sum(&at->counters, backend_sid_hits);
		counters[BEAT_misses] += counters_sum(&at->counters, backend_sid_misses);
		counters[BEAT_unknown] +=
			counters_sum(&at->counters, backend_session_unknown_answers);
	}
}

static void count_own(void)
{
	uint64_t counters[BEAT_COUNTS_N];

	read_counters(counters);
	beat_ledger_count(&the.ledger, counters);
	beat_ledger_tell(&the.ledger, &the.own);
}

static void look_at_self(bool is_stopping)
{
	struct mirror_status status;

	mirror_status(&status);
	fingerprint(the.config, &the.own);
	count_own();
	the.own.boot = the.ledger.boot;
	the.own.beat++;
	the.own.version = STR(PACKAGE_VERSION);
	the.own.state = status.state;
	the.own.is_stopping = is_stopping;
}

/*
 * Commands.
 */
static int command(redis_reply_fn *fn, size_t n, const struct str *words)
{
	const char *texts[4];
	size_t sizes[4];

	for (size_t i = 0; i < n; i++) {
		texts[i] = words[i].p;
		sizes[i] = words[i].len;
	}
	return redis_command(the.redis, fn, (void *)the.link, n, texts, sizes);
}

static bool is_late(const void *arg)
{
	return !the.redis || (uintptr_t)arg != the.link;
}

/* An error (out of memory, not a hash) shows in what is read. */
static void on_written(void *arg, const redisReply *reply)
{
	(void)arg;
	(void)reply;
}

static bool write_own(void)
{
	char text[BEAT_VALUE_SIZE];
	size_t len = beat_value_write(text, &the.own);

	return command(on_written, 4,
		       (struct str[]){ STR("HSET"),
				       str_of(the.hash_key),
				       str_of(the.node),
				       { text, len } }) == 0;
}

/* The whole hash has vanished: what the others had counted must not go with it. */
static void restore_peers(void)
{
	struct str name, text;
	uint32_t i = 0;

	while (beat_peers_lost(&i, &name, &text))
		if (command(on_written, 4,
			    (struct str[]){ STR("HSETNX"), str_of(the.hash_key), name, text }) != 0)
			return;
}

/*
 * Answers.
 */
static void tell_taken(bool is_taken)
{
	if (is_taken == the.is_taken)
		return;
	the.is_taken = is_taken;
	if (is_taken)
		log_event(LOG_LEVEL_ERROR, "mirror_name_twice", LOG_FIELDS({ "node", the.node, 0 }),
			  "mirror: another process says that it is node %s too: each node of a "
			  "pair needs a name of its own (global.node)",
			  the.node);
	else
		log_event(LOG_LEVEL_INFO, "mirror_name_once", LOG_FIELDS({ "node", the.node, 0 }),
			  "mirror: no other process says that it is node %s any more", the.node);
}

/* A process that this one replaces may have a last word; two that take turns are a mistake. */
static void watch_name(const struct beat_value *field)
{
	if (field->boot == the.ledger.boot) {
		the.others = 0;
		if (the.ours < FREE_AFTER && ++the.ours == FREE_AFTER)
			tell_taken(false);
		return;
	}
	if (field->boot == the.other_boot && field->beat == the.other_beat)
		return;
	the.other_boot = field->boot;
	the.other_beat = field->beat;
	the.ours = 0;
	if (the.others < TAKEN_AFTER && ++the.others == TAKEN_AFTER)
		tell_taken(true);
}

static void on_own_field(struct str text)
{
	struct beat_value value;

	if (!beat_value_read(text, &value)) {
		beat_ledger_meet(&the.ledger, NULL);
		return;
	}
	watch_name(&value);
	beat_ledger_meet(&the.ledger, &value);
}

/* The node was renamed by a reload: what it had counted goes on under the new name alone. */
static void on_former_field(struct str text)
{
	struct beat_value value;

	if (beat_value_read(text, &value) && value.boot == the.ledger.boot &&
	    command(on_written, 3,
		    (struct str[]){ STR("HDEL"), str_of(the.hash_key), str_of(the.former_node) }))
		return;
	the.former_node[0] = '\0';
}

static void on_hash(void *arg, const redisReply *reply)
{
	bool is_own_found = false, was_open = the.ledger.is_open;

	if (is_late(arg) || !reply)
		return;
	beat_peers_begin();
	if (reply->type != REDIS_REPLY_ARRAY) { /* an error: nobody has said anything */
		beat_peers_end(false);
		return;
	}
	for (size_t i = 0; i + 1 < reply->elements && i < 2 * FIELDS_MAX; i += 2) {
		const redisReply *key = reply->element[i], *field = reply->element[i + 1];
		struct str name, text;

		if (key->type != REDIS_REPLY_STRING || field->type != REDIS_REPLY_STRING)
			continue;
		name = (struct str){ key->str, (size_t)key->len };
		text = (struct str){ field->str, (size_t)field->len };
		if (str_eq(name, str_of(the.node))) {
			is_own_found = true;
			on_own_field(text);
		} else if (the.former_node[0] && str_eq(name, str_of(the.former_node))) {
			on_former_field(text);
		} else {
			beat_peers_meet(name, text, &the.own);
		}
	}
	if (!is_own_found) {
		beat_ledger_meet(&the.ledger, NULL);
		if (the.has_written)
			restore_peers();
	}
	beat_peers_end(is_own_found);
	if (was_open)
		return;
	count_own();
	the.has_written |= write_own();
}

static void on_number(void *arg, const redisReply *reply)
{
	uint64_t number = 0;

	if (is_late(arg))
		return;
	the.is_waiting = false;
	if (!reply || !the.on_number)
		return;
	if (reply->type == REDIS_REPLY_NIL ||
	    (reply->type == REDIS_REPLY_STRING &&
	     str_to_u64((struct str){ reply->str, (size_t)reply->len }, UINT64_MAX, &number) == 0))
		the.on_number(number);
}

static void run_round(void)
{
	if (command(on_hash, 2, (struct str[]){ STR("HGETALL"), str_of(the.hash_key) }) != 0)
		return;
	look_at_self(false);
	if (the.ledger.is_open)
		the.has_written |= write_own();
	the.is_waiting =
		command(on_number, 2, (struct str[]){ STR("GET"), str_of(the.number_key) }) == 0;
}

static void on_timer(struct timer *timer)
{
	if (!the.redis || !the.config)
		return;
	loop_timer_in(the.loop, timer, ROUND_MS);
	if (!the.is_waiting)
		run_round();
}

/*
 * What the mirror calls.
 */
static void new_boot(void)
{
	if (getrandom(&the.ledger.boot, sizeof(the.ledger.boot), 0) !=
	    (ssize_t)sizeof(the.ledger.boot))
		bug_on(true);
	the.ledger.boot |= 1;
}

uint64_t beat_boot(void)
{
	if (!the.ledger.boot)
		new_boot();
	return the.ledger.boot;
}

void beat_set_boot(uint64_t boot)
{
	if (boot)
		the.ledger.boot = boot;
}

void beat_init(struct loop *loop, beat_number_fn *on_number_fn)
{
	the.loop = loop;
	the.on_number = on_number_fn;
	timer_init(&the.timer, on_timer);
	beat_boot();
}

static void set_node(struct str node)
{
	char name[BEAT_NODE_MAX + 1];
	size_t len = node.len < BEAT_NODE_MAX ? node.len : BEAT_NODE_MAX;

	for (size_t i = 0; i < len; i++)
		name[i] = node.p[i] < ' ' || node.p[i] > '~' ? '_' : node.p[i];
	name[len] = '\0';
	if (the.node[0] && !str_eq(str_of(the.node), str_of(name)))
		memcpy(the.former_node, the.node, sizeof(the.node));
	if (str_eq(str_of(the.former_node), str_of(name)))
		the.former_node[0] = '\0';
	memcpy(the.node, name, len + 1);
}

void beat_apply(const struct config *config)
{
	struct config *former = the.config;

	the.config = NULL;
	if (config->global.mirror) {
		the.config = config_ref((struct config *)(uintptr_t)config);
		set_node(config->global.node);
		/* The names in it are views of the configuration. */
		fingerprint(the.config, &the.own);
	} else {
		beat_down();
		beat_peers_forget();
		the.own = (struct beat_value){ .beat = the.own.beat };
	}
	config_unref(former);
}

void beat_up(struct redis *redis, struct str prefix)
{
	char former_key[sizeof(the.hash_key)];

	bug_on(!the.loop);
	the.redis = redis;
	the.link++;
	the.is_waiting = false;
	memcpy(former_key, the.hash_key, sizeof(former_key));
	snprintf(the.hash_key, sizeof(the.hash_key), "{%.*s}:n", STR_ARG(prefix));
	snprintf(the.number_key, sizeof(the.number_key), "{%.*s}:q", STR_ARG(prefix));
	if (strcmp(former_key, the.hash_key) != 0)
		the.has_written = false;
	beat_peers_wait();
	loop_timer_in(the.loop, &the.timer, 1);
}

void beat_down(void)
{
	the.redis = NULL;
	the.is_waiting = false;
	if (the.loop)
		timer_stop(&the.timer);
}

void beat_stop(void)
{
	if (!the.redis || !the.config || !the.ledger.is_open)
		return;
	look_at_self(true);
	write_own();
	timer_stop(&the.timer);
}

void beat_fini(void)
{
	struct loop *loop = the.loop;

	beat_down();
	beat_peers_forget();
	if (loop)
		timer_fini(&loop->wheel, &the.timer);
	config_unref(the.config);
	memset(&the, 0, sizeof(the));
}

/*
 * What is seen.
 */
struct str beat_node(void)
{
	return str_of(the.node);
}

bool beat_is_name_taken(void)
{
	return the.is_taken;
}

void beat_totals(uint64_t own[BEAT_COUNTS_N], uint64_t pair[BEAT_COUNTS_N])
{
	uint64_t sums[BEAT_COUNTS_N];

	count_own();
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		sums[i] = beat_add(the.own.base[i], the.own.counts[i]);
	if (own)
		memcpy(own, sums, sizeof(sums));
	if (!pair)
		return;
	beat_peers_add(sums);
	memcpy(pair, sums, sizeof(sums));
}
