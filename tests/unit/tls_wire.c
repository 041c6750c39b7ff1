/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tls_wire.h"

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
#include <openssl/x509v3.h>

#include "net/tls_server.h"

static struct tls_wire *wire_of_server;

/* A server's context of the test's own: net/tls_server.c has tests of its own. */
void *tls_server_ssl_ctx(struct tls_server *server)
{
	assert_ptr_equal(server, (struct tls_server *)wire_of_server);
	return wire_of_server->server_ctx;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
	return server;
}

void tls_server_unref(struct tls_server *server)
{
	(void)server;
}

static void on_event(struct conn *conn, enum conn_ev ev)
{
	(void)conn;
	(void)ev;
}

static FILE *open_file(char path[64])
{
	FILE *file;

	snprintf(path, 64, "/tmp/limpet-test-tls-XXXXXX");
	file = fdopen(mkstemp(path), "w");
	assert_non_null(file);
	return file;
}

void wire_init(struct tls_wire *wire)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_EXTENSION *names =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:app.test");
	FILE *file;

	memset(wire, 0, sizeof(*wire));
	wire->ends[CLIENT] = wire->ends[SERVER] = -1;
	conn_init(&wire->conns[CLIENT], -1, on_event);
	conn_init(&wire->conns[SERVER], -1, on_event);
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"some\nbody",
				   -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_add_ext(certificate, names, -1);
	X509_EXTENSION_free(names);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	file = open_file(wire->certificate);
	PEM_write_X509(file, certificate);
	fclose(file);
	file = open_file(wire->key);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void wire_forget_server(struct tls_wire *wire)
{
	wire_close(wire);
	SSL_CTX_free(wire->server_ctx);
	wire->server_ctx = NULL;
}

void wire_fini(struct tls_wire *wire)
{
	wire_forget_server(wire);
	tls_resume_fini(&wire->resume);
	unlink(wire->certificate);
	unlink(wire->key);
	buf_pool_fini();
}

static void make_server_ctx(struct tls_wire *wire, const struct wire_options *options)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	assert_int_equal(SSL_CTX_use_certificate_file(ctx, wire->certificate, SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, wire->key, SSL_FILETYPE_PEM), 1);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"wire", 4);
	SSL_CTX_set_min_proto_version(ctx, options->version);
	SSL_CTX_set_max_proto_version(ctx, options->version);
	SSL_CTX_set_num_tickets(ctx, 1);
	if (options->has_client_cert) {
		assert_int_equal(SSL_CTX_load_verify_file(ctx, wire->certificate), 1);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	wire->server_ctx = ctx;
}

static void open_side(struct tls_wire *wire, enum wire_side side, bool is_small)
{
	int fds[2], size = 1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (is_small) {
		setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	conn_init(&wire->conns[side], fds[0], on_event);
	wire->ends[side] = fds[1];
	wire->ways[side].n = wire->ways[side].carried = 0;
}

static void open_client(struct tls_wire *wire, const struct wire_options *options)
{
	struct tls_client_options client = {
		.is_verified = options->verify_name != NULL,
		.ca = str_of(wire->certificate),
		.sni = STR("app.test"),
		.name = str_of(options->verify_name ? options->verify_name : ""),
	};
	char why[TLS_WHY_SIZE];
	struct tls_client_ctx *ctx;

	if (options->has_client_cert) {
		client.certificate = str_of(wire->certificate);
		client.key = str_of(wire->key);
	}
	/* Sessions are of one context: the next connection must come from the same one. */
	ctx = wire->resume.ctx ? tls_client_ctx_ref(wire->resume.ctx)
			       : tls_client_ctx_new(&client, why);
	assert_non_null(ctx);
	assert_int_equal(
		tls_connect(&wire->conns[CLIENT], ctx, wire->has_resume ? &wire->resume : NULL), 0);
	tls_client_ctx_unref(ctx);
}

void wire_open(struct tls_wire *wire, const struct wire_options *options)
{
	struct buf none = { 0 };

	wire_close(wire);
	if (!wire->server_ctx)
		make_server_ctx(wire, options);
	wire_of_server = wire;
	open_side(wire, CLIENT, options->is_small);
	open_side(wire, SERVER, options->is_small);
	assert_int_equal(tls_accept(&wire->conns[SERVER], (struct tls_server *)wire, &none), 0);
	if (!options->has_no_client)
		open_client(wire, options);
}

void wire_close(struct tls_wire *wire)
{
	for (int side = CLIENT; side <= SERVER; side++) {
		conn_close(&wire->conns[side]);
		if (wire->ends[side] >= 0)
			close(wire->ends[side]);
		wire->ends[side] = -1;
	}
}

bool wire_carry(struct tls_wire *wire, enum wire_side side)
{
	struct wire_way *way = &wire->ways[side];
	size_t room = sizeof(way->bytes) - way->n;
	ssize_t n = 0, sent;

	if (wire->step && room > wire->step - way->n)
		room = wire->step - way->n;
	if (room)
		n = recv(wire->ends[side], way->bytes + way->n, room, 0);
	if (n > 0) {
		way->n += (size_t)n;
		wire->conns[side].can_write = true;
	}
	if (!way->n)
		return false;
	sent = send(wire->ends[!side], way->bytes, way->n, MSG_NOSIGNAL);
	if (sent <= 0)
		return false;
	way->n -= (size_t)sent;
	memmove(way->bytes, way->bytes + sent, way->n);
	way->carried += (size_t)sent;
	wire->conns[!side].can_read = true;
	wire->conns[!side].is_drained = false;
	return true;
}

void wire_cut(struct tls_wire *wire, enum wire_side side)
{
	assert_int_equal(shutdown(wire->ends[side], SHUT_WR), 0);
	wire->conns[side].can_read = wire->conns[side].is_hung_up = true;
	wire->conns[side].is_drained = false;
}

enum io wire_shake_hands(struct tls_wire *wire, enum wire_side *at)
{
	for (int i = 0; i < 100000; i++) {
		enum io ios[2];

		for (int side = CLIENT; side <= SERVER; side++) {
			ios[side] = tls_handshake(&wire->conns[side]);
			if (at)
				*at = (enum wire_side)side;
			if (ios[side] == IO_FAIL || ios[side] == IO_EOF)
				return ios[side];
			while (wire_carry(wire, (enum wire_side)side) && !wire->step)
				;
		}
		if (ios[CLIENT] == IO_OK && ios[SERVER] == IO_OK)
			return IO_OK;
	}
	return IO_AGAIN;
}

void wire_say(struct conn *conn, const char *text)
{
	size_t sent;

	assert_int_equal(conn_send(conn, text, strlen(text), &sent), IO_OK);
	assert_int_equal(sent, strlen(text));
}

enum io wire_hear(struct conn *conn, char text[256], size_t room)
{
	struct buf in = { 0 };
	enum io io;

	buf_reserve(&in, room);
	io = conn_recv(conn, &in, room);
	memcpy(text, buf_length(&in) ? buf_bytes(&in) : "", buf_length(&in));
	text[buf_length(&in)] = '\0';
	buf_release(&in);
	return io;
}

int wire_setup(void **state)
{
	struct tls_wire *wire = malloc(sizeof(*wire));

	wire_init(wire);
	*state = wire;
	return 0;
}

int wire_teardown(void **state)
{
	wire_fini(*state);
	free(*state);
	return 0;
}

void wire_establish(struct tls_wire *wire, const struct wire_options *options)
{
	wire_forget_server(wire);
	wire_open(wire, options);
	assert_int_equal(wire_shake_hands(wire, NULL), IO_OK);
	while (wire_carry(wire, CLIENT) || wire_carry(wire, SERVER))
		;
}
