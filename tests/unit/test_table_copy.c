/* SPDX-License-Identifier: MIT */
/* Two processes' tables; here one process plays both: its table is emptied between the parts. */
#include "config.h"

#include <sys/socket.h>
#include <unistd.h>

#include "balance/table_copy.h"
#include "base/mem.h"
#include "stick_fixture.h"

#define ROOM        65536
#define KIND_SET    1
#define KIND_DIGEST 5

static struct table *table_of(struct env *env)
{
	return env->pool.backend.state->tables[STICK_ENGINEIO];
}

static bool find(struct env *env, const char *sid, struct table_value *value)
{
	struct table_key key = table_key(table_of(env), str_of(sid));

	return table_find(table_of(env), &key, value);
}

/* Both ends, and a loop for ours. */
struct link {
	struct loop loop;
	int there;
	int peer;
};

static void link_make(struct link *link)
{
	int fds[2];

	assert_int_equal(loop_init(&link->loop), 0);
	clock_set_ms(START_MS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	link->peer = table_copy_open(&link->loop, fds[0]);
	assert_true(link->peer >= 0);
	link->there = fds[1];
}

static void link_free(struct link *link)
{
	table_copy_close(link->peer);
	table_copy_reap();
	close(link->there);
	loop_fini(&link->loop);
}

/* The next record of an entry that was sent; false when there is none. */
static bool hear(struct link *link, unsigned char bytes[TABLE_COPY_RECORD_MAX], ssize_t *n)
{
	do
		*n = recv(link->there, bytes, TABLE_COPY_RECORD_MAX, MSG_DONTWAIT);
	while (*n > 0 && bytes[0] == KIND_DIGEST);
	return *n > 0;
}

/* The key in the next record of an entry; false at the end. */
static bool next_key(struct unpack *from, struct str *kept)
{
	while (from->left) {
		if (unpack_u8(from) == KIND_DIGEST) {
			unpack_u64(from);
			unpack_u64(from);
			continue;
		}
		unpack_u8(from);
		unpack_str(from);
		unpack_str(from);
		*kept = unpack_str(from);
		unpack_u32(from);
		unpack_u32(from);
		assert_false(from->is_bad);
		return true;
	}
	return false;
}

static void round_trip(struct env *env, unsigned char *bytes, size_t *size)
{
	struct table_copy_walk walk = { 0 };
	struct pack to = { bytes, 0, ROOM, false };

	while (table_copy_write(&walk, &to))
		;
	assert_false(to.is_bad);
	*size = to.n;
	table_clear(table_of(env));
}

/* What every test needs: a backend of four servers with sessions, and somebody who follows. */
struct rig {
	struct env env;
	struct link link;
};

static int rig_make(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));

	env_make(&rig->env, ENGINEIO, 4);
	link_make(&rig->link);
	*state = rig;
	return 0;
}

static int rig_free(void **state)
{
	struct rig *rig = *state;

	link_free(&rig->link);
	env_free(&rig->env);
	free(rig);
	return 0;
}

static void what_was_copied_is_found_with_server_expiry_and_count(void **state)
{
	struct rig *rig = *state;
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	struct table_value value;

	learn(&rig->env, 2, "two");
	learn(&rig->env, 3, "three");
	clock_set_ms(START_MS + SEC(30));
	learn(&rig->env, 2, "young");
	round_trip(&rig->env, bytes, &from.left);
	assert_int_equal(sessions(&rig->env, 2), 0);
	assert_int_equal(table_copy_read(&from), 3);
	assert_false(from.is_bad);
	assert_true(find(&rig->env, "two", &value));
	assert_int_equal(value.server, pool_server(&rig->env.pool, 2)->number);
	assert_int_equal(value.expires_in_ms, SEC(15));
	assert_int_equal(value.idle_ms, SEC(45));
	assert_int_equal(sessions(&rig->env, 2), 2);
	assert_int_equal(sessions(&rig->env, 3), 1);
	clock_set_ms(START_MS + SEC(46));
	assert_false(find(&rig->env, "two", &value));
	assert_true(find(&rig->env, "young", &value));
	table_expire(table_of(&rig->env), 1000);
	assert_int_equal(sessions(&rig->env, 2), 1);
	assert_true(table_is_sane(table_of(&rig->env)));
}

static void a_walk_of_a_large_table_brings_every_entry(void **state)
{
	struct rig *rig = *state;
	static unsigned char piece[ROOM];
	struct table_copy_walk walk = { 0 };
	static struct table_key keys[900];
	bool seen[900] = { false }, has_more = true;
	struct str kept;
	unsigned n = 0;
	char sid[16];

	for (unsigned i = 0; i < 900; i++) {
		snprintf(sid, sizeof(sid), "sid-%04u", i);
		keys[i] = table_key(table_of(&rig->env), str_of(sid));
		learn(&rig->env, i % 4, sid);
	}
	while (has_more) {
		struct pack to = { piece, 0, sizeof(piece), false };
		struct unpack from = { piece, 0, false };

		has_more = table_copy_write(&walk, &to);
		assert_false(to.is_bad);
		from.left = to.n;
		for (; next_key(&from, &kept); n++) {
			unsigned at = 0;

			while (at < 900 && !str_eq(table_key_str(&keys[at]), kept))
				at++;
			assert_true(at < 900 && !seen[at]);
			seen[at] = true;
		}
	}
	assert_int_equal(n, 900);
}

static void a_session_of_a_former_process_stays_dead(void **state)
{
	struct rig *rig = *state;
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };

	learn(&rig->env, 1, "old");
	server_new_generation(pool_server(&rig->env.pool, 1));
	learn(&rig->env, 1, "new");
	round_trip(&rig->env, bytes, &from.left);
	server_new_generation(pool_server(&rig->env.pool, 1)); /* another number than there */
	assert_int_equal(table_copy_read(&from), 2);
	assert_int_equal(ask_sid(&rig->env, "old"), STICK_DEAD);
	end(&rig->env);
	assert_int_equal(ask_sid(&rig->env, "new"), STICK_TO);
	end(&rig->env);
	assert_int_equal(sessions(&rig->env, 1), 1);
}

static void what_a_change_told_is_newer_than_the_walk(void **state)
{
	struct rig *rig = *state;
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	struct table_value value;

	learn(&rig->env, 1, "x");
	round_trip(&rig->env, bytes, &from.left);
	learn(&rig->env, 3, "x");
	table_copy_read(&from);
	assert_true(find(&rig->env, "x", &value));
	assert_int_equal(value.server, pool_server(&rig->env.pool, 3)->number);
	assert_int_equal(sessions(&rig->env, 1), 0);
	assert_int_equal(sessions(&rig->env, 3), 1);
}

static void a_change_is_sent_and_found_by_who_misses_it(void **state)
{
	struct rig *rig = *state;
	unsigned char set[TABLE_COPY_RECORD_MAX], dropped[TABLE_COPY_RECORD_MAX];
	ssize_t set_n, dropped_n, n;

	learn(&rig->env, 2, "abc");
	assert_true(hear(&rig->link, set, &set_n));
	while (hear(&rig->link, dropped, &n))
		;
	table_clear(table_of(&rig->env)); /* tells nobody */
	assert_int_equal(send(rig->link.there, set, (size_t)set_n, 0), set_n);
	assert_int_equal(ask_sid(&rig->env, "abc"), STICK_TO);
	assert_ptr_equal(rig->env.stick.server, pool_server(&rig->env.pool, 2));
	assert_int_equal(sessions(&rig->env, 2), 1);
	end(&rig->env);
	while (hear(&rig->link, dropped, &n))
		assert_true(n != set_n || memcmp(set, dropped, (size_t)n) != 0); /* no echo */
	assert_int_equal(ask_sid(&rig->env, "abc"), STICK_TO);
	rig->env.stick.chosen = rig->env.stick.server;
	stick_drop_sid(&rig->env.stick, &rig->env.pool.backend);
	end(&rig->env);
	dropped_n = 0;
	while (hear(&rig->link, dropped, &n))
		dropped_n = n;
	assert_true(dropped_n > 0);
	learn(&rig->env, 2, "abc");
	assert_int_equal(send(rig->link.there, dropped, (size_t)dropped_n, 0), dropped_n);
	assert_true(table_copy_catch_up());
	assert_int_equal(ask_sid(&rig->env, "abc"), STICK_FREE);
	end(&rig->env);
}

static void a_use_there_keeps_the_entry_alive_here(void **state)
{
	struct rig *rig = *state;
	unsigned char use[TABLE_COPY_RECORD_MAX], other[TABLE_COPY_RECORD_MAX];
	ssize_t use_n = 0, n;
	struct table_value value;

	learn(&rig->env, 2, "abc");
	while (hear(&rig->link, other, &n))
		;
	assert_int_equal(ask_sid(&rig->env, "abc"), STICK_TO);
	assert_true(hear(&rig->link, use, &use_n));
	end(&rig->env);
	clock_set_ms(START_MS + SEC(40));
	assert_int_equal(send(rig->link.there, use, (size_t)use_n, 0), use_n);
	table_copy_catch_up();
	clock_set_ms(START_MS + SEC(80));
	assert_true(find(&rig->env, "abc", &value));
}

static void a_peer_that_does_not_read_gets_all_later_in_order(void **state)
{
	struct rig *rig = *state;
	unsigned char bytes[TABLE_COPY_RECORD_MAX];
	unsigned n = 0;
	ssize_t size;
	char sid[16];

	for (unsigned i = 0; i < 900; i++) {
		snprintf(sid, sizeof(sid), "%04u", i);
		learn(&rig->env, i % 4, sid);
	}
	for (unsigned turns = 0; n < 900 && turns < 100000; turns++) {
		loop_turn(&rig->link.loop, 0);
		clock_set_ms(START_MS);
		while (hear(&rig->link, bytes, &size)) {
			struct table_key key;

			if (bytes[0] != KIND_SET)
				continue; /* a use */
			snprintf(sid, sizeof(sid), "%04u", n++);
			key = table_key(table_of(&rig->env), str_of(sid));
			assert_non_null(memmem(bytes, (size_t)size, key.bytes, key.len));
		}
	}
	assert_int_equal(n, 900);
	assert_int_equal(table_copy_lost(), 0);
}

static void records_that_are_cut_or_strange_change_nothing(void **state)
{
	struct rig *rig = *state;
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	size_t size, skip = 0;

	learn(&rig->env, 1, "abc");
	round_trip(&rig->env, bytes, &size);
	while (bytes[skip] == KIND_DIGEST)
		skip += 17;
	size -= skip;
	memmove(bytes, bytes + skip, size);
	for (size_t cut = 1; cut < size; cut++) {
		unsigned char copy[TABLE_COPY_RECORD_MAX];

		memcpy(copy, bytes, cut);
		from = (struct unpack){ copy, cut, false };
		assert_int_equal(table_copy_read(&from), 0);
		assert_true(from.is_bad);
	}
	for (size_t at = 0; at < size; at++) {
		unsigned char was = bytes[at];

		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[at] = (unsigned char)(was ^ 1u << bit);
			from = (struct unpack){ bytes, size, false };
			table_copy_read(&from);
			assert_true(table_is_sane(table_of(&rig->env)));
		}
		bytes[at] = was;
	}
}

static void a_quiet_peer_is_told_nothing(void **state)
{
	struct rig *rig = *state;
	unsigned char bytes[TABLE_COPY_RECORD_MAX];
	ssize_t n;

	table_copy_quiet(rig->link.peer);
	learn(&rig->env, 1, "abc");
	assert_false(hear(&rig->link, bytes, &n));
}

/* The new process has another digest key: what it is told is found, and so is what it learns. */
static void keys_under_the_digest_key_of_the_other_process_are_found(void **state)
{
	struct rig *rig = *state;
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	struct siphash_key ours, other = { 0x1234, 0x5678 };
	struct table_key foreign;

	table_digest_current(&ours);
	table_digest_set(&other);
	learn(&rig->env, 1, "theirs");
	foreign = table_key(table_of(&rig->env), STR("theirs"));
	round_trip(&rig->env, bytes, &from.left);
	/* As if that had been another process: here nobody knows its key. */
	for (uint64_t i = 1; i <= 1 + TABLE_DIGEST_FORMER_MAX; i++)
		table_digest_set(&(struct siphash_key){ i, i });
	assert_int_equal(table_copy_read(&from), 1);
	assert_int_equal(ask_sid(&rig->env, "theirs"), STICK_TO);
	assert_ptr_equal(rig->env.stick.server, pool_server(&rig->env.pool, 1));
	assert_true(table_key_eq(&rig->env.stick.key, &foreign));
	assert_int_equal(rig->env.stick.key.hash, foreign.hash);
	stick_drop_sid(&rig->env.stick, &rig->env.pool.backend);
	end(&rig->env);
	assert_int_equal(ask_sid(&rig->env, "theirs"), STICK_FREE);
	end(&rig->env);
	table_digest_set(&ours);
}

static void a_peer_is_told_of_the_digest_key_at_once_and_after_a_change(void **state)
{
	struct rig *rig = *state;
	struct siphash_key before, key = { 77, 78 };
	unsigned char bytes[TABLE_COPY_RECORD_MAX], newest[TABLE_COPY_RECORD_MAX];
	struct unpack in = { newest, 17, false };
	unsigned n = 0;

	while (recv(rig->link.there, bytes, sizeof(bytes), MSG_DONTWAIT) == 17)
		n++;
	assert_true(n >= 1);
	table_digest_current(&before);
	table_digest_set(&key);
	table_copy_refresh();
	while (recv(rig->link.there, bytes, sizeof(bytes), MSG_DONTWAIT) == 17)
		memcpy(newest, bytes, 17);
	assert_int_equal(unpack_u8(&in), KIND_DIGEST);
	assert_int_equal(unpack_u64(&in), 77);
	assert_int_equal(unpack_u64(&in), 78);
	/* And who hears of one keeps it. */
	table_digest_set(&before);
	newest[1] ^= 1;
	assert_int_equal(send(rig->link.there, newest, 17, 0), 17);
	assert_true(table_copy_catch_up());
	assert_true(table_digest_former(0, &key));
	assert_int_equal(key.k0, 77 ^ 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_was_copied_is_found_with_server_expiry_and_count, rig_make, rig_free),
		cmocka_unit_test_setup_teardown(a_walk_of_a_large_table_brings_every_entry,
						rig_make, rig_free),
		cmocka_unit_test_setup_teardown(a_session_of_a_former_process_stays_dead, rig_make,
						rig_free),
		cmocka_unit_test_setup_teardown(what_a_change_told_is_newer_than_the_walk, rig_make,
						rig_free),
		cmocka_unit_test_setup_teardown(a_change_is_sent_and_found_by_who_misses_it,
						rig_make, rig_free),
		cmocka_unit_test_setup_teardown(a_use_there_keeps_the_entry_alive_here, rig_make,
						rig_free),
		cmocka_unit_test_setup_teardown(a_peer_that_does_not_read_gets_all_later_in_order,
						rig_make, rig_free),
		cmocka_unit_test_setup_teardown(records_that_are_cut_or_strange_change_nothing,
						rig_make, rig_free),
		cmocka_unit_test_setup_teardown(a_quiet_peer_is_told_nothing, rig_make, rig_free),
		cmocka_unit_test_setup_teardown(
			keys_under_the_digest_key_of_the_other_process_are_found, rig_make,
			rig_free),
		cmocka_unit_test_setup_teardown(
			a_peer_is_told_of_the_digest_key_at_once_and_after_a_change, rig_make,
			rig_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
