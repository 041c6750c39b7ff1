/* SPDX-License-Identifier: MIT */
/* The rows of commands, and what is made from them and kept in the tree. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "control/commands.h"
#include "control/stat.h"

/* A file of the source tree, (own) text. */
static char *read_source(const char *name)
{
	const char *top = getenv("top_srcdir");
	char *path = xasprintf("%s/%s", top ? top : ".", name);
	char *text = xcalloc(1, 1 << 20);
	FILE *file = fopen(path, "r");

	if (!file)
		fail_msg("cannot open %s", path);
	(void)!fread(text, 1, (1 << 20) - 1, file);
	fclose(file);
	free(path);
	return text;
}

static void assert_holds(const char *file, char *made)
{
	char *text = read_source(file);

	if (!strstr(text, made))
		fail_msg("%s is stale: see limpet-gencommands", file);
	free(text);
	free(made);
}

static void the_manual_has_the_list_of_commands(void **state)
{
	(void)state;
	assert_holds("doc/runtime-api.md", commands_reference());
}

static void the_completion_has_the_words_of_all_commands(void **state)
{
	char *made = commands_words();
	char *block = xasprintf("_limpetctl_commands=(\n%s)\n", made);

	(void)state;
	free(made);
	assert_holds("contrib/limpetctl.bash-completion", block);
}

static void commands_are_sorted_and_none_is_there_twice(void **state)
{
	(void)state;
	for (unsigned i = 1; i < commands_n; i++)
		if (strcmp(commands[i - 1].words, commands[i].words) >= 0)
			fail_msg("'%s' before '%s'", commands[i - 1].words, commands[i].words);
}

static void the_longest_row_that_matches_is_found(void **state)
{
	struct line_words words = { .words = { STR_INIT("show"), STR_INIT("servers"),
					       STR_INIT("conn"), STR_INIT("chat") },
				    .n = 4 };
	unsigned taken;

	(void)state;
	assert_string_equal(command_find(&words, &taken)->words, "show servers conn");
	assert_int_equal(taken, 3);
	words.n = 2;
	assert_string_equal(command_find(&words, &taken)->words, "");
	assert_int_equal(taken, 0);
}

static void show_stat_has_the_103_columns_in_their_order(void **state)
{
	static const struct {
		int at;
		const char *name;
	} known[] = {
		{ 0, "pxname" },
		{ 17, "status" },
		{ 32, "type" },
		{ 50, "srv_abrt" },
		{ 73, "addr" },
		{ 89, "src_ilim" },
		{ 102, "agg_check_status" },
	};

	(void)state;
	assert_int_equal(STAT_N, 103);
	for (size_t i = 0; i < ARRAY_N(known); i++)
		assert_string_equal(stat_columns[known[i].at].name, known[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_has_the_list_of_commands),
		cmocka_unit_test(the_completion_has_the_words_of_all_commands),
		cmocka_unit_test(commands_are_sorted_and_none_is_there_twice),
		cmocka_unit_test(the_longest_row_that_matches_is_found),
		cmocka_unit_test(show_stat_has_the_103_columns_in_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
