/* SPDX-License-Identifier: MIT */
/* The table against a naive model, and under four threads (run it under TSan). */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "balance/lb.h"
#include "balance/table.h"
#include "base/clock.h"

#define START_MS SEC(1000)

static uint64_t entries(struct table *table)
{
	struct table_stats stats;

	table_stats(table, &stats);
	return stats.entries;
}

/*
 * The naive model: an array of all that was put.
 */
#define MODEL_N 60

struct model_entry {
	bool is_there;
	struct table_value value;
	int64_t used_at;
};

static struct model_entry model[MODEL_N];
static struct table_key model_keys[MODEL_N];
static uint64_t running_seed; /* not 0 while a run goes on */

static int print_seed(void **state)
{
	(void)state;
	if (running_seed)
		print_message("# failed with seed %llu\n", (unsigned long long)running_seed);
	return 0;
}

static void model_on_gone(void *arg, struct str key, const struct table_value *value,
			  enum table_gone why)
{
	unsigned at = 0;
	struct model_entry *entry;

	(void)arg;
	while (at < MODEL_N && !str_eq(table_key_str(&model_keys[at]), key))
		at++;
	assert_true(at < MODEL_N);
	entry = &model[at];
	assert_true(entry->is_there);
	assert_int_equal(entry->value.server, value->server);
	assert_int_equal(entry->value.generation, value->generation);
	if (why == TABLE_GONE_EXPIRED) {
		assert_int_equal(entry->value.opens, 0);
		assert_true(clock_ms() - entry->used_at >= entry->value.idle_ms);
	}
	if (why == TABLE_GONE_EVICTED && entry->value.opens)
		for (int i = 0; i < MODEL_N; i++)
			assert_false(model[i].is_there && !model[i].value.opens);
	if (why != TABLE_GONE_REPLACED)
		entry->is_there = false;
}

static void model_check(struct table *table, uint32_t max, bool is_expired_away)
{
	unsigned n = 0, dead = 0;

	for (int i = 0; i < MODEL_N; i++) {
		bool is_dead = model[i].is_there && !model[i].value.opens &&
			       clock_ms() - model[i].used_at >= model[i].value.idle_ms + SEC(2);

		n += model[i].is_there;
		dead += is_dead;
	}
	assert_true(table_is_sane(table));
	assert_int_equal(entries(table), n);
	assert_true(n <= max);
	if (is_expired_away)
		assert_int_equal(dead, 0);
}

static void model_put(struct table *table, const struct table_key *key, struct model_entry *entry)
{
	struct table_value value = {
		.server = (uint32_t)(lb_random() % 4),
		.generation = (uint32_t)(lb_random() % 2),
		.idle_ms = 1 + (uint32_t)(lb_random() % (lb_random() % 4 ? 5000 : 200000)),
	};
	bool was_live = entry->is_there &&
			(entry->value.opens || clock_ms() - entry->used_at < entry->value.idle_ms);
	bool is_same = was_live && entry->value.server == value.server &&
		       entry->value.generation == value.generation;
	uint32_t opens = was_live ? entry->value.opens : 0;
	enum table_put want = !was_live ? TABLE_PUT_NEW
			      : is_same ? TABLE_PUT_SAME
					: TABLE_PUT_CHANGED;

	assert_int_equal(table_put(table, key, &value, NULL), want);
	*entry = (struct model_entry){ true, value, clock_ms() };
	entry->value.opens = opens;
}

static void model_use(struct table *table, const struct table_key *key, struct model_entry *entry,
		      unsigned what)
{
	struct table_value value;
	bool want = entry->is_there &&
		    (entry->value.opens || clock_ms() - entry->used_at < entry->value.idle_ms);
	bool got = what == 0   ? table_find(table, key, &value)
		   : what == 1 ? table_open(table, key, &value)
			       : table_touch(table, key, &value);

	assert_int_equal(got, want);
	if (!got)
		return;
	assert_int_equal(value.server, entry->value.server);
	entry->value.opens += what == 1;
	if (what == 2)
		entry->used_at = clock_ms();
	assert_int_equal(value.opens, entry->value.opens);
	if (!value.opens)
		assert_int_equal(value.expires_in_ms,
				 entry->value.idle_ms - (clock_ms() - entry->used_at));
}

static void model_step(struct table *table, uint32_t max)
{
	unsigned at = (unsigned)(lb_random() % MODEL_N), what = (unsigned)(lb_random() % 10);
	struct model_entry *entry = &model[at];
	bool is_expired_away = false;
	struct table_key key = model_keys[at];

	if (what < 4) {
		model_put(table, &key, entry);
	} else if (what < 7) {
		model_use(table, &key, entry, what - 4);
	} else if (what == 7) {
		if (entry->is_there && entry->value.opens) {
			entry->value.opens--;
			entry->used_at = clock_ms();
			table_close(table, &key);
		}
	} else if (what == 8) {
		bool was_there = table_drop(table, &key);

		assert_true(!was_there || !entry->is_there);
	} else {
		clock_set_ms(clock_ms() + (int64_t)(lb_random() % (lb_random() % 8 ? 700 : 90000)));
		table_expire(table, 1000);
		is_expired_away = true;
	}
	model_check(table, max, is_expired_away);
}

/* Half of the keys are too long to be kept as they are. */
static void make_keys(const struct table *table)
{
	for (unsigned i = 0; i < MODEL_N; i++) {
		char text[160];

		snprintf(text, sizeof(text), i % 2 ? "%u" : "%u.%099d", i, 0);
		model_keys[i] = table_key(table, str_of(text));
	}
}

static void table_agrees_with_a_naive_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		uint32_t max;
		struct table *table;

		lb_random_seed(seed);
		max = 1 + (uint32_t)(lb_random() % (MODEL_N + 20));
		clock_set_ms(START_MS + (int64_t)(lb_random() % 100000));
		memset(model, 0, sizeof(model));
		running_seed = seed;
		table = table_new(&(struct table_options){
			.name = "m", .max_entries = max, .on_gone = model_on_gone });
		make_keys(table);
		for (int step = 0; step < 200; step++)
			model_step(table, max);
		table_free(table);
	}
	running_seed = 0;
}

/*
 * Threads.
 */
#define STRESS_THREADS 4
#define STRESS_KEYS    2000

static struct table *stress_table;
static _Atomic int64_t stress_live;

static void stress_on_gone(void *arg, struct str key, const struct table_value *value,
			   enum table_gone why)
{
	(void)arg;
	(void)key;
	(void)value;
	if (why != TABLE_GONE_REPLACED)
		atomic_fetch_sub(&stress_live, 1);
}

static void *stress(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	lb_random_seed(seed);
	for (int i = 0; i < 30000; i++) {
		struct table_value value = { .server = 1, .idle_ms = 50 };
		char text[32];

		clock_set_ms(START_MS + i / 10);
		snprintf(text, sizeof(text), "key-%u", (unsigned)(lb_random() % STRESS_KEYS));
		struct table_key key = table_key(stress_table, str_of(text));

		table_prefetch(stress_table, &key);
		switch (lb_random() % 8) {
		case 0:
		case 1:
		case 2:
			atomic_fetch_add(&stress_live, 1);
			if (table_put(stress_table, &key, &value, NULL) != TABLE_PUT_NEW)
				atomic_fetch_sub(&stress_live, 1);
			break;
		case 3:
			table_drop(stress_table, &key);
			break;
		case 4:
			table_expire(stress_table, 10);
			break;
		case 5:
			table_touch(stress_table, &key, &value);
			break;
		default:
			if (table_open(stress_table, &key, &value))
				table_close(stress_table, &key);
		}
	}
	return NULL;
}

static void threads_may_do_everything_at_once(void **state)
{
	pthread_t threads[STRESS_THREADS];

	(void)state;
	clock_set_ms(START_MS);
	stress_table = table_new(&(struct table_options){
		.name = "s", .max_entries = 1500, .on_gone = stress_on_gone });
	atomic_store(&stress_live, 0);
	for (uintptr_t i = 0; i < STRESS_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, stress, (void *)(i + 1)), 0);
	for (int i = 0; i < STRESS_THREADS; i++)
		pthread_join(threads[i], NULL);
	clock_set_ms(START_MS + 3000);
	assert_true(table_is_sane(stress_table));
	assert_int_equal(entries(stress_table), atomic_load(&stress_live));
	assert_true(entries(stress_table) <= 1500);
	table_clear(stress_table);
	assert_int_equal(atomic_load(&stress_live), 0);
	table_free(stress_table);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(table_agrees_with_a_naive_model, print_seed),
		cmocka_unit_test(threads_may_do_everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
