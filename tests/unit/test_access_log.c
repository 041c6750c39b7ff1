/* SPDX-License-Identifier: MIT */
/* The layouts of HAProxy, from facts alone. */
#include "config.h"

#include "session/access_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/access_log_line.h"

#define NOW_MS 1000000

static struct log_facts usual(void)
{
	struct log_facts facts = {
		.started_unix_ms = INT64_C(1795363158381),
		.started_ms = NOW_MS - 40,
		.begun_ms = NOW_MS - 45,
		.source = { .ip = { 10, 1, 2, 3 }, .port = 4711, .family = AF_INET },
		.frontend = "fe",
		.backend = "be",
		.server = "app/3001",
		.route = STR("-"),
		.method = STR("GET"),
		.target = STR("/a?b=c"),
		.bytes_sent = 321,
		.response_ms = 30,
		.head_ms = 5,
		.assigned_ms = 1,
		.reached_ms = 2,
		.status = 200,
		.minor = 1,
		.connections = 9,
		.frontend_connections = 8,
		.backend_requests = 7,
		.server_requests = 6,
		.persistence = { '-', '-' },
	};

	return facts;
}

typedef void layout_fn(struct line *line, const struct log_facts *facts, enum txn_end end,
		       const char *why);

static void expect(layout_fn *layout, const struct log_facts *facts, enum txn_end end,
		   const char *want)
{
	char text[4096];
	struct line line = { text, text + sizeof(text) - 1 };

	clock_set_ms(NOW_MS);
	layout(&line, facts, end, NULL);
	*line.p = '\0';
	assert_string_equal(text, want);
}

static void httplog_is_haproxys_line(void **state)
{
	struct log_facts facts = usual();

	(void)state;
	expect(access_log_httplog, &facts, END_DONE,
	       "10.1.2.3:4711 [22/Nov/2026:15:59:18.376] fe be/app:3001 5/1/2/30/45 200 321 - - "
	       "---- 9/8/7/6/0 0/0 \"GET /a?b=c HTTP/1.1\"");
}

static void tcplog_is_haproxys_line(void **state)
{
	struct log_facts facts = usual();

	(void)state;
	facts.retries = 1;
	facts.queue_ahead = 4;
	expect(access_log_tcplog, &facts, END_SERVER_GONE_DATA,
	       "10.1.2.3:4711 [22/Nov/2026:15:59:18.376] fe be/app:3001 1/2/45 321 SD 9/8/7/6/1 "
	       "0/4");
}

static void what_was_not_reached_is_minus_one(void **state)
{
	struct log_facts facts = usual();

	(void)state;
	facts.server = facts.backend = "-";
	facts.head_ms = facts.assigned_ms = facts.reached_ms = facts.response_ms = -1;
	facts.is_bad = true;
	facts.status = 400;
	expect(access_log_httplog, &facts, END_BAD_REQUEST,
	       "10.1.2.3:4711 [22/Nov/2026:15:59:18.376] fe fe/<NOSRV> -1/-1/-1/-1/45 400 321 - - "
	       "PR-- 9/8/7/6/0 0/0 \"<BADREQ>\"");
}

static void tls_ipv6_queues_and_redispatch_are_marked(void **state)
{
	struct log_facts facts = usual();

	(void)state;
	facts.is_tls = true;
	facts.source = (struct ip_addr){ .ip = { [15] = 1 }, .port = 5, .family = AF_INET6 };
	facts.retries = facts.redispatches = 2;
	facts.queue_ahead = 3;
	facts.is_own_queue = true;
	facts.persistence[0] = 'V';
	facts.persistence[1] = 'N';
	expect(access_log_httplog, &facts, END_DONE,
	       "::1:5 [22/Nov/2026:15:59:18.376] fe~ be/app:3001 5/1/2/30/45 200 321 - - --VN "
	       "9/8/7/6/+2 3/0 \"GET /a?b=c HTTP/1.1\"");
}

static void hostile_bytes_stay_within_their_field(void **state)
{
	struct log_facts facts = usual();

	(void)state;
	facts.target = STR("/\"#\x1b\xff{}\\ x");
	facts.server = "sock\" et\x7f";
	facts.source = (struct ip_addr){ 0 };
	expect(access_log_httplog, &facts, END_DONE,
	       "unix:1 [22/Nov/2026:15:59:18.376] fe be/sock__et_ 5/1/2/30/45 200 321 - - ---- "
	       "9/8/7/6/0 0/0 \"GET /#22#23#1B#FF{}\\ x HTTP/1.1\"");
}

/* Parsers know the letters of HAProxy's manual (8.5) and no others. */
static void every_end_has_haproxys_letters(void **state)
{
	(void)state;
	for (unsigned end = 0; end < TXN_END_N; end++) {
		for (unsigned whole = 0; whole < 2; whole++) {
			struct log_facts facts = usual();
			char text[4096];
			struct line line = { text, text + sizeof(text) - 1 };
			const char *at;

			facts.is_whole = whole;
			access_log_tcplog(&line, &facts, (enum txn_end)end, NULL);
			*line.p = '\0';
			at = strstr(text, " 321 ");
			assert_non_null(at);
			assert_non_null(strchr("CSPLRIDUKcs-", at[5]));
			assert_non_null(strchr("RQCHDLT-", at[6]));
			assert_int_equal(at[7], ' ');
		}
	}
}

static void tunnels_end_in_data(void **state)
{
	static const struct {
		enum txn_end end;
		bool is_whole;
		const char *want;
	} rows[] = {
		{ END_TUNNEL_CLIENT, false, " CD 9" },   { END_TUNNEL_SERVER, false, " SD 9" },
		{ END_TUNNEL_CLIENT, true, " -- 9" },    { END_TUNNEL_TIMEOUT, false, " sD 9" },
		{ END_SHUTDOWN, false, " KD 9" },        { END_SESSION_DEAD, false, " LR 9" },
		{ END_SESSION_UNKNOWN, false, " PR 9" }, { END_NO_ROUTE, false, " SC 9" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct log_facts facts = usual();
		char text[4096];
		struct line line = { text, text + sizeof(text) - 1 };

		facts.is_whole = rows[i].is_whole;
		access_log_tcplog(&line, &facts, rows[i].end, NULL);
		*line.p = '\0';
		assert_non_null(strstr(text, rows[i].want));
	}
}

static void a_line_is_cut_at_its_end(void **state)
{
	struct log_facts facts = usual();
	char *text = malloc(100); /* of just that size, for the address sanitizer */
	struct line line = { text, text + 100 };

	(void)state;
	access_log_httplog(&line, &facts, END_DONE, NULL);
	assert_ptr_equal(line.p, text + 100);
	free(text);
}

static void local_time_follows_the_zone(void **state)
{
	char out[LOG_TIME_SIZE];

	(void)state;
	/* Half an hour before and after summer time begins in Berlin; 2026-03-29 01:00 UTC. */
	assert_int_equal(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
	tzset();
	log_time_clf(INT64_C(1774744200007), out);
	assert_string_equal(out, "29/Mar/2026:01:30:00.007");
	log_time_clf(INT64_C(1774747800007), out);
	assert_string_equal(out, "29/Mar/2026:03:30:00.007");
	log_time_bsd(INT64_C(1774747800007), out);
	assert_string_equal(out, "Mar 29 03:30:00");
	log_time_bsd(INT64_C(1772496000000), out);
	assert_string_equal(out, "Mar  3 01:00:00");
	unsetenv("TZ");
	tzset();
}

static int in_utc(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(httplog_is_haproxys_line),
		cmocka_unit_test(tcplog_is_haproxys_line),
		cmocka_unit_test(what_was_not_reached_is_minus_one),
		cmocka_unit_test(tls_ipv6_queues_and_redispatch_are_marked),
		cmocka_unit_test(hostile_bytes_stay_within_their_field),
		cmocka_unit_test(every_end_has_haproxys_letters),
		cmocka_unit_test(tunnels_end_in_data),
		cmocka_unit_test(a_line_is_cut_at_its_end),
		cmocka_unit_test(local_time_follows_the_zone),
	};

	return cmocka_run_group_tests_name("access_log", tests, in_utc, NULL);
}
