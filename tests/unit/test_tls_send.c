/* SPDX-License-Identifier: MIT */
/* What goes along with the first and the last bytes of a TLS connection. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tls_wire.h"

#define NOTIFY_SIZE 24 /* a record of TLS 1.3 with an alert */
#define RECORD_MORE 22 /* what it adds to a record's bytes */

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* What the client hears, until SIZE bytes are there and the end, which TLS has told. */
static void hear_the_end(struct tls_wire *wire, const char *bytes, size_t size, size_t got)
{
	struct conn *client = &wire->conns[CLIENT];
	enum io io = IO_AGAIN;
	char text[256];

	for (int i = 0; i < 10000 && io != IO_EOF; i++) {
		while (wire_carry(wire, SERVER))
			;
		io = wire_hear(client, text, 255);
		assert_int_not_equal(io, IO_FAIL);
		if (io != IO_OK)
			continue;
		assert_true(got + strlen(text) <= size);
		assert_memory_equal(bytes + got, text, strlen(text));
		got += strlen(text);
	}
	assert_int_equal(io, IO_EOF);
	assert_int_equal(got, size);
	assert_false(tls_is_truncated(client));
}

static void the_last_bytes_bring_close_notify_with_them(void **state)
{
	struct tls_wire *wire = *state;

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i] };
		struct conn *server = &wire->conns[SERVER];
		char text[256];
		uint64_t before;
		size_t sent;

		wire_establish(wire, &options);
		wire_say(server, "not yet");
		assert_true(wire_carry(wire, SERVER));
		assert_int_equal(wire_hear(&wire->conns[CLIENT], text, 255), IO_OK);
		assert_int_equal(wire_hear(&wire->conns[CLIENT], text, 255), IO_AGAIN);
		before = tls_wire_sent(server);
		server->is_ending = true;
		wire_say(server, "good bye");
		if (versions[i] == TLS1_3_VERSION)
			assert_int_equal(tls_wire_sent(server) - before,
					 8 + RECORD_MORE + NOTIFY_SIZE);
		hear_the_end(wire, "good bye", 8, 0);
		/* Nothing more is said, and no second one. */
		assert_int_equal(conn_send(server, "x", 1, &sent), IO_FAIL);
		conn_shutdown(server);
		conn_close(server);
		assert_false(wire_carry(wire, SERVER));
	}
}

/* Sends SIZE bytes as the last ones to a client that reads little by little. */
static void send_last(struct tls_wire *wire, const char *bytes, size_t size)
{
	struct conn *server = &wire->conns[SERVER];
	size_t at = 0, got = 0, sent;
	enum io io = IO_AGAIN;
	unsigned stops = 0;
	char text[256];

	server->is_ending = true;
	for (int i = 0; i < 100000 && io == IO_AGAIN; i++) {
		io = conn_send(server, bytes + at, size - at, &sent);
		at += sent;
		stops += io == IO_AGAIN;
		(void)wire_carry(wire, SERVER);
		if (wire_hear(&wire->conns[CLIENT], text, 255) != IO_OK)
			continue;
		assert_memory_equal(bytes + got, text, strlen(text));
		got += strlen(text);
	}
	assert_int_equal(io, IO_OK);
	assert_int_equal(at, size);
	assert_true(stops > 1);
	conn_shutdown(server); /* what the batch had no room for comes now */
	hear_the_end(wire, bytes, size, got);
}

static void close_notify_waits_behind_the_last_bytes_for_room(void **state)
{
	static char bytes[300000];
	/* Within one batch; all of one; several, of which the last has no room for the end. */
	static const size_t sizes[] = { 60000, (TLS_BATCH_MAX - 1) * 16384, TLS_BATCH_MAX * 16384,
					2 * TLS_BATCH_MAX * 16384, sizeof(bytes) };
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION, .is_small = true };

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < ARRAY_N(sizes); i++) {
		wire_establish(wire, &options);
		send_last(wire, bytes, sizes[i]);
	}
}

static void end_without_close_notify_is_answered_once(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *server = &wire->conns[SERVER];
	char text[256];

	wire_establish(wire, &options);
	conn_shutdown(server);
	assert_int_equal(recv(wire->ends[SERVER], text, sizeof(text), 0), NOTIFY_SIZE);
	wire_cut(wire, SERVER);
	assert_int_equal(wire_hear(server, text, 255), IO_EOF);
	conn_close(server);
	assert_int_equal(recv(wire->ends[SERVER], text, sizeof(text), 0), 0);
}

static void ticket_goes_with_the_first_bytes(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *client = &wire->conns[CLIENT], *server = &wire->conns[SERVER];
	uint64_t before;
	char text[256];

	wire->has_resume = true;
	wire_establish(wire, &options);
	before = tls_wire_sent(server);
	assert_false(client->can_read);
	assert_int_equal(wire->resume.n, 0);
	wire_say(client, "a request comes first");
	assert_true(wire_carry(wire, CLIENT));
	assert_int_equal(wire_hear(server, text, 255), IO_OK);
	assert_int_equal(tls_wire_sent(server), before);
	wire_say(server, "hello");
	assert_true(wire_carry(wire, SERVER));
	assert_int_equal(wire_hear(client, text, 255), IO_OK);
	assert_string_equal(text, "hello");
	assert_int_equal(wire->resume.n, 1);
	before = tls_wire_sent(server);
	wire_say(server, "again");
	assert_int_equal(tls_wire_sent(server) - before, 5 + RECORD_MORE); /* no second one */
}

static void ticket_waits_for_room_with_the_bytes_behind_it(void **state)
{
	static char bytes[300000];
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION, .is_small = true };

	memset(bytes, 'x', sizeof(bytes));
	wire->has_resume = true;
	wire_establish(wire, &options);
	send_last(wire, bytes, sizeof(bytes));
	assert_int_equal(wire->resume.n, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, wire_setup, wire_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_last_bytes_bring_close_notify_with_them),
		TEST(close_notify_waits_behind_the_last_bytes_for_room),
		TEST(end_without_close_notify_is_answered_once),
		TEST(ticket_goes_with_the_first_bytes),
		TEST(ticket_waits_for_room_with_the_bytes_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
