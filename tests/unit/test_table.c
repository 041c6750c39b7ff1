/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "balance/table.h"
#include "base/clock.h"

#define START_MS SEC(1000)

struct gone_log {
	unsigned n[4]; /* by enum table_gone */
	char key[TABLE_KEY_MAX + 1];
	struct table_value value;
};

static void on_gone(void *arg, struct str key, const struct table_value *value, enum table_gone why)
{
	struct gone_log *log = arg;

	log->n[why]++;
	memcpy(log->key, key.p, key.len);
	log->key[key.len] = '\0';
	log->value = *value;
}

static struct gone_log gone;

static struct table *make(uint32_t max_entries)
{
	clock_set_ms(START_MS);
	memset(&gone, 0, sizeof(gone));
	return table_new(&(struct table_options){
		.name = "t", .max_entries = max_entries, .on_gone = on_gone, .arg = &gone });
}

static struct table_key key_of(struct table *table, const char *text)
{
	return table_key(table, str_of(text));
}

static enum table_put put(struct table *table, const char *text, uint32_t server, uint32_t idle_ms)
{
	struct table_key key = key_of(table, text);
	struct table_value value = { .server = server, .generation = 1, .idle_ms = idle_ms };
	enum table_put result = table_put(table, &key, &value, NULL);

	assert_true(table_is_sane(table));
	return result;
}

/* The server that TEXT leads to, or -1. */
static int find(struct table *table, const char *text)
{
	struct table_key key = key_of(table, text);
	struct table_value value;

	return table_find(table, &key, &value) ? (int)value.server : -1;
}

static uint64_t entries(struct table *table)
{
	struct table_stats stats;

	table_stats(table, &stats);
	return stats.entries;
}

static void entry_is_found_after_put_and_not_after_drop(void **state)
{
	struct table *table = make(100);
	struct table_key key = key_of(table, "abc");

	(void)state;
	assert_int_equal(find(table, "abc"), -1);
	assert_int_equal(put(table, "abc", 7, 1000), TABLE_PUT_NEW);
	assert_int_equal(find(table, "abc"), 7);
	assert_int_equal(find(table, "ABC"), -1);
	assert_true(table_drop(table, &key));
	assert_false(table_drop(table, &key));
	assert_int_equal(find(table, "abc"), -1);
	assert_int_equal(gone.n[TABLE_GONE_DROPPED], 1);
	assert_string_equal(gone.key, "abc");
	table_free(table);
}

static void keys_of_every_length_are_kept_apart(void **state)
{
	struct table *table = make(1000);
	char text[TABLE_KEY_MAX + 1];
	struct table_stats stats;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (unsigned len = 1; len <= TABLE_KEY_MAX; len++) {
		text[len] = '\0';
		put(table, text, len, 1000);
		text[len] = 'x';
	}
	for (unsigned len = 1; len <= TABLE_KEY_MAX; len++) {
		text[len] = '\0';
		assert_int_equal(find(table, text), len);
		text[len] = 'x';
	}
	table_clear(table);
	assert_int_equal(gone.n[TABLE_GONE_DROPPED], TABLE_KEY_MAX);
	assert_true(table_is_sane(table));
	table_stats(table, &stats);
	assert_int_equal(stats.entries, 0);
	assert_true(stats.size_bytes < 16384);
	table_free(table);
}

static void expired_entry_is_not_found(void **state)
{
	struct table *table = make(100);

	(void)state;
	put(table, "abc", 1, 1000);
	clock_set_ms(START_MS + 999);
	assert_int_equal(find(table, "abc"), 1); /* looking is not a use */
	clock_set_ms(START_MS + 1000);
	assert_int_equal(find(table, "abc"), -1);
	assert_int_equal(gone.n[TABLE_GONE_EXPIRED], 1);
	assert_int_equal(entries(table), 0);
	table_free(table);
}

static void use_starts_the_idle_time_again(void **state)
{
	struct table *table = make(100);
	struct table_key key = key_of(table, "abc");
	struct table_value value;

	(void)state;
	put(table, "abc", 1, 1000);
	clock_set_ms(START_MS + 900);
	assert_true(table_touch(table, &key, &value));
	assert_int_equal(value.expires_in_ms, 1000);
	clock_set_ms(START_MS + 1899);
	assert_true(table_find(table, &key, &value));
	assert_int_equal(value.expires_in_ms, 1);
	clock_set_ms(START_MS + 1900);
	assert_false(table_touch(table, &key, &value));
	table_free(table);
}

static void open_entry_does_not_expire_until_closed(void **state)
{
	struct table *table = make(100);
	struct table_key key = key_of(table, "abc");
	struct table_value value;

	(void)state;
	put(table, "abc", 1, 1000);
	assert_true(table_open(table, &key, &value));
	assert_true(table_open(table, &key, &value));
	assert_int_equal(value.opens, 2);
	for (int s = 1; s < 500; s += 7) {
		clock_set_ms(START_MS + SEC(s));
		assert_int_equal(table_expire(table, 100), 0);
		assert_true(table_is_sane(table));
	}
	table_close(table, &key);
	clock_set_ms(START_MS + SEC(600));
	assert_true(table_find(table, &key, &value));
	assert_int_equal(value.opens, 1);
	table_close(table, &key);
	assert_true(table_is_sane(table));
	clock_set_ms(START_MS + SEC(601));
	assert_false(table_find(table, &key, &value));
	table_close(table, &key); /* gone meanwhile: fine */
	table_free(table);
}

/* The short one must not wait behind the long one that came first. */
static void expire_frees_short_lives_behind_long_ones(void **state)
{
	struct table *table = make(1000);
	char text[16];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "long%u", i);
		put(table, text, 1, SEC(3600));
		snprintf(text, sizeof(text), "short%u", i);
		put(table, text, 2, MS(1500));
	}
	clock_set_ms(START_MS + MS(1499));
	assert_int_equal(table_expire(table, 1000), 0);
	clock_set_ms(START_MS + MS(3500)); /* two seconds late at most */
	assert_int_equal(table_expire(table, 1000), 100);
	assert_int_equal(entries(table), 100);
	for (int s = 4; s < 3600; s++) {
		clock_set_ms(START_MS + SEC(s));
		assert_int_equal(table_expire(table, 1000), 0);
	}
	assert_true(table_is_sane(table));
	clock_set_ms(START_MS + SEC(3602));
	assert_int_equal(table_expire(table, 1000), 100);
	table_free(table);
}

static void expire_goes_on_where_it_stopped(void **state)
{
	struct table *table = make(100000);
	char text[16];
	uint32_t freed = 0, calls = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		struct table_value value = { .server = 1, .idle_ms = 1000 };
		struct table_key key;

		snprintf(text, sizeof(text), "%u", i);
		key = key_of(table, text);
		table_put(table, &key, &value, NULL);
	}
	clock_set_ms(START_MS + SEC(5));
	while (entries(table)) {
		uint32_t n = table_expire(table, 100);

		assert_in_range(n, 1, 116);
		assert_true(table_is_sane(table));
		freed += n;
		calls++;
	}
	assert_int_equal(freed, 5000);
	assert_true(calls >= 43);
	assert_int_equal(gone.n[TABLE_GONE_EXPIRED], 5000);
	table_free(table);
}

static void shorter_idle_time_takes_effect(void **state)
{
	struct table *table = make(100);

	(void)state;
	put(table, "abc", 1, SEC(60));
	assert_int_equal(put(table, "abc", 1, SEC(1)), TABLE_PUT_SAME);
	clock_set_ms(START_MS + SEC(3));
	assert_int_equal(table_expire(table, 10), 1);
	assert_int_equal(put(table, "abc", 1, UINT32_MAX), TABLE_PUT_NEW);
	clock_set_ms(START_MS + (int64_t)TABLE_IDLE_MAX_MS);
	assert_int_equal(find(table, "abc"), 1);
	clock_set_ms(START_MS + (int64_t)TABLE_IDLE_MAX_MS + SEC(4));
	assert_int_equal(find(table, "abc"), -1);
	table_free(table);
}

static void put_tells_what_it_replaced(void **state)
{
	struct table *table = make(100);
	struct table_key key = key_of(table, "abc");
	struct table_value value, old;

	(void)state;
	put(table, "abc", 1, 1000);
	assert_true(table_open(table, &key, &value));
	value = (struct table_value){ .server = 2, .generation = 65536 + 9, .idle_ms = 500 };
	assert_int_equal(table_put(table, &key, &value, &old), TABLE_PUT_CHANGED);
	assert_int_equal(old.server, 1);
	assert_int_equal(old.opens, 1);
	assert_int_equal(gone.n[TABLE_GONE_REPLACED], 1);
	assert_int_equal(gone.value.server, 1);
	assert_int_equal(table_put(table, &key, &value, &old), TABLE_PUT_SAME);
	assert_true(table_find(table, &key, &value));
	assert_int_equal(value.generation, 9); /* low 16 bits */
	assert_int_equal(value.opens, 1);      /* who opened it will close it */
	assert_int_equal(entries(table), 1);
	table_free(table);
}

static void put_over_an_expired_entry_is_new(void **state)
{
	struct table *table = make(1);

	(void)state;
	put(table, "abc", 1, 1000);
	clock_set_ms(START_MS + SEC(1));
	assert_int_equal(put(table, "abc", 1, 1000), TABLE_PUT_NEW);
	assert_int_equal(gone.n[TABLE_GONE_EXPIRED], 1);
	assert_int_equal(gone.n[TABLE_GONE_EVICTED], 0);
	table_free(table);
}

static void oldest_makes_room(void **state)
{
	struct table *table = make(10);
	char text[16];

	(void)state;
	for (int i = 0; i < 30; i++) {
		clock_set_ms(START_MS + SEC(i));
		snprintf(text, sizeof(text), "k%d", i);
		put(table, text, (uint32_t)i, SEC(50));
		assert_true(entries(table) <= 10);
	}
	for (int i = 0; i < 30; i++) {
		snprintf(text, sizeof(text), "k%d", i);
		assert_int_equal(find(table, text), i < 20 ? -1 : i);
	}
	assert_int_equal(gone.n[TABLE_GONE_EVICTED], 20);
	table_free(table);
}

static void used_lately_is_not_the_oldest(void **state)
{
	struct table *table = make(10);
	struct table_key key = key_of(table, "k0");
	struct table_value value;
	char text[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		clock_set_ms(START_MS + SEC(i));
		snprintf(text, sizeof(text), "k%d", i);
		put(table, text, 1, SEC(50));
		assert_true(table_touch(table, &key, &value));
	}
	assert_int_equal(gone.n[TABLE_GONE_EVICTED], 90);
	table_free(table);
}

static void open_entries_are_evicted_last(void **state)
{
	struct table *table = make(10);
	struct table_value value;
	char text[16];

	(void)state;
	for (int i = 0; i < 9; i++) {
		snprintf(text, sizeof(text), "open%d", i);
		put(table, text, 1, SEC(5));
		struct table_key key = key_of(table, text);
		assert_true(table_open(table, &key, &value));
	}
	for (int i = 0; i < 100; i++) {
		clock_set_ms(START_MS + SEC(i));
		snprintf(text, sizeof(text), "idle%d", i);
		put(table, text, 1, SEC(3600));
	}
	for (int i = 0; i < 9; i++) {
		snprintf(text, sizeof(text), "open%d", i);
		assert_int_equal(find(table, text), 1);
	}
	struct table_key key = key_of(table, "idle99");
	assert_true(table_open(table, &key, &value)); /* now all are open */
	assert_int_equal(put(table, "new", 1, SEC(5)), TABLE_PUT_NEW);
	assert_int_equal(find(table, "new"), 1);
	assert_int_equal(entries(table), 10);
	table_free(table);
}

static void small_tables_and_lowered_bounds_hold(void **state)
{
	struct table *table = make(4096); /* several shards */
	char text[16];

	(void)state;
	for (int i = 0; i < 4000; i++) {
		snprintf(text, sizeof(text), "k%d", i);
		struct table_key key = key_of(table, text);
		struct table_value value = { .server = 3, .idle_ms = 60000 };
		table_put(table, &key, &value, NULL);
	}
	table_set_max(table, 2);
	for (int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "n%d", i);
		struct table_key key = key_of(table, text);
		struct table_value value = { .server = 3, .idle_ms = 60000 };
		table_put(table, &key, &value, NULL);
	}
	assert_true(table_is_sane(table));
	assert_int_equal(entries(table), 2);
	assert_int_equal(find(table, "n2999"), 3);
	table_free(table);
}

static void seen_once(void *arg, struct str key, const struct table_value *value)
{
	unsigned char *seen = arg;

	assert_true(key.len == 4);
	seen[value->server]++;
}

static void each_meets_every_entry_once(void **state)
{
	struct table *table = make(100000);
	static unsigned char seen[5000];
	uint64_t cursor = 0;
	char text[16];
	int calls = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "%04u", i);
		struct table_key key = key_of(table, text);
		struct table_value value = { .server = i, .idle_ms = 60000 };
		table_put(table, &key, &value, NULL);
	}
	while (table_each(table, &cursor, 100, seen_once, seen))
		calls++;
	assert_true(calls >= 40);
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(seen[i], 1);
	table_free(table);
}

static struct table *make_secret(void)
{
	return table_new(
		&(struct table_options){ .name = "s", .max_entries = 100, .is_secret = true });
}

static void secret_keys_are_kept_as_digests_and_short_others_as_they_are(void **state)
{
	struct table *secret = make_secret(), *plain = make(100);
	struct table_key a = table_key(secret, STR("abc")), b = table_key(plain, STR("abc"));
	struct table_key longer = table_key(plain, STR("0123456789abcdefg"));

	(void)state;
	assert_int_equal(a.len, TABLE_KEY_SIZE);
	assert_null(memmem(a.bytes, a.len, "abc", 3));
	assert_true(str_eq(table_key_str(&b), STR("abc")));
	assert_int_equal(longer.len, TABLE_KEY_SIZE);
	assert_null(memmem(longer.bytes, longer.len, "0123", 4));
	assert_int_equal(table_key_id(&a), table_secret_id(STR("abc")));
	b = table_key_kept(secret, table_key_str(&a));
	assert_true(table_key_eq(&a, &b));
	assert_int_equal(a.hash, b.hash);
	b = table_key_kept(plain, table_key_str(&longer));
	assert_int_equal(longer.hash, b.hash);
	table_free(secret);
	table_free(plain);
}

static void former_digest_keys_are_remembered_newest_first(void **state)
{
	struct table *table = make_secret();
	struct siphash_key key, first;
	struct table_key kept, former;

	(void)state;
	table_digest_current(&first);
	kept = table_key(table, STR("abc"));
	assert_false(table_digest_has_former());
	assert_false(table_key_former(table, STR("abc"), 0, &former));
	for (uint64_t i = 1; i <= 3; i++)
		table_digest_set(&(struct siphash_key){ i, i });
	table_digest_set(&(struct siphash_key){ 3, 3 }); /* the same again: nothing */
	table_digest_current(&key);
	assert_int_equal(key.k0, 3);
	assert_true(table_digest_former(0, &key));
	assert_int_equal(key.k0, 2);
	assert_false(table_key_eq(&kept, &(struct table_key){ .len = 0 }));
	former = table_key(table, STR("abc"));
	assert_false(table_key_eq(&kept, &former));
	assert_true(table_key_former(table, STR("abc"), 2, &former));
	assert_true(table_key_eq(&kept, &former));
	assert_int_equal(kept.hash, former.hash);
	assert_false(table_key_former(table, STR("abc"), 3, &former));
	table_digest_set(&(struct siphash_key){ 4, 4 }); /* pushes the first one out */
	assert_false(table_digest_former(TABLE_DIGEST_FORMER_MAX, &key));
	table_digest_also(&first);
	assert_true(table_digest_former(0, &key));
	assert_memory_equal(&key, &first, sizeof(key));
	table_digest_set(&first); /* back: it stands once */
	for (uint32_t i = 0; table_digest_former(i, &key); i++)
		assert_memory_not_equal(&key, &first, sizeof(key));
	table_free(table);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_is_found_after_put_and_not_after_drop),
		cmocka_unit_test(keys_of_every_length_are_kept_apart),
		cmocka_unit_test(expired_entry_is_not_found),
		cmocka_unit_test(use_starts_the_idle_time_again),
		cmocka_unit_test(open_entry_does_not_expire_until_closed),
		cmocka_unit_test(expire_frees_short_lives_behind_long_ones),
		cmocka_unit_test(expire_goes_on_where_it_stopped),
		cmocka_unit_test(shorter_idle_time_takes_effect),
		cmocka_unit_test(put_tells_what_it_replaced),
		cmocka_unit_test(put_over_an_expired_entry_is_new),
		cmocka_unit_test(oldest_makes_room),
		cmocka_unit_test(used_lately_is_not_the_oldest),
		cmocka_unit_test(open_entries_are_evicted_last),
		cmocka_unit_test(small_tables_and_lowered_bounds_hold),
		cmocka_unit_test(each_meets_every_entry_once),
		cmocka_unit_test(secret_keys_are_kept_as_digests_and_short_others_as_they_are),
		cmocka_unit_test(former_digest_keys_are_remembered_newest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
