/* SPDX-License-Identifier: MIT */
/*
 * Two or three nodes that share a table through Redis: whatever they do and whatever happens to the
 * link, to Redis and to their clocks, in the end they have the same entries.
 *
 * A schedule is a few hundred steps taken by chance, from what nodes do (put, retire, drop, use,
 * servers that die) and what befalls them; each draws its own mixture.  Then all heals, everything
 * is delivered, no time passes, and the tables are compared entry by entry.
 *
 *	LIMPET_PROP_SEED=N   the first seed (printed on failure); else by the time of day
 *	LIMPET_PROP_RUNS=N   schedules
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "balance/sessions.h"
#include "base/clock.h"
#include "merge_node.h"

#define RUNS_DEFAULT   20000
#define STEPS_MAX      300
#define SETTLE_TURNS   60
#define IDLE_LONG_MS   60000
#define HALF_UNITS(ms) ((ms) / 2 + (ms) / 32 + 2) /* half a lifetime, as a refresh measures it */

/* Each with its weight; a fault: half of the schedules have none of its kind. */
#define OPS(X)                                                                                     \
	X(OP_STICK, "stick", 60, false)                                                            \
	X(OP_PUT, "put", 20, false)                                                                \
	X(OP_RETIRE, "retire", 10, true)                                                           \
	X(OP_DROP, "drop", 15, true)                                                               \
	X(OP_CLEAR, "clear", 2, true)                                                              \
	X(OP_TOUCH, "touch", 40, false)                                                            \
	X(OP_OPEN, "open", 15, true)                                                               \
	X(OP_CLOSE, "close", 20, false)                                                            \
	X(OP_REFRESH_OPEN, "refresh what is open", 10, false)                                      \
	X(OP_SERVER_DOWN, "server down", 8, true)                                                  \
	X(OP_SERVER_UP, "server up", 12, false)                                                    \
	X(OP_SERVER_REBORN, "server reborn", 3, true)                                              \
	X(OP_COLLECT, "collect", 120, false)                                                       \
	X(OP_EXECUTE, "execute", 120, false)                                                       \
	X(OP_SETTLE, "settle", 120, false)                                                         \
	X(OP_FOLLOW, "follow", 200, false)                                                         \
	X(OP_SCAN, "scan", 100, false)                                                             \
	X(OP_RESYNC, "resync", 2, true)                                                            \
	X(OP_CUT, "cut", 8, true)                                                                  \
	X(OP_CONNECT, "connect", 12, false)                                                        \
	X(OP_RESTART, "restart", 4, true)                                                          \
	X(OP_TIME, "time", 60, false)                                                              \
	X(OP_LONG_TIME, "long time", 6, true)                                                      \
	X(OP_FLUSH, "flush", 3, true)                                                              \
	X(OP_SNAPSHOT, "snapshot", 5, false)                                                       \
	X(OP_FAILOVER, "failover", 3, true)                                                        \
	X(OP_FULL, "full", 5, true)
#define OP_NAME(op, name, weight, is_fault) op,
enum op { OPS(OP_NAME) OPS_N };
#define OP_ROW(op, name, weight, is_fault) [op] = { name, weight, is_fault },
static const struct {
	const char *name;
	unsigned weight;
	bool is_fault;
} ops[OPS_N] = { OPS(OP_ROW) };

static struct run {
	uint64_t seed, random;
	bool is_told; /* prints its steps */
	int nodes_n;
	struct node nodes[NODES_N];
	struct redis_model redis, snapshot;
	bool has_snapshot;
	unsigned weights[OPS_N], weights_sum;
	uint32_t idle_ms;
	int keys_n;
	int64_t begun_ms;
	bool is_reborn[NODE_SERVERS_N]; /* nodes knew at different times that its process was
					   another one */
	char why[512];                  /* "" = all is well */
} run;

/*
 * Chance, and words.
 */
static uint64_t draw(uint64_t below)
{
	uint64_t x = run.random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % below;
}

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
	va_list args;

	if (!run.is_told)
		return;
	va_start(args, format);
	printf("# %8lld  ", (long long)clock_ms());
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

static bool wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!run.why[0])
		vsnprintf(run.why, sizeof(run.why), format, args);
	va_end(args);
	return false;
}

static const char *record_text(const struct node *node, int key, char *out, size_t size)
{
	struct table_record record;

	if (!node_record((struct node *)(uintptr_t)node, key, &record))
		snprintf(out, size, "nothing");
	else
		snprintf(out, size, "%c %016llx h%d %lld of %u ms%s", "ldt"[record.state],
			 (unsigned long long)record.version,
			 record.state == RECORD_TOMB ? -1 : node_server_index(node, record.server),
			 (long long)record.left_ms, record.idle_ms,
			 node->opens[key] ? " (open)" : "");
	return out;
}

static const char *stored_text(int key, char *out, size_t size)
{
	const struct model_record *stored = model_get(&run.redis, key);

	if (!stored)
		snprintf(out, size, "nothing");
	else
		snprintf(out, size, "%c %016llx h%d %lld of %u ms", "ldt"[stored->state],
			 (unsigned long long)stored -> version, stored -> server,
			 (long long)model_left_ms(stored), stored -> idle_ms);
	return out;
}

/* What everybody has of KEY. */
static void tell_key(int key)
{
	char text[96];

	if (!run.is_told)
		return;
	tell("    redis: key %d is %s", key, stored_text(key, text, sizeof(text)));
	for (int i = 0; i < run.nodes_n; i++)
		tell("    node %d: key %d is %s", i, key,
		     record_text(&run.nodes[i], key, text, sizeof(text)));
}

/*
 * What nodes do.
 */
/* What a second does of itself. */
static void expire(void)
{
	for (int i = 0; i < run.nodes_n; i++) {
		node_enter(&run.nodes[i]);
		node_drop_if_late(&run.nodes[i], run.idle_ms / 4);
		while (table_expire(run.nodes[i].table, 64))
			;
		node_leave(&run.nodes[i]);
	}
}

static void pass_time(int64_t ms)
{
	clock_set_ms(clock_ms() + ms);
	expire();
}

static void fail_over(void)
{
	if (!run.has_snapshot)
		return;
	for (int i = 0; i < run.nodes_n; i++) {
		node_enter(&run.nodes[i]);
		node_disconnect(&run.nodes[i], 0);
		node_leave(&run.nodes[i]);
	}
	run.redis = run.snapshot;
}

static void do_local(struct node *node, enum op op, int key, int server)
{
	switch ((int)op) {
	case OP_STICK:
		node_stick(node, key, server);
		break;
	case OP_PUT:
		node_put(node, key, server);
		break;
	case OP_RETIRE:
		node_retire(node, key);
		break;
	case OP_DROP:
		table_drop(node->table, &node->keys[key]);
		break;
	case OP_CLEAR:
		table_clear(node->table);
		break;
	case OP_TOUCH:
		table_touch(node->table, &node->keys[key], &(struct table_value){ 0 });
		break;
	case OP_OPEN:
		node_open(node, key);
		break;
	case OP_CLOSE:
		node_close(node, key);
		break;
	case OP_REFRESH_OPEN:
		table_refresh_open(node->table, 100);
		break;
	case OP_SERVER_DOWN:
		server_set_state(node->servers[server], SERVER_DOWN, 0, "the test");
		break;
	case OP_SERVER_UP:
		server_set_state(node->servers[server], 0, SERVER_DOWN, "the test");
		break;
	case OP_SERVER_REBORN:
		server_new_generation(node->servers[server]);
		run.is_reborn[server] = true;
		break;
	}
}

static void follow(struct node *node)
{
	bool is_gap;

	if (node_follow(node, &is_gap) && is_gap) {
		tell("    node %d: a gap", node->index);
		node_resync(node, (int)draw(MODEL_KEYS_N));
	}
}

static void do_link(struct node *node, enum op op)
{
	switch ((int)op) {
	case OP_COLLECT:
		node_collect(node, 1 + (uint32_t)draw(4));
		break;
	case OP_EXECUTE:
		node_execute(node);
		break;
	case OP_SETTLE:
		node_settle(node);
		break;
	case OP_FOLLOW:
		follow(node);
		break;
	case OP_SCAN:
		node_scan(node);
		break;
	case OP_RESYNC:
		if (node->is_up)
			node_resync(node, (int)draw(MODEL_KEYS_N));
		break;
	case OP_CUT:
		node_disconnect(node, (uint32_t)draw(4));
		break;
	case OP_CONNECT:
		if (!node->is_up)
			node_connect(node);
		break;
	case OP_RESTART:
		node_restart(node);
		break;
	}
}

static void do_world(enum op op)
{
	switch ((int)op) {
	case OP_TIME:
		pass_time(1 + (int64_t)draw(40));
		break;
	case OP_LONG_TIME:
		pass_time((int64_t)draw(run.idle_ms));
		break;
	case OP_FLUSH:
		model_flush(&run.redis);
		break;
	case OP_SNAPSHOT:
		run.snapshot = run.redis;
		run.has_snapshot = true;
		break;
	case OP_FAILOVER:
		fail_over();
		break;
	case OP_FULL:
		run.redis.is_full = !run.redis.is_full;
		break;
	}
}

static void step(void)
{
	uint64_t at = draw(run.weights_sum);
	int op = 0, key = (int)draw((uint64_t)run.keys_n), server = (int)draw(NODE_SERVERS_N);
	struct node *node = &run.nodes[draw((uint64_t)run.nodes_n)];

	while (at >= run.weights[op])
		at -= run.weights[op++];
	if (op <= OP_SERVER_REBORN)
		tell("node %d: %s, key %d, h%d", node->index, ops[op].name, key, server);
	else if (op <= OP_RESTART)
		tell("node %d: %s", node->index, ops[op].name);
	else
		tell("%s", ops[op].name);
	if (op > OP_RESTART) {
		do_world((enum op)op);
	} else {
		node_enter(node);
		if (op <= OP_SERVER_REBORN)
			do_local(node, (enum op)op, key, server);
		else
			do_link(node, (enum op)op);
		node_leave(node);
	}
	tell_key(key);
}

/*
 * In the end.
 */
static const char *settle_step(struct node *node)
{
	bool is_gap;

	if (node_scan(node))
		return "scan";
	if (node_collect(node, NODE_FLIGHTS_N))
		return "collect";
	if (node_execute(node))
		return "execute";
	if (node_settle(node))
		return "settle";
	if (!node_follow(node, &is_gap))
		return NULL;
	if (is_gap)
		node_resync(node, 0);
	return is_gap ? "a gap" : "follow";
}

static bool settle_node(struct node *node)
{
	bool is_moved = false;
	const char *what;

	node_enter(node);
	while ((what = settle_step(node)) != NULL) {
		is_moved = true;
		tell("node %d: %s", node->index, what);
		for (int key = 0; key < run.keys_n; key++)
			tell_key(key);
	}
	node_leave(node);
	return is_moved;
}

static bool settle_all(const char *when)
{
	bool is_moved = true;

	for (int turn = 0; is_moved; turn++) {
		if (turn == SETTLE_TURNS)
			return wrong("%s: the nodes go on telling each other for ever", when);
		is_moved = false;
		for (int i = 0; i < run.nodes_n; i++)
			is_moved |= settle_node(&run.nodes[i]);
	}
	for (int i = 0; i < run.nodes_n; i++)
		if (table_dirty_n(run.nodes[i].table))
			return wrong("%s: node %d has something to tell still", when, i);
	return true;
}

static bool heal(void)
{
	run.redis.is_full = false;
	for (int i = 0; i < run.nodes_n; i++) {
		node_enter(&run.nodes[i]);
		if (!run.nodes[i].is_up)
			node_connect(&run.nodes[i]);
		table_refresh_open(run.nodes[i].table, 1000);
		node_leave(&run.nodes[i]);
	}
	return settle_all("healed");
}

/* Sessions are as many as entries of servers' own generation; the table's inner order holds. */
static bool check_node(struct node *node)
{
	unsigned live[NODE_SERVERS_N] = { 0 };
	struct table_record record;
	struct table_value value;

	if (!table_is_sane(node->table))
		return wrong("node %d: its table is not sane", node->index);
	for (int key = 0; key < MODEL_KEYS_N; key++) {
		table_find(node->table, &node->keys[key], &value); /* frees what has expired */
		if (node_record(node, key, &record) && record.state == RECORD_LIVE)
			live[node_server_index(node, record.server)]++;
	}
	for (int i = 0; i < NODE_SERVERS_N; i++)
		if (atomic_load(&node->servers[i]->sessions) != live[i])
			return wrong("node %d: h%d has %u sessions, %u are counted", node->index, i,
				     live[i], atomic_load(&node->servers[i]->sessions));
	return true;
}

static bool is_same(const struct node *node, const struct table_record *ours,
		    const struct model_record *stored)
{
	if (ours->version != stored->version)
		return false;
	if (ours->state == RECORD_TOMB || stored->state == RECORD_TOMB)
		return ours->state == stored->state;
	if (node_server_index(node, ours->server) != stored->server)
		return false;
	/* That a process is another one each node finds out for itself. */
	return ours->state == stored->state || run.is_reborn[stored->server];
}

static bool check_lifetime(const struct node *node, int key, const struct table_record *ours,
			   const struct model_record *stored)
{
	int64_t left = model_left_ms(stored);

	if (ours->state == RECORD_TOMB)
		return true;
	if (ours->left_ms < left)
		return wrong("node %d: key %d lives for %lld ms, on Redis for %lld", node->index,
			     key, (long long)ours->left_ms, (long long)left);
	if (!node->opens[key] && ours->left_ms > left + HALF_UNITS((int64_t)ours->idle_ms))
		return wrong("node %d: key %d lives for %lld ms, on Redis for %lld only",
			     node->index, key, (long long)ours->left_ms, (long long)left);
	return true;
}

/*
 * IS_STRICT: just after a full comparison.  Without one entries may have ended in one place alone,
 * in a schedule as long as lifetimes are: what was long under way begins its lifetime late, a use
 * is told when half of it is over, and an older record comes back where a newer one has ended.
 */
static bool check_key(struct node *node, int key, bool is_strict)
{
	const struct model_record *stored = model_get(&run.redis, key);
	bool may_be_over = !is_strict && clock_ms() - run.begun_ms >= run.idle_ms;
	struct table_record ours;
	char here[96], there[96];

	if (may_be_over)
		return true;
	if (!node_record(node, key, &ours)) {
		if (!stored || stored->state == RECORD_TOMB)
			return true;
	} else if (stored && is_same(node, &ours, stored)) {
		return !is_strict || check_lifetime(node, key, &ours, stored);
	}
	return wrong("node %d: key %d is %s; on Redis %s", node->index, key,
		     record_text(node, key, here, sizeof(here)),
		     stored_text(key, there, sizeof(there)));
}

static bool check_all(bool is_strict)
{
	bool ok = true;

	for (int i = 0; i < run.nodes_n && ok; i++) {
		node_enter(&run.nodes[i]);
		ok = check_node(&run.nodes[i]);
		for (int key = 0; key < MODEL_KEYS_N && ok; key++)
			ok = check_key(&run.nodes[i], key, is_strict);
		node_leave(&run.nodes[i]);
	}
	return ok;
}

static bool compare_all(void)
{
	for (int i = 0; i < run.nodes_n; i++) {
		node_enter(&run.nodes[i]);
		node_resync(&run.nodes[i], 0);
		node_leave(&run.nodes[i]);
		if (!settle_all("compared"))
			return false;
	}
	return true;
}

/*
 * One schedule.
 */
static void begin(uint64_t seed, bool is_told)
{
	static const uint32_t idles[] = { 200, 5000, IDLE_LONG_MS };

	run = (struct run){ .seed = seed, .random = seed, .is_told = is_told };
	run.nodes_n = 2 + (draw(4) == 0);
	run.keys_n = 1 + (int)draw(MODEL_KEYS_N);
	run.idle_ms = idles[draw(3)];
	run.redis.stream_max = draw(3) ? MODEL_STREAM_N : 1 + (uint32_t)draw(6);
	for (int op = 0; op < OPS_N; op++) {
		run.weights[op] = ops[op].weight;
		if (ops[op].is_fault && draw(2))
			run.weights[op] = 0;
		run.weights_sum += run.weights[op];
	}
	clock_set_ms(SEC(1000) + (int64_t)draw(SEC(100)));
	run.begun_ms = clock_ms();
	for (int i = 0; i < run.nodes_n; i++) {
		int64_t skew = draw(2) ? 0 : (int64_t)draw(SEC(7200)) - SEC(3600);

		node_start(&run.nodes[i], i, &run.redis, skew);
		run.nodes[i].idle_ms = run.idle_ms;
		tell("node %d: clock %+lld ms", i, (long long)skew);
		node_enter(&run.nodes[i]);
		node_connect(&run.nodes[i]);
		node_leave(&run.nodes[i]);
	}
}

static bool take_schedule(uint64_t seed, bool is_told)
{
	bool ok;

	begin(seed, is_told);
	for (uint64_t n = 20 + draw(STEPS_MAX); n; n--)
		step();
	tell("all heals");
	ok = heal() && check_all(false) && compare_all() && check_all(true);
	if (!ok && is_told) {
		tell("%s", run.why);
		for (int key = 0; key < run.keys_n; key++)
			tell_key(key);
	}
	for (int i = 0; i < run.nodes_n; i++)
		node_stop(&run.nodes[i]);
	return ok;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void all_nodes_have_the_same_in_the_end(void **state)
{
	uint64_t seed = number_of("LIMPET_PROP_SEED", (uint64_t)time(NULL) * 1000000);
	uint64_t runs = number_of("LIMPET_PROP_RUNS", RUNS_DEFAULT);

	(void)state;
	setvbuf(stdout, NULL, _IOLBF, 0);
	print_message("# %llu schedules from seed %llu on\n", (unsigned long long)runs,
		      (unsigned long long)seed);
	for (uint64_t i = 0; i < runs; i++) {
		if (take_schedule(seed + i, false))
			continue;
		take_schedule(seed + i, true);
		fail_msg("LIMPET_PROP_SEED=%llu LIMPET_PROP_RUNS=1: %s",
			 (unsigned long long)(seed + i), run.why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_nodes_have_the_same_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
