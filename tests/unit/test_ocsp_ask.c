/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/ocsp_ask.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/addr.h"

static void urls_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *authority, *host, *path;
		unsigned port;
	} rows[] = {
		{ "http://a.test", "a.test", "a.test", "/", 80 },
		{ "http://a.test/", "a.test", "a.test", "/", 80 },
		{ "HTTP://a.test:8080/x/y?z", "a.test:8080", "a.test", "/x/y?z", 8080 },
		{ "http://10.0.0.1:1", "10.0.0.1:1", "10.0.0.1", "/", 1 },
		{ "http://[::1]:99/a", "[::1]:99", "::1", "/a", 99 },
		{ "http://[::1]/a", "[::1]", "::1", "/a", 80 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct ocsp_url url;

		assert_true(ocsp_url_parse(str_of(rows[i].text), &url));
		assert_true(str_eq(url.authority, str_of(rows[i].authority)));
		assert_true(str_eq(url.host, str_of(rows[i].host)));
		assert_true(str_eq(url.path, str_of(rows[i].path)));
		assert_int_equal(url.port, rows[i].port);
	}
}

static void urls_that_cannot_be_asked_are_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"http://",
		"http:///x",
		"https://a.test/",
		"ldap://a.test/",
		"a.test",
		"http://a.test:0/",
		"http://a.test:65536/",
		"http://a.test:/",
		"http://a.test:8x/",
		"http://[::1/",
		"http://[::1]8/",
		"http://u@a.test/",
		"http://a.test/x y",
		"http://a.test/x\r\nHost: b",
	};
	struct ocsp_url url;

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++)
		if (ocsp_url_parse(str_of(rows[i]), &url))
			fail_msg("'%s' is taken", rows[i]);
}

/* A responder that takes one connection. */
struct rig {
	struct loop loop;
	int listener;
	char url[64];
	unsigned answers_n;
	char answer[256], why[128];
	size_t answer_len;
	bool is_answer;
};

static void on_answer(void *arg, struct str answer, const char *why)
{
	struct rig *rig = arg;

	rig->answers_n++;
	rig->is_answer = answer.p != NULL;
	rig->answer_len = answer.len < sizeof(rig->answer) ? answer.len : sizeof(rig->answer);
	if (answer.len)
		memcpy(rig->answer, answer.p, rig->answer_len);
	snprintf(rig->why, sizeof(rig->why), "%s", why);
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t size = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	rig->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(rig->listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(rig->listener, 4), 0);
	assert_int_equal(getsockname(rig->listener, (struct sockaddr *)&in, &size), 0);
	snprintf(rig->url, sizeof(rig->url), "http://127.0.0.1:%u/ocsp", ntohs(in.sin_port));
	assert_int_equal(loop_init(&rig->loop), 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	loop_turn(&rig->loop, 0);
	loop_fini(&rig->loop);
	if (rig->listener >= 0)
		close(rig->listener);
	free(rig);
	return 0;
}

/* Turns the loop until FD is readable. */
static void turn_until_readable(struct rig *rig, int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	for (int i = 0; i < 2000; i++) {
		loop_turn(&rig->loop, 1);
		if (poll(&pfd, 1, 0) > 0)
			return;
	}
	fail_msg("nothing came");
}

static size_t take_request(struct rig *rig, int *fd, char *out, size_t size)
{
	size_t have = 0;

	turn_until_readable(rig, rig->listener);
	*fd = accept(rig->listener, NULL, NULL);
	assert_true(*fd >= 0);
	while (have < 6 || memcmp(out + have - 6, "\r\n\r\n\x30\x00", 6) != 0) {
		ssize_t n;

		turn_until_readable(rig, *fd);
		n = read(*fd, out + have, size - have);
		assert_true(n > 0);
		have += (size_t)n;
	}
	return have;
}

static void ask(struct rig *rig)
{
	assert_non_null(ocsp_ask_start(&rig->loop, str_of(rig->url), (struct str){ "\x30\x00", 2 },
				       on_answer, rig));
	assert_int_equal(rig->answers_n, 0);
}

static void wait_for_answer(struct rig *rig)
{
	for (int i = 0; i < 2000 && !rig->answers_n; i++)
		loop_turn(&rig->loop, 1);
	assert_int_equal(rig->answers_n, 1);
}

static void a_question_is_posted_and_its_answer_comes_whole(void **state)
{
	static const char says[] = "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n"
				   "Content-Length: 5\r\n\r\n\x30\x03\x0a\x01";
	struct rig *rig = *state;
	char got[1024] = "";
	int fd;

	ask(rig);
	(void)take_request(rig, &fd, got, sizeof(got) - 1);
	assert_ptr_equal(strstr(got, "POST /ocsp HTTP/1.1\r\n"), got);
	assert_non_null(strstr(got, "\r\nContent-Type: application/ocsp-request\r\n"));
	assert_non_null(strstr(got, "\r\nContent-Length: 2\r\n"));
	assert_int_equal(write(fd, says, sizeof(says)), sizeof(says)); /* with the NUL: 5 bytes */
	wait_for_answer(rig);
	assert_true(rig->is_answer);
	assert_int_equal(rig->answer_len, 5);
	assert_memory_equal(rig->answer, "\x30\x03\x0a\x01", 5);
	close(fd);
}

static void an_answer_without_length_ends_with_the_connection(void **state)
{
	static const char says[] = "HTTP/1.0 200 OK\r\n\r\nabc";
	struct rig *rig = *state;
	char got[1024] = "";
	int fd;

	ask(rig);
	(void)take_request(rig, &fd, got, sizeof(got) - 1);
	assert_int_equal(write(fd, says, sizeof(says) - 1), sizeof(says) - 1);
	close(fd);
	wait_for_answer(rig);
	assert_true(rig->is_answer);
	assert_int_equal(rig->answer_len, 3);
}

static void another_status_is_no_answer(void **state)
{
	static const char says[] = "HTTP/1.1 503 Later\r\nContent-Length: 3\r\n\r\nabc";
	struct rig *rig = *state;
	char got[1024] = "";
	int fd;

	ask(rig);
	(void)take_request(rig, &fd, got, sizeof(got) - 1);
	assert_int_equal(write(fd, says, sizeof(says) - 1), sizeof(says) - 1);
	wait_for_answer(rig);
	assert_false(rig->is_answer);
	assert_non_null(strstr(rig->why, "503"));
	close(fd);
}

static void a_responder_that_is_away_is_no_answer(void **state)
{
	struct rig *rig = *state;

	close(rig->listener);
	rig->listener = -1;
	ask(rig);
	wait_for_answer(rig);
	assert_false(rig->is_answer);
	assert_non_null(strstr(rig->why, "refused"));
}

static void a_name_without_address_is_no_answer(void **state)
{
	struct rig *rig = *state;

	snprintf(rig->url, sizeof(rig->url), "http://nowhere.invalid/");
	ask(rig);
	for (int i = 0; i < 15000 && !rig->answers_n; i++)
		loop_turn(&rig->loop, 1);
	assert_int_equal(rig->answers_n, 1);
	assert_false(rig->is_answer);
	assert_non_null(strstr(rig->why, "nowhere.invalid"));
}

static void a_cancelled_question_is_never_answered(void **state)
{
	struct rig *rig = *state;
	struct ocsp_ask *one =
		ocsp_ask_start(&rig->loop, str_of(rig->url), STR("x"), on_answer, rig);

	assert_non_null(one);
	ocsp_ask_cancel(one);
	one = ocsp_ask_start(&rig->loop, str_of(rig->url), STR("x"), on_answer, rig);
	assert_non_null(one);
	turn_until_readable(rig, rig->listener);
	ocsp_ask_cancel(one);
	for (int i = 0; i < 20; i++)
		loop_turn(&rig->loop, 1);
	assert_int_equal(rig->answers_n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(urls_that_cannot_be_asked_are_refused),
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		WITH_RIG(a_question_is_posted_and_its_answer_comes_whole),
		WITH_RIG(an_answer_without_length_ends_with_the_connection),
		WITH_RIG(another_status_is_no_answer),
		WITH_RIG(a_responder_that_is_away_is_no_answer),
		WITH_RIG(a_name_without_address_is_no_answer),
		WITH_RIG(a_cancelled_question_is_never_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
