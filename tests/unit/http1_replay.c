/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "http1_replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct outcome {
	enum parse parse;
	const char *why;
	char facts[4096]; /* of a head that is done */
	size_t size;
};

typedef enum parse parse_fn(const char *buf, size_t len, size_t seen,
			    const struct http1_limits *limits, struct http_head *head,
			    const char **why);
typedef void show_fn(const struct http_head *head, char *out, size_t size);

struct replay {
	const struct head_row *row;
	struct http1_limits limits;
	parse_fn *parse;
	show_fn *show;
};

static void show_flags(const struct http_head *head, FILE *out)
{
	static const char *const framings[] = { "none", "len=", "chunked", "close" };

	fprintf(out, " %s", framings[head->framing]);
	if (head->framing == FRAMING_LENGTH)
		fprintf(out, "%llu", (unsigned long long)head->content_length);
	fprintf(out, "%s%s%s%s", head->minor == 0 ? " 1.0" : "", head->is_keep_alive ? " ka" : "",
		head->has_connection_upgrade ? " up" : "", head->is_websocket ? " ws" : "");
	if (head->has_content_length && head->framing != FRAMING_LENGTH)
		fprintf(out, " cl=%llu", (unsigned long long)head->content_length);
}

void http1_show_request(const struct http_head *head, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");

	fprintf(out, "%.*s ", STR_ARG(head->method));
	fprintf(out, "%.*s ", STR_ARG(head->authority.p ? head->authority : STR("-")));
	fprintf(out, "%.*s ", STR_ARG(head->path));
	if (head->query.p)
		fprintf(out, "?%.*s", STR_ARG(head->query));
	else
		fprintf(out, "-");
	show_flags(head, out);
	fprintf(out, "%s%s", head->is_absolute_form ? " abs" : "",
		head->has_expect_continue ? " exp" : "");
	fclose(out);
}

void http1_show_response(const struct http_head *head, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");

	fprintf(out, "%u %.*s", head->status, STR_ARG(head->reason));
	show_flags(head, out);
	fclose(out);
}

void http1_show_fields(const struct http_head *head, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");

	for (unsigned i = 0; i < head->fields_n; i++) {
		const struct http_field *field = &head->fields[i];

		fprintf(out, "%s%s%.*s=%.*s", i ? " " : "", field->is_hop ? "!" : "",
			STR_ARG(field->name), STR_ARG(field->value));
	}
	fclose(out);
}

static struct outcome parse_piece(const struct replay *replay, size_t len, size_t seen)
{
	static struct http_head head;
	struct outcome outcome = { .why = NULL };
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, replay->row->input.p, len);
	memset(&head, 0xa5, sizeof(head));
	outcome.parse = replay->parse(copy, len, seen, &replay->limits, &head, &outcome.why);
	if (outcome.parse == PARSE_DONE) {
		size_t used;

		replay->show(&head, outcome.facts, sizeof(outcome.facts) / 2);
		used = strlen(outcome.facts);
		outcome.facts[used] = '\n';
		http1_show_fields(&head, outcome.facts + used + 1,
				  sizeof(outcome.facts) - used - 1);
		outcome.size = head.size;
	}
	free(copy);
	return outcome;
}

static void fail_row(const struct replay *replay, const char *how, size_t at,
		     const struct outcome *got, const struct outcome *want)
{
	static const char *const names[] = { "done", "more", "bad" };

	fail_msg("row '%s', %s %zu: %s (%s) instead of %s (%s)\ngot  %s\nwant %s",
		 replay->row->name, how, at, names[got->parse], got->why ? got->why : "",
		 names[want->parse], want->why ? want->why : "", got->facts, want->facts);
}

static bool is_same(const struct outcome *a, const struct outcome *b)
{
	return a->parse == b->parse && a->why == b->why && a->size == b->size &&
	       strcmp(a->facts, b->facts) == 0;
}

/* What LEN bytes may say, when all of them say WHOLE. */
static void check_prefix(const struct replay *replay, const char *how, size_t len,
			 const struct outcome *got, const struct outcome *whole)
{
	bool must_be_done = whole->parse == PARSE_DONE && len >= whole->size;
	bool may_be_more = !must_be_done && len < replay->row->input.len;

	if (whole->parse == PARSE_MORE)
		may_be_more = true;
	if (is_same(got, whole) && (got->parse != PARSE_DONE || must_be_done))
		return;
	if (got->parse != PARSE_MORE || !may_be_more)
		fail_row(replay, how, len, got, whole);
}

static void replay_cuts(const struct replay *replay, const struct outcome *whole)
{
	size_t len = replay->row->input.len;
	bool is_over = false, was_bad = false;

	for (size_t cut = 0; cut <= len; cut++) {
		struct outcome prefix = parse_piece(replay, cut, 0);
		struct outcome rest, step;

		check_prefix(replay, "prefix of", cut, &prefix, whole);
		if (was_bad && prefix.parse != PARSE_BAD)
			fail_row(replay, "good again at", cut, &prefix, whole);
		was_bad = prefix.parse == PARSE_BAD;
		if (prefix.parse == PARSE_MORE) {
			rest = parse_piece(replay, len, cut);
			if (cut < len && !is_same(&rest, whole))
				fail_row(replay, "in two pieces, cut at", cut, &rest, whole);
		}
		if (!is_over && cut > 0) {
			step = parse_piece(replay, cut, cut - 1);
			check_prefix(replay, "byte by byte, at", cut, &step, whole);
			is_over = step.parse != PARSE_MORE;
		}
	}
	if (is_over != (whole->parse != PARSE_MORE))
		fail_msg("row '%s': byte by byte it never ends", replay->row->name);
}

static void replay_row(const struct replay *replay)
{
	const struct head_row *row = replay->row;
	struct outcome whole = parse_piece(replay, row->input.len, 0);
	struct outcome want = { .parse = row->why    ? PARSE_BAD
					 : row->want ? PARSE_DONE
						     : PARSE_MORE,
				.why = row->why };
	char *fields;

	if (whole.parse != want.parse || whole.why != want.why)
		fail_row(replay, "whole", row->input.len, &whole, &want);
	replay_cuts(replay, &whole);
	if (whole.parse != PARSE_DONE)
		return;
	fields = strchr(whole.facts, '\n');
	*fields++ = '\0';
	if (strcmp(whole.facts, row->want) != 0)
		fail_msg("row '%s': '%s' instead of '%s'", row->name, whole.facts, row->want);
	if (row->fields && strcmp(fields, row->fields) != 0)
		fail_msg("row '%s': '%s' instead of '%s'", row->name, fields, row->fields);
}

static void replay_rows(const struct head_row *rows, size_t rows_n, parse_fn *parse, show_fn *show)
{
	for (size_t i = 0; i < rows_n; i++) {
		struct replay replay = { &rows[i], rows[i].limits, parse, show };

		if (!replay.limits.target_size_max)
			replay.limits.target_size_max = TARGET_SIZE_MAX;
		if (!replay.limits.head_size_max)
			replay.limits.head_size_max = HEAD_SIZE_MAX;
		replay_row(&replay);
	}
}

void replay_requests(const struct head_row *rows, size_t rows_n)
{
	replay_rows(rows, rows_n, http1_parse_request, http1_show_request);
}

void replay_responses(const struct head_row *rows, size_t rows_n)
{
	replay_rows(rows, rows_n, http1_parse_response, http1_show_response);
}
