/* SPDX-License-Identifier: MIT */
/* What of a head goes on, in each direction: each row through the whole engine. */
#include "config.h"

#include "session_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct rig *rig;

static int teardown(void **state)
{
	(void)state;
	if (rig)
		rig_free(rig);
	rig = NULL;
	return 0;
}

/* A configuration with some lines of the frontend, the route and the backend. */
static void start(const char *frontend, const char *route, const char *backend)
{
	char yaml[2048];

	snprintf(yaml, sizeof(yaml),
		 "global: {threads: 1}\nfrontends:\n"
		 "  web: {bind: \"unix:DIR/f\", request_id: false, backend: one%s,\n"
		 "    routes: [{match: {path_prefix: /}, backend: one%s}]}\n"
		 "backends:\n  one: {hosts: {a: \"unix:DIR/a\"}, passive_check: false%s}\n",
		 frontend, route, backend);
	rig = rig_new(yaml);
}

/* What the server sees of REQUEST. */
static const char *passed_request(const char *request)
{
	int client = rig_client(rig), server;

	rig_send(client, request);
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	close(client);
	close(server);
	return rig->text;
}

/* What the client sees of RESPONSE, after which the server closes. */
static const char *passed_response(const char *request, const char *response)
{
	int client = rig_client(rig), server;

	rig_send(client, request);
	server = rig_accept(rig, 'a');
	rig_expect_part(rig, server, "\r\n\r\n");
	rig_send(server, response);
	close(server);
	rig_expect_part(rig, client, "\r\n\r\n");
	close(client);
	return rig->text;
}

#define GET   "GET / HTTP/1.1\r\nHost: h\r\n"
#define PLAIN ", forwarded: none"

static void fields_of_the_connection_are_not_passed_on(void **state)
{
	static const struct {
		const char *request, *want;
	} rows[] = {
		{ GET "A: 1\r\n\r\n", GET "A: 1\r\n\r\n" },
		{ GET "Connection: close, X-Mine\r\nX-Mine: 1\r\nB: 2\r\n\r\n",
		  GET "B: 2\r\n\r\n" },
		{ GET "Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nC: 3\r\n\r\n",
		  GET "C: 3\r\n\r\n" },
		{ GET "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
		  GET "\r\n" },
		{ GET "Connection: Host, Cookie\r\nCookie: a=b\r\n\r\n",
		  GET "Cookie: a=b\r\n\r\n" },
		{ "GET http://other/p?q HTTP/1.1\r\nHost: h\r\nD: 4\r\n\r\n",
		  "GET /p?q HTTP/1.1\r\nHost: other\r\nD: 4\r\n\r\n" },
		{ "GET http://other HTTP/1.1\r\nHost: h\r\n\r\n",
		  "GET / HTTP/1.1\r\nHost: other\r\n\r\n" },
		{ "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		  "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ "GET / HTTP/1.0\r\nHost: h\r\n\r\n", GET "\r\n" },
		{ "\r\nGET / HTTP/1.1\r\nHost: h\r\nE: 5\r\n\r\n", GET "E: 5\r\n\r\n" },
		/* The request line goes with the first field, dropped or not. */
		{ "\r\nGET /a?b HTTP/1.1\r\nTE: x\r\nHost: h\r\n\r\n",
		  "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ "GET / HTTP/1.0\r\nKeep-Alive: 5\r\nHost: h\r\n\r\n", GET "\r\n" },
		{ "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\n\r\n" },
	};

	(void)state;
	start("", "", PLAIN);
	for (size_t i = 0; i < ARRAY_N(rows); i++)
		assert_string_equal(passed_request(rows[i].request), rows[i].want);
}

static void answer_is_framed_for_the_client_that_asked(void **state)
{
#define OK11 "HTTP/1.1 200 OK\r\n"
	static const struct {
		const char *request, *response, *want;
	} rows[] = {
		{ GET "\r\n", OK11 "Content-Length: 2\r\n\r\nhi",
		  OK11 "Content-Length: 2\r\n\r\nhi" },
		{ GET "\r\n", OK11 "Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
		  OK11 "Content-Length: 0\r\n\r\n" },
		{ GET "\r\n", OK11 "Connection: X-Mine\r\nX-Mine: 1\r\nContent-Length: 0\r\n\r\n",
		  OK11 "Content-Length: 0\r\n\r\n" },
		{ GET "Connection: close\r\n\r\n", OK11 "Content-Length: 0\r\n\r\n",
		  OK11 "Content-Length: 0\r\nConnection: close\r\n\r\n" },
		{ "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
		  OK11 "Content-Length: 0\r\n\r\n",
		  OK11 "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n" },
		{ "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
		  OK11 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  OK11 "Connection: close\r\n\r\n" },
		{ GET "\r\n", "HTTP/1.0 200 OK\r\n\r\n",
		  OK11 "Transfer-Encoding: chunked\r\n\r\n" },
		{ GET "\r\n", "HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n",
		  "HTTP/1.1 204 None\r\n\r\n" },
		{ GET "\r\n", "HTTP/1.1 304 Same\r\nContent-Length: 7\r\n\r\n",
		  "HTTP/1.1 304 Same\r\nContent-Length: 7\r\n\r\n" },
		{ GET "\r\n", OK11 "Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		  OK11 "Content-Length: 0\r\n\r\n" },
		{ GET "\r\n", "HTTP/1.1 204 None at all\r\nKeep-Alive: timeout=5\r\n\r\n",
		  "HTTP/1.1 204 None at all\r\n\r\n" },
		{ GET "\r\n", "HTTP/1.1 204\r\nA: b\r\n\r\n", "HTTP/1.1 204 \r\nA: b\r\n\r\n" },
		{ GET "\r\n", "HTTP/1.1 204 \r\nA: b\r\n\r\n", "HTTP/1.1 204 \r\nA: b\r\n\r\n" },
		{ GET "\r\n", "HTTP/1.1 204 None\r\n\r\n", "HTTP/1.1 204 None\r\n\r\n" },
		{ "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", OK11 "Transfer-Encoding: chunked\r\n\r\n",
		  OK11 "\r\n" },
		{ "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", OK11 "Content-Length: 9\r\n\r\n",
		  OK11 "Content-Length: 9\r\n\r\n" },
	};

	(void)state;
	start("", "", PLAIN);
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		const char *have = passed_response(rows[i].request, rows[i].response);

		if (strncmp(have, rows[i].want, strlen(rows[i].want)) != 0)
			fail_msg("row %zu: have \"%s\", want \"%s\"", i, have, rows[i].want);
	}
}

static void route_s_edits_win_over_the_backend_s(void **state)
{
	(void)state;
	start("", ", set_headers: {X-A: route}, remove_headers: [X-B]",
	      PLAIN ", set_headers: {X-A: backend, X-C: backend}, remove_headers: [Cookie]");
	assert_string_equal(passed_request(GET "X-A: client\r\nx-b: client\r\nX-C: client\r\n"
					       "Cookie: a=b\r\nX-D: client\r\n\r\n"),
			    GET "X-D: client\r\nX-C: backend\r\nX-A: route\r\n\r\n");
}

static void own_cookie_is_for_us_alone(void **state)
{
	const char *have;

	(void)state;
	start("", "", PLAIN ", stick: [{cookie: {name: SRV, secret: abcdefghijklmnop}}]");
	have = passed_request(GET "Cookie: a=b; SRV=x; c=d\r\nCookie: SRV=y\r\n\r\n");
	assert_non_null(strstr(have, "a=b"));
	assert_non_null(strstr(have, "c=d"));
	assert_null(strstr(have, "SRV"));
	assert_null(strstr(have, "Cookie: \r\n"));
	have = passed_response(GET "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	assert_non_null(strstr(have, "Set-Cookie: SRV="));
}

static void handshake_is_asked_for_without_compression(void **state)
{
	(void)state;
	start("", "", PLAIN ", stick: engineio");
	assert_null(strstr(passed_request("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n"
					  "Host: h\r\nAccept-Encoding: gzip\r\n\r\n"),
			   "gzip"));
	assert_non_null(strstr(passed_request("GET /socket.io/?EIO=4&sid=x HTTP/1.1\r\n"
					      "Host: h\r\nAccept-Encoding: gzip\r\n\r\n"),
			       "gzip"));
	assert_non_null(strstr(passed_request(GET "Accept-Encoding: gzip\r\n\r\n"), "gzip"));
}

static void request_id_is_kept_when_it_is_fit_and_made_when_not(void **state)
{
	char line[512];
	char *id;

	(void)state;
	rig = rig_new("global: {threads: 1}\nfrontends:\n"
		      "  web: {bind: \"unix:DIR/f\", backend: one}\n"
		      "backends:\n  one: {hosts: {a: \"unix:DIR/a\"}, forwarded: none}\n");
	assert_string_equal(passed_request(GET "X-Request-Id: mine\r\n\r\n"),
			    GET "X-Request-Id: mine\r\n\r\n");
	memset(line, 'x', sizeof(line));
	memcpy(line, GET "X-Request-Id: ", strlen(GET "X-Request-Id: "));
	memcpy(line + 300, "\r\n\r\n", 5);
	id = strstr(passed_request(line), "X-Request-Id: ");
	assert_non_null(id);
	assert_int_equal(strcspn(id + 14, "\r"), 32);
	assert_int_equal(strspn(id + 14, "0123456789abcdef"), 32);
}

#define HEAD_TEST(name) cmocka_unit_test_setup_teardown(name, NULL, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		HEAD_TEST(fields_of_the_connection_are_not_passed_on),
		HEAD_TEST(answer_is_framed_for_the_client_that_asked),
		HEAD_TEST(route_s_edits_win_over_the_backend_s),
		HEAD_TEST(own_cookie_is_for_us_alone),
		HEAD_TEST(handshake_is_asked_for_without_compression),
		HEAD_TEST(request_id_is_kept_when_it_is_fit_and_made_when_not),
	};

	return cmocka_run_group_tests_name("head_write", tests, NULL, NULL);
}
