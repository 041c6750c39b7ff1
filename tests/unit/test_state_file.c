/* SPDX-License-Identifier: MIT */
/* A table goes through a file; every cut of it and every turned bit is refused and changes nothing.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "main/state_file.h"
#include "stick_fixture.h"

#define NOW  1795380000000ll /* wall clock */
#define ROOM 8192

static struct table *table_of(struct env *env)
{
	return env->pool.backend.state->tables[STICK_ENGINEIO];
}

static bool find(struct env *env, const char *sid, struct table_value *value)
{
	struct table_key key = table_key(table_of(env), str_of(sid));

	return table_find(table_of(env), &key, value);
}

struct file {
	char name[64];
	unsigned char bytes[ROOM];
	size_t size;
};

static void save(struct file *file, const struct state_secret *secrets, size_t n)
{
	struct state_content content;
	struct state_result result;
	int fd;
	ssize_t have;

	snprintf(file->name, sizeof(file->name), "test_state_file.%d", (int)getpid());
	state_content_init(&content, secrets, n, NOW);
	assert_int_equal(state_file_write(file->name, &content, &result), 0);
	state_content_fini(&content);
	fd = open(file->name, O_RDONLY);
	assert_true(fd >= 0);
	have = read(fd, file->bytes, ROOM);
	close(fd);
	assert_int_equal(have, result.size_bytes);
	file->size = (size_t)have;
}

static int load_bytes(const unsigned char *bytes, size_t n, int64_t now,
		      struct state_result *result)
{
	int fd = memfd_create("state", 0), rc;

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(write(fd, bytes, n), n);
	rc = state_file_read_fd(fd, now, &(struct state_found){ 0 }, result);
	close(fd);
	return rc;
}

static uint64_t entries(struct env *env)
{
	struct table_stats stats;

	table_stats(table_of(env), &stats);
	return stats.entries;
}

static void saved_entries_come_back_with_what_is_left_of_their_time(void **state)
{
	static struct file file;
	struct state_result result;
	struct table_value value;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 0, "sid-a");
	clock_set_ms(START_MS + 5000);
	learn(&env, 1, "sid-b");
	save(&file, NULL, 0);
	unlink(file.name);
	table_clear(table_of(&env));
	assert_int_equal(sessions(&env, 0), 0);
	assert_int_equal(load_bytes(file.bytes, file.size, NOW + 1000, &result), 0);
	assert_int_equal(result.entries, 2);
	assert_int_equal(result.age_ms, 1000);
	assert_true(find(&env, "sid-a", &value));
	assert_int_equal(value.server, pool_server(&env.pool, 0)->number);
	assert_int_equal(value.expires_in_ms, 45000 - 5000 - 1000);
	assert_int_equal(value.idle_ms, 45000);
	assert_true(find(&env, "sid-b", &value));
	assert_int_equal(value.expires_in_ms, 44000);
	assert_int_equal(sessions(&env, 0), 1);
	assert_int_equal(sessions(&env, 1), 1);
	env_free(&env);
}

static void
what_expired_meanwhile_is_left_out_and_a_clock_that_went_back_takes_nothing(void **state)
{
	static struct file file;
	struct state_result result;
	struct table_value value;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 0, "sid-a");
	save(&file, NULL, 0);
	unlink(file.name);
	table_clear(table_of(&env));
	assert_int_equal(load_bytes(file.bytes, file.size, NOW + 45000, &result), 0);
	assert_int_equal(result.entries, 0);
	assert_int_equal(result.expired, 1);
	assert_int_equal(load_bytes(file.bytes, file.size, NOW - 3600000, &result), 0);
	assert_int_equal(result.entries, 1);
	assert_int_equal(result.age_ms, 0);
	assert_true(find(&env, "sid-a", &value));
	assert_int_equal(value.expires_in_ms, 45000);
	env_free(&env);
}

static void what_the_table_has_already_stays(void **state)
{
	static struct file file;
	struct state_result result;
	struct table_value value;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 0, "sid-a");
	save(&file, NULL, 0);
	unlink(file.name);
	table_clear(table_of(&env));
	learn(&env, 1, "sid-a");
	assert_int_equal(load_bytes(file.bytes, file.size, NOW, &result), 0);
	assert_int_equal(result.entries, 0);
	assert_true(find(&env, "sid-a", &value));
	assert_int_equal(value.server, pool_server(&env.pool, 1)->number);
	assert_int_equal(sessions(&env, 0), 0);
	assert_int_equal(sessions(&env, 1), 1);
	env_free(&env);
}

static void an_entry_of_a_process_that_is_gone_stays_so_and_is_not_counted(void **state)
{
	static struct file file;
	struct state_result result;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 1);
	learn(&env, 0, "sid-a");
	server_new_generation(pool_server(&env.pool, 0));
	save(&file, NULL, 0);
	unlink(file.name);
	table_clear(table_of(&env));
	assert_int_equal(load_bytes(file.bytes, file.size, NOW, &result), 0);
	assert_int_equal(result.entries, 1);
	assert_int_equal(sessions(&env, 0), 0);
	assert_int_equal(ask_sid(&env, "sid-a"), STICK_DEAD);
	end(&env);
	env_free(&env);
}

static void every_cut_and_every_turned_bit_is_refused_and_changes_nothing(void **state)
{
	static struct file file;
	struct state_result result;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 0, "sid-a");
	learn(&env, 1, "sid-b");
	save(&file, &(struct state_secret){ STR("app"), STR("hush") }, 1);
	unlink(file.name);
	table_clear(table_of(&env));
	for (size_t n = 0; n < file.size; n++) {
		assert_true(load_bytes(file.bytes, n, NOW, &result) < 0);
		assert_true(result.why[0]);
		assert_int_equal(entries(&env), 0);
	}
	for (size_t bit = 0; bit < file.size * 8; bit++) {
		file.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_true(load_bytes(file.bytes, file.size, NOW, &result) < 0);
		assert_int_equal(entries(&env), 0);
		file.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	assert_int_equal(load_bytes(file.bytes, file.size, NOW, &result), 0);
	assert_int_equal(result.entries, 2);
	env_free(&env);
}

static void cuts_under_a_good_hash_are_malformed(void **state)
{
	static struct file file;
	struct state_result result;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 0, "sid-a");
	save(&file, &(struct state_secret){ STR("app"), STR("hush") }, 1);
	unlink(file.name);
	table_clear(table_of(&env));
	for (size_t n = 18; n < file.size - SHA256_DIGEST_LENGTH; n++) {
		unsigned char bytes[ROOM];

		memcpy(bytes, file.bytes, n);
		SHA256(bytes, n, bytes + n);
		assert_true(load_bytes(bytes, n + SHA256_DIGEST_LENGTH, NOW, &result) < 0);
		assert_string_equal(result.why, "it is malformed");
		assert_int_equal(entries(&env), 0);
	}
	env_free(&env);
}

static char secret_text[64];

static void on_secret(const struct state_secret *secret)
{
	snprintf(secret_text, sizeof(secret_text), "%.*s=%.*s", STR_ARG(secret->backend),
		 STR_ARG(secret->text));
}

static void secrets_of_cookies_come_back_and_a_former_file_is_replaced(void **state)
{
	static struct file file;
	const struct state_found on = { .secret = on_secret };
	struct state_result result;
	struct stat stat_before, stat_after;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 1);
	save(&file, NULL, 0);
	assert_int_equal(stat(file.name, &stat_before), 0);
	save(&file, &(struct state_secret){ STR("app"), STR("hush") }, 1);
	assert_int_equal(stat(file.name, &stat_after), 0);
	assert_int_equal(stat_after.st_mode & 0777, 0600);
	assert_int_equal(state_file_read(file.name, NOW, &on, &result), 0);
	assert_string_equal(secret_text, "app=hush");
	unlink(file.name);
	assert_int_equal(state_file_read(file.name, NOW, &on, &result), -ENOENT);
	env_free(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(saved_entries_come_back_with_what_is_left_of_their_time),
		cmocka_unit_test(
			what_expired_meanwhile_is_left_out_and_a_clock_that_went_back_takes_nothing),
		cmocka_unit_test(what_the_table_has_already_stays),
		cmocka_unit_test(an_entry_of_a_process_that_is_gone_stays_so_and_is_not_counted),
		cmocka_unit_test(every_cut_and_every_turned_bit_is_refused_and_changes_nothing),
		cmocka_unit_test(cuts_under_a_good_hash_are_malformed),
		cmocka_unit_test(secrets_of_cookies_come_back_and_a_former_file_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
