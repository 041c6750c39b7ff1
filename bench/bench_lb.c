/* SPDX-License-Identifier: MIT */
/*
 * bench_lb [full] - one pick, its slot taken and given back, by strategy and number of servers;
 * with a tenth and with half of them down; and on two threads at once.  Bytes are those of the set
 * with what balancing has prepared, for each server.
 */
#include "config.h"

#include <malloc.h>
#include <pthread.h>

#include "balance/lb.h"
#include "base/mem.h"
#include "base/thread.h"
#include "micro.h"

static const char *const names[BALANCE_N] = { "round_robin", "least_conn", "least_sessions",
					      "random",      "first",      "hash" };

struct group {
	struct backend backend;
	struct srvset *set;
	uint32_t n;
	double bytes_each;
};

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void group_make(struct group *group, enum balance_kind balance, uint32_t n,
		       const char *suffix)
{
	struct srvset_spec *specs = xcalloc(n, sizeof(*specs));
	char(*hosts)[16] = xcalloc(n, sizeof(*hosts)), name[64];
	size_t before;

	snprintf(name, sizeof(name), "%s-%u%s", names[balance], n, suffix);
	*group = (struct group){ .backend = { .name = str_of(name), .balance = balance }, .n = n };
	group->backend.state = backend_state_get(group->backend.name);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(hosts[i], sizeof(hosts[i]), "host-%u", i);
		specs[i] = (struct srvset_spec){ .host = str_of(hosts[i]), .weight = 100 };
		must(server_get(group->backend.state, specs[i].host, str_of("")));
	}
	before = heap_bytes();
	group->set = srvset_build(group->backend.state, specs, n);
	lb_prepare(&group->backend, group->set);
	group->bytes_each = (double)(heap_bytes() - before) / n;
	group->backend.name = str_of(""); /* was this frame's */
	free(specs);
	free(hosts);
}

/* Every tenth, or every second. */
static void group_take_down(struct group *group, uint32_t every)
{
	for (uint32_t i = 0; i < group->n; i += every)
		server_set_state(group->set->members[i].server, SERVER_DOWN, 0, "bench");
}

static void run_picks(void *arg, uint64_t n)
{
	struct group *group = arg;
	struct lb_ask ask = { .backend = &group->backend, .set = group->set, .has_key = true };
	struct srvset_member *member;

	while (n--) {
		ask.tried_n = 0;
		ask.key_hash = lb_random();
		must(lb_pick(&ask, &member) == LB_PICKED);
		server_release_slot(member->server);
	}
}

/* Only servers that are up were picked, evenly where that is promised, and no slot is left. */
static void group_check(const struct group *group)
{
	uint64_t most = 0, least = UINT64_MAX;

	for (uint32_t i = 0; i < group->n; i++) {
		struct server *server = group->set->members[i].server;
		uint64_t picked = counters_sum(&server->counters, server_picked);

		must(atomic_load(&server->used) == 0);
		if (!server_is_ready(server)) {
			must(picked == 0);
			continue;
		}
		most = picked > most ? picked : most;
		least = picked < least ? picked : least;
	}
	if (group->backend.balance == BALANCE_ROUND_ROBIN)
		must(most - least <= group->n);
	else if (group->backend.balance != BALANCE_FIRST)
		must(least > 0);
}

static void bench(bool is_full, enum balance_kind balance, uint32_t n, uint32_t down_every,
		  const char *down)
{
	struct group group;
	char name[64];

	group_make(&group, balance, n, down);
	if (down_every)
		group_take_down(&group, down_every);
	snprintf(name, sizeof(name), "%s of %u%s", names[balance], n, down);
	if (is_full || n < 1000) {
		micro_run_object(is_full, name, run_picks, &group, group.bytes_each);
	} else {
		run_picks(&group, 200000);
	}
	group_check(&group);
	srvset_free(group.set);
}

/*
 * Two threads that do nothing but pick in one backend: every server's line, and round robin's
 * turn, goes to and fro between the cores.  A thread of traffic picks once in some ten
 * microseconds, so this is the worst that sharing can cost.
 */
struct picker {
	struct group *group;
	uint64_t n;
	int index;
};

static void *pick_thread(void *arg)
{
	struct picker *picker = arg;

	thread_index = picker->index;
	run_picks(picker->group, picker->n);
	return NULL;
}

static void bench_two(bool is_full, enum balance_kind balance, uint32_t n)
{
	uint64_t times = is_full ? 2000000 : 100000, ns;
	struct group group;
	struct picker pickers[2];
	pthread_t threads[2];
	char name[64];

	group_make(&group, balance, n, " on two");
	snprintf(name, sizeof(name), "%s of %u, on two threads at once", names[balance], n);
	ns = micro_ns();
	for (int i = 0; i < 2; i++) {
		pickers[i] = (struct picker){ &group, times, i };
		must(pthread_create(&threads[i], NULL, pick_thread, &pickers[i]) == 0);
	}
	for (int i = 0; i < 2; i++)
		must(pthread_join(threads[i], NULL) == 0);
	micro_row(name, (double)(micro_ns() - ns) / (double)times, 0, group.bytes_each);
	group_check(&group);
	srvset_free(group.set);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 8, 100, 1000 };
	bool is_full = micro_begin(argc, argv, "pick");

	for (int balance = 0; balance < BALANCE_N; balance++)
		for (size_t i = 0; i < ARRAY_N(sizes); i++) {
			bench(is_full, (enum balance_kind)balance, sizes[i], 0, "");
			bench(is_full, (enum balance_kind)balance, sizes[i], 10, ", a tenth down");
			bench(is_full, (enum balance_kind)balance, sizes[i], 2, ", half down");
		}
	for (int balance = 0; balance < BALANCE_N; balance++)
		bench_two(is_full, (enum balance_kind)balance, 8);
	return 0;
}
