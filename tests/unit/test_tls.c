/* SPDX-License-Identifier: MIT */
/* TLS as a conn's face: both ends are ours, the wire between them is the test's. */
#include "config.h"

#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "tls_wire.h"

#define BIG_SIZE 2000000

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void handshake_goes_byte_by_byte_and_says_what_was_agreed(void **state)
{
	struct tls_wire *wire = *state;

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i], .verify_name = "app.test" };
		struct tls_about about;
		char text[256];

		wire->step = 1;
		wire_establish(wire, &options);
		assert_true(tls_about(&wire->conns[SERVER], &about));
		assert_true(about.is_established && !about.is_resumed && !about.has_peer);
		assert_true(str_eq(about.sni, STR("app.test")));
		assert_string_equal(about.version, i ? "TLSv1.3" : "TLSv1.2");
		assert_true(tls_about(&wire->conns[CLIENT], &about));
		assert_true(about.has_peer && about.is_peer_verified);
		wire_say(&wire->conns[CLIENT], "ab");
		while (wire_hear(&wire->conns[SERVER], text, 255) == IO_AGAIN)
			assert_true(wire_carry(wire, CLIENT));
		assert_string_equal(text, "ab");
	}
}

static void request_in_the_segment_of_finished_is_readable_without_an_edge(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *client = &wire->conns[CLIENT], *server = &wire->conns[SERVER];
	char text[256];

	wire_open(wire, &options);
	assert_int_equal(tls_handshake(client), IO_AGAIN);
	assert_true(wire_carry(wire, CLIENT));
	assert_int_equal(tls_handshake(server), IO_AGAIN);
	assert_true(wire_carry(wire, SERVER));
	assert_int_equal(tls_handshake(client), IO_OK);
	wire_say(client, "GET /");
	assert_true(wire_carry(wire, CLIENT));
	assert_int_equal(tls_handshake(server), IO_OK);
	assert_true(server->can_read);
	assert_true(tls_has_pending(server));
	assert_int_equal(wire_hear(server, text, 255), IO_OK);
	assert_string_equal(text, "GET /");
	assert_false(server->can_read); /* it was all that there is: no recv() to learn it */
	assert_int_equal(wire_hear(server, text, 255), IO_AGAIN);
}

static void bytes_read_before_tls_began_are_its_first(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *server = &wire->conns[SERVER];
	struct buf first = { 0 };

	wire_open(wire, &options);
	assert_int_equal(tls_handshake(&wire->conns[CLIENT]), IO_AGAIN);
	assert_true(wire_carry(wire, CLIENT));
	server->face->close(server, true);
	server->face = NULL;
	buf_reserve(&first, BUF_SIZE);
	assert_int_equal(conn_recv(server, &first, 100), IO_OK);
	assert_int_equal(tls_accept(server, (struct tls_server *)wire, &first), 0);
	assert_null(first.block);
	assert_int_equal(wire_shake_hands(wire, NULL), IO_OK);
}

static void one_call_drains_what_one_segment_brought(void **state)
{
	struct tls_wire *wire = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i] };

		wire_establish(wire, &options);
		wire_say(&wire->conns[CLIENT], "one ");
		wire_say(&wire->conns[CLIENT], "two ");
		wire_say(&wire->conns[CLIENT], "three");
		assert_true(wire_carry(wire, CLIENT));
		assert_int_equal(wire_hear(&wire->conns[SERVER], text, 255), IO_OK);
		assert_string_equal(text, "one two three");
		assert_false(wire->conns[SERVER].can_read);
		assert_int_equal(wire_hear(&wire->conns[SERVER], text, 255), IO_AGAIN);
	}
}

static void what_has_no_room_stays_readable(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *server = &wire->conns[SERVER];
	char text[256];

	wire_establish(wire, &options);
	wire_say(&wire->conns[CLIENT], "abc");
	wire_say(&wire->conns[CLIENT], "def");
	wire_carry(wire, CLIENT);
	assert_int_equal(wire_hear(server, text, 2), IO_OK);
	assert_string_equal(text, "ab");
	assert_true(server->can_read && !conn_is_quiet(server));
	assert_int_equal(wire_hear(server, text, 2), IO_OK);
	assert_string_equal(text, "cd");
	assert_true(server->can_read);
	assert_int_equal(wire_hear(server, text, 2), IO_OK);
	assert_string_equal(text, "ef");
	assert_true(conn_is_quiet(server));
	assert_false(server->can_read);
}

/* Sends from AT on in pieces of random sizes. */
static enum io send_some(struct conn *conn, const char *bytes, size_t size, size_t *at)
{
	struct iovec iov[8];
	size_t given = 0, sent;
	int n = 0;
	enum io io;

	while (n < 8 && *at + given < size) {
		size_t piece = (size_t)rand() % (rand() % 4 ? 700 : 60000);

		if (piece > size - *at - given)
			piece = size - *at - given;
		iov[n++] = (struct iovec){ (void *)(uintptr_t)(bytes + *at + given), piece };
		given += piece;
	}
	io = conn_sendv(conn, iov, n, &sent);
	assert_true(sent <= given);
	assert_int_equal(io == IO_OK, sent == given);
	if (io == IO_OK && conn->face && given)
		assert_int_equal(buf_length(&conn->tls->wire), 0);
	*at += sent;
	return io;
}

static void transfer(struct tls_wire *wire, enum wire_side from, const char *bytes, bool is_small)
{
	struct conn *to = &wire->conns[!from];
	struct buf in = { 0 };
	size_t at = 0, stops = 0;
	uint64_t before = wire->conns[from].sent;

	while (buf_length(&in) < BIG_SIZE) {
		bool is_moved;
		enum io io;

		io = send_some(&wire->conns[from], bytes, BIG_SIZE, &at);
		assert_true(io == IO_OK || io == IO_AGAIN);
		stops += io == IO_AGAIN;
		is_moved = wire_carry(wire, from);
		do {
			buf_reserve(&in, BUF_SIZE);
			io = conn_recv(to, &in, 1 + (size_t)rand() % BUF_SIZE);
			assert_true(io == IO_OK || io == IO_AGAIN);
		} while (to->can_read);
		assert_true(is_moved || at == BIG_SIZE || io == IO_OK);
	}
	assert_true(stops > 0 || !is_small);
	assert_int_equal(at, BIG_SIZE);
	assert_int_equal(wire->conns[from].sent - before, BIG_SIZE);
	assert_memory_equal(buf_bytes(&in), bytes, BIG_SIZE);
	assert_int_equal(wire->ways[from].carried, tls_wire_sent(&wire->conns[from]));
	buf_release(&in);
}

static void bulk_comes_through_sockets_of_all_sizes_in_order(void **state)
{
	static char bytes[BIG_SIZE];
	struct tls_wire *wire = *state;

	srand(7);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)rand();
	for (unsigned i = 0; i < 8; i++) {
		struct wire_options options = { .version = versions[i & 1], .is_small = i & 2 };

		wire->step = i & 4 ? 3001 : 0;
		wire_establish(wire, &options);
		transfer(wire, i & 1 ? CLIENT : SERVER, bytes, i & 2);
		transfer(wire, i & 1 ? SERVER : CLIENT, bytes, i & 2);
	}
}

static void small_pieces_become_one_record_and_few_bytes_more(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	static char line[] = "HTTP/1.1 200 OK\r\n", body[16000];
	struct iovec iov[] = {
		{ line, 17 }, { line, 0 }, { line + 15, 2 }, { body, sizeof(body) }
	};
	uint64_t before;
	size_t sent;

	wire_establish(wire, &options);
	wire_say(&wire->conns[SERVER], "the ticket goes with this");
	before = tls_wire_sent(&wire->conns[SERVER]);
	assert_int_equal(conn_sendv(&wire->conns[SERVER], iov, 4, &sent), IO_OK);
	assert_int_equal(tls_wire_sent(&wire->conns[SERVER]) - before, sent + 5 + 1 + 16);
}

/* What is not reported as sent comes again; it must neither be lost nor go twice. */
static void send_that_stops_goes_on_with_less_at_a_time(void **state)
{
	static char bytes[100000], got[sizeof(bytes)];
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION, .is_small = true };
	struct conn *client = &wire->conns[CLIENT], *server = &wire->conns[SERVER];
	size_t at = 0, there = 0;
	char text[256];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)('a' + i % 23);
	wire_establish(wire, &options);
	for (size_t give = sizeof(bytes); at < sizeof(bytes); give = 100) {
		size_t sent, most = sizeof(bytes) - at;
		enum io io = conn_send(client, bytes + at, give < most ? give : most, &sent);

		at += sent;
		if (at < sizeof(bytes) && give > 100)
			assert_true(tls_is_holding(client));
		if (io == IO_OK && at == sizeof(bytes))
			assert_int_equal(buf_length(&client->tls->wire), 0);
		wire_carry(wire, CLIENT);
		while (wire_hear(server, text, 200) == IO_OK) {
			memcpy(got + there, text, strlen(text));
			there += strlen(text);
		}
	}
	while (there < sizeof(bytes)) {
		assert_true(wire_carry(wire, CLIENT));
		while (wire_hear(server, text, 200) == IO_OK) {
			memcpy(got + there, text, strlen(text));
			there += strlen(text);
		}
	}
	assert_memory_equal(got, bytes, sizeof(bytes));
}

static void half_close_is_an_end_and_the_other_half_goes_on(void **state)
{
	struct tls_wire *wire = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i] };
		struct tls_about about;

		wire_establish(wire, &options);
		wire_say(&wire->conns[CLIENT], "last");
		conn_shutdown(&wire->conns[CLIENT]);
		wire_carry(wire, CLIENT);
		assert_int_equal(recv(wire->ends[CLIENT], text, 1, 0), 0); /* FIN behind it */
		assert_int_equal(wire_hear(&wire->conns[SERVER], text, 255), IO_OK);
		assert_string_equal(text, "last");
		assert_true(wire->conns[SERVER].can_read);
		assert_int_equal(wire_hear(&wire->conns[SERVER], text, 255), IO_EOF);
		assert_true(wire->conns[SERVER].is_eof && wire->conns[SERVER].is_hung_up);
		assert_false(conn_is_quiet(&wire->conns[SERVER]));
		assert_true(tls_about(&wire->conns[SERVER], &about));
		assert_false(about.is_truncated);
		wire_say(&wire->conns[SERVER], "answer");
		wire_carry(wire, SERVER);
		assert_int_equal(wire_hear(&wire->conns[CLIENT], text, 255), IO_OK);
		assert_string_equal(text, "answer");
	}
}

static void end_without_close_notify_is_told_as_truncated(void **state)
{
	struct tls_wire *wire = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i] };
		struct tls_about about;

		wire_establish(wire, &options);
		wire_say(&wire->conns[CLIENT], "half");
		wire_carry(wire, CLIENT);
		wire_cut(wire, SERVER);
		assert_int_equal(wire_hear(&wire->conns[SERVER], text, 255), IO_OK);
		assert_int_equal(wire_hear(&wire->conns[SERVER], text, 255), IO_EOF);
		assert_true(tls_about(&wire->conns[SERVER], &about));
		assert_true(about.is_truncated);
	}
}

static void garbage_instead_of_a_hello_is_answered_by_an_alert(void **state)
{
	static const char *const garbage[] = { "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
					       "\x16\x03\x01\xff\xff\x01", "\x80\x2e\x01\x00\x02" };
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION, .has_no_client = true };

	for (size_t i = 0; i < ARRAY_N(garbage); i++) {
		char alert[64] = "";
		struct tls_about about;
		ssize_t n;

		wire_close(wire);
		wire_open(wire, &options);
		assert_true(write(wire->ends[SERVER], garbage[i], strlen(garbage[i])) > 0);
		if (i == 3)
			wire_cut(wire, SERVER);
		assert_int_equal(tls_handshake(&wire->conns[SERVER]), i == 3 ? IO_EOF : IO_FAIL);
		n = recv(wire->ends[SERVER], alert, sizeof(alert), 0);
		assert_true(tls_about(&wire->conns[SERVER], &about) && !about.is_established);
		if (i == 3)
			continue;
		assert_non_null(about.why);
		assert_true(wire->conns[SERVER].error != 0);
		if (i == 2) { /* the first two are not even a record to answer in */
			assert_int_equal(n, 7);
			assert_memory_equal(alert, "\x15\x03", 2);
		}
	}
}

static void peer_that_closes_within_the_handshake_is_an_end(void **state)
{
	struct tls_wire *wire = *state;

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i] };

		wire_close(wire);
		wire_open(wire, &options);
		assert_int_equal(tls_handshake(&wire->conns[CLIENT]), IO_AGAIN);
		wire_carry(wire, CLIENT);
		assert_int_equal(tls_handshake(&wire->conns[SERVER]), IO_AGAIN);
		wire_cut(wire, SERVER);
		assert_int_equal(tls_handshake(&wire->conns[SERVER]), IO_EOF);
		assert_int_equal(tls_handshake(&wire->conns[SERVER]), IO_EOF);
	}
}

static void refused_certificate_is_told_to_the_peer(void **state)
{
	struct tls_wire *wire = *state;

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i],
						.verify_name = "other.test" };
		enum wire_side at;
		enum io io = IO_AGAIN;
		char text[256];

		wire_forget_server(wire);
		wire_open(wire, &options);
		assert_int_equal(wire_shake_hands(wire, &at), IO_FAIL);
		assert_int_equal(at, CLIENT);
		assert_string_equal(tls_failure_text(&wire->conns[CLIENT]), "hostname mismatch");
		conn_close(&wire->conns[CLIENT]);
		assert_true(wire_carry(wire, CLIENT));
		io = tls_handshake(&wire->conns[SERVER]);
		if (io == IO_OK)
			io = wire_hear(&wire->conns[SERVER], text, 255);
		assert_int_equal(io, IO_FAIL);
		assert_non_null(strstr(tls_failure_text(&wire->conns[SERVER]), "alert"));
	}
}

static void tickets_and_key_updates_do_not_disturb_an_idle_connection(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *client = &wire->conns[CLIENT], *server = &wire->conns[SERVER];
	char text[256];

	wire->has_resume = true;
	wire_establish(wire, &options);
	assert_int_equal(SSL_new_session_ticket(wire->conns[SERVER].tls->ssl), 1);
	assert_int_equal(SSL_do_handshake(wire->conns[SERVER].tls->ssl), 1);
	assert_true(wire_carry(wire, SERVER));
	assert_true(client->can_read); /* the ticket's edge */
	assert_true(conn_is_quiet(client));
	assert_false(client->can_read);
	assert_int_equal(wire->resume.n, 1);
	assert_int_equal(SSL_key_update(wire->conns[SERVER].tls->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(wire->conns[SERVER].tls->ssl), 1);
	assert_true(wire_carry(wire, SERVER));
	assert_true(client->can_read);
	assert_true(conn_is_quiet(client));
	wire_say(client, "with new keys"); /* its answer goes in front */
	assert_true(wire_carry(wire, CLIENT));
	assert_int_equal(wire_hear(server, text, 255), IO_OK);
	assert_string_equal(text, "with new keys");
	assert_true(conn_is_quiet(server));
	wire_say(server, "hello");
	assert_true(wire_carry(wire, SERVER));
	assert_false(conn_is_quiet(client));
	assert_true(client->can_read);
	assert_int_equal(wire_hear(client, text, 255), IO_OK);
	assert_string_equal(text, "hello");
	conn_shutdown(server);
	assert_true(wire_carry(wire, SERVER));
	assert_false(conn_is_quiet(client));
}

static void peer_that_sends_key_updates_alone_is_given_up(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *client = &wire->conns[CLIENT], *server = &wire->conns[SERVER];
	enum io io = IO_AGAIN;
	char text[256];
	unsigned n = 0;

	wire_establish(wire, &options);
	/* A few between bytes are nothing. */
	for (unsigned i = 0; i < 5000; i++) {
		assert_int_equal(SSL_key_update(client->tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		wire_say(client, "x");
		assert_true(wire_carry(wire, CLIENT));
		assert_int_equal(wire_hear(server, text, 255), IO_OK);
	}
	while (io == IO_AGAIN && n++ < 10000) {
		assert_int_equal(SSL_key_update(client->tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(client->tls->ssl), 1);
		assert_true(wire_carry(wire, CLIENT));
		io = wire_hear(server, text, 255);
	}
	assert_int_equal(io, IO_FAIL);
	assert_true(n > 1000);
}

static void sessions_are_resumed_and_tickets_of_1_3_are_used_once(void **state)
{
	struct tls_wire *wire = *state;

	wire->has_resume = true;
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i], .verify_name = "app.test" };
		struct tls_about about;
		char text[256];

		wire_forget_server(wire);
		tls_resume_fini(&wire->resume);
		for (int n = 0; n < 3; n++) {
			wire_close(wire);
			wire_open(wire, &options);
			assert_int_equal(wire->resume.n, n > 0 && i == 0);
			assert_int_equal(wire_shake_hands(wire, NULL), IO_OK);
			assert_true(conn_is_quiet(&wire->conns[CLIENT]));
			assert_int_equal(wire->resume.n, versions[i] == TLS1_2_VERSION);
			wire_say(&wire->conns[SERVER], "hello");
			assert_true(wire_carry(wire, SERVER));
			assert_int_equal(wire_hear(&wire->conns[CLIENT], text, 255), IO_OK);
			assert_string_equal(text, "hello");
			assert_true(tls_about(&wire->conns[CLIENT], &about));
			assert_int_equal(about.is_resumed, n > 0);
			assert_true(about.is_peer_verified);
			assert_int_equal(wire->resume.n, 1);
		}
	}
}

static void certificate_of_the_client_is_told(void **state)
{
	struct tls_wire *wire = *state;

	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct wire_options options = { .version = versions[i], .has_client_cert = true };
		struct tls_about about;

		wire_establish(wire, &options);
		assert_true(tls_about(&wire->conns[SERVER], &about));
		assert_true(about.has_peer && about.is_peer_verified && !about.peer_why);
		assert_true(str_eq(about.peer_cn, STR("some?body")));
		assert_int_equal(about.peer_fingerprint.len, 64);
		assert_int_equal(strspn(about.peer_fingerprint.p, "0123456789abcdef"), 64);
	}
}

static void close_says_close_notify_and_a_reset_does_not(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	char text[64];

	for (int is_reset = 0; is_reset < 2; is_reset++) {
		wire_establish(wire, &options);
		if (is_reset)
			conn_reset(&wire->conns[SERVER]);
		else
			conn_close(&wire->conns[SERVER]);
		assert_false(conn_is_open(&wire->conns[SERVER]));
		if (is_reset)
			assert_true(recv(wire->ends[SERVER], text, sizeof(text), 0) <= 0);
		else
			assert_int_equal(recv(wire->ends[SERVER], text, sizeof(text), 0), 24);
	}
}

static void clear_bytes_go_before_the_first_flight(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct buf clear = { 0 };
	char text[12];

	wire_open(wire, &options);
	buf_append(&clear, "PROXY ...\r\n", 11);
	tls_send_before(&wire->conns[CLIENT], &clear);
	assert_null(clear.block);
	assert_int_equal(tls_handshake(&wire->conns[CLIENT]), IO_AGAIN);
	assert_int_equal(recv(wire->ends[CLIENT], text, 12, 0), 12);
	assert_memory_equal(text, "PROXY ...\r\n\x16", 12);
	assert_true(tls_wire_sent(&wire->conns[CLIENT]) > 11);
}

static void damaged_record_is_a_failure_for_both_directions(void **state)
{
	struct tls_wire *wire = *state;
	struct wire_options options = { .version = TLS1_3_VERSION };
	struct conn *server = &wire->conns[SERVER];
	char text[256];
	size_t sent;

	wire_establish(wire, &options);
	assert_int_equal(
		write(wire->ends[SERVER], "\x17\x03\x03\x00\x18xxxxxxxxxxxxxxxxxxxxxxxx", 29), 29);
	server->can_read = true;
	server->is_drained = false;
	assert_int_equal(wire_hear(server, text, 255), IO_FAIL);
	assert_int_equal(recv(wire->ends[SERVER], text, sizeof(text), 0), 24); /* the alert */
	assert_int_equal(wire_hear(server, text, 255), IO_FAIL);
	assert_int_equal(conn_send(server, "x", 1, &sent), IO_FAIL);
	assert_string_equal(tls_failure_text(server), "decryption failed or bad record mac");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, wire_setup, wire_teardown)
	const struct CMUnitTest tests[] = {
		TEST(handshake_goes_byte_by_byte_and_says_what_was_agreed),
		TEST(request_in_the_segment_of_finished_is_readable_without_an_edge),
		TEST(bytes_read_before_tls_began_are_its_first),
		TEST(one_call_drains_what_one_segment_brought),
		TEST(what_has_no_room_stays_readable),
		TEST(bulk_comes_through_sockets_of_all_sizes_in_order),
		TEST(small_pieces_become_one_record_and_few_bytes_more),
		TEST(send_that_stops_goes_on_with_less_at_a_time),
		TEST(half_close_is_an_end_and_the_other_half_goes_on),
		TEST(end_without_close_notify_is_told_as_truncated),
		TEST(garbage_instead_of_a_hello_is_answered_by_an_alert),
		TEST(peer_that_closes_within_the_handshake_is_an_end),
		TEST(refused_certificate_is_told_to_the_peer),
		TEST(tickets_and_key_updates_do_not_disturb_an_idle_connection),
		TEST(peer_that_sends_key_updates_alone_is_given_up),
		TEST(sessions_are_resumed_and_tickets_of_1_3_are_used_once),
		TEST(certificate_of_the_client_is_told),
		TEST(close_says_close_notify_and_a_reset_does_not),
		TEST(clear_bytes_go_before_the_first_flight),
		TEST(damaged_record_is_a_failure_for_both_directions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
