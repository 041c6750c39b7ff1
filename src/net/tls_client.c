/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_client.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/addr.h"
#include "net/tls_internal.h"

struct tls_client_ctx {
	atomic_uint refs;
	SSL_CTX *ssl_ctx; /* (own) */
	char *sni;        /* (own) NULL = none */
	char *name;       /* (own) NULL = any */
};

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
		tls_error_text(why, "authorities cannot be read");
	free(path);
	return ok;
}

static bool use_own_certificate(SSL_CTX *ctx, const struct tls_client_options *options,
				char why[TLS_WHY_SIZE])
{
	char *certificate = text_of(options->certificate), *key = text_of(options->key);
	bool ok = true;

	if (certificate && SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
		tls_error_text(why, "the certificate cannot be used");
		ok = false;
	} else if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		tls_error_text(why, "the key cannot be used");
		ok = false;
	} else if (key && SSL_CTX_check_private_key(ctx) != 1) {
		tls_error_text(why, "the key is another certificate's");
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
		tls_error_text(why, "protocol names");
		return false;
	}
	return true;
}

static bool use_ciphers(SSL_CTX *ctx, const struct tls_client_options *options,
			char why[TLS_WHY_SIZE])
{
	char *ciphers = text_of(options->ciphers), *suites = text_of(options->ciphersuites);
	bool ok = true;

	if (ciphers && SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
		tls_error_text(why, "ciphers");
		ok = false;
	} else if (suites && SSL_CTX_set_ciphersuites(ctx, suites) != 1) {
		tls_error_text(why, "ciphersuites");
		ok = false;
	}
	free(ciphers);
	free(suites);
	return ok;
}

static void resume_reset(struct tls_resume *resume, struct tls_client_ctx *ctx)
{
	while (resume->n)
		SSL_SESSION_free(resume->sessions[--resume->n]);
	if (resume->ctx == ctx)
		return;
	tls_client_ctx_unref(resume->ctx);
	resume->ctx = ctx ? tls_client_ctx_ref(ctx) : NULL;
}

void tls_resume_fini(struct tls_resume *resume)
{
	resume_reset(resume, NULL);
}

static SSL_SESSION *resume_take(struct tls_resume *resume)
{
	SSL_SESSION *session = resume->sessions[0];

	resume->n--;
	memmove(resume->sessions, resume->sessions + 1, resume->n * sizeof(resume->sessions[0]));
	return session;
}

static void resume_put(struct tls_resume *resume, SSL_SESSION *session)
{
	if (resume->n == TLS_RESUME_MAX)
		SSL_SESSION_free(resume->sessions[--resume->n]);
	memmove(resume->sessions + 1, resume->sessions, resume->n * sizeof(resume->sessions[0]));
	resume->sessions[0] = session;
	resume->n++;
}

void tls_resume_offer(struct tls_resume *resume, struct tls_client_ctx *ctx, SSL *ssl)
{
	if (resume->ctx != ctx)
		resume_reset(resume, ctx);
	while (resume->n) {
		SSL_SESSION *session = resume_take(resume);
		bool is_used = SSL_SESSION_is_resumable(session) == 1 &&
			       SSL_set_session(ssl, session) == 1;

		if (is_used && SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION)
			resume_put(resume, session); /* may serve again */
		else
			SSL_SESSION_free(session);
		if (is_used)
			return;
	}
}

/* 1 = the session is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	const struct tls *tls = SSL_get_app_data(ssl);

	if (!tls->resume || tls->resume->ctx != tls->ctx)
		return 0;
	resume_put(tls->resume, session);
	return 1;
}

static bool expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct ip_addr ip;

	if (ip_addr_parse(str_of(name), &ip) == 0)
		return X509_VERIFY_PARAM_set1_ip(param, ip.ip, ip.family == AF_INET ? 4 : 16) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, name, strlen(name)) == 1;
}

SSL *tls_client_ssl_new(struct tls_client_ctx *ctx)
{
	SSL *ssl = SSL_new(ctx->ssl_ctx);
	struct ip_addr ip;

	if (!ssl)
		return NULL;
	/* An address is no host name to ask for (RFC 6066 3). */
	if ((!ctx->sni || ip_addr_parse(str_of(ctx->sni), &ip) == 0 ||
	     SSL_set_tlsext_host_name(ssl, ctx->sni) == 1) &&
	    (!ctx->name || expect_name(ssl, ctx->name)))
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static bool set_up(SSL_CTX *ctx, const struct tls_client_options *options, char why[TLS_WHY_SIZE])
{
	SSL_CTX_set_min_proto_version(ctx, options->is_min_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_set_verify(ctx, options->is_verified ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (options->is_verified && !use_authorities(ctx, options->ca, why))
		return false;
	return use_ciphers(ctx, options, why) && use_own_certificate(ctx, options, why) &&
	       use_alpn(ctx, options, why);
}

struct tls_client_ctx *tls_client_ctx_new(const struct tls_client_options *options,
					  char why[TLS_WHY_SIZE])
{
	struct tls_client_ctx *ctx;

	ERR_clear_error();
	ctx = xcalloc(1, sizeof(*ctx));
	atomic_init(&ctx->refs, 1);
	ctx->sni = text_of(options->sni);
	ctx->name = text_of(options->name);
	ctx->ssl_ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx->ssl_ctx) {
		tls_error_text(why, "");
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
	free(ctx->name);
	free(ctx);
}

struct tls_client_ctx *tls_client_ctx_named(const struct tls_client_ctx *base, struct str sni,
					    struct str name)
{
	struct tls_client_ctx *ctx = xcalloc(1, sizeof(*ctx));

	atomic_init(&ctx->refs, 1);
	SSL_CTX_up_ref(base->ssl_ctx);
	ctx->ssl_ctx = base->ssl_ctx;
	ctx->sni = text_of(sni);
	ctx->name = text_of(name);
	return ctx;
}

static bool is_text(const char *text, struct str other)
{
	return text ? str_eq(str_of(text), other) : !other.len;
}

bool tls_client_ctx_is_named(const struct tls_client_ctx *ctx, const struct tls_client_ctx *base,
			     struct str sni, struct str name)
{
	return ctx->ssl_ctx == base->ssl_ctx && is_text(ctx->sni, sni) && is_text(ctx->name, name);
}
