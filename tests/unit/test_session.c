/* SPDX-License-Identifier: MIT */
/* The engine's promises about order, ends and what it holds; codecs have tests of their own. */
#include "config.h"

#include "session_rig.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "main/runtime_sets.h"
#include "session/upstream.h"

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK(length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n"

#define HEAD_YAML                                                                                  \
	"global: {threads: 1, log: {target: none}}\nfrontends:\n  web: {bind: \"unix:DIR/f\", "    \
	"backend: one"
#define ONE_YAML                                                                                   \
	HEAD_YAML "}\nbackends:\n  one: {hosts: {a: \"unix:DIR/a\"}, passive_check: false}\n"
#define SLOT_YAML                                                                                  \
	HEAD_YAML ", routes: [{match: {path_prefix: /two}, backend: two}]}\nbackends:\n"           \
		  "  one: {hosts: {a: \"unix:DIR/a\"}, max_connections_per_server: 1}\n"           \
		  "  two: {hosts: {b: \"unix:DIR/b\"}, max_connections_per_server: 1}\n"

static struct rig *rig;

static void start(const char *yaml)
{
	rig = rig_new(yaml);
}

static int teardown(void **state)
{
	(void)state;
	if (rig)
		rig_free(rig);
	rig = NULL;
	return 0;
}

static void request_and_answer_are_relayed_and_the_connection_is_kept(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	for (int i = 0; i < 3; i++) {
		rig_send(client, GET("/x"));
		if (i == 0)
			server = rig_accept(rig, 'a');
		rig_expect_part(rig, server, "\r\n\r\n");
		assert_ptr_equal(strstr(rig->text, "GET /x HTTP/1.1\r\n"), rig->text);
		assert_int_equal(rig_slots(rig, "one", "a"), 1);
		rig_send(server, OK("2") "hi");
		rig_expect(rig, client, OK("2") "hi");
		rig_assert_quiet(rig);
		assert_int_equal(rig->traffic->upstreams_idle, 1);
	}
	close(client);
	close(server);
	rig_until(rig, rig->traffic->upstreams_idle == 0 && list_is_empty(&rig->traffic->clients));
	assert_int_equal(atomic_load(&rig->config->frontends[0].state->used), 0);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, GET("/1") GET("/2"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "GET /1 ");
	assert_null(strstr(rig->text, "/2"));
	rig_send(server, OK("1") "1");
	rig_expect(rig, client, OK("1") "1");
	rig_expect_part(rig, server, "GET /2 ");
	rig_send(server, OK("1") "2");
	rig_expect(rig, client, OK("1") "2");
	close(client);
	close(server);
}

static void answer_to_head_has_no_body_and_the_next_one_is_its_own(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("5"));
	rig_expect(rig, client, OK("5"));
	rig_send(client, GET("/"));
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("1") "x");
	rig_expect(rig, client, OK("1") "x");
	close(client);
	close(server);
}

static void connection_with_bytes_behind_the_answer_serves_nobody_else(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, GET("/"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("2") "hi" OK("6") "poison");
	rig_expect(rig, client, OK("2") "hi");
	rig_expect_end(rig, server);
	close(server);
	rig_send(client, GET("/"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("2") "ok");
	rig_expect(rig, client, OK("2") "ok");
	close(client);
	close(server);
}

static void idle_connection_that_says_something_is_closed(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, GET("/"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("2") "hi");
	rig_expect(rig, client, OK("2") "hi");
	rig_send(server, OK("6") "poison");
	rig_until(rig, rig->traffic->upstreams_idle == 0);
	rig_expect_end(rig, server);
	close(client);
	close(server);
}

static void client_that_goes_closes_its_server_connection_at_once(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, GET("/poll"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	close(client);
	rig_expect_end(rig, server);
	rig_assert_quiet(rig);
	close(server);
}

/* However a request ends, its slot is given back once. */
static void slot_is_given_back_however_the_request_ends(void **state)
{
	static const struct {
		const char *answer; /* then the server closes */
		const char *status; /* what the client sees first */
	} rows[] = {
		{ "", "HTTP/1.1 502 " },
		{ "HTTP/1.1 200 O", "HTTP/1.1 502 " },
		{ "rubbish\r\n\r\n", "HTTP/1.1 502 " },
		{ OK("10") "12345", "HTTP/1.1 200 " },
		{ "HTTP/1.1 200 OK\r\n\r\nuntil the end", "HTTP/1.1 200 " },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 " },
		{ "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
		  "Upgrade: websocket\r\n\r\n",
		  "HTTP/1.1 502 " },
		{ "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 103 " },
	};

	(void)state;
	start(SLOT_YAML);
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		int client = rig_client(rig), server;

		rig_send(client, GET("/"));
		server = rig_accept(rig, 'a');
		rig_expect_part(rig, server, "\r\n\r\n");
		assert_int_equal(rig_slots(rig, "one", "a"), 1);
		if (rows[i].answer[0])
			rig_send(server, rows[i].answer);
		close(server);
		rig_expect_part(rig, client, rows[i].status);
		rig_until(rig, rig_slots(rig, "one", "a") == 0);
		rig_assert_quiet(rig);
		close(client);
	}
}

static void truncated_answer_is_not_taken_for_whole(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, GET("/"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	rig_expect_part(rig, client, "3\r\nabc\r\n");
	close(server);
	rig_expect_end(rig, client);
	assert_int_equal(rig->text_len, 0); /* no last chunk */
	close(client);
}

static void early_answer_overtakes_the_body_and_ends_the_connection(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc");
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
	rig_expect(rig, client,
		   "HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
	rig_expect_end(rig, server);
	rig_send(client, GET("/smuggled")); /* is body, or nothing */
	rig_expect_end(rig, client);
	assert_false(rig_is_connected(rig, 'a'));
	rig_assert_quiet(rig);
	close(client);
	close(server);
}

static void waiting_requests_get_the_slot_in_their_order(void **state)
{
	int clients[4], server;

	(void)state;
	start(SLOT_YAML);
	for (int i = 0; i < 4; i++) {
		char request[64];

		clients[i] = rig_client(rig);
		snprintf(request, sizeof(request), GET("/%d"), i);
		rig_send(clients[i], request);
		rig_until(rig, i == 0 ? rig_slots(rig, "one", "a") == 1
				      : counters_sum(&rig->config->backends[0].state->counters,
						     backend_queued_now) == (uint64_t)i);
	}
	server = rig_accept(rig, 'a');
	for (int i = 0; i < 4; i++) {
		char line[32];

		snprintf(line, sizeof(line), "GET /%d ", i);
		rig_expect_part(rig, server, line);
		rig_send(server, OK("0"));
		rig_expect(rig, clients[i], OK("0"));
	}
	rig_assert_quiet(rig);
	for (int i = 0; i < 4; i++)
		close(clients[i]);
	close(server);
}

static void many_who_wait_for_one_server_do_not_keep_others_from_theirs(void **state)
{
	int ones[40], two, other, server_a, server_b;

	(void)state;
	start(SLOT_YAML);
	for (unsigned i = 0; i < ARRAY_N(ones); i++) {
		ones[i] = rig_client(rig);
		rig_send(ones[i], GET("/"));
	}
	server_a = rig_accept(rig, 'a');
	other = rig_client(rig);
	rig_send(other, GET("/two/1"));
	server_b = rig_accept(rig, 'b');
	rig_expect_part(rig, server_b, "GET /two/1 ");
	two = rig_client(rig);
	rig_send(two, GET("/two/2"));
	rig_until(rig,
		  counters_sum(&rig->config->backends[1].state->counters, backend_queued_now) == 1);
	rig_send(server_b, OK("0"));
	rig_expect(rig, other, OK("0"));
	rig_expect_part(rig, server_b, "GET /two/2 ");
	for (unsigned i = 0; i < ARRAY_N(ones); i++)
		close(ones[i]);
	close(server_a);
	close(two);
	rig_until(rig, list_is_empty(&rig->traffic->lines) && rig_slots(rig, "two", "b") == 0);
	rig_assert_quiet(rig);
	close(other);
	close(server_b);
}

static void client_that_leaves_the_queue_is_forgotten(void **state)
{
	int first, second, third, server;

	(void)state;
	start(SLOT_YAML);
	first = rig_client(rig);
	rig_send(first, GET("/1"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "GET /1 ");
	second = rig_client(rig);
	third = rig_client(rig);
	rig_send(second, GET("/2"));
	rig_turn(rig);
	rig_send(third, GET("/3"));
	rig_until(rig,
		  counters_sum(&rig->config->backends[0].state->counters, backend_queued_now) == 2);
	close(second);
	rig_until(rig,
		  counters_sum(&rig->config->backends[0].state->counters, backend_queued_now) == 1);
	rig_send(server, OK("0"));
	rig_expect_part(rig, server, "GET /3 ");
	close(first);
	close(third);
	rig_expect_end(rig, server);
	rig_assert_quiet(rig);
	close(server);
}

/* The backend is gone, and somebody still has the configuration that had it. */
static void request_for_a_backend_that_a_reload_took_away_is_served_for_a_while(void **state)
{
	int client, server;

	(void)state;
	start(SLOT_YAML);
	client = rig_client(rig);
	rig_send(client, GET("/two"));
	server = rig_accept(rig, 'b');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("0"));
	rig_expect(rig, client, OK("0"));
	rig_reload(rig, "global: {threads: 1, log: {target: none}}\nfrontends:\n"
			"  www: {bind: \"unix:DIR/g\", backend: one}\n"
			"backends:\n  one: {hosts: {a: \"unix:DIR/a\"}}\n");
	rig_send(client, GET("/two")); /* its client still has the old configuration */
	close(server);
	server = rig_accept(rig, 'b');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("0"));
	rig_expect(rig, client, OK("0"));
	runtime_drop_sets_now();
	rig_send(client, GET("/two"));
	rig_expect_part(rig, client, "HTTP/1.1 503 ");
	close(client);
	close(server);
}

static void interim_answers_do_not_pile_up_for_a_client_that_does_not_read(void **state)
{
	static char interim[8192];
	struct client *client_of;
	int client, server;
	size_t n = 0;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	client_of = list_entry(rig->traffic->clients.next, struct client, link);
	rig_send(client, GET("/"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	n = (size_t)snprintf(interim, sizeof(interim), "HTTP/1.1 103 Early Hints\r\nLink: <");
	memset(interim + n, 'x', 6000);
	snprintf(interim + n + 6000, 32, ">\r\n\r\n");
	for (int i = 0; i < 2000; i++) {
		if (send(server, interim, strlen(interim), MSG_NOSIGNAL) < 0)
			rig_turn(rig);
		if (list_is_empty(&rig->traffic->clients))
			break;
		assert_true(buf_length(&client_of->out) < 256 * 1024);
	}
	close(server);
	close(client);
}

static void answer_under_way_when_the_drain_begins_is_the_last_one(void **state)
{
	int client, server;

	(void)state;
	start(ONE_YAML);
	client = rig_client(rig);
	rig_send(client, GET("/"));
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, OK("4") "ab");
	rig_expect(rig, client, OK("4") "ab");
	traffic_drain(rig->traffic);
	rig_send(server, "cd");
	rig_expect(rig, client, "cd");
	rig_expect_end(rig, client);
	close(client);
	close(server);
	rig_until(rig, list_is_empty(&rig->traffic->clients));
}

#define UPGRADE                                                                                    \
	"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"             \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define SWITCHED                                                                                   \
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"        \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

static void open_tunnel(int client, int *server)
{
	rig_send(client, UPGRADE "early");
	*server = rig_accept(rig, 'a');
	rig_expect_part(rig, *server, "\r\n\r\n");
	assert_null(strstr(rig->text, "early"));
	rig_send(*server, SWITCHED "hello");
	rig_expect_part(rig, client, "\r\n\r\nhello");
	rig_expect(rig, *server, "early");
	assert_int_equal(rig_slots(rig, "one", "a"), 1);
}

static void tunnel_passes_the_end_of_each_side_to_the_other(void **state)
{
	int client, server;

	(void)state;
	start(SLOT_YAML);
	client = rig_client(rig);
	open_tunnel(client, &server);
	rig_send(client, "last words");
	shutdown(client, SHUT_WR);
	rig_expect(rig, server, "last words");
	rig_expect_end(rig, server);
	rig_send(server, "bye");
	rig_expect(rig, client, "bye");
	assert_int_equal(rig_slots(rig, "one", "a"), 1);
	close(server);
	rig_expect_end(rig, client);
	rig_assert_quiet(rig);
	close(client);
}

static void tunnel_whose_server_does_not_read_ends_with_its_client(void **state)
{
	static char block[65536];
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	int client, server;

	(void)state;
	start(SLOT_YAML);
	client = rig_tcp_client(rig);
	open_tunnel(client, &server);
	for (int i = 0; i < 200; i++) {
		if (send(client, block, sizeof(block), MSG_NOSIGNAL) < 0 && i > 50)
			break;
		rig_turn(rig);
	}
	setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(client); /* a reset */
	rig_until(rig, rig_slots(rig, "one", "a") == 0);
	rig_assert_quiet(rig);
	close(server);
}

/* Three servers that never accept: each gets timeouts.connect, not what the first one left. */
static void retried_connect_has_its_own_time(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t size = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fillers[4], client;
	char yaml[1024];
	int64_t started_us;

	(void)state;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &size), 0);
	for (unsigned i = 0; i < ARRAY_N(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], (struct sockaddr *)&addr, sizeof(addr));
	}
	snprintf(yaml, sizeof(yaml),
		 HEAD_YAML "}\nbackends:\n  one: {retries: 2, timeouts: {connect: 200ms}, hosts: "
			   "{a: \"127.0.0.1:%u\", b: \"127.0.0.1:%u\", c: \"127.0.0.1:%u\"}}\n",
		 ntohs(addr.sin_port), ntohs(addr.sin_port), ntohs(addr.sin_port));
	start(yaml);
	client = rig_client(rig);
	started_us = clock_now_us();
	rig_send(client, GET("/"));
	rig_expect_part(rig, client, "HTTP/1.1 504 ");
	assert_in_range(clock_now_us() - started_us, 590000, 2000000);
	rig_assert_quiet(rig);
	close(client);
	for (unsigned i = 0; i < ARRAY_N(fillers); i++)
		close(fillers[i]);
	close(listener);
}

static int tcp_listener(struct sockaddr_in *addr)
{
	socklen_t size = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	*addr = (struct sockaddr_in){ .sin_family = AF_INET };
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &size), 0);
	return fd;
}

static bool try_accept(int listener, int *fd)
{
	*fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	return *fd >= 0;
}

/* Its FIN is there and nothing is acknowledged yet, but who has shut one side still reads. */
static void request_that_a_half_closed_server_may_read_is_not_sent_again(void **state)
{
	struct sockaddr_in addr;
	int listener = tcp_listener(&addr), client, server, other;
	char yaml[512];

	(void)state;
	snprintf(yaml, sizeof(yaml),
		 HEAD_YAML "}\nbackends:\n  one: {hosts: {a: \"127.0.0.1:%u\"}}\n",
		 ntohs(addr.sin_port));
	start(yaml);
	client = rig_client(rig);
	rig_send(client, GET("/1"));
	rig_until(rig, try_accept(listener, &server));
	rig_expect_part(rig, server, "GET /1 ");
	rig_send(server, OK("0"));
	rig_expect(rig, client, OK("0"));
	rig_send(client, GET("/2"));
	shutdown(server, SHUT_WR); /* in the same turn, behind the request */
	rig_expect_part(rig, server, "GET /2 ");
	rig_expect_part(rig, client, "HTTP/1.1 502 ");
	for (int i = 0; i < 5; i++)
		rig_turn(rig);
	assert_false(try_accept(listener, &other));
	close(client);
	close(server);
	close(listener);
}

#define SESSION_TEST(name) cmocka_unit_test_setup_teardown(name, NULL, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SESSION_TEST(request_and_answer_are_relayed_and_the_connection_is_kept),
		SESSION_TEST(pipelined_requests_are_answered_in_order),
		SESSION_TEST(answer_to_head_has_no_body_and_the_next_one_is_its_own),
		SESSION_TEST(connection_with_bytes_behind_the_answer_serves_nobody_else),
		SESSION_TEST(idle_connection_that_says_something_is_closed),
		SESSION_TEST(client_that_goes_closes_its_server_connection_at_once),
		SESSION_TEST(slot_is_given_back_however_the_request_ends),
		SESSION_TEST(truncated_answer_is_not_taken_for_whole),
		SESSION_TEST(early_answer_overtakes_the_body_and_ends_the_connection),
		SESSION_TEST(waiting_requests_get_the_slot_in_their_order),
		SESSION_TEST(many_who_wait_for_one_server_do_not_keep_others_from_theirs),
		SESSION_TEST(client_that_leaves_the_queue_is_forgotten),
		SESSION_TEST(request_for_a_backend_that_a_reload_took_away_is_served_for_a_while),
		SESSION_TEST(interim_answers_do_not_pile_up_for_a_client_that_does_not_read),
		SESSION_TEST(answer_under_way_when_the_drain_begins_is_the_last_one),
		SESSION_TEST(tunnel_passes_the_end_of_each_side_to_the_other),
		SESSION_TEST(tunnel_whose_server_does_not_read_ends_with_its_client),
		SESSION_TEST(retried_connect_has_its_own_time),
		SESSION_TEST(request_that_a_half_closed_server_may_read_is_not_sent_again),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
