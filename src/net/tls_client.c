/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL reads and writes through a BIO that calls the conn, so the conn's edges stay true and
 * nothing raises SIGPIPE.
 */
#include "config.h"

#include "net/tls_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/addr.h"

struct tls_client_ctx {
	atomic_uint refs;
	SSL_CTX *ssl_ctx; /* (own) */
	char *sni;        /* (own) NULL = none */
};

static int bio_read(BIO *bio, char *out, size_t size, size_t *got)
{
	struct conn *conn = BIO_get_data(bio);
	struct buf view = { .data = out, .size = (uint32_t)(size > BUF_SIZE ? BUF_SIZE : size) };

	BIO_clear_retry_flags(bio);
	*got = 0;
	switch (conn_recv(conn, &view, view.size)) {
	case IO_OK:
		*got = view.end;
		return 1;
	case IO_AGAIN:
		BIO_set_retry_read(bio);
		return -1;
	case IO_EOF:
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
		return 0;
	case IO_FAIL:
		break;
	}
	return -1;
}

static int bio_write(BIO *bio, const char *bytes, size_t size, size_t *sent)
{
	struct conn *conn = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	switch (conn_send(conn, bytes, size, sent)) {
	case IO_OK:
		return 1;
	case IO_AGAIN:
		if (*sent)
			return 1;
		BIO_set_retry_write(bio);
		return -1;
	case IO_EOF:
	case IO_FAIL:
		break;
	}
	return -1;
}

static long bio_control(BIO *bio, int command, long n, void *arg)
{
	(void)n;
	(void)arg;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
	bug_on(!bio_method || !BIO_meth_set_read_ex(bio_method, bio_read) ||
	       !BIO_meth_set_write_ex(bio_method, bio_write) ||
	       !BIO_meth_set_ctrl(bio_method, bio_control));
}

static void free_bio_method(void)
{
	BIO_meth_free(bio_method);
}

static void init_once(void)
{
	make_bio_method();
	(void)atexit(free_bio_method);
}

/* OpenSSL's oldest complaint, which is the cause. */
static void tell_error(char why[TLS_WHY_SIZE], const char *what)
{
	unsigned long error = ERR_get_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	if (error && ERR_SYSTEM_ERROR(error))
		reason = strerror(ERR_GET_REASON(error));
	snprintf(why, TLS_WHY_SIZE, "%s%s%s", what, what[0] && reason ? ": " : "",
		 reason    ? reason
		 : what[0] ? ""
			   : "unknown error");
	ERR_clear_error();
}

/* PATH as a NUL-terminated text; NULL for none. */
static char *text_of(struct str text)
{
	return text.len ? xstrndup(text) : NULL;
}

static bool use_authorities(SSL_CTX *ctx, struct str ca, char why[TLS_WHY_SIZE])
{
	char *path = text_of(ca);
	bool ok = path ? SSL_CTX_load_verify_file(ctx, path) == 1
		       : SSL_CTX_set_default_verify_paths(ctx) == 1;

	if (!ok)
		tell_error(why, "authorities cannot be read");
	free(path);
	return ok;
}

static bool use_name(SSL_CTX *ctx, struct str name, char why[TLS_WHY_SIZE])
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	struct ip_addr ip;
	bool ok;

	if (!name.len)
		return true;
	if (ip_addr_parse(name, &ip) == 0) {
		ok = X509_VERIFY_PARAM_set1_ip(param, ip.ip, ip.family == AF_INET ? 4 : 16) == 1;
	} else {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ok = X509_VERIFY_PARAM_set1_host(param, name.p, name.len) == 1;
	}
	if (!ok)
		tell_error(why, "not a name for a certificate");
	return ok;
}

static bool use_own_certificate(SSL_CTX *ctx, const struct tls_client_options *options,
				char why[TLS_WHY_SIZE])
{
	char *certificate = text_of(options->certificate), *key = text_of(options->key);
	bool ok = true;

	if (certificate && SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
		tell_error(why, "the certificate cannot be used");
		ok = false;
	} else if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		tell_error(why, "the key cannot be used");
		ok = false;
	} else if (key && SSL_CTX_check_private_key(ctx) != 1) {
		tell_error(why, "the key is another certificate's");
		ok = false;
	}
	free(certificate);
	free(key);
	return ok;
}

static bool use_alpn(SSL_CTX *ctx, const struct tls_client_options *options, char why[TLS_WHY_SIZE])
{
	unsigned char wire[1024];
	size_t size = 0;

	for (size_t i = 0; i < options->alpn_n; i++) {
		struct str name = options->alpn[i];

		if (name.len < 1 || name.len > 255 || size + name.len + 1 > sizeof(wire)) {
			snprintf(why, TLS_WHY_SIZE, "too many or too long protocol names");
			return false;
		}
		wire[size++] = (unsigned char)name.len;
		memcpy(wire + size, name.p, name.len);
		size += name.len;
	}
	if (size && SSL_CTX_set_alpn_protos(ctx, wire, (unsigned)size) != 0) {
		tell_error(why, "protocol names");
		return false;
	}
	return true;
}

static bool set_up(SSL_CTX *ctx, const struct tls_client_options *options, char why[TLS_WHY_SIZE])
{
	SSL_CTX_set_min_proto_version(ctx, options->is_min_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	/* Many servers close without a close_notify; who needs the end told looks at lengths. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, options->is_verified ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (options->is_verified &&
	    (!use_authorities(ctx, options->ca, why) || !use_name(ctx, options->name, why)))
		return false;
	return use_own_certificate(ctx, options, why) && use_alpn(ctx, options, why);
}

struct tls_client_ctx *tls_client_ctx_new(const struct tls_client_options *options,
					  char why[TLS_WHY_SIZE])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct tls_client_ctx *ctx;

	pthread_once(&once, init_once);
	ERR_clear_error();
	ctx = xcalloc(1, sizeof(*ctx));
	atomic_init(&ctx->refs, 1);
	ctx->sni = text_of(options->sni);
	ctx->ssl_ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx->ssl_ctx) {
		tell_error(why, "");
	} else if (set_up(ctx->ssl_ctx, options, why)) {
		ERR_clear_error();
		return ctx;
	}
	tls_client_ctx_unref(ctx);
	return NULL;
}

struct tls_client_ctx *tls_client_ctx_ref(struct tls_client_ctx *ctx)
{
	atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
	return ctx;
}

void tls_client_ctx_unref(struct tls_client_ctx *ctx)
{
	if (!ctx || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(ctx->ssl_ctx);
	free(ctx->sni);
	free(ctx);
}

int tls_session_open(struct tls_session *session, const struct tls_client_ctx *ctx,
		     struct conn *conn)
{
	SSL *ssl;
	BIO *bio;

	*session = (struct tls_session){ .conn = conn };
	ERR_clear_error();
	ssl = SSL_new(ctx->ssl_ctx);
	bio = ssl ? BIO_new(bio_method) : NULL;
	if (!bio || (ctx->sni && SSL_set_tlsext_host_name(ssl, ctx->sni) != 1)) {
		BIO_free(bio);
		SSL_free(ssl);
		return -ENOMEM;
	}
	BIO_set_data(bio, conn);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_connect_state(ssl);
	session->ssl = ssl;
	return 0;
}

/* RC is what an SSL_ function gave; errors of OpenSSL that are not ours were cleared before. */
static enum io result(struct tls_session *session, int rc)
{
	SSL *ssl = session->ssl;
	long verified;

	switch (SSL_get_error(ssl, rc)) {
	case SSL_ERROR_NONE:
		return IO_OK;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return IO_EOF;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return session->conn->is_eof ? IO_EOF : IO_FAIL;
	default:
		break;
	}
	verified = SSL_get_verify_result(ssl);
	if (verified != X509_V_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE) {
		snprintf(session->why, sizeof(session->why), "%s",
			 X509_verify_cert_error_string(verified));
		ERR_clear_error();
	} else {
		tell_error(session->why, "");
	}
	return IO_FAIL;
}

enum io tls_session_handshake(struct tls_session *session)
{
	enum io io;

	if (session->is_established)
		return IO_OK;
	ERR_clear_error();
	io = result(session, SSL_do_handshake(session->ssl));
	session->is_established = io == IO_OK;
	return io;
}

enum io tls_session_recv(struct tls_session *session, struct buf *buf, size_t room)
{
	size_t got = 0;
	int rc;

	if (!room)
		return IO_AGAIN;
	ERR_clear_error();
	rc = SSL_read_ex(session->ssl, buf_tail(buf), room, &got);
	if (rc <= 0)
		return result(session, rc);
	buf_fill(buf, got);
	return IO_OK;
}

enum io tls_session_send_buf(struct tls_session *session, struct buf *buf)
{
	while (buf_length(buf)) {
		size_t sent = 0;
		int rc;

		ERR_clear_error();
		rc = SSL_write_ex(session->ssl, buf_bytes(buf), buf_length(buf), &sent);
		if (rc <= 0)
			return result(session, rc);
		buf_consume(buf, sent);
	}
	return IO_OK;
}

void tls_session_close(struct tls_session *session)
{
	if (!session->ssl)
		return;
	ERR_clear_error();
	if (session->is_established && session->conn->fd >= 0 && !session->conn->is_broken &&
	    !session->why[0])
		(void)SSL_shutdown(session->ssl);
	ERR_clear_error();
	SSL_free(session->ssl);
	session->ssl = NULL;
}
