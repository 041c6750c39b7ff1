/* SPDX-License-Identifier: MIT */
/* Requests that wait for what other nodes know: the engine against a mirror that the test plays. */
#include "config.h"

#include "session_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "balance/share.h"
#include "balance/table_share.h"
#include "main/runtime.h"
#include "session/txn.h"
#include "session/upstream.h"

#define POLL(sid)  "/socket.io/?EIO=4&transport=polling&sid=" sid
#define GET(path)  "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK(length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n"
#define HANDSHAKE  GET("/socket.io/?EIO=4&transport=polling")
#define OPENED     "0{\"sid\":\"new\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000}"
#define OPENED_OK  OK("69") OPENED

#define YAML(more)                                                                                 \
	"global: {threads: 1, log: {target: none}}\nfrontends:\n  web: {bind: \"unix:DIR/f\", "    \
	"backend: one}\nbackends:\n  one: {hosts: {a: \"unix:DIR/a\", b: \"unix:DIR/b\"}, "        \
	"balance: first, passive_check: false, stick: [{engineio: {" more "}}]}\n"

#define QUESTIONS_MAX 8
static struct {
	struct share_question *questions[QUESTIONS_MAX];
	unsigned n;
	bool is_known_negative;
} mirror;

static struct rig *rig;
static struct table *table;
static int client = -1, server = -1;

static void on_question(struct share_question *question)
{
	assert_true(mirror.n < QUESTIONS_MAX);
	mirror.questions[mirror.n++] = question;
}

static bool may_ask(struct table *of, const struct table_key *key)
{
	assert_ptr_equal(of, table);
	(void)key;
	return !mirror.is_known_negative;
}

static struct share_mirror patient = {
	.loop = &control_loop,
	.on_question = on_question,
	.may_ask = may_ask,
	.ask_cap_ms = 60000,
	.store_cap_ms = 60000,
};
static struct share_mirror hasty = {
	.loop = &control_loop,
	.on_question = on_question,
	.may_ask = may_ask,
	.ask_cap_ms = 20,
	.store_cap_ms = 20,
};
static struct share_mirror async = {
	.loop = &control_loop,
	.on_question = on_question,
	.may_ask = may_ask,
	.ask_cap_ms = 60000,
};

static void start(const char *yaml, const struct share_mirror *with)
{
	memset(&mirror, 0, sizeof(mirror));
	rig = rig_new(yaml);
	table = rig->config->backends[0].state->tables[STICK_ENGINEIO];
	table_share(table, true);
	share_set_mirror(with);
	client = rig_client(rig);
}

static void answer_all(enum share_answer answer)
{
	while (mirror.n)
		share_answer(mirror.questions[--mirror.n], answer);
}

static int teardown(void **state)
{
	(void)state;
	close(client);
	close(server);
	server = -1;
	share_set_mirror(NULL);
	answer_all(SHARE_AWAY); /* late ones */
	if (rig)
		rig_free(rig);
	rig = NULL;
	return 0;
}

/* As the stream or Redis would put it there. */
static void tell(const char *sid, const char *name)
{
	struct table_key key = table_key(table, str_of(sid));
	struct table_value value = { .idle_ms = 45000 };
	struct server *to = rig_server(rig, "one", name);

	value.server = to->number;
	value.generation = atomic_load(&to->generation);
	table_put(table, &key, &value, NULL);
}

static bool has_question(const char *sid, enum share_kind kind)
{
	struct table_key key = table_key(table, str_of(sid));

	return mirror.n && mirror.questions[mirror.n - 1]->kind == kind &&
	       table_key_eq(&mirror.questions[mirror.n - 1]->key, &key);
}

static bool has_gone(void)
{
	return list_is_empty(&rig->traffic->clients);
}

static void expect_request(char at, const char *line)
{
	if (server < 0)
		server = rig_accept(rig, at);
	rig_expect_part(rig, server, "\r\n\r\n");
	assert_ptr_equal(strstr(rig->text, line), rig->text);
}

static void unknown_session_waits_and_goes_where_another_node_says(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, has_question("abc", SHARE_ASK));
	assert_false(rig_is_connected(rig, 'a'));
	tell("abc", "b");
	answer_all(SHARE_YES);
	expect_request('b', "GET " POLL("abc"));
	rig_send(server, OK("1") "6");
	rig_expect(rig, client, OK("1") "6");
	rig_assert_quiet(rig);
	/* From now on it is known. */
	rig_send(client, GET(POLL("abc")));
	expect_request('b', "GET " POLL("abc"));
	assert_int_equal(mirror.n, 0);
}

static void session_that_nobody_knows_is_forwarded(void **state)
{
	const enum share_answer answers[] = { SHARE_NO, SHARE_TIMEOUT, SHARE_AWAY };

	(void)state;
	start(YAML(""), &patient);
	for (size_t i = 0; i < ARRAY_N(answers); i++) {
		rig_send(client, GET(POLL("abc")));
		rig_until(rig, has_question("abc", SHARE_ASK));
		answer_all(answers[i]);
		expect_request('a', "GET " POLL("abc"));
		rig_send(server, OK("1") "6");
		rig_expect(rig, client, OK("1") "6");
	}
	rig_assert_quiet(rig);
}

static void session_that_nobody_knows_is_rejected_by_the_rule(void **state)
{
	(void)state;
	start(YAML("unknown: reject"), &patient);
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, has_question("abc", SHARE_ASK));
	answer_all(SHARE_NO);
	rig_expect_part(rig, client, "\"Session ID unknown\"");
	assert_ptr_equal(strstr(rig->text, "HTTP/1.1 400 "), rig->text);
	/* The connection goes on. */
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, has_question("abc", SHARE_ASK));
	tell("abc", "b");
	answer_all(SHARE_YES);
	expect_request('b', "GET " POLL("abc"));
}

static void dead_session_of_another_node_is_answered_by_us(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, has_question("abc", SHARE_ASK));
	tell("abc", "b");
	server_new_generation(rig_server(rig, "one", "b"));
	answer_all(SHARE_YES);
	rig_expect_part(rig, client, "\"Session ID unknown\"");
	rig_assert_quiet(rig);
}

static void nobody_waits_beyond_the_cap(void **state)
{
	struct share_stats before, after;
	int64_t since_us = clock_now_us();

	(void)state;
	start(YAML(""), &hasty);
	share_stats(&before);
	rig_send(client, GET(POLL("abc")));
	expect_request('a', "GET " POLL("abc"));
	assert_true(clock_now_us() - since_us >= 19000);
	share_stats(&after);
	assert_int_equal(after.asks - before.asks, 1);
	assert_int_equal(after.timeouts - before.timeouts, 1);
	tell("abc", "b");
	answer_all(SHARE_YES); /* too late */
	rig_send(server, OK("1") "6");
	rig_expect(rig, client, OK("1") "6");
	share_stats(&after);
	assert_int_equal(after.hits - before.hits, 0);
}

static void known_sessions_and_other_requests_do_not_ask(void **state)
{
	const char *const requests[] = { GET(POLL("abc")), GET("/"), HANDSHAKE, GET(POLL("")) };

	(void)state;
	start(YAML(""), &async);
	tell("abc", "a");
	for (size_t i = 0; i < ARRAY_N(requests); i++) {
		rig_send(client, requests[i]);
		expect_request('a', "GET ");
		rig_send(server, OK("1") "6");
		rig_expect(rig, client, OK("1") "6");
	}
	assert_int_equal(mirror.n, 0);
	mirror.is_known_negative = true;
	rig_send(client, GET(POLL("unknown")));
	expect_request('a', "GET ");
	assert_int_equal(mirror.n, 0);
}

static void nobody_asks_when_the_table_is_not_shared(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	table_share(table, false);
	rig_send(client, GET(POLL("abc")));
	expect_request('a', "GET ");
	rig_send(server, OK("1") "6");
	rig_expect(rig, client, OK("1") "6");
	rig_send(client, HANDSHAKE);
	expect_request('a', "GET ");
	rig_send(server, OPENED_OK);
	rig_expect(rig, client, OPENED_OK);
	assert_int_equal(mirror.n, 0);
}

static void post_with_its_body_waits_whole(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, "POST " POLL("abc") " HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n4h");
	rig_until(rig, has_question("abc", SHARE_ASK));
	rig_send(client, "allo" GET("/next"));
	assert_false(rig_is_connected(rig, 'b'));
	tell("abc", "b");
	answer_all(SHARE_YES);
	expect_request('b', "POST " POLL("abc"));
	if (!strstr(rig->text, "4hallo"))
		rig_expect_part(rig, server, "allo");
	rig_send(server, OK("2") "ok");
	rig_expect(rig, client, OK("2") "ok");
	/* What stood behind it comes after it. */
	close(server);
	server = -1;
	expect_request('a', "GET /next ");
}

static void last_post_of_a_client_that_has_ended_is_still_asked_for(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, "POST " POLL("abc") " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1");
	rig_until(rig, has_question("abc", SHARE_ASK));
	shutdown(client, SHUT_WR);
	assert_false(rig_is_connected(rig, 'b'));
	tell("abc", "b");
	answer_all(SHARE_YES);
	expect_request('b', "POST " POLL("abc"));
}

static void upgrade_of_an_unknown_session_waits_as_well(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client,
		 "GET /socket.io/?EIO=4&transport=websocket&sid=abc HTTP/1.1\r\nHost: h\r\n"
		 "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	rig_until(rig, has_question("abc", SHARE_ASK));
	tell("abc", "b");
	answer_all(SHARE_YES);
	expect_request('b', "GET /socket.io/?EIO=4&transport=websocket&sid=abc");
	rig_send(server, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			 "Upgrade: websocket\r\n\r\n");
	rig_expect_part(rig, client, "101 Switching Protocols");
}

static void head_and_options_wait_as_well(void **state)
{
	const char *const requests[] = {
		"HEAD " POLL("h") " HTTP/1.1\r\nHost: h\r\n\r\n",
		"OPTIONS " POLL("o") " HTTP/1.1\r\nHost: h\r\n\r\n",
	};

	(void)state;
	start(YAML(""), &patient);
	for (size_t i = 0; i < ARRAY_N(requests); i++) {
		rig_send(client, requests[i]);
		rig_until(rig, has_question(i ? "o" : "h", SHARE_ASK));
		tell(i ? "o" : "h", "b");
		answer_all(SHARE_YES);
		expect_request('b', i ? "OPTIONS " : "HEAD ");
		rig_send(server, OK("0"));
		rig_expect(rig, client, OK("0"));
	}
}

static void client_that_goes_while_it_waits_is_let_go(void **state)
{
	struct frontend_state *frontend;

	(void)state;
	start(YAML(""), &patient);
	frontend = rig->config->frontends[0].state;
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, has_question("abc", SHARE_ASK));
	close(client);
	rig_until(rig, has_gone());
	assert_int_equal(atomic_load(&frontend->used), 0);
	answer_all(SHARE_YES);
	rig_turn(rig);
	assert_false(rig_is_connected(rig, 'a'));
	client = rig_client(rig);
	/* The same with the answer under way. */
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, has_question("abc", SHARE_ASK));
	answer_all(SHARE_NO);
	close(client);
	rig_until(rig, has_gone());
	client = -1;
	rig_assert_quiet(rig);
}

static void end_of_the_process_does_not_wait(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, has_question("abc", SHARE_ASK));
	traffic_close_all(rig->traffic);
	rig_until(rig, has_gone());
	client = rig_client(rig);
	rig_send(client, GET(POLL("abc")));
	rig_until(rig, mirror.n == 2);
	/* teardown() ends it so. */
}

static void question_is_still_answered_when_the_mirror_ends(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, GET(POLL("abc")));
	for (int i = 0; i < 1000 && !rig->traffic->clients_n; i++)
		rig_turn(rig);
	loop_turn(&rig->traffic->loop, 50);
	share_set_mirror(NULL); /* before its mail is read */
	expect_request('a', "GET " POLL("abc"));
	answer_all(SHARE_AWAY);
}

static void handshake_is_answered_when_its_session_is_stored(void **state)
{
	struct table_key key;
	struct table_value value;

	(void)state;
	start(YAML(""), &patient);
	for (int i = 0; i < 3; i++) {
		rig_send(client, HANDSHAKE);
		expect_request('a', "GET /socket.io/");
		rig_send(server, OPENED_OK);
		rig_until(rig, has_question("new", SHARE_STORE));
		key = table_key(table, str_of("new"));
		assert_true(table_find(table, &key, &value));
		assert_true(rig_is_silent(rig, client));
		answer_all(i == 1 ? SHARE_AWAY : SHARE_YES);
		rig_expect(rig, client, OPENED_OK);
		rig_assert_quiet(rig);
		assert_int_equal(rig->traffic->upstreams_idle, 1);
	}
}

static void handshake_to_http_1_0_waits_too_and_is_closed(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, "GET /socket.io/?EIO=4&transport=polling HTTP/1.0\r\n\r\n");
	expect_request('a', "GET /socket.io/");
	rig_send(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n45\r\n" OPENED
			 "\r\n0\r\n\r\n");
	rig_until(rig, has_question("new", SHARE_STORE));
	assert_true(rig_is_silent(rig, client));
	answer_all(SHARE_YES);
	rig_expect_part(rig, client, OPENED);
	rig_expect_end(rig, client);
}

static void handshake_waits_no_longer_than_the_cap(void **state)
{
	struct share_stats before, after;

	(void)state;
	start(YAML(""), &hasty);
	share_stats(&before);
	rig_send(client, HANDSHAKE);
	expect_request('a', "GET /socket.io/");
	rig_send(server, OPENED_OK);
	rig_expect(rig, client, OPENED_OK);
	share_stats(&after);
	assert_int_equal(after.stores - before.stores, 1);
	assert_int_equal(after.store_timeouts - before.store_timeouts, 1);
	assert_int_equal(mirror.n, 1);
	answer_all(SHARE_YES);
	rig_turn(rig);
	share_stats(&after);
	assert_int_equal(after.stored - before.stored, 0);
}

static void handshake_does_not_wait_in_mode_async(void **state)
{
	(void)state;
	start(YAML(""), &async);
	rig_send(client, HANDSHAKE);
	expect_request('a', "GET /socket.io/");
	rig_send(server, OPENED_OK);
	rig_expect(rig, client, OPENED_OK);
	assert_int_equal(mirror.n, 0);
}

static void client_that_goes_before_its_session_is_stored_is_let_go(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, HANDSHAKE);
	expect_request('a', "GET /socket.io/");
	rig_send(server, OPENED_OK);
	rig_until(rig, has_question("new", SHARE_STORE));
	close(client);
	client = -1;
	rig_until(rig, has_gone());
	rig_assert_quiet(rig);
	answer_all(SHARE_YES);
	rig_turn(rig);
}

static void server_that_ends_within_a_held_answer_is_told_at_once(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, HANDSHAKE);
	expect_request('a', "GET /socket.io/");
	rig_send(server, OK("100") OPENED);
	close(server);
	server = -1;
	rig_expect_part(rig, client, "HTTP/1.1 502 ");
	rig_assert_quiet(rig);
	answer_all(SHARE_YES);
	rig_turn(rig);
	assert_true(rig_is_silent(rig, client));
}

static void server_that_ends_while_its_answer_is_held_is_told_after_it(void **state)
{
	(void)state;
	start(YAML(""), &patient);
	rig_send(client, HANDSHAKE);
	expect_request('a', "GET /socket.io/");
	rig_send(server, OK("100") OPENED);
	rig_until(rig, has_question("new", SHARE_STORE));
	close(server);
	server = -1;
	rig_turn(rig);
	rig_turn(rig);
	answer_all(SHARE_YES);
	rig_until(rig, has_gone());
	rig_assert_quiet(rig);
}

/* What is held is bounded, whatever the server sends. */
static void large_answer_is_not_read_into_memory_while_it_is_held(void **state)
{
	static char big[1 << 20];
	char head[128];
	struct client *held;
	size_t sent = 0, got;
	int n;

	(void)state;
	start(YAML(""), &patient);
	rig_send(client, HANDSHAKE);
	expect_request('a', "GET /socket.io/");
	memset(big, 'x', sizeof(big));
	memcpy(big, OPENED, strlen(OPENED));
	n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
		     sizeof(big));
	rig_send(server, head);
	/* Much of it is there before it is looked at. */
	for (int i = 0; i < 100; i++) {
		ssize_t part = send(server, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

		sent += part > 0 ? (size_t)part : 0;
		if (part < 0)
			rig_turn(rig);
	}
	assert_true(has_question("new", SHARE_STORE));
	held = list_entry(rig->traffic->clients.next, struct client, link);
	assert_true(buf_length(&held->out) + buf_length(&held->txn->upstream->in) <= 160 * 1024);
	assert_true(sent < sizeof(big));
	answer_all(SHARE_YES);
	for (got = 0; got < sizeof(big) + (size_t)n; got += rig->text_len) {
		ssize_t part = send(server, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

		sent += part > 0 ? (size_t)part : 0;
		rig_expect_part(rig, client, "x");
	}
	assert_int_equal(got, sizeof(big) + (size_t)n);
	rig_assert_quiet(rig);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, teardown)
	const struct CMUnitTest tests[] = {
		TEST(unknown_session_waits_and_goes_where_another_node_says),
		TEST(session_that_nobody_knows_is_forwarded),
		TEST(session_that_nobody_knows_is_rejected_by_the_rule),
		TEST(dead_session_of_another_node_is_answered_by_us),
		TEST(nobody_waits_beyond_the_cap),
		TEST(known_sessions_and_other_requests_do_not_ask),
		TEST(nobody_asks_when_the_table_is_not_shared),
		TEST(post_with_its_body_waits_whole),
		TEST(last_post_of_a_client_that_has_ended_is_still_asked_for),
		TEST(upgrade_of_an_unknown_session_waits_as_well),
		TEST(head_and_options_wait_as_well),
		TEST(client_that_goes_while_it_waits_is_let_go),
		TEST(end_of_the_process_does_not_wait),
		TEST(question_is_still_answered_when_the_mirror_ends),
		TEST(handshake_is_answered_when_its_session_is_stored),
		TEST(handshake_to_http_1_0_waits_too_and_is_closed),
		TEST(handshake_waits_no_longer_than_the_cap),
		TEST(handshake_does_not_wait_in_mode_async),
		TEST(client_that_goes_before_its_session_is_stored_is_let_go),
		TEST(server_that_ends_within_a_held_answer_is_told_at_once),
		TEST(server_that_ends_while_its_answer_is_held_is_told_after_it),
		TEST(large_answer_is_not_read_into_memory_while_it_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
