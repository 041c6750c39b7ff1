/* SPDX-License-Identifier: MIT */
/* What checks and agents say and hear, and the operator's switches: beside test_health.c. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/regex.h"
#include "health/health.h"
#include "health_rig.h"

static struct health_info info_of(const struct server *server)
{
	struct health_info info;

	assert_true(health_info(server, &info));
	return info;
}

static bool is_down(const struct server *server)
{
	return server_state(server) & SERVER_DOWN;
}

static void check_over_http(struct rig *rig, const char *pattern)
{
	char error[REGEX_ERROR_SIZE];
	size_t offset;

	rig->backend->health.kind = CHECK_HTTP;
	rig->backend->health.interval_ms = 10;
	rig->backend->health.body.written = STR("x");
	rig->backend->health.body.regex = regex_new(str_of(pattern), error, &offset);
	assert_non_null(rig->backend->health.body.regex);
}

static void free_pattern(struct rig *rig)
{
	regex_free((struct regex *)(uintptr_t)rig->backend->health.body.regex);
	rig->backend->health.body.regex = NULL;
}

static void bodies_of_every_framing_are_judged(void **state)
{
	static const struct {
		const char *answer, *code;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready", "L7OK" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nready", "L7RSP" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready", "L7RSP" }, /* cut */
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nready", "L7RSP" },
		{ "HTTP/1.1 200 OK\r\n\r\nalready", "L7OK" },
		{ "HTTP/1.1 200 OK\r\n\r\n", "L7RSP" },
		{ "HTTP/1.1 204 No\r\n\r\nready", "L7RSP" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n3\r\nrea\r\n2;x=y\r\ndy\r\n0"
		  "\r\nA: b\r\n\r\n",
		  "L7OK" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n",
		  "L7RSP" }, /* cut */
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nready", "L7RSP" },
		{ "HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nready", "L7STS" },
	};
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);

	check_over_http(rig, "ready$");
	for (size_t row = 0; row < ARRAY_N(rows) * 2; row++) {
		struct server *server;
		uint64_t checks_n;

		peer->answer = rows[row / 2].answer;
		peer->is_byte_by_byte = row % 2;
		server = rig->specs_n ? rig_server(rig, 0) : rig_add(rig, &peer->addr);
		checks_n = info_of(server).checks_n;
		rig_until(rig, info_of(server).checks_n >= checks_n + 2);
		if (strcmp(info_of(server).code, rows[row / 2].code) != 0)
			fail_msg("row %zu: %s (%s)", row, info_of(server).code,
				 info_of(server).text);
	}
	free_pattern(rig);
}

static void texts_are_sent_and_expected(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct health_conf *health = &rig->backend->health;
	struct server *server;

	health->interval_ms = 10;
	health->timeout_ms = 1000;
	health->send = health->send_written = STR("PING\r\n");
	health->expect = (struct text_match){ .written = STR("+PONG"), .bytes = STR("+PONG") };
	peer->answer = "-x\r\n+PONG\r\n";
	peer->is_byte_by_byte = true;
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	assert_string_equal(info_of(server).code, "L7OK");
	peer->answer = "+PONK\r\n";
	rig_until(rig, strcmp(info_of(server).code, "L7RSP") == 0);
	rig_until(rig, is_down(server));
}

static void check_elsewhere_that_is_refused_is_no_death(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig), *other = rig_peer(rig);
	struct server *server;
	unsigned before;

	rig->backend->health.port = sock_addr_ip(&other->addr).port;
	server = rig_add(rig, &peer->addr);
	before = atomic_load(&server->generation);
	rig_until(rig, info_of(server).checks_n >= 2);
	assert_int_equal(peer->accepted_n, 0);
	rig_kill(other);
	rig_until(rig, info_of(server).failures == 1);
	assert_false(is_down(server)); /* fall is 3 */
	rig_until(rig, is_down(server));
	assert_int_equal(atomic_load(&server->generation), before);
	rig_revive(other);
	rig_until(rig, !is_down(server));
	/* Traffic's word counts for the process: a probe goes to its own address. */
	rig_kill(peer);
	health_passive(server, rig->backend, HEALTH_CONNECT_REFUSED);
	assert_int_equal(atomic_load(&server->generation), before + 1);
	rig_while_ms(rig, 100);
	assert_true(is_down(server));
	rig_revive(peer);
	rig_until(rig, !is_down(server));
}

static void operator_s_port_goes_before_the_configured_one(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig), *other = rig_peer(rig);
	struct server *server = rig_add(rig, &peer->addr);
	struct health_info info;

	rig_until(rig, info_of(server).checks_n >= 1);
	assert_int_equal(health_set_check_port(server, sock_addr_ip(&other->addr).port), 0);
	rig_until(rig, other->accepted_n >= 2);
	rig_publish(rig); /* a reload keeps it */
	info = info_of(server);
	assert_true(sock_addr_eq(&info.addr, &other->addr));
	assert_int_equal(health_set_check_port(server, 0), 0);
	info = info_of(server);
	assert_true(sock_addr_eq(&info.addr, &peer->addr));
}

static void checks_that_are_off_change_nothing(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = rig_add(rig, &peer->addr);
	uint64_t checks_n;

	rig_until(rig, info_of(server).checks_n >= 1);
	assert_true(health_is_enabled(server));
	assert_int_equal(health_set_enabled(server, false), 0);
	assert_false(health_is_enabled(server));
	checks_n = info_of(server).checks_n;
	rig_kill(peer);
	rig_while_ms(rig, 150);
	assert_int_equal(info_of(server).checks_n, checks_n);
	assert_false(is_down(server));
	assert_int_equal(health_set_enabled(server, true), 0);
	rig_until(rig, is_down(server));
}

static void forced_states_hold_until_a_check_finds_otherwise(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = rig_add(rig, &peer->addr);

	rig_until(rig, info_of(server).checks_n >= 1);
	assert_int_equal(health_force(server, HEALTH_FORCED_DOWN), 0);
	assert_true(is_down(server));
	rig_until(rig, !is_down(server)); /* rise checks later */
	assert_int_equal(health_force(server, HEALTH_FORCED_STOPPING), 0);
	assert_true(server_is_able(server));
	assert_false(server_is_ready(server));
	assert_int_equal(health_force(server, HEALTH_FORCED_UP), 0);
	assert_true(server_is_ready(server));
}

static void forced_down_without_checks_stays(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;

	rig->backend->health.kind = CHECK_NONE;
	server = rig_add(rig, &peer->addr);
	assert_int_equal(health_force(server, HEALTH_FORCED_DOWN), 0);
	rig_while_ms(rig, 150);
	assert_true(is_down(server));
	assert_int_equal(health_force(server, HEALTH_FORCED_UP), 0);
	assert_false(is_down(server));
}

static void switches_of_a_server_in_no_set_are_refused(void **state)
{
	struct rig *rig = *state;
	struct server *server = server_get(rig->backend->state, STR("h"), STR("nobody"));

	assert_int_equal(health_set_enabled(server, true), -ENOENT);
	assert_int_equal(health_force(server, HEALTH_FORCED_UP), -ENOENT);
	assert_int_equal(agent_force(server, true), -ENOENT);
	assert_int_equal(health_set_check_port(server, 1), -ENOENT);
	assert_false(health_has_agent(server));
}

static unsigned weighed_n;
static void on_weight(struct server *server)
{
	(void)server;
	weighed_n++;
}

static struct server *with_agent(struct rig *rig, struct peer *agent)
{
	struct peer *peer = rig_peer(rig);

	rig->backend->health.kind = CHECK_NONE;
	rig->backend->agent = (struct agent_conf){ .port = sock_addr_ip(&agent->addr).port,
						   .interval_ms = 10,
						   .timeout_ms = 1000,
						   .send = STR("?\n") };
	return rig_add(rig, &peer->addr);
}

static void agent_s_words_become_state_and_weight(void **state)
{
	struct rig *rig = *state;
	struct peer *agent = rig_peer(rig);
	struct server *server;

	server_weight_hook = on_weight;
	agent->answer = "down,drain\t20%\n";
	agent->is_byte_by_byte = true;
	server = with_agent(rig, agent);
	assert_true(health_has_agent(server) && agent_is_enabled(server));
	rig_until(rig, server_state(server) == (SERVER_AGENT_DOWN | SERVER_AGENT_DRAIN));
	rig_until(rig, info_of(server).agent_code[0]);
	assert_string_equal(info_of(server).agent_code, "L7STS");
	assert_int_equal(info_of(server).agent_health, 0);
	assert_int_equal(atomic_load(&server->agent_weight_pct), 20);
	assert_int_equal(weighed_n, 1);
	agent->answer = "up ready\n";
	rig_until(rig, server_is_ready(server));
	rig_until(rig, strcmp(info_of(server).agent_code, "L7OK") == 0);
	assert_int_equal(atomic_load(&server->agent_weight_pct), 20); /* not said: it stays */
	rig->backend->agent.port = 0;
	rig_publish(rig);
	assert_false(health_has_agent(server));
	assert_int_equal(atomic_load(&server->agent_weight_pct), 100);
	assert_int_equal(weighed_n, 2);
	server_weight_hook = NULL;
}

static void agent_that_is_gone_changes_nothing(void **state)
{
	struct rig *rig = *state;
	struct peer *agent = rig_peer(rig);
	struct server *server;

	agent->answer = "maint\n";
	server = with_agent(rig, agent);
	rig_until(rig, server_state(server) == SERVER_AGENT_MAINT);
	rig_kill(agent);
	rig_until(rig, strcmp(info_of(server).agent_code, "L4CON") == 0);
	assert_int_equal(server_state(server), SERVER_AGENT_MAINT);
	rig_revive(agent);
	agent->answer = "no such word\n";
	rig_until(rig, strcmp(info_of(server).agent_code, "L7RSP") == 0);
	assert_int_equal(server_state(server), SERVER_AGENT_MAINT);
}

static void agent_that_never_ends_its_line_is_cut_off(void **state)
{
	static char flood[8192];
	struct rig *rig = *state;
	struct peer *agent = rig_peer(rig);
	struct server *server;

	memset(flood, 'x', sizeof(flood) - 1);
	agent->answer = flood;
	server = with_agent(rig, agent);
	rig_until(rig, info_of(server).agent_code[0]);
	assert_string_equal(info_of(server).agent_code, "L7RSP");
	assert_int_equal(server_state(server), 0);
}

static void fast_check_asks_at_once_and_a_success_clears_the_count(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;

	rig->backend->health.interval_ms = 5000;
	rig->backend->health.fast_interval_ms = 10;
	rig->backend->passive =
		(struct passive_conf){ .failures = 2, .window_ms = 10000, .is_fast_check = true };
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	health_passive(server, rig->backend, HEALTH_5XX);
	health_passive(server, rig->backend, HEALTH_CONNECT_FAILED);
	assert_true(server_is_ready(server));
	rig_until(rig, info_of(server).checks_n == 2);
	assert_int_equal(atomic_load(&server->failures), 0);
	rig_while_ms(rig, 100);
	assert_int_equal(info_of(server).checks_n, 2); /* the usual interval again */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		CASE(bodies_of_every_framing_are_judged),
		CASE(texts_are_sent_and_expected),
		CASE(check_elsewhere_that_is_refused_is_no_death),
		CASE(operator_s_port_goes_before_the_configured_one),
		CASE(checks_that_are_off_change_nothing),
		CASE(forced_states_hold_until_a_check_finds_otherwise),
		CASE(forced_down_without_checks_stays),
		CASE(switches_of_a_server_in_no_set_are_refused),
		CASE(agent_s_words_become_state_and_weight),
		CASE(agent_that_is_gone_changes_nothing),
		CASE(agent_that_never_ends_its_line_is_cut_off),
		CASE(fast_check_asks_at_once_and_a_success_clears_the_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
