/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "model/out.h"

struct fixture {
	struct arena arena;
	struct diag diag;
	struct config_messages messages;
};

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	arena_init(&fixture->arena, 4096);
	diag_init(&fixture->diag, "t", &fixture->arena);
	setenv("LT_SET", "from-env", 1);
	setenv("LT_EMPTY", "", 1);
	unsetenv("LT_UNSET");
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	diag_fini(&fixture->diag);
	config_messages_fini(&fixture->messages);
	arena_fini(&fixture->arena);
	free(fixture);
	return 0;
}

/* The tree on one line: {k=v,...}, [a,b], text. */
static void show(struct out *out, const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR) {
		out_text(out, node->text);
		return;
	}
	out_format(out, node->kind == YAML_MAP ? "{" : "[");
	for (size_t i = 0; i < node->n; i++) {
		out_format(out, "%s", i ? "," : "");
		if (node->kind == YAML_MAP) {
			out_text(out, node->pairs[i].key->text);
			out_format(out, "=");
		}
		show(out, node->kind == YAML_MAP ? node->pairs[i].value : node->items[i]);
	}
	out_format(out, node->kind == YAML_MAP ? "}" : "]");
}

struct row {
	const char *text;
	const char *tree;    /* NULL = none */
	const char *message; /* the first one, NULL = none */
};

static void check_row(const struct row *row)
{
	struct fixture *fixture;
	void *state;
	struct yaml_node *root;
	struct out out;

	setup(&state);
	fixture = state;
	out_init(&out);
	root = yaml_read(str_of(row->text), &fixture->arena, &fixture->diag);
	if (root)
		show(&out, root);
	diag_finish(&fixture->diag, &fixture->messages);
	if (row->tree && strcmp(out.p, row->tree) != 0)
		fail_msg("'%s' gave tree '%s', not '%s'", row->text, out.p, row->tree);
	if (!row->tree && root)
		fail_msg("'%s' gave a tree", row->text);
	if (!row->message && fixture->messages.n)
		fail_msg("'%s' gave '%s'", row->text, fixture->messages.texts[0]);
	if (row->message &&
	    (!fixture->messages.n || strcmp(fixture->messages.texts[0], row->message) != 0))
		fail_msg("'%s' gave '%s', not '%s'", row->text,
			 fixture->messages.n ? fixture->messages.texts[0] : "nothing",
			 row->message);
	out_fini(&out);
	teardown(&state);
}

static void documents_become_trees(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "a: 1\nb: [x, {c: d}]\n", "{a=1,b=[x,{c=d}]}", NULL },
		{ "a: &x {k: v}\nb: *x\n", "{a={k=v},b={k=v}}", NULL },
		{ "a: &x word\nb: *x\n", "{a=word,b=word}", NULL },
		{ "a: &x 1\nb: &x 2\nc: *x\n", "{a=1,b=2,c=2}", NULL },
		{ "b: &x {k: 1, m: 2}\na: {<<: *x, k: own}\n", "{b={k=1,m=2},a={k=own,m=2}}",
		  NULL },
		{ "b: &x {k: 1, m: 2}\na: {k: own, <<: *x}\n", "{b={k=1,m=2},a={k=own,m=2}}",
		  NULL },
		{ "x: &x {k: 1}\ny: &y {k: 2, l: 3}\na: {<<: [*x, *y]}\n",
		  "{x={k=1},y={k=2,l=3},a={k=1,l=3}}", NULL },
		{ "x: &x {k: 1}\ny: &y {<<: *x, l: 2}\na: {<<: *y}\n",
		  "{x={k=1},y={l=2,k=1},a={l=2,k=1}}", NULL },
		{ "a: {\"<<\": v}\n", "{a={<<=v}}", NULL },
		{ "a: {<<: 1}\n", "{a={}}", "t:1:5: '<<' merges a mapping or a list of mappings" },
		{ "a: {<<: [1]}\n", "{a={}}", "t:1:10: '<<' merges mappings only" },
		{ "a: 1\nb: 2\na: 3\n", "{a=1,b=2}",
		  "t:3:1: key 'a' is given twice; it is on line 1 already" },
		{ "[a, b]: 1\n", NULL,
		  "t:1:1: a key must be a plain word, not a list or a mapping" },
		{ "a: *x\n", NULL, "t:1:4: alias '*x' has no anchor before it" },
		{ "a: &x [*x]\n", NULL, "t:1:8: an alias leads to what it stands in" },
		{ "a: 1\n---\nb: 2\n", NULL,
		  "t:2:1: a second document; a configuration is one document" },
		{ "", NULL, "t: the file is empty" },
		{ "# only a comment\n", NULL, "t: the file is empty" },
		{ "a: [1\n", NULL,
		  "t:2:1: not YAML: did not find expected ',' or ']' while parsing a flow "
		  "sequence" },
		{ "a: \"x\\0y\"\n", NULL, "t:1:4: a NUL byte in a text" },
		{ "a: \xc3\n", NULL,
		  "t: not text in UTF-8: invalid trailing UTF-8 octet at byte 4" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		check_row(&rows[i]);
}

static void the_environment_is_put_in(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "a: ${LT_SET}\n", "{a=from-env}", NULL },
		{ "a: \"x ${LT_SET} y ${LT_SET}\"\n", "{a=x from-env y from-env}", NULL },
		{ "${LT_SET}: 1\n", "{from-env=1}", NULL },
		{ "a: ${LT_UNSET:-d:e}\n", "{a=d:e}", NULL },
		{ "a: ${LT_SET:-d}\n", "{a=from-env}", NULL },
		{ "a: ${LT_EMPTY:-d}\n", "{a=d}", NULL },
		{ "a: x${LT_EMPTY}y\n", "{a=xy}", NULL },
		{ "a: ${LT_UNSET:-}\n", "{a=}", NULL },
		{ "a: $$5 $${x} $$$$\n", "{a=$5 ${x} $$}", NULL },
		{ "a: ^x$\n", "{a=^x$}", NULL },
		{ "a: $LT_SET\n", "{a=$LT_SET}", NULL },
		{ "k:\n  a: ${LT_UNSET}\n", "{k={a=${LT_UNSET}}}",
		  "t:2:6: environment variable 'LT_UNSET' is not set; set it, or write "
		  "'${LT_UNSET:-default}'" },
		{ "a: ${LT_SET\n", "{a=${LT_SET}", "t:1:4: '${' without a '}'" },
		{ "a: ${1X}\n", "{a=${1X}}",
		  "t:1:4: '${1X}' does not name a variable of the environment; write '$$' for a "
		  "'$'" },
		{ "a: ${}\n", "{a=${}}",
		  "t:1:4: '${}' does not name a variable of the environment; write '$$' for a "
		  "'$'" },
		{ "a: 1\n${LT_UNSET:-a}: 2\n", "{a=1}",
		  "t:2:1: key 'a' is given twice; it is on line 1 already" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		check_row(&rows[i]);
}

static void every_node_knows_its_place(void **state)
{
	struct fixture *fixture = *state;
	struct yaml_node *root =
		yaml_read(STR("a:\n  - x\n  - {k: v}\n"), &fixture->arena, &fixture->diag);
	const struct yaml_node *list;

	assert_non_null(root);
	list = yaml_get(root, STR("a"));
	assert_int_equal(list->items[0]->line, 2);
	assert_int_equal(list->items[0]->column, 5);
	assert_int_equal(list->items[1]->pairs[0].value->line, 3);
	assert_int_equal(list->items[1]->pairs[0].value->column, 9);
	assert_null(yaml_get(root, STR("b")));
}

static void large_mappings_find_keys_given_twice(void **state)
{
	struct fixture *fixture = *state;
	struct out out;

	out_init(&out);
	for (int i = 0; i < 5000; i++)
		out_format(&out, "key-%d: %d\n", i, i);
	out_format(&out, "key-4321: again\n");
	assert_non_null(yaml_read((struct str){ out.p, out.len }, &fixture->arena, &fixture->diag));
	diag_finish(&fixture->diag, &fixture->messages);
	assert_int_equal(fixture->messages.n, 1);
	assert_string_equal(fixture->messages.texts[0],
			    "t:5001:1: key 'key-4321' is given twice; it is on line 4322 already");
	out_fini(&out);
}

/* The index grows when merged keys come to a mapping that is large by itself. */
static void large_mappings_merge_what_they_lack(void **state)
{
	struct fixture *fixture = *state;
	struct yaml_node *root, *both;
	struct out out;

	out_init(&out);
	out_format(&out, "more: &more\n");
	for (int i = 0; i < 3000; i++)
		out_format(&out, "  key-%d: of-more\n", i);
	out_format(&out, "both:\n  <<: *more\n");
	for (int i = 0; i < 3000; i += 100)
		out_format(&out, "  key-%d: of-both\n", i);
	root = yaml_read((struct str){ out.p, out.len }, &fixture->arena, &fixture->diag);
	both = yaml_get(root, STR("both"));
	assert_int_equal(both->n, 3000);
	for (int i = 0; i < 3000; i += 25) {
		char key[32];

		snprintf(key, sizeof(key), "key-%d", i);
		assert_true(str_eq(yaml_get(both, str_of(key))->text,
				   i % 100 ? STR("of-more") : STR("of-both")));
	}
	out_fini(&out);
}

static void refused_with(void **state, struct str text, const char *why)
{
	struct fixture *fixture = *state;

	assert_null(yaml_read(text, &fixture->arena, &fixture->diag));
	diag_finish(&fixture->diag, &fixture->messages);
	assert_int_equal(fixture->messages.errors_n, 1);
	assert_non_null(strstr(fixture->messages.texts[0], why));
}

static void a_bomb_of_aliases_is_refused(void **state)
{
	struct out out;

	out_init(&out);
	out_format(&out, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 20; i++) {
		out_format(&out, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			out_format(&out, "%s*a%d", k ? ", " : "", i - 1);
		out_format(&out, "]\n");
	}
	refused_with(state, (struct str){ out.p, out.len },
		     "the file is too large once its aliases are written out");
	out_fini(&out);
}

static void a_bomb_of_merges_is_refused(void **state)
{
	struct out out;

	out_init(&out);
	out_format(&out, "m: &m {");
	for (int i = 0; i < 3000; i++)
		out_format(&out, "k%d: 1, ", i);
	out_format(&out, "}\nl:\n");
	for (int i = 0; i < 1000; i++)
		out_format(&out, "- {<<: *m}\n");
	refused_with(state, (struct str){ out.p, out.len },
		     "the file is too large once its aliases are written out");
	out_fini(&out);
}

static void deep_nesting_is_refused(void **state)
{
	struct out out;

	out_init(&out);
	for (int i = 0; i < 40; i++)
		out_text(&out, STR("["));
	refused_with(state, (struct str){ out.p, out.len }, "nested too deeply");
	out_fini(&out);
}

static void nesting_through_aliases_is_refused(void **state)
{
	struct out out;

	out_init(&out);
	out_format(&out, "a0: &a0 [x]\n");
	for (int i = 1; i < 40; i++)
		out_format(&out, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	refused_with(state, (struct str){ out.p, out.len }, "nested too deeply");
	out_fini(&out);
}

static void a_text_that_grows_through_variables_is_refused(void **state)
{
	static char value[4096];
	struct fixture *fixture = *state;
	struct out out;

	memset(value, 'x', sizeof(value) - 1);
	setenv("LT_LONG", value, 1);
	out_init(&out);
	out_format(&out, "a: \"");
	for (int i = 0; i < 20; i++)
		out_format(&out, "${LT_LONG}");
	out_format(&out, "\"\n");
	assert_non_null(yaml_read((struct str){ out.p, out.len }, &fixture->arena, &fixture->diag));
	diag_finish(&fixture->diag, &fixture->messages);
	assert_string_equal(fixture->messages.texts[0],
			    "t:1:4: the text is too long once its variables are put in");
	unsetenv("LT_LONG");
	out_fini(&out);
}

static void scalars_are_written_so_that_they_read_the_same(void **state)
{
	static const char *const texts[] = { "plain", "yes", "null", "",     "a b",  "x: y",
					     "$HOME", "a#b", "\"\\", "l\nl", "\x01", "caf\xc3\xa9",
					     "- x",   "*",   "1.2",  "~" };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_N(texts); i++) {
		struct yaml_node *root;
		struct out out;

		out_init(&out);
		out_text(&out, STR("["));
		out_scalar(&out, str_of(texts[i]));
		out_text(&out, STR("]"));
		root = yaml_read((struct str){ out.p, out.len }, &fixture->arena, &fixture->diag);
		assert_non_null(root);
		assert_string_equal(root->items[0]->text.p, texts[i]);
		assert_false(yaml_is_null(root->items[0]));
		out_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_become_trees),
		cmocka_unit_test(the_environment_is_put_in),
		cmocka_unit_test_setup_teardown(every_node_knows_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(large_mappings_find_keys_given_twice, setup,
						teardown),
		cmocka_unit_test_setup_teardown(large_mappings_merge_what_they_lack, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_bomb_of_aliases_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bomb_of_merges_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(deep_nesting_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(nesting_through_aliases_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_text_that_grows_through_variables_is_refused,
						setup, teardown),
		cmocka_unit_test_setup_teardown(scalars_are_written_so_that_they_read_the_same,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
