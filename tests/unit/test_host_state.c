/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/host_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Host "h" with three workers, and another one that must not count. */
static struct srvset *make_set(void)
{
	struct srvset_spec specs[4] = { 0 };
	static const char *const workers[] = { "1", "2", "3", "1" };

	for (size_t i = 0; i < ARRAY_N(specs); i++)
		specs[i] = (struct srvset_spec){ .host = i < 3 ? STR("h") : STR("other"),
						 .worker = str_of(workers[i]),
						 .weight = 100 };
	return srvset_build(backend_state_get(STR("b")), specs, ARRAY_N(specs));
}

static void host_is_what_its_workers_come_to(void **state unused_arg)
{
	static const struct {
		unsigned states[3];
		const char *name;
	} rows[] = {
		{ { 0, 0, 0 }, "UP" },
		{ { 0, SERVER_DOWN, SERVER_MAINT }, "UP" },
		{ { SERVER_DRAIN, SERVER_DOWN, SERVER_MAINT }, "DRAIN" },
		{ { SERVER_SICK, SERVER_AGENT_DRAIN, SERVER_DRAIN }, "DRAIN" },
		{ { SERVER_MAINT, SERVER_AGENT_MAINT, SERVER_MAINT | SERVER_DOWN }, "MAINT" },
		{ { SERVER_MAINT, SERVER_DOWN, SERVER_MAINT }, "DOWN" },
		{ { SERVER_AGENT_DOWN, SERVER_DOWN, SERVER_GONE }, "DOWN" },
	};
	struct srvset *set = make_set();

	for (size_t row = 0; row < ARRAY_N(rows); row++) {
		struct host_state host;

		for (size_t i = 0; i < 3; i++)
			atomic_store(&set->members[i].server->state, rows[row].states[i]);
		host = host_state_of(set, 0, NULL, 0);
		assert_string_equal(host_state_name(&host), rows[row].name);
		assert_int_equal(host.members_n, 3);
		assert_int_equal(host.up + host.drain + host.maint + host.down, 3);
	}
	srvset_free(set);
}

static void one_worker_may_count_as_in_another_state(void **state unused_arg)
{
	struct srvset *set = make_set();
	struct host_state host;

	for (size_t i = 0; i < 3; i++)
		atomic_store(&set->members[i].server->state, SERVER_DOWN);
	host = host_state_of(set, 0, set->members[1].server, 0);
	assert_string_equal(host_state_name(&host), "UP");
	assert_int_equal(host.down, 2);
	srvset_free(set);
}

static void worst_bit_names_a_server_s_state(void **state unused_arg)
{
	assert_string_equal(server_state_name(0), "UP");
	assert_string_equal(server_state_name(SERVER_DOWN | SERVER_DRAIN), "DOWN");
	assert_string_equal(server_state_name(SERVER_AGENT_DOWN), "DOWN (agent)");
	assert_string_equal(server_state_name(SERVER_AGENT_DRAIN), "DRAIN (agent)");
	assert_string_equal(server_state_name(SERVER_MAINT | SERVER_DOWN), "MAINT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_is_what_its_workers_come_to),
		cmocka_unit_test(one_worker_may_count_as_in_another_state),
		cmocka_unit_test(worst_bit_names_a_server_s_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
