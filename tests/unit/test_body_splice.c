/* SPDX-License-Identifier: MIT */
/* Bulk through a body: what goes through pipes arrives as if it had been copied. */
#include "config.h"

#include "session/body.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/pipe.h"
#include "conn_pair.h"

#define SIZE (3u * 1024 * 1024 + 77)

/* test -> source | relay | destination -> test */
struct rig {
	int from, to; /* the test's ends; -1 = closed */
	struct conn source, destination;
	struct buf in, out;
	struct body body;
	struct body_path path;
	char *input; /* what the source sends */
	size_t input_n, put;
	struct buf arrived;
	uint64_t seen, unseen; /* bytes told to the tap */
	uint64_t blind;        /* what it need not see: from each multiple of FRAME on */
	size_t piece_max;      /* of one send */
};

static void on_event(struct conn *conn, enum conn_ev ev)
{
	(void)conn;
	(void)ev;
}

/* Of every FRAME bytes the last BLIND need not be seen. */
#define FRAME 100000u

static uint64_t unseen(void *arg)
{
	struct rig *rig = arg;
	uint64_t at = (rig->seen + rig->unseen) % FRAME;

	if (rig->blind == UINT64_MAX)
		return UINT64_MAX;
	return at < FRAME - rig->blind ? 0 : FRAME - at;
}

static void tap(void *arg, struct str piece)
{
	struct rig *rig = arg;

	if (piece.p) {
		rig->seen += piece.len;
		return;
	}
	assert_true(piece.len <= unseen(rig));
	rig->unseen += piece.len;
}

static int setup(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));

	clock_set_ms(1000);
	signal(SIGPIPE, SIG_IGN);
	conn_pair(&rig->source, on_event, &rig->from);
	conn_pair(&rig->destination, on_event, &rig->to);
	rig->path = (struct body_path){ .source = &rig->source,
					.in = &rig->in,
					.destination = &rig->destination,
					.out = &rig->out,
					.tap = tap,
					.arg = rig,
					.unseen = unseen };
	rig->blind = UINT64_MAX;
	rig->piece_max = 200000;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	body_fini(&rig->body);
	assert_int_equal(pipes_in_use(), 0);
	conn_close(&rig->source);
	conn_close(&rig->destination);
	if (rig->from >= 0)
		close(rig->from);
	if (rig->to >= 0)
		close(rig->to);
	buf_release(&rig->in);
	buf_release(&rig->out);
	buf_release(&rig->arrived);
	buf_pool_fini();
	pipe_pool_fini();
	free(rig->input);
	free(rig);
	return 0;
}

static void fill_input(struct rig *rig, size_t n)
{
	rig->input = xmalloc(n);
	rig->input_n = n;
	for (size_t i = 0; i < n; i++)
		rig->input[i] = (char)(i * 2654435761u >> 17);
}

/* An odd number up to the largest, another one each time. */
static size_t odd_size(size_t max)
{
	static unsigned n;

	n = n * 1103515245u + 12345u;
	return 1 + (n >> 8) % max;
}

static void put_some(struct rig *rig)
{
	size_t n = odd_size(rig->piece_max);
	ssize_t sent;

	if (n > rig->input_n - rig->put)
		n = rig->input_n - rig->put;
	sent = n && rig->from >= 0 ? send(rig->from, rig->input + rig->put, n, 0) : 0;
	if (sent > 0) {
		rig->put += (size_t)sent;
		rig->source.can_read = true;
	}
}

static void take_some(struct rig *rig, size_t max)
{
	ssize_t n;

	buf_reserve(&rig->arrived, max);
	n = recv(rig->to, buf_tail(&rig->arrived), max, 0);
	if (n > 0) {
		buf_fill(&rig->arrived, (size_t)n);
		rig->destination.can_write = true;
	}
}

/* Until the body is over, or there is nothing left to come. */
static enum body_result pump(struct rig *rig)
{
	enum body_result result;

	do {
		size_t before = buf_length(&rig->arrived), put = rig->put;

		put_some(rig);
		result = body_relay(&rig->body, &rig->path);
		take_some(rig, odd_size(150000));
		if (result == BODY_WAIT_READ && rig->put == rig->input_n && put == rig->put &&
		    before == buf_length(&rig->arrived))
			break;
	} while (result == BODY_YIELD || result == BODY_WAIT_WRITE || result == BODY_WAIT_READ);
	for (size_t before = SIZE_MAX; before != buf_length(&rig->arrived);) {
		before = buf_length(&rig->arrived);
		take_some(rig, 1 << 20);
	}
	return result;
}

static void assert_whole(const struct rig *rig, const char *want, size_t n)
{
	assert_int_equal(buf_length(&rig->arrived), n);
	assert_true(memcmp(buf_bytes(&rig->arrived), want, n) == 0);
}

/* Decodes what has arrived, chunked, in its place. */
static void unchunk(struct rig *rig)
{
	struct http1_chunked chunked;
	struct buf plain = { 0 };
	const char *why = "incomplete";
	enum parse parse;

	http1_chunked_init(&chunked);
	do {
		struct str piece;
		size_t used;

		parse = http1_chunked_next(&chunked, buf_bytes(&rig->arrived),
					   buf_length(&rig->arrived), &used, &piece, NULL, &why);
		if (parse == PARSE_BAD || (parse == PARSE_MORE && !used))
			fail_msg("chunks: %s", why);
		buf_append_str(&plain, piece);
		buf_consume(&rig->arrived, used);
	} while (parse != PARSE_DONE);
	assert_int_equal(buf_length(&rig->arrived), 0);
	rig->arrived = plain;
}

/* RIG's input as chunks of CHUNK bytes; the plain bytes, for the caller to free. */
static char *chunk_input(struct rig *rig, size_t chunk)
{
	char *plain = rig->input, line[24];
	struct buf all = { 0 };

	for (size_t at = 0; at < SIZE; at += chunk) {
		size_t n = SIZE - at < chunk ? SIZE - at : chunk;

		buf_append(&all, line, http1_chunk_line(line, n));
		buf_append(&all, plain + at, n);
		buf_append(&all, "\r\n", 2);
	}
	buf_append(&all, "0\r\n\r\n", 5);
	rig->input = xmalloc(buf_length(&all));
	rig->input_n = buf_length(&all);
	memcpy(rig->input, buf_bytes(&all), rig->input_n);
	buf_release(&all);
	return plain;
}

static void bulk_with_a_length_is_spliced_and_ends_where_it_ends(void **state)
{
	struct rig *rig = *state;

	fill_input(rig, SIZE + 1000); /* the next message is behind it */
	body_init(&rig->body, FRAMING_LENGTH, SIZE, FRAMING_LENGTH);
	assert_int_equal(pump(rig), BODY_DONE);
	assert_whole(rig, rig->input, SIZE);
	assert_true(rig->unseen > SIZE / 2);
	assert_int_equal(rig->seen + rig->unseen, SIZE);
	assert_int_equal(rig->body.bytes, SIZE);
	assert_int_equal(rig->destination.sent, SIZE);
}

static void bulk_until_close_is_spliced(void **state)
{
	struct rig *rig = *state;

	for (int to = FRAMING_CHUNKED; to <= FRAMING_CLOSE; to++) {
		teardown(state);
		setup(state);
		rig = *state;
		fill_input(rig, SIZE);
		body_init(&rig->body, FRAMING_CLOSE, 0, (enum http_framing)to);
		assert_int_equal(pump(rig), BODY_WAIT_READ);
		shutdown(rig->from, SHUT_WR);
		rig->source.can_read = true;
		assert_int_equal(pump(rig), BODY_DONE);
		if (to == FRAMING_CHUNKED)
			unchunk(rig);
		assert_whole(rig, rig->input, SIZE);
		assert_true(rig->unseen > SIZE / 2);
	}
}

static void bulk_of_large_chunks_is_spliced(void **state)
{
	static const size_t chunks[] = { SIZE, 1000001, 131072, 40000, 999 };
	struct rig *rig = *state;

	for (unsigned i = 0; i < 2 * ARRAY_N(chunks); i++) {
		enum http_framing to = i % 2 ? FRAMING_CHUNKED : FRAMING_CLOSE;
		char *plain;

		teardown(state);
		setup(state);
		rig = *state;
		fill_input(rig, SIZE);
		plain = chunk_input(rig, chunks[i / 2]);
		body_init(&rig->body, FRAMING_CHUNKED, 0, to);
		assert_int_equal(pump(rig), BODY_DONE);
		if (to == FRAMING_CHUNKED)
			unchunk(rig);
		assert_whole(rig, plain, SIZE);
		free(plain);
		assert_true(chunks[i / 2] < BUF_SIZE ? rig->unseen == 0 : rig->unseen > 0);
	}
}

static void no_byte_passes_unseen_that_the_tap_asked_for(void **state)
{
	static const uint64_t blinds[] = { 0, 1, BUF_SIZE - 1, BUF_SIZE, 50000, FRAME - 1 };
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_N(blinds); i++) {
		teardown(state);
		setup(state);
		rig = *state;
		rig->blind = blinds[i];
		fill_input(rig, SIZE);
		body_init(&rig->body, FRAMING_CLOSE, 0, FRAMING_CLOSE);
		assert_int_equal(pump(rig), BODY_WAIT_READ);
		assert_whole(rig, rig->input, SIZE);
		assert_int_equal(rig->seen + rig->unseen, SIZE);
		assert_true(blinds[i] < BUF_SIZE ? rig->unseen == 0 : true);
		assert_true(blinds[i] < FRAME - 1 || rig->unseen > SIZE / 4);
	}
}

static void a_tap_that_sees_all_and_a_held_body_are_copied(void **state)
{
	struct rig *rig = *state;
	bool is_held = true;

	rig->path.unseen = NULL;
	fill_input(rig, SIZE);
	body_init(&rig->body, FRAMING_LENGTH, SIZE, FRAMING_LENGTH);
	assert_int_equal(pump(rig), BODY_DONE);
	assert_int_equal(rig->seen, SIZE);
	assert_whole(rig, rig->input, SIZE);

	teardown(state);
	setup(state);
	rig = *state;
	fill_input(rig, 500000);
	rig->path.is_held = &is_held;
	body_init(&rig->body, FRAMING_LENGTH, 500000, FRAMING_LENGTH);
	for (int i = 0; i < 100; i++) {
		put_some(rig);
		(void)!body_relay(&rig->body, &rig->path);
	}
	assert_int_equal(rig->unseen, 0);
	assert_int_equal(rig->destination.sent, 0);
	is_held = false;
	assert_int_equal(pump(rig), BODY_DONE);
	assert_whole(rig, rig->input, 500000);
}

static void small_pieces_never_pay_for_a_pipe(void **state)
{
	struct rig *rig = *state;

	rig->piece_max = BUF_SIZE - 1;
	fill_input(rig, SIZE);
	body_init(&rig->body, FRAMING_LENGTH, SIZE, FRAMING_LENGTH);
	assert_int_equal(pump(rig), BODY_DONE);
	assert_whole(rig, rig->input, SIZE);
	assert_int_equal(rig->unseen, 0);
	assert_int_equal(pipes_open(), 0);
}

static void a_flow_that_calms_down_is_copied_again(void **state)
{
	struct rig *rig = *state;
	uint64_t unseen_before;

	fill_input(rig, SIZE);
	body_init(&rig->body, FRAMING_CLOSE, 0, FRAMING_CLOSE);
	assert_int_equal(pump(rig), BODY_WAIT_READ);
	assert_int_equal(pipes_in_use(), 0);
	free(rig->input);
	fill_input(rig, 100);
	for (int i = 0; i < 2; i++) { /* the first one may still find it in bulk */
		rig->put = 0;
		unseen_before = rig->unseen;
		assert_int_equal(pump(rig), BODY_WAIT_READ);
	}
	assert_int_equal(rig->unseen, unseen_before);
	assert_int_equal(body_room(&rig->body), BUF_SIZE);
	assert_null(rig->in.block);
}

/* Until the destination takes no more and a pipe is full of what it shall have. */
static void stall(struct rig *rig, enum http_framing from, enum http_framing to)
{
	enum body_result result;

	fill_input(rig, SIZE);
	body_init(&rig->body, from, SIZE, to);
	do {
		put_some(rig);
		result = body_relay(&rig->body, &rig->path);
	} while (result != BODY_WAIT_WRITE);
	assert_true(rig->body.is_piped);
	assert_false(rig->body.is_done);
	assert_int_equal(pipes_in_use(), 1);
}

static void a_stalled_destination_stops_the_reading_and_loses_nothing(void **state)
{
	struct rig *rig = *state;
	uint64_t bytes;

	stall(rig, FRAMING_LENGTH, FRAMING_LENGTH);
	bytes = rig->body.bytes;
	for (int i = 0; i < 100; i++) {
		put_some(rig);
		assert_int_equal(body_relay(&rig->body, &rig->path), BODY_WAIT_WRITE);
	}
	assert_int_equal(rig->body.bytes, bytes);
	assert_int_equal(pump(rig), BODY_DONE);
	assert_whole(rig, rig->input, SIZE);
}

static void a_source_that_ends_with_bytes_in_the_pipe_is_told_behind_them(void **state)
{
	for (int is_reset = 0; is_reset < 2; is_reset++) {
		struct rig *rig;

		teardown(state);
		setup(state);
		rig = *state;
		stall(rig, FRAMING_LENGTH, FRAMING_LENGTH);
		if (is_reset) /* unread bytes make it one */
			assert_int_equal(send(rig->source.fd, "x", 1, 0), 1);
		close(rig->from);
		rig->from = -1;
		rig->source.can_read = rig->source.is_hung_up = true;
		assert_int_equal(body_relay(&rig->body, &rig->path), BODY_WAIT_WRITE);
		assert_int_equal(pump(rig), is_reset ? BODY_SOURCE_FAIL : BODY_EOF);
		assert_whole(rig, rig->input, rig->put);
		assert_false(rig->body.is_done);
	}
}

static void an_end_waits_until_the_pipe_is_empty(void **state)
{
	struct rig *rig = *state;

	stall(rig, FRAMING_CLOSE, FRAMING_CLOSE);
	shutdown(rig->from, SHUT_WR);
	rig->source.can_read = rig->source.is_hung_up = true;
	assert_int_equal(body_relay(&rig->body, &rig->path), BODY_WAIT_WRITE);
	assert_false(rig->body.is_done);
	rig->input_n = rig->put;
	assert_int_equal(pump(rig), BODY_DONE);
	assert_whole(rig, rig->input, rig->put);
}

static void a_destination_that_fails_leaves_the_rest_to_be_dropped(void **state)
{
	struct rig *rig = *state;

	stall(rig, FRAMING_LENGTH, FRAMING_LENGTH);
	close(rig->to);
	rig->to = -1;
	rig->destination.can_write = true;
	assert_int_equal(body_relay(&rig->body, &rig->path), BODY_DESTINATION_FAIL);
	body_drop(&rig->body);
	assert_int_equal(pipes_in_use(), 0);
	assert_int_equal(pipes_open(), 0); /* it was dirty */
	assert_int_equal(pump(rig), BODY_DONE);
	assert_int_equal(rig->seen + rig->unseen, SIZE);
}

static void a_body_that_was_all_in_the_pipe_is_done_when_it_is_dropped(void **state)
{
	struct rig *rig = *state;

	stall(rig, FRAMING_LENGTH, FRAMING_LENGTH);
	rig->body.left = 0;
	body_drop(&rig->body);
	assert_true(rig->body.is_done);
}

static void without_pipes_bulk_is_copied(void **state)
{
	struct rig *rig = *state;
	struct rlimit before, few;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 60, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fill_input(rig, SIZE);
	body_init(&rig->body, FRAMING_LENGTH, SIZE, FRAMING_LENGTH);
	assert_int_equal(pump(rig), BODY_DONE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_whole(rig, rig->input, SIZE);
	assert_int_equal(rig->unseen, 0);
	clock_set_ms(clock_ms() + PIPE_RETRY_MS);
}

#define BODY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		BODY_TEST(bulk_with_a_length_is_spliced_and_ends_where_it_ends),
		BODY_TEST(bulk_until_close_is_spliced),
		BODY_TEST(bulk_of_large_chunks_is_spliced),
		BODY_TEST(no_byte_passes_unseen_that_the_tap_asked_for),
		BODY_TEST(a_tap_that_sees_all_and_a_held_body_are_copied),
		BODY_TEST(small_pieces_never_pay_for_a_pipe),
		BODY_TEST(a_flow_that_calms_down_is_copied_again),
		BODY_TEST(a_stalled_destination_stops_the_reading_and_loses_nothing),
		BODY_TEST(a_source_that_ends_with_bytes_in_the_pipe_is_told_behind_them),
		BODY_TEST(an_end_waits_until_the_pipe_is_empty),
		BODY_TEST(a_destination_that_fails_leaves_the_rest_to_be_dropped),
		BODY_TEST(a_body_that_was_all_in_the_pipe_is_done_when_it_is_dropped),
		BODY_TEST(without_pipes_bulk_is_copied),
	};

	return cmocka_run_group_tests_name("body_splice", tests, NULL, NULL);
}
