/* SPDX-License-Identifier: MIT */
/* global.stats.http: its two forms, its credentials, and what is told of it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/config.h"

#define REST                                                                                       \
	"\nfrontends: {web: {bind: \"192.0.2.1:80\", backend: b}}\n"                               \
	"backends: {b: {hosts: {h: \"10.0.0.1:1\"}}}\n"

/* The snapshot, or NULL with the messages joined in *SAID (own). */
static struct config *load(const char *http, char **said)
{
	struct config_messages messages = { 0 };
	char *text = xasprintf("global: {stats: {http: %s}}" REST, http);
	struct config *config = config_load_text("t", str_of(text), &messages);

	*said = xstrdup("");
	for (size_t i = 0; i < messages.n; i++) {
		char *longer = xasprintf("%s%s\n", *said, messages.texts[i]);

		free(*said);
		*said = longer;
	}
	config_messages_fini(&messages);
	free(text);
	return config;
}

static void expect(const char *http, const char *want)
{
	char *said;
	struct config *config = load(http, &said);

	assert_string_equal(said, want);
	assert_int_equal(config == NULL, want[0] && !strstr(want, "warning"));
	free(said);
	config_unref(config);
}

static void an_address_alone_is_for_readers(void **state unused_arg)
{
	char *said;
	struct config *config = load("\"127.0.0.1:9\"", &said);
	const struct stats_http_conf *http = config->global.stats_http;

	assert_string_equal(said, "");
	assert_false(http->is_admin);
	assert_int_equal(http->secret.len, 0);
	assert_int_equal(http->unix_mode, 0600);
	assert_int_equal(sock_addr_ip(&http->addr).port, 9);
	free(said);
	config_unref(config);
}

static void credentials_let_it_act_unless_told_otherwise(void **state unused_arg)
{
	char *said;
	struct config *config = load(
		"{address: \"127.0.0.1:9\", username: u, password: p, hosts: lb.example}", &said);

	assert_true(config->global.stats_http->is_admin);
	assert_true(str_eq(config->global.stats_http->secret, STR("p")));
	assert_int_equal(config->global.stats_http->hosts.n, 1);
	free(said);
	config_unref(config);
	config = load("{address: \"127.0.0.1:9\", username: u, password: p, admin: false}", &said);
	assert_false(config->global.stats_http->is_admin);
	free(said);
	config_unref(config);
}

static void a_password_file_gives_its_first_line(void **state unused_arg)
{
	char path[] = "/tmp/limpet-test-XXXXXX", *http, *said;
	int fd = mkstemp(path);
	struct config *config;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "pass word\r\nnot this", 19), 19);
	close(fd);
	http = xasprintf("{address: \"127.0.0.1:9\", username: u, password_file: %s}", path);
	config = load(http, &said);
	unlink(path);
	assert_string_equal(said, "");
	assert_true(str_eq(config->global.stats_http->secret, STR("pass word")));
	assert_int_equal(config->global.stats_http->password.len, 0);
	free(http);
	free(said);
	config_unref(config);
}

static void mistakes_are_told(void **state unused_arg)
{
#define A "address: \"127.0.0.1:1\""
	expect("{address: nowhere}",
	       "t:1:34: 'address': expected an address like 10.0.0.1:80, [::1]:80 or unix:/path, "
	       "got 'nowhere'\n");
	expect("[\"127.0.0.1:1\"]",
	       "t:1:24: 'http': expected an address or a mapping, got a list\n");
	expect("{username: u}", "t:1:24: 'http' needs 'address'\n");
	expect("{" A ", username: u}", "t:1:24: 'http' has a 'username' and no password\n");
	expect("{" A ", password: p}", "t:1:24: 'http' has a password and no 'username'\n");
	expect("{" A ", username: \"a:b\", password: p}",
	       "t:1:24: 'username' must not have a ':'\n");
	expect("{" A ", username: u, password: p, password_file: /dev/null}",
	       "t:1:24: 'http' has both 'password' and 'password_file'\n");
	expect("{" A ", username: u, password_file: /dev/null}",
	       "t:1:24: 'password_file': the first line of /dev/null is no password: 1 to 1024 "
	       "bytes\n");
	expect("{" A ", username: u, password_file: /nowhere/x}",
	       "t:1:24: 'password_file': /nowhere/x cannot be read: No such file or directory\n");
	expect("{" A ", admin: true}", "t:1:56: 'admin: true' needs a 'username' and a password\n");
#undef A
}

static void an_open_door_is_warned_of(void **state unused_arg)
{
	static const char open[] =
		"t:1:24: warning: 'http' listens beyond this machine without a username and a "
		"password: whoever reaches it sees all servers and their figures\n";

	expect("\":8404\"", open);
	expect("\"10.0.0.1:8404\"", open);
	expect("{address: \":8404\", username: u, password: p}", "");
	expect("\"127.0.0.2:8404\"", "");
	expect("\"[::1]:8404\"", "");
	expect("\"unix:/run/x.sock\"", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_alone_is_for_readers),
		cmocka_unit_test(credentials_let_it_act_unless_told_otherwise),
		cmocka_unit_test(a_password_file_gives_its_first_line),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(an_open_door_is_warned_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
