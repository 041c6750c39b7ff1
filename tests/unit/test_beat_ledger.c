/* SPDX-License-Identifier: MIT */
/* Counters over any restarts: what was told is in the sums, once. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/bug.h"
#include "mirror/beat_internal.h"

/*
 * Two nodes that count, tell, die and start in any order; Redis that is emptied now and then while
 * somebody lives who remembers.
 */
struct life {
	struct beat_ledger ledger;
	uint64_t counters[BEAT_COUNTS_N];
	uint64_t all, told; /* ever counted: what the pair must say is what was told */
	bool is_alive;
};

static struct beat_value fields[2];
static bool has_field[2];

static void tell(struct life *life, int node)
{
	struct beat_value value = { 0 };

	beat_ledger_meet(&life->ledger, has_field[node] ? &fields[node] : NULL);
	beat_ledger_count(&life->ledger, life->counters);
	beat_ledger_tell(&life->ledger, &value);
	value.boot = life->ledger.boot;
	fields[node] = value;
	has_field[node] = true;
	life->told = life->all;
}

static void step(struct life *lives, unsigned *boot)
{
	int node = rand() % 2;
	struct life *life = &lives[node];
	uint64_t n = (uint64_t)(rand() % 100);

	if (!life->is_alive) {
		life->ledger = (struct beat_ledger){ .boot = ++*boot };
		memset(life->counters, 0, sizeof(life->counters));
		life->is_alive = true;
		life->all = life->told;
		return;
	}
	switch (rand() % 8) {
	case 0:
		life->is_alive = false;
		break;
	case 1:
		memset(life->counters, 0, sizeof(life->counters)); /* clear counters all */
		/* What was counted since the last look is the operator's to forget. */
		life->all = life->told;
		memset(life->ledger.read, 0, sizeof(life->ledger.read));
		break;
	case 2:
		if (life->ledger.is_open) /* an emptied Redis: this node's field is told anew */
			has_field[node] = false;
		tell(life, node);
		break;
	case 3:
	case 4:
		tell(life, node);
		break;
	default:
		life->counters[BEAT_requests] += n;
		life->all += n;
	}
}

static void nothing_is_lost_or_doubled_whoever_dies(void **state unused_arg)
{
	unsigned seed = (unsigned)time(NULL), boot = 0;

	for (unsigned run = 0; run < 2000; run++) {
		struct life lives[2] = { { .is_alive = false } };

		srand(seed + run);
		memset(has_field, 0, sizeof(has_field));
		for (int i = 0; i < 100; i++) {
			uint64_t sum = 0;

			step(lives, &boot);
			for (int node = 0; node < 2; node++)
				if (has_field[node])
					sum += fields[node].base[BEAT_requests] +
					       fields[node].counts[BEAT_requests];
			if (sum != lives[0].told + lives[1].told)
				fail_msg("seed %u, step %d: %llu, not %llu", seed + run, i,
					 (unsigned long long)sum,
					 (unsigned long long)(lives[0].told + lives[1].told));
		}
	}
}

static void the_last_words_of_the_boot_before_are_counted(void **state unused_arg)
{
	struct beat_ledger ledger = { .boot = 2 };
	struct beat_value field_1 = { .boot = 1, .counts = { 10 } }, value;

	beat_ledger_meet(&ledger, &field_1);
	field_1.counts[0] = 12;
	beat_ledger_meet(&ledger, &field_1);
	beat_ledger_meet(&ledger, &field_1);
	field_1.boot = 3; /* nobody's that we know */
	beat_ledger_meet(&ledger, &field_1);
	beat_ledger_tell(&ledger, &value);
	assert_int_equal(value.base[0], 12);
}

static void sums_do_not_wrap(void **state unused_arg)
{
	struct beat_ledger ledger = { .boot = 2 };
	struct beat_value hostile = { .boot = 1, .base = { UINT64_MAX }, .counts = { UINT64_MAX } };
	uint64_t counters[BEAT_COUNTS_N] = { 5 };
	struct beat_value value;

	beat_ledger_meet(&ledger, &hostile);
	beat_ledger_count(&ledger, counters);
	beat_ledger_tell(&ledger, &value);
	assert_true(beat_add(value.base[0], value.counts[0]) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_or_doubled_whoever_dies),
		cmocka_unit_test(the_last_words_of_the_boot_before_are_counted),
		cmocka_unit_test(sums_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
