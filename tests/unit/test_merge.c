/* SPDX-License-Identifier: MIT */
/* merge_decide(): every case of its table, and what has to hold for any two records. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "balance/table_share.h"
#include "model/server.h"

#define SIDE(s, v, n)                                                                              \
	{                                                                                          \
		.is_there = true, .state = s, .version = v, .server = n                            \
	}

static const struct {
	const char *name;
	struct merge_side ours, theirs;
	enum merge_action stream, stored;
} cases[] = {
	{ "nothing here", { .is_there = false }, SIDE(RECORD_LIVE, 5, 1), MERGE_TAKE, MERGE_TAKE },
	{ "nothing here, a tombstone",
	  { .is_there = false },
	  SIDE(RECORD_TOMB, 5, SERVER_NONE),
	  MERGE_TAKE,
	  MERGE_TAKE },
	{ "newer", SIDE(RECORD_LIVE, 4, 1), SIDE(RECORD_LIVE, 5, 2), MERGE_TAKE, MERGE_TAKE },
	{ "never told", SIDE(RECORD_LIVE, 0, 1), SIDE(RECORD_LIVE, 5, 2), MERGE_TAKE, MERGE_TAKE },
	{ "older", SIDE(RECORD_LIVE, 6, 1), SIDE(RECORD_LIVE, 5, 2), MERGE_PROPOSE, MERGE_PROPOSE },
	{ "the same", SIDE(RECORD_LIVE, 5, 1), SIDE(RECORD_LIVE, 5, 1), MERGE_EXTEND,
	  MERGE_EXTEND },
	{ "older than our tombstone", SIDE(RECORD_TOMB, 6, SERVER_NONE), SIDE(RECORD_LIVE, 5, 1),
	  MERGE_PROPOSE, MERGE_PROPOSE },
	{ "a newer tombstone", SIDE(RECORD_LIVE, 4, 1), SIDE(RECORD_TOMB, 5, SERVER_NONE),
	  MERGE_TAKE, MERGE_TAKE },
	{ "assigned again after our tombstone", SIDE(RECORD_TOMB, 4, SERVER_NONE),
	  SIDE(RECORD_LIVE, 5, 1), MERGE_TAKE, MERGE_TAKE },
	{ "dead there", SIDE(RECORD_LIVE, 5, 1), SIDE(RECORD_DEAD, 5, 1), MERGE_TAKE, MERGE_TAKE },
	{ "dead here", SIDE(RECORD_DEAD, 5, 1), SIDE(RECORD_LIVE, 5, 1), MERGE_EXTEND,
	  MERGE_EXTEND },
	{ "one version made twice", SIDE(RECORD_LIVE, 5, 1), SIDE(RECORD_LIVE, 5, 2), MERGE_EXTEND,
	  MERGE_TAKE },
};

static void every_case_is_decided_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		enum merge_action stream =
			merge_decide(&cases[i].ours, &cases[i].theirs, MERGE_STREAM);
		enum merge_action stored =
			merge_decide(&cases[i].ours, &cases[i].theirs, MERGE_STORED);

		if (stream != cases[i].stream || stored != cases[i].stored)
			fail_msg("%s: %d %d", cases[i].name, stream, stored);
	}
}

static void nothing_overwrites_an_unanswered_proposal(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct merge_side ours = cases[i].ours;

		ours.is_proposed = true;
		if (!ours.is_there)
			continue;
		assert_int_equal(merge_decide(&ours, &cases[i].theirs, MERGE_STREAM), MERGE_KEEP);
		assert_int_equal(merge_decide(&ours, &cases[i].theirs, MERGE_STORED), MERGE_KEEP);
	}
}

/* Two nodes with different copies: after each has met the other's, they have the same. */
static void two_nodes_that_swap_what_they_have_agree(void **state)
{
	(void)state;
	for (uint64_t v = 1; v < 4; v++)
		for (uint64_t w = 1; w < 4; w++)
			for (int s = RECORD_LIVE; s <= RECORD_TOMB; s++) {
				const struct merge_side a = SIDE((enum record_state)s, v, 1);
				const struct merge_side b = SIDE(RECORD_LIVE, w, 1);
				bool a_takes = merge_decide(&a, &b, MERGE_STREAM) == MERGE_TAKE;
				bool b_takes = merge_decide(&b, &a, MERGE_STREAM) == MERGE_TAKE;

				if (v == w && s == RECORD_TOMB)
					continue; /* nobody makes those: see "made twice" */
				assert_false(a_takes && b_takes);
				assert_true(a_takes || b_takes || v == w);
			}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_is_decided_as_the_table_says),
		cmocka_unit_test(nothing_overwrites_an_unanswered_proposal),
		cmocka_unit_test(two_nodes_that_swap_what_they_have_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
