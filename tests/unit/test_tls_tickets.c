/* SPDX-License-Identifier: MIT */
/* Who can read whose tickets; two servers stand for the two nodes of a pair. */
#include "config.h"

#include "net/tls_tickets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tls_shake.h"

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* Many epochs after 1970, so that the tests may go back, too. */
#define NOW SEC(1000000)

static int set_up(void **state)
{
	assert_int_equal(bed_init(state), 0);
	bed_add(*state, "a", RIG_EC, "DNS:a.test,DNS:b.test");
	clock_set_ms(NOW);
	return 0;
}

static void use_version(struct bed *bed, int version)
{
	SSL_CTX_set_min_proto_version(bed->client, version);
	SSL_CTX_set_max_proto_version(bed->client, version);
}

/* A new session, or what SESSION became; *IS_RESUMED (may be NULL) tells. */
static SSL_SESSION *visit(struct bed *bed, struct tls_server *server, SSL_SESSION *session,
			  const char *sni, bool *is_resumed)
{
	struct rig_pair pair;
	SSL_SESSION *now;

	rig_pair_init(&pair, bed->client, server, sni);
	if (session)
		SSL_set_session(pair.client, session);
	assert_true(rig_shake(&pair));
	rig_exchange(&pair);
	if (is_resumed)
		*is_resumed = SSL_session_reused(pair.server);
	now = SSL_get1_session(pair.client);
	rig_pair_fini(&pair);
	return now;
}

/* Is a session of FROM taken by TO?  MS pass in between. */
static bool is_taken(struct bed *bed, struct tls_server *from, struct tls_server *to, int64_t ms)
{
	bool is_resumed;
	SSL_SESSION *session, *next;

	session = visit(bed, from, NULL, "a.test", NULL);
	clock_set_ms(clock_ms() + ms);
	next = visit(bed, to, session, "a.test", &is_resumed);
	SSL_SESSION_free(session);
	SSL_SESSION_free(next);
	return is_resumed;
}

static struct tls_server *open_with(struct bed *bed, const char *secret, const char *file)
{
	struct tls_server *server;

	bed->options.ticket_secret = str_of(secret);
	bed->options.ticket_keys = file ? str_of(file) : STR("");
	server = tls_server_new(&bed->options, rig_tell, &bed->told);
	assert_non_null(server);
	return server;
}

static void sessions_are_resumed_by_tickets(void **state)
{
	struct bed *bed = *state;

	bed->options.session_cache = 0;
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_true(is_taken(bed, bed->server, bed->server, 0));
	}
}

static void sessions_are_resumed_by_id_without_tickets(void **state)
{
	struct bed *bed = *state;

	bed->options.has_tickets = false;
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_true(is_taken(bed, bed->server, bed->server, 0));
	}
}

static void with_neither_nothing_is_resumed(void **state)
{
	struct bed *bed = *state;

	bed->options.has_tickets = false;
	bed->options.session_cache = 0;
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_false(is_taken(bed, bed->server, bed->server, 0));
	}
}

static void a_full_cache_drops_the_oldest_session(void **state)
{
	struct bed *bed = *state;
	SSL_SESSION *sessions[3];
	bool is_resumed;

	bed->options.has_tickets = false;
	bed->options.session_cache = 2;
	bed_open(bed);
	use_version(bed, TLS1_2_VERSION);
	for (size_t i = 0; i < ARRAY_N(sessions); i++)
		sessions[i] = visit(bed, bed->server, NULL, "a.test", NULL);
	SSL_SESSION_free(visit(bed, bed->server, sessions[2], "a.test", &is_resumed));
	assert_true(is_resumed);
	SSL_SESSION_free(visit(bed, bed->server, sessions[0], "a.test", &is_resumed));
	assert_false(is_resumed);
	for (size_t i = 0; i < ARRAY_N(sessions); i++)
		SSL_SESSION_free(sessions[i]);
}

static void a_session_is_not_resumed_under_another_name(void **state)
{
	struct bed *bed = *state;

	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		SSL_SESSION *session;
		bool is_resumed;

		use_version(bed, versions[i]);
		session = visit(bed, bed->server, NULL, "a.test", NULL);
		SSL_SESSION_free(visit(bed, bed->server, session, "b.test", &is_resumed));
		assert_false(is_resumed);
		SSL_SESSION_free(session);
		session = visit(bed, bed->server, NULL, "a.test", NULL);
		SSL_SESSION_free(visit(bed, bed->server, session, "A.test", &is_resumed));
		assert_true(is_resumed);
		SSL_SESSION_free(session);
	}
}

static void nodes_with_one_secret_read_each_others_tickets(void **state)
{
	struct bed *bed = *state;
	struct tls_server *node, *other, *stranger;

	bed->options.session_cache = 0;
	node = open_with(bed, "secret of the pair", NULL);
	/* The sets are shared within a process: a longer secret of the same bytes is another one.
	 */
	other = open_with(bed, "secret of the pair", NULL);
	stranger = open_with(bed, "secret of the pair.", NULL);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_true(is_taken(bed, node, other, 0));
		assert_true(is_taken(bed, other, node, 0));
		assert_false(is_taken(bed, node, stranger, 0));
	}
	tls_server_unref(node);
	tls_server_unref(other);
	tls_server_unref(stranger);
}

struct keys {
	struct tls_tickets_about about;
	unsigned n;
};

static void on_keys(void *arg, const struct tls_tickets_about *about)
{
	struct keys *keys = arg;

	keys->about = *about;
	keys->n++;
}

static struct keys all_keys(void)
{
	struct keys keys = { .n = 0 };

	tls_tickets_each(on_keys, &keys);
	return keys;
}

static struct tls_tickets *open_set(const char *secret, int64_t session_ms)
{
	struct tls_tickets *set =
		tls_tickets_open(STR(""), str_of(secret), session_ms, rig_tell, NULL);

	assert_non_null(set);
	return set;
}

/* What another process would have: nothing but the secret and the clock. */
static void a_secret_and_the_time_make_the_keys(void **state)
{
	struct tls_tickets *set;
	struct keys before, after, later;

	(void)state;
	clock_set_ms(NOW);
	set = open_set("x", SEC(20));
	before = all_keys();
	tls_tickets_unref(set);
	assert_int_equal(all_keys().n, 0);
	set = open_set("x", SEC(20));
	after = all_keys();
	assert_int_equal(before.about.keys_n, 3);
	assert_memory_equal(before.about.keys, after.about.keys, sizeof(before.about.keys));
	assert_false(after.about.keys[0].is_encrypting);
	assert_true(after.about.keys[1].is_encrypting);
	assert_false(after.about.keys[2].is_encrypting);
	clock_set_ms(NOW + SEC(10));
	later = all_keys();
	assert_memory_equal(later.about.keys[0].bytes, after.about.keys[1].bytes, 80);
	assert_memory_equal(later.about.keys[1].bytes, after.about.keys[2].bytes, 80);
	assert_memory_not_equal(later.about.keys[2].bytes, after.about.keys[0].bytes, 80);
	tls_tickets_unref(set);
}

static void random_keys_go_on_for_an_epoch_and_end_with_their_set(void **state)
{
	struct tls_tickets *set, *same;
	struct keys before, after;

	(void)state;
	clock_set_ms(NOW);
	set = open_set("", SEC(20));
	same = open_set("", SEC(20));
	assert_ptr_equal(set, same);
	before = all_keys();
	clock_set_ms(NOW + SEC(10));
	after = all_keys();
	assert_memory_equal(after.about.keys[0].bytes, before.about.keys[1].bytes, 80);
	tls_tickets_unref(set);
	tls_tickets_unref(same);
	set = open_set("", SEC(20));
	after = all_keys();
	assert_memory_not_equal(after.about.keys[0].bytes, before.about.keys[1].bytes, 80);
	tls_tickets_unref(set);
}

static void a_clock_that_is_behind_does_not_turn_the_keys_back(void **state)
{
	struct tls_tickets *set;
	struct keys before, after;

	(void)state;
	clock_set_ms(NOW);
	set = open_set("", SEC(20));
	before = all_keys();
	clock_set_ms(NOW - 1);
	after = all_keys();
	assert_memory_equal(before.about.keys, after.about.keys, sizeof(before.about.keys));
	tls_tickets_unref(set);
}

static void tickets_of_the_epoch_before_are_taken_and_older_ones_are_not(void **state)
{
	struct bed *bed = *state;
	struct tls_server *server;

	bed->options.session_cache = 0;
	bed->options.session_ms = SEC(7200);
	server = open_with(bed, "secret", NULL);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_true(is_taken(bed, server, server, SEC(3600)));
		assert_false(is_taken(bed, server, server, SEC(2 * 3600)));
	}
	tls_server_unref(server);
}

/* BYTES of FILL each in base64, one line for each letter of FILLS. */
static const char *write_keys(struct bed *bed, const char *name, const char *fills, size_t bytes)
{
	char text[2048] = "# made by a test\n\n";

	for (const char *fill = fills; *fill; fill++) {
		unsigned char key[80], line[128];

		memset(key, *fill, sizeof(key));
		EVP_EncodeBlock(line, key, (int)bytes);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", (char *)line);
	}
	return rig_write(&bed->dir, name, text, strlen(text));
}

static void nodes_with_one_file_read_each_others_tickets(void **state)
{
	struct bed *bed = *state;

	bed->options.session_cache = 0;
	for (size_t i = 0; i < ARRAY_N(versions) * 2; i++) {
		size_t bytes = i < 2 ? 48 : 80;
		struct tls_server *node, *other, *stranger;

		use_version(bed, versions[i % 2]);
		node = open_with(bed, "", write_keys(bed, "k1", "abc", bytes));
		other = open_with(bed, "", write_keys(bed, "k2", "abc", bytes));
		stranger = open_with(bed, "", write_keys(bed, "k3", "xyz", bytes));
		assert_true(is_taken(bed, node, other, 0));
		assert_false(is_taken(bed, node, stranger, 0));
		tls_server_unref(node);
		tls_server_unref(other);
		tls_server_unref(stranger);
	}
}

/* The first byte of the key that encrypts, as all bytes are alike. */
static char encrypting(const struct keys *keys)
{
	for (size_t i = 0; i < keys->about.keys_n; i++)
		if (keys->about.keys[i].is_encrypting)
			return (char)keys->about.keys[i].bytes[79];
	return 0;
}

static struct tls_tickets *open_file(struct bed *bed, const char *path)
{
	return tls_tickets_open(str_of(path), STR(""), SEC(60), rig_tell, &bed->told);
}

static void the_last_key_but_one_encrypts(void **state)
{
	static const struct {
		const char *fills;
		char encrypting;
	} rows[] = { { "a", 'a' }, { "ab", 'a' }, { "abc", 'b' }, { "abcd", 'c' } };
	struct bed *bed = *state;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct tls_tickets *set = open_file(bed, write_keys(bed, "k", rows[i].fills, 80));
		struct keys keys = all_keys();

		assert_non_null(set);
		assert_int_equal(keys.about.keys_n, strlen(rows[i].fills));
		assert_int_equal(encrypting(&keys), rows[i].encrypting);
		tls_tickets_unref(set);
	}
}

static void a_key_that_is_pushed_becomes_the_last_one(void **state)
{
	struct bed *bed = *state;
	struct tls_tickets *set = open_file(bed, write_keys(bed, "k", "abc", 80));
	unsigned char key[80], text[128];
	struct keys keys;
	unsigned id = all_keys().about.id;

	memset(key, 'd', sizeof(key));
	EVP_EncodeBlock(text, key, sizeof(key));
	assert_int_equal(tls_tickets_push(id, str_of((char *)text)), 0);
	keys = all_keys();
	assert_int_equal(keys.about.keys_n, 3);
	assert_int_equal(keys.about.keys[0].bytes[0], 'b');
	assert_int_equal(encrypting(&keys), 'c');
	assert_int_equal(tls_tickets_push(id, str_of((char *)text)), -EINVAL);
	assert_int_equal(tls_tickets_push(id, STR("AAAA")), -EINVAL);
	assert_int_equal(tls_tickets_push(id + 1, str_of((char *)text)), -ENOENT);
	assert_int_equal(tls_tickets_push_by_name(STR("nowhere"), str_of((char *)text)), -ENOENT);
	tls_tickets_unref(set);
	set = open_set("x", SEC(20));
	assert_int_equal(tls_tickets_push(all_keys().about.id, str_of((char *)text)), -EPERM);
	tls_tickets_unref(set);
}

static void a_file_that_changed_is_read_again_for_all_who_use_it(void **state)
{
	struct bed *bed = *state;
	const char *path = write_keys(bed, "k", "abc", 80);
	struct tls_server *server;
	struct keys keys;
	bool is_resumed;
	SSL_SESSION *session, *next;

	bed->options.session_cache = 0;
	server = open_with(bed, "", path);
	session = visit(bed, server, NULL, "a.test", NULL);
	assert_int_equal(tls_tickets_reread(str_of(path), rig_tell, &bed->told), 0);
	write_keys(bed, "k", "abcd", 80);
	assert_int_equal(tls_tickets_reread(str_of(path), rig_tell, &bed->told), 1);
	keys = all_keys();
	assert_int_equal(encrypting(&keys), 'c');
	next = visit(bed, server, session, "a.test", &is_resumed);
	assert_true(is_resumed);
	SSL_SESSION_free(session);
	SSL_SESSION_free(next);
	rig_write(&bed->dir, "k", "AAAA\n", 5);
	assert_int_equal(tls_tickets_reread(str_of(path), rig_tell, &bed->told), -EINVAL);
	assert_int_equal(all_keys().about.keys_n, 4);
	tls_server_unref(server);
}

static void a_file_that_is_opened_again_keeps_its_keys_until_it_is_read_again(void **state)
{
	struct bed *bed = *state;
	const char *path = write_keys(bed, "k", "abc", 80);
	struct tls_tickets *running = open_file(bed, path), *loaded;
	struct keys keys;

	write_keys(bed, "k", "xyz", 80);
	loaded = open_file(bed, path);
	assert_ptr_equal(loaded, running);
	keys = all_keys();
	assert_int_equal(encrypting(&keys), 'b');
	assert_int_equal(tls_tickets_reread(str_of(path), rig_tell, &bed->told), 1);
	keys = all_keys();
	assert_int_equal(encrypting(&keys), 'y');
	rig_write(&bed->dir, "k", "AAAA\n", 5);
	assert_null(open_file(bed, path));
	tls_tickets_unref(loaded);
	tls_tickets_unref(running);
}

static void a_ticket_of_an_older_key_is_renewed(void **state)
{
	struct bed *bed = *state;
	const char *path = write_keys(bed, "k", "ab", 80);
	const unsigned char *ticket;
	struct tls_server *server;
	SSL_SESSION *session, *next;
	bool is_resumed;
	size_t size;

	bed->options.session_cache = 0;
	use_version(bed, TLS1_2_VERSION);
	server = open_with(bed, "", path);
	session = visit(bed, server, NULL, "a.test", NULL);
	SSL_SESSION_get0_ticket(session, &ticket, &size);
	assert_int_equal(ticket[0], 'a');
	write_keys(bed, "k", "abc", 80);
	assert_int_equal(tls_tickets_reread(str_of(path), rig_tell, &bed->told), 1);
	next = visit(bed, server, session, "a.test", &is_resumed);
	assert_true(is_resumed);
	SSL_SESSION_get0_ticket(next, &ticket, &size);
	assert_int_equal(ticket[0], 'b');
	SSL_SESSION_free(session);
	SSL_SESSION_free(next);
	tls_server_unref(server);
}

static void files_without_keys_are_told(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "no key in it" },
		{ "# nothing\n", "no key in it" },
		{ "AAAA\n", "line 1: not 48 or 80 bytes in base64" },
		{ "\n!!!!\n", "line 2: not 48 or 80 bytes in base64" },
	};
	struct bed *bed = *state;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		const char *path = rig_write(&bed->dir, "k", rows[i].text, strlen(rows[i].text));

		bed->told = (struct rig_told){ .n_errors = 0 };
		assert_null(open_file(bed, path));
		assert_non_null(strstr(bed->told.text, rows[i].want));
		assert_int_equal(bed->told.n_errors, 1);
	}
	bed->told = (struct rig_told){ .n_errors = 0 };
	assert_null(open_file(bed, write_keys(bed, "k", "aa", 80)));
	assert_non_null(strstr(bed->told.text, "line 4: a key of that name"));
	bed->told = (struct rig_told){ .n_errors = 0 };
	assert_null(open_file(bed, write_keys(bed, "k", "abcdefghijklmnopq", 48)));
	assert_non_null(strstr(bed->told.text, "more than 16 keys"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, bed_fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sessions_are_resumed_by_tickets),
		TEST(sessions_are_resumed_by_id_without_tickets),
		TEST(with_neither_nothing_is_resumed),
		TEST(a_full_cache_drops_the_oldest_session),
		TEST(a_session_is_not_resumed_under_another_name),
		TEST(nodes_with_one_secret_read_each_others_tickets),
		cmocka_unit_test(a_secret_and_the_time_make_the_keys),
		cmocka_unit_test(random_keys_go_on_for_an_epoch_and_end_with_their_set),
		cmocka_unit_test(a_clock_that_is_behind_does_not_turn_the_keys_back),
		TEST(tickets_of_the_epoch_before_are_taken_and_older_ones_are_not),
		TEST(nodes_with_one_file_read_each_others_tickets),
		TEST(the_last_key_but_one_encrypts),
		TEST(a_key_that_is_pushed_becomes_the_last_one),
		TEST(a_file_that_changed_is_read_again_for_all_who_use_it),
		TEST(a_file_that_is_opened_again_keeps_its_keys_until_it_is_read_again),
		TEST(a_ticket_of_an_older_key_is_renewed),
		TEST(files_without_keys_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
