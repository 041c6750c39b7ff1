/* SPDX-License-Identifier: MIT */
/* TLS towards a server of OpenSSL's own, over a socket pair, on one thread. */
#include "config.h"

#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define BIG_SIZE 1000000

struct pair {
	SSL_CTX *server_ctx;
	SSL *server;
	int fd; /* the server's */
	struct conn conn;
	char why[TLS_WHY_SIZE]; /* of the handshake */
	char ca[64];            /* file of the server's certificate, which is its own authority */
};

static void on_event(struct conn *conn, enum conn_ev ev)
{
	(void)conn;
	(void)ev;
}

/* A certificate for app.test and 192.0.2.1, signed by itself, valid from DAYS ago for two days. */
static X509 *make_certificate(EVP_PKEY *key, int days_ago)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_EXTENSION *names =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:app.test,IP:192.0.2.1");

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L * days_ago);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * (2 - days_ago));
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_add_ext(certificate, names, -1);
	X509_EXTENSION_free(names);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	return certificate;
}

static void set_up_server(struct pair *pair, int days_ago)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key, days_ago);
	FILE *file;
	int fd;

	snprintf(pair->ca, sizeof(pair->ca), "/tmp/limpet-test-ca-XXXXXX");
	fd = mkstemp(pair->ca);
	file = fdopen(fd, "w");
	assert_non_null(file);
	PEM_write_X509(file, certificate);
	fclose(file);
	pair->server_ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(pair->server_ctx, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(pair->server_ctx, key), 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* Both ends, the client's with OPTIONS; the conn is not on any loop. */
static void join_with(struct pair *pair, struct tls_client_options *options)
{
	char why[TLS_WHY_SIZE];
	struct tls_client_ctx *ctx = tls_client_ctx_new(options, why);
	int fds[2];

	assert_non_null(ctx);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conn_init(&pair->conn, fds[0], on_event);
	pair->fd = fds[1];
	pair->server = SSL_new(pair->server_ctx);
	SSL_set_fd(pair->server, fds[1]);
	SSL_set_accept_state(pair->server);
	assert_int_equal(tls_connect(&pair->conn, ctx, NULL), 0);
	tls_client_ctx_unref(ctx); /* the conn keeps what it needs */
}

static void part(struct pair *pair)
{
	conn_close(&pair->conn);
	SSL_free(pair->server);
	SSL_CTX_free(pair->server_ctx);
	if (pair->fd >= 0)
		close(pair->fd);
	unlink(pair->ca);
	ERR_clear_error();
}

/* What an edge would tell. */
static void poke(struct pair *pair)
{
	pair->conn.can_read = pair->conn.can_write = true;
	pair->conn.is_drained = false;
}

static enum io shake_hands(struct pair *pair)
{
	enum io io = IO_AGAIN;

	for (int i = 0; i < 20 && io == IO_AGAIN; i++) {
		poke(pair);
		io = tls_handshake(&pair->conn);
		(void)SSL_do_handshake(pair->server);
		ERR_clear_error();
	}
	if (io == IO_FAIL)
		snprintf(pair->why, sizeof(pair->why), "%s", tls_failure_text(&pair->conn));
	return io;
}

static struct tls_client_options verified(const struct pair *pair, const char *name)
{
	return (struct tls_client_options){ .is_verified = true,
					    .ca = str_of(pair->ca),
					    .sni = STR("app.test"),
					    .name = str_of(name) };
}

static void good_certificate_is_taken_and_sni_is_sent(void **state unused_arg)
{
	static const struct str alpn[] = { STR_INIT("http/1.1") };
	struct pair pair = { 0 };
	struct tls_about about;
	struct tls_client_options options;

	set_up_server(&pair, 1);
	options = verified(&pair, "app.test");
	options.alpn = alpn;
	options.alpn_n = 1;
	join_with(&pair, &options);
	assert_int_equal(shake_hands(&pair), IO_OK);
	assert_true(tls_about(&pair.conn, &about));
	assert_true(about.is_established && about.has_peer && about.is_peer_verified);
	assert_string_equal(SSL_get_servername(pair.server, TLSEXT_NAMETYPE_host_name), "app.test");
	part(&pair);
}

static void names_and_addresses_must_be_in_the_certificate(void **state unused_arg)
{
	static const struct {
		const char *name;
		int days_ago;
		enum io want;
		const char *why;
	} rows[] = {
		{ "192.0.2.1", 1, IO_OK, "" },
		{ "", 1, IO_OK, "" },
		{ "192.0.2.2", 1, IO_FAIL, "IP address mismatch" },
		{ "other.test", 1, IO_FAIL, "hostname mismatch" },
		{ "app.test", 3, IO_FAIL, "certificate has expired" },
		{ "app.test", -1, IO_FAIL, "certificate is not yet valid" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct pair pair = { 0 };
		struct tls_client_options options;

		set_up_server(&pair, rows[i].days_ago);
		options = verified(&pair, rows[i].name);
		join_with(&pair, &options);
		assert_int_equal(shake_hands(&pair), rows[i].want);
		assert_string_equal(pair.why, rows[i].why);
		part(&pair);
	}
}

static void certificate_of_nobody_known_is_refused_unless_unverified(void **state unused_arg)
{
	for (int is_verified = 0; is_verified < 2; is_verified++) {
		struct pair pair = { 0 };
		struct tls_client_options options = { .is_verified = is_verified };

		set_up_server(&pair, 1);
		join_with(&pair, &options);
		assert_int_equal(shake_hands(&pair), is_verified ? IO_FAIL : IO_OK);
		part(&pair);
	}
}

/* More than the socket holds, so that both directions stop and go on. */
static void bytes_come_through_in_both_directions(void **state unused_arg)
{
	static char bytes[BIG_SIZE], back[BIG_SIZE];
	struct pair pair = { 0 };
	struct tls_client_options options = { .is_verified = false };
	struct buf out = { 0 }, in = { 0 };
	size_t there = 0, got = 0, sent = 0, stops = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 31 % 251);
	set_up_server(&pair, 1);
	join_with(&pair, &options);
	assert_int_equal(shake_hands(&pair), IO_OK);
	buf_append(&out, bytes, sizeof(bytes));
	while (got < sizeof(bytes)) {
		size_t n;

		poke(&pair);
		stops += conn_send_buf(&pair.conn, &out) == IO_AGAIN;
		while (there < sizeof(bytes) &&
		       SSL_read_ex(pair.server, back + there, sizeof(back) - there, &n) == 1)
			there += n;
		if (sent < there && SSL_write_ex(pair.server, back + sent, there - sent, &n) == 1)
			sent += n;
		ERR_clear_error();
		for (;;) {
			buf_reserve(&in, BUF_SIZE);
			poke(&pair);
			if (conn_recv(&pair.conn, &in, buf_room(&in)) != IO_OK)
				break;
		}
		got = buf_length(&in);
	}
	assert_true(stops > 0);
	assert_memory_equal(buf_bytes(&in), bytes, sizeof(bytes));
	buf_release(&in);
	part(&pair);
}

static void end_of_the_server_is_told(void **state unused_arg)
{
	for (int is_proper = 0; is_proper < 2; is_proper++) {
		struct pair pair = { 0 };
		struct tls_client_options options = { .is_verified = false };
		struct buf in = { 0 };

		set_up_server(&pair, 1);
		join_with(&pair, &options);
		assert_int_equal(shake_hands(&pair), IO_OK);
		if (is_proper)
			(void)SSL_shutdown(pair.server);
		close(pair.fd);
		pair.fd = -1;
		poke(&pair);
		pair.conn.is_hung_up = true; /* as the edge would tell */
		buf_reserve(&in, BUF_SIZE);
		assert_int_equal(conn_recv(&pair.conn, &in, buf_room(&in)), IO_EOF);
		buf_release(&in);
		part(&pair);
	}
}

static void garbage_and_a_close_in_the_handshake_fail(void **state unused_arg)
{
	static const char garbage[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct pair pair = { 0 };
	struct tls_client_options options = { .is_verified = false };

	for (int is_garbage = 0; is_garbage < 2; is_garbage++) {
		set_up_server(&pair, 1);
		join_with(&pair, &options);
		poke(&pair);
		assert_int_equal(tls_handshake(&pair.conn), IO_AGAIN);
		if (is_garbage)
			assert_int_equal(write(pair.fd, garbage, sizeof(garbage) - 1),
					 sizeof(garbage) - 1);
		else
			assert_int_equal(shutdown(pair.fd, SHUT_RDWR), 0);
		poke(&pair);
		assert_int_equal(tls_handshake(&pair.conn), is_garbage ? IO_FAIL : IO_EOF);
		if (is_garbage)
			assert_string_equal(tls_failure_text(&pair.conn), "wrong version number");
		part(&pair);
	}
}

static void handshake_that_drips_byte_by_byte_succeeds(void **state unused_arg)
{
	struct pair pair = { 0 };
	struct tls_client_options options = { .is_verified = false };
	BIO *from = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
	enum io io = IO_AGAIN;
	char bytes[16384];

	set_up_server(&pair, 1);
	join_with(&pair, &options);
	SSL_set_bio(pair.server, from, to);
	for (int i = 0; i < 20000 && io == IO_AGAIN; i++) {
		ssize_t n;

		poke(&pair);
		io = tls_handshake(&pair.conn);
		n = read(pair.fd, bytes, sizeof(bytes));
		if (n > 0)
			BIO_write(from, bytes, (int)n);
		(void)SSL_do_handshake(pair.server);
		ERR_clear_error();
		if (BIO_read(to, bytes, 1) == 1)
			assert_int_equal(write(pair.fd, bytes, 1), 1);
	}
	assert_int_equal(io, IO_OK);
	part(&pair);
}

static void what_cannot_be_read_is_told(void **state unused_arg)
{
	static const struct {
		struct tls_client_options options;
		const char *why;
	} rows[] = {
		{ { .is_verified = true, .ca = STR_INIT("/nonexistent") },
		  "authorities cannot be read: No such file or directory" },
		{ { .certificate = STR_INIT("/dev/null"), .key = STR_INIT("/dev/null") },
		  "the certificate cannot be used: no start line" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char why[TLS_WHY_SIZE];

		assert_null(tls_client_ctx_new(&rows[i].options, why));
		assert_string_equal(why, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_certificate_is_taken_and_sni_is_sent),
		cmocka_unit_test(names_and_addresses_must_be_in_the_certificate),
		cmocka_unit_test(certificate_of_nobody_known_is_refused_unless_unverified),
		cmocka_unit_test(bytes_come_through_in_both_directions),
		cmocka_unit_test(end_of_the_server_is_told),
		cmocka_unit_test(garbage_and_a_close_in_the_handshake_fail),
		cmocka_unit_test(handshake_that_drips_byte_by_byte_succeeds),
		cmocka_unit_test(what_cannot_be_read_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
