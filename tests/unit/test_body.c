/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/body.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conn_pair.h"

/* Two socketpairs with a body between: test -> source | relay | destination -> test. */
struct rig {
	int from, to; /* the test's ends */
	struct conn source, destination;
	struct buf in, out;
	struct body body;
	struct body_path path;
	bool is_held;
	struct buf tapped, arrived;
};

static void on_event(struct conn *conn, enum conn_ev ev)
{
	(void)conn;
	(void)ev;
}

static void tap(void *arg, struct str piece)
{
	buf_append_str(&((struct rig *)arg)->tapped, piece);
}

static int setup(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));

	conn_pair(&rig->source, on_event, &rig->from);
	conn_pair(&rig->destination, on_event, &rig->to);
	rig->path = (struct body_path){ .source = &rig->source,
					.in = &rig->in,
					.destination = &rig->destination,
					.out = &rig->out,
					.tap = tap,
					.arg = rig,
					.is_held = &rig->is_held };
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	conn_close(&rig->source);
	conn_close(&rig->destination);
	if (rig->from >= 0)
		close(rig->from);
	if (rig->to >= 0)
		close(rig->to);
	buf_release(&rig->in);
	buf_release(&rig->out);
	buf_release(&rig->tapped);
	buf_release(&rig->arrived);
	buf_pool_fini();
	free(rig);
	return 0;
}

/* Takes what has arrived at the test's end. */
static void take(struct rig *rig)
{
	for (;;) {
		ssize_t n;

		buf_reserve(&rig->arrived, 65536);
		n = recv(rig->to, buf_tail(&rig->arrived), 65536, 0);
		if (n <= 0)
			break;
		buf_fill(&rig->arrived, (size_t)n);
	}
	if (!buf_length(&rig->arrived))
		buf_release(&rig->arrived);
}

/* As the loop would: an edge on both conns, and again for as long as there is more to do. */
static enum body_result run(struct rig *rig)
{
	enum body_result result;

	do {
		rig->source.can_read = !rig->source.is_eof;
		rig->destination.can_write = true;
		result = body_relay(&rig->body, &rig->path);
		take(rig);
	} while (result == BODY_YIELD || result == BODY_WAIT_WRITE);
	return result;
}

static void put(struct rig *rig, const char *bytes, size_t n)
{
	if (n)
		assert_int_equal(send(rig->from, bytes, n, 0), n);
}

static void end_source(struct rig *rig)
{
	close(rig->from);
	rig->from = -1;
}

struct row {
	const char *name;
	enum http_framing from, to;
	struct str input;
	uint64_t length;
	bool is_ended; /* the source closes behind the input */
	enum body_result want;
	struct str body;   /* what the tap sees */
	struct str output; /* what arrives; CHUNKED: when the input came in one piece */
	size_t left;       /* bytes behind the body, which stay in IN */
};

static const struct row rows[] = {
	{ "length", FRAMING_LENGTH, FRAMING_LENGTH, STR_INIT("hello"), 5, false, BODY_DONE,
	  STR_INIT("hello"), STR_INIT("hello"), 0 },
	{ "length, and the next message", FRAMING_LENGTH, FRAMING_LENGTH, STR_INIT("helloGET /"), 5,
	  false, BODY_DONE, STR_INIT("hello"), STR_INIT("hello"), 5 },
	{ "length, too little", FRAMING_LENGTH, FRAMING_LENGTH, STR_INIT("hell"), 5, true, BODY_EOF,
	  STR_INIT("hell"), STR_INIT("hell"), 0 },
	{ "chunked", FRAMING_CHUNKED, FRAMING_CHUNKED,
	  STR_INIT("5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), 0, false, BODY_DONE,
	  STR_INIT("hello!"), STR_INIT("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), 0 },
	{ "chunked, and the next message", FRAMING_CHUNKED, FRAMING_CHUNKED,
	  STR_INIT("1\r\na\r\n0\r\n\r\nGET"), 0, false, BODY_DONE, STR_INIT("a"),
	  STR_INIT("1\r\na\r\n0\r\n\r\n"), 3 },
	{ "chunked, trailers", FRAMING_CHUNKED, FRAMING_CHUNKED,
	  STR_INIT("1\r\na\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\n\r\n"), 0, false, BODY_DONE,
	  STR_INIT("a"), STR_INIT("1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n"), 0 },
	{ "chunked to HTTP/1.0", FRAMING_CHUNKED, FRAMING_CLOSE, STR_INIT("2\r\nab\r\n0\r\n\r\n"),
	  0, false, BODY_DONE, STR_INIT("ab"), STR_INIT("ab"), 0 },
	{ "chunked, cut off", FRAMING_CHUNKED, FRAMING_CHUNKED, STR_INIT("2\r\nab\r\n"), 0, true,
	  BODY_EOF, STR_INIT("ab"), STR_INIT("2\r\nab\r\n"), 0 },
	{ "chunked, bad size", FRAMING_CHUNKED, FRAMING_CLOSE, STR_INIT("2\r\nab\r\nx\r\n"), 0,
	  false, BODY_BAD, STR_INIT("ab"), STR_INIT(""), 0 },
	{ "until close", FRAMING_CLOSE, FRAMING_CHUNKED, STR_INIT("abc"), 0, true, BODY_DONE,
	  STR_INIT("abc"), STR_INIT("3\r\nabc\r\n0\r\n\r\n"), 0 },
	{ "until close to HTTP/1.0", FRAMING_CLOSE, FRAMING_CLOSE, STR_INIT("abc"), 0, true,
	  BODY_DONE, STR_INIT("abc"), STR_INIT("abc"), 0 },
	{ "empty until close", FRAMING_CLOSE, FRAMING_CHUNKED, STR_INIT(""), 0, true, BODY_DONE,
	  STR_INIT(""), STR_INIT("0\r\n\r\n"), 0 },
};

static void assert_bytes(const char *name, const struct buf *have, struct str want)
{
	if (!str_eq(buf_str(have), want))
		fail_msg("%s: have \"%.*s\", want \"%.*s\"", name, STR_ARG(buf_str(have)),
			 STR_ARG(want));
}

/* Sends ROW's input cut at CUT, or in single bytes (CUT < 0). */
static void play(struct rig *rig, const struct row *row, ptrdiff_t cut)
{
	size_t n = row->input.len;
	enum body_result result = BODY_WAIT_READ;

	body_init(&rig->body, row->from, row->length, row->to);
	for (size_t at = 0, step; at < n && result == BODY_WAIT_READ; at += step) {
		step = cut < 0 ? 1 : at < (size_t)cut ? (size_t)cut : n - at;
		put(rig, row->input.p + at, step);
		result = run(rig);
		if (result == BODY_DONE && at + step < n) {
			put(rig, row->input.p + at + step, n - at - step); /* not ours to read */
			return;
		}
	}
	if (row->is_ended) {
		end_source(rig);
		result = run(rig);
	}
	if (result != row->want)
		fail_msg("%s, cut %td: result %d, not %d", row->name, cut, result, row->want);
}

static void check(struct rig *rig, const struct row *row, ptrdiff_t cut)
{
	assert_bytes(row->name, &rig->tapped, row->body);
	assert_int_equal(rig->body.bytes, row->body.len);
	if (row->to != FRAMING_CHUNKED && row->want != BODY_BAD)
		assert_bytes(row->name, &rig->arrived, row->output);
	if (cut == 0) {
		if (row->want != BODY_BAD)
			assert_bytes(row->name, &rig->arrived, row->output);
		if (row->want == BODY_DONE)
			assert_int_equal(buf_length(&rig->in), row->left);
	}
	if (!buf_length(&rig->in))
		assert_null(rig->in.block); /* nothing to do, no storage */
}

static void each_body_is_relayed_however_it_is_cut(void **state)
{
	teardown(state);
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		for (ptrdiff_t cut = -1; cut < (ptrdiff_t)rows[i].input.len; cut++) {
			struct rig *rig;

			setup(state);
			rig = *state;
			play(rig, &rows[i], cut);
			check(rig, &rows[i], cut);
			teardown(state);
		}
	}
	setup(state);
}

static void what_stands_before_the_body_goes_first(void **state)
{
	struct rig *rig = *state;

	body_init(&rig->body, FRAMING_LENGTH, 4, FRAMING_LENGTH);
	buf_append_str(&rig->out, STR("HEAD "));
	put(rig, "body", 4);
	assert_int_equal(run(rig), BODY_DONE);
	assert_bytes("", &rig->arrived, STR("HEAD body"));
	assert_null(rig->out.block);
}

static void held_body_is_tapped_but_not_sent(void **state)
{
	struct rig *rig = *state;

	rig->is_held = true;
	body_init(&rig->body, FRAMING_LENGTH, 4, FRAMING_LENGTH);
	buf_append_str(&rig->out, STR("HEAD "));
	put(rig, "bo", 2);
	assert_int_equal(run(rig), BODY_WAIT_READ);
	put(rig, "dy", 2);
	assert_int_equal(run(rig), BODY_DONE);
	assert_bytes("", &rig->tapped, STR("body"));
	assert_int_equal(buf_length(&rig->arrived), 0);
	rig->is_held = false;
	assert_int_equal(run(rig), BODY_DONE);
	assert_bytes("", &rig->arrived, STR("HEAD body"));
}

static void dropped_body_is_read_to_its_end(void **state)
{
	struct rig *rig = *state;

	body_init(&rig->body, FRAMING_CHUNKED, 0, FRAMING_CHUNKED);
	rig->body.is_dropped = true;
	put(rig, "3\r\nabc\r\n0\r\n\r\n", 13);
	assert_int_equal(run(rig), BODY_DONE);
	assert_int_equal(rig->body.bytes, 3);
	assert_int_equal(buf_length(&rig->arrived), 0);
}

static void broken_ends_are_told_apart(void **state)
{
	struct rig *rig = *state;

	body_init(&rig->body, FRAMING_LENGTH, 100, FRAMING_LENGTH);
	close(rig->to);
	rig->to = -1;
	put(rig, "abc", 3);
	rig->source.can_read = true;
	assert_int_equal(body_relay(&rig->body, &rig->path), BODY_DESTINATION_FAIL);
}

/* A destination that takes nothing bounds what is read for it. */
static void slow_reader_stops_the_reading(void **state)
{
	struct rig *rig = *state;
	char *block = xcalloc(1, 65536);
	size_t put_n = 0, held;
	enum body_result result = BODY_WAIT_READ;

	body_init(&rig->body, FRAMING_CHUNKED, 0, FRAMING_CHUNKED);
	put(rig, "fffffff\r\n", 9);
	for (int i = 0; i < 400 && result != BODY_WAIT_WRITE; i++) {
		ssize_t n = send(rig->from, block, 65536, 0);

		put_n += n > 0 ? (size_t)n : 0;
		rig->source.can_read = true;
		result = body_relay(&rig->body, &rig->path);
	}
	assert_int_equal(result, BODY_WAIT_WRITE);
	held = buf_length(&rig->in) + buf_length(&rig->out);
	for (int i = 0; i < 50; i++) {
		ssize_t n = send(rig->from, block, 65536, 0);

		put_n += n > 0 ? (size_t)n : 0;
		rig->source.can_read = true;
		assert_int_equal(body_relay(&rig->body, &rig->path), BODY_WAIT_WRITE);
	}
	assert_int_equal(buf_length(&rig->in) + buf_length(&rig->out), held);
	assert_true(held <= 1024 * 1024);
	assert_true(put_n > held);
	free(block);
}

#define BODY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		BODY_TEST(each_body_is_relayed_however_it_is_cut),
		BODY_TEST(what_stands_before_the_body_goes_first),
		BODY_TEST(held_body_is_tapped_but_not_sent),
		BODY_TEST(dropped_body_is_read_to_its_end),
		BODY_TEST(broken_ends_are_told_apart),
		BODY_TEST(slow_reader_stops_the_reading),
	};

	return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
