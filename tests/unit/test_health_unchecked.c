/* SPDX-License-Identifier: MIT */
/* Servers on which nothing runs have no check, until something is to run. */
#include "config.h"

#include <errno.h>

#include "health_rig.h"

/* A server of PEER's address in a backend without checks. */
static struct server *unchecked(struct rig *rig, const struct peer *peer)
{
	rig->backend->health.kind = CHECK_NONE;
	return rig_add(rig, &peer->addr);
}

static void a_server_that_is_well_and_not_checked_costs_no_check(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = unchecked(rig, peer);
	struct health_info info;

	rig_while_ms(rig, 20);
	assert_null(server->check);
	assert_true(health_info(server, &info));
	assert_int_equal(info.kind, CHECK_NONE);
	assert_string_equal(info.code, "");
	assert_int_equal(info.duration_ms, -1);
	assert_true(info.is_enabled);
	assert_int_equal(info.fall, rig->backend->health.fall);
	assert_true(sock_addr_eq(&info.addr, &peer->addr));
	assert_false(health_is_enabled(server));
	assert_int_equal(health_force(server, HEALTH_FORCED_DOWN), 0); /* the operator may */
	assert_non_null(server->check);
	assert_true(server_state(server) & SERVER_DOWN);
	assert_int_equal(health_force(server, HEALTH_FORCED_UP), 0);
	assert_false(server_state(server) & SERVER_DOWN);
}

static void a_server_in_no_set_gets_no_check(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = unchecked(rig, peer);
	struct health_info info;

	rig->specs_n = 0;
	rig_publish(rig);
	assert_false(health_info(server, &info));
	assert_int_equal(health_force(server, HEALTH_FORCED_DOWN), -ENOENT);
	health_passive(server, rig->backend, HEALTH_CONNECT_REFUSED);
	rig_while_ms(rig, 20);
	assert_null(server->check);
}

static void checks_that_a_reload_brings_begin(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = unchecked(rig, peer);
	struct health_info info;

	assert_null(server->check);
	rig->backend->health.kind = CHECK_TCP;
	rig_publish(rig);
	assert_non_null(server->check);
	rig_until(rig, health_info(server, &info) && info.checks_n == 1);
}

#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_server_that_is_well_and_not_checked_costs_no_check),
		RIG_TEST(a_server_in_no_set_gets_no_check),
		RIG_TEST(checks_that_a_reload_brings_begin),
	};

	return cmocka_run_group_tests_name("health_unchecked", tests, NULL, NULL);
}
