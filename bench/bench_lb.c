/* SPDX-License-Identifier: MIT */
/* bench_lb - time of one pick by strategy and number of servers, one thread. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "balance/lb.h"
#include "base/clock.h"
#include "base/mem.h"

#define PICKS 1000000u

static const char *const names[BALANCE_N] = { "round_robin", "least_conn", "least_sessions",
					      "random",      "first",      "hash" };

static void bench(enum balance_kind balance, uint32_t n, uint32_t down_n)
{
	struct backend backend = { .balance = balance };
	struct srvset_spec *specs = xcalloc(n, sizeof(*specs));
	char(*hosts)[16] = xcalloc(n, sizeof(*hosts));
	struct lb_ask ask = { .backend = &backend, .has_key = true };
	struct srvset_member *member;
	char name[32];
	int64_t from_us;

	snprintf(name, sizeof(name), "%s-%u-%u", names[balance], n, down_n);
	backend.name = str_of(name);
	backend.state = backend_state_get(backend.name);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(hosts[i], sizeof(hosts[i]), "host-%u", i);
		specs[i] = (struct srvset_spec){ .host = str_of(hosts[i]), .weight = 100 };
	}
	ask.set = srvset_build(backend.state, specs, n);
	from_us = clock_now_us();
	lb_prepare(&backend, ask.set);
	printf("%-15s %5u servers %4u down: prepare %6.2f ms,", names[balance], n, down_n,
	       (double)(clock_now_us() - from_us) / 1000);
	for (uint32_t i = 0; i < down_n; i++)
		server_set_state(ask.set->members[i].server, SERVER_DOWN, 0, "bench");
	from_us = clock_now_us();
	for (uint32_t i = 0; i < PICKS; i++) {
		ask.tried_n = 0;
		ask.key_hash = lb_random();
		bug_on(lb_pick(&ask, &member) != LB_PICKED);
		server_release_slot(member->server);
	}
	printf(" pick %7.1f ns\n", (double)(clock_now_us() - from_us) * 1000 / PICKS);
	srvset_free(ask.set);
	free(specs);
	free(hosts);
}

int main(void)
{
	static const uint32_t sizes[] = { 4, 16, 64, 1000 };

	for (int balance = 0; balance < BALANCE_N; balance++)
		for (size_t i = 0; i < ARRAY_N(sizes); i++) {
			bench((enum balance_kind)balance, sizes[i], 0);
			bench((enum balance_kind)balance, sizes[i], sizes[i] / 2);
		}
	return 0;
}
