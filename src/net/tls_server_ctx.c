/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_server_ctx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/siphash.h"
#include "net/tls_tickets.h"

#define DEPTH_MAX 4 /* authorities between a client's certificate and one that is trusted */

/* Without a choice of the operator's: forward secrecy and authenticated encryption alone. */
static const char our_ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char our_ciphersuites[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
/* Not const: OpenSSL's macro takes a char *. */
static char our_groups[] = "X25519:P-256:P-384";

/* ---- Which certificate ---- */

/*
 * The host name of a ClientHello (RFC 6066 3), "" = none.  False: malformed.  What is in it beyond
 * the first name is left to OpenSSL, which reads it again.
 */
static bool read_sni(SSL *ssl, struct str *sni)
{
	const unsigned char *p;
	size_t size, len;

	*sni = STR("");
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &size))
		return true;
	if (size < 5 || ((size_t)p[0] << 8 | p[1]) != size - 2)
		return false;
	if (p[2] != TLSEXT_NAMETYPE_host_name)
		return true;
	len = (size_t)p[3] << 8 | p[4];
	if (len > size - 5)
		return false;
	*sni = (struct str){ (const char *)p + 5, len };
	return true;
}

/*
 * A session belongs to what its client was verified by, and to the name it was made for: RFC 6066 3
 * forbids to resume it under another one.
 */
static void set_context(SSL *ssl, const struct tls_server *server, struct str sni)
{
	static const struct siphash_key no_key = { 0, 0 };
	unsigned char context[TLS_CONTEXT_SIZE + 16];
	char name[TLSEXT_MAXLEN_host_name];
	size_t len = sni.len < sizeof(name) ? sni.len : sizeof(name);

	for (size_t i = 0; i < len; i++)
		name[i] = (char)ascii_lower((unsigned char)sni.p[i]);
	memcpy(context, server->context, TLS_CONTEXT_SIZE);
	siphash24_128(&no_key, name, len, context + TLS_CONTEXT_SIZE);
	bug_on(SSL_set_session_id_context(ssl, context, sizeof(context)) != 1);
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_server *server = arg;
	struct tls_names *names;
	struct str sni;
	SSL_CTX *ctx;

	if (!read_sni(ssl, &sni)) {
		*alert = SSL_AD_DECODE_ERROR;
		ERR_raise(ERR_LIB_SSL, SSL_R_BAD_EXTENSION);
		return SSL_CLIENT_HELLO_ERROR;
	}
	pthread_mutex_lock(&server->user.lock);
	names = tls_names_ref(server->user.names);
	pthread_mutex_unlock(&server->user.lock);
	ctx = tls_names_find(names, sni);
	if (!ctx && !server->is_sni_strict)
		ctx = tls_names_default(names);
	if (ctx)
		bug_on(!SSL_set_SSL_CTX(ssl, ctx));
	tls_names_unref(names);
	if (!ctx) {
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		ERR_raise(ERR_LIB_SSL, SSL_R_TLSV1_UNRECOGNIZED_NAME);
		return SSL_CLIENT_HELLO_ERROR;
	}
	set_context(ssl, server, sni);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* The choice was made before; this keeps the name with sessions of TLS 1.2. */
static int on_server_name(unused_arg SSL *ssl, unused_arg int *alert, unused_arg void *arg)
{
	return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(unused_arg SSL *ssl, const unsigned char **out, unsigned char *out_size,
		   const unsigned char *offered, unsigned offered_size, void *arg)
{
	const struct tls_server *server = arg;
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_size, server->alpn, server->alpn_size, offered,
				  offered_size) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int on_status(SSL *ssl, unused_arg void *arg)
{
	const struct tls_set *set = tls_names_set_of(SSL_get_SSL_CTX(ssl));
	const X509 *chosen = SSL_get_certificate(ssl);
	unsigned char *der = NULL;
	size_t size = 0;

	for (size_t i = 0; set && i < set->certs_n && !der; i++)
		if (tls_cert_x509(set->certs[i]) == chosen)
			der = tls_cert_staple(set->certs[i], &size);
	if (!der)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, der, (long)size);
	return SSL_TLSEXT_ERR_OK;
}

/* ---- Clients' certificates ---- */

/* Optional: the handshake goes on, and SSL_get_verify_result() tells. */
static int on_verify_optional(unused_arg int is_ok, unused_arg X509_STORE_CTX *store)
{
	return 1;
}

static bool add_authorities(struct tls_server *server, struct str pem,
			    const struct tls_mistakes *to)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	unsigned n = 0;
	X509 *ca;

	bug_on(!bio);
	ERR_clear_error();
	while ((ca = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));

		bug_on(X509_STORE_add_cert(server->authorities, ca) != 1 || !name ||
		       !sk_X509_NAME_push(server->ca_names, name));
		X509_free(ca);
		n++;
	}
	BIO_free(bio);
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		tls_error_openssl(to, "an authority cannot be read");
		return false;
	}
	ERR_clear_error();
	if (!n)
		tls_error(to, "no certificate in it");
	return n > 0;
}

static bool add_lists(struct tls_server *server, struct str pem, const struct tls_mistakes *to)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	unsigned n = 0;
	X509_CRL *list;

	bug_on(!bio);
	ERR_clear_error();
	while ((list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
		const ASN1_TIME *until = X509_CRL_get0_nextUpdate(list);

		if (until && X509_cmp_current_time(until) < 0)
			tls_warning(to, "a revocation list is out of date: no client of its "
					"authority will be verified");
		bug_on(X509_STORE_add_crl(server->authorities, list) != 1);
		X509_CRL_free(list);
		n++;
	}
	BIO_free(bio);
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		tls_error_openssl(to, "a revocation list cannot be read");
		return false;
	}
	ERR_clear_error();
	if (!n)
		tls_error(to, "no revocation list in it");
	X509_STORE_set_flags(server->authorities,
			     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return n > 0;
}

typedef bool add_fn(struct tls_server *server, struct str pem, const struct tls_mistakes *to);

static bool add_file(struct tls_server *server, struct str path, size_t max, add_fn *add,
		     EVP_MD_CTX *digest, const struct tls_mistakes *to)
{
	const struct tls_mistakes about = { to->fn, to->arg, path };
	int error = 0;
	size_t size;
	char *text;
	bool ok;

	if (!path.len)
		return true;
	text = tls_read_file(path, max, &size, NULL, &error);
	if (!text) {
		tls_error(&about, "%s", error == EFBIG ? "too large" : strerror(error));
		return false;
	}
	bug_on(EVP_DigestUpdate(digest, text, size) != 1);
	ok = add(server, (struct str){ text, size }, &about);
	free(text);
	return ok;
}

bool tls_server_read_authorities(struct tls_server *server,
				 const struct tls_server_options *options,
				 const struct tls_mistakes *to)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char verify = (unsigned char)options->client_verify;
	unsigned char out[EVP_MAX_MD_SIZE];
	bool ok = true;

	bug_on(!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1 ||
	       EVP_DigestUpdate(digest, &verify, 1) != 1);
	if (options->client_verify != TLS_VERIFY_NONE) {
		server->authorities = X509_STORE_new();
		server->ca_names = sk_X509_NAME_new_null();
		bug_on(!server->authorities || !server->ca_names);
		/* An authority that is no root may be trusted as well. */
		X509_STORE_set_flags(server->authorities, X509_V_FLAG_PARTIAL_CHAIN);
		ok = add_file(server, options->client_ca, TLS_CRL_MAX, add_authorities, digest, to);
		ok = add_file(server, options->client_crl, TLS_CRL_MAX, add_lists, digest, to) &&
		     ok;
	}
	bug_on(EVP_DigestFinal_ex(digest, out, NULL) != 1);
	memcpy(server->context, out, TLS_CONTEXT_SIZE);
	EVP_MD_CTX_free(digest);
	return ok;
}

static void set_verify(struct tls_server *server, SSL_CTX *ctx)
{
	STACK_OF(X509_NAME) * names;

	switch (server->client_verify) {
	case TLS_VERIFY_NONE:
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		return;
	case TLS_VERIFY_OPTIONAL:
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify_optional);
		break;
	case TLS_VERIFY_REQUIRED:
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		break;
	}
	SSL_CTX_set_verify_depth(ctx, DEPTH_MAX);
	SSL_CTX_set1_cert_store(ctx, server->authorities);
	names = SSL_dup_CA_list(server->ca_names);
	bug_on(!names);
	SSL_CTX_set_client_CA_list(ctx, names);
}

/* ---- All of it ---- */

/* What OpenSSL says of them does not tell which word it is. */
static bool set_ciphers(struct tls_server *server, SSL_CTX *ctx, const struct tls_mistakes *to)
{
	const char *ciphers = server->ciphers ? server->ciphers : our_ciphers;
	const char *suites = server->ciphersuites ? server->ciphersuites : our_ciphersuites;
	const char *groups = server->groups ? server->groups : our_groups;
	bool ok = true;

	if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
		tls_error(to,
			  "'ciphers': '%s': no cipher of TLS 1.2 (`openssl ciphers` lists them)",
			  ciphers);
		ok = false;
	}
	if (SSL_CTX_set_ciphersuites(ctx, suites) != 1) {
		tls_error(to,
			  "'ciphersuites': '%s': not all are suites of TLS 1.3, as in "
			  "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
			  suites);
		ok = false;
	}
	/* SSL_CTX_set1_groups_list() casts const away. */
	if (SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, (void *)(uintptr_t)groups) != 1) {
		tls_error(to, "'groups': '%s': not all are groups, as in X25519:P-256:P-384",
			  groups);
		ok = false;
	}
	ERR_clear_error();
	return ok;
}

bool tls_server_set_up(struct tls_server *server, SSL_CTX *ctx, const struct tls_mistakes *to)
{
	uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;

	if (!server->has_tickets)
		options |= SSL_OP_NO_TICKET;
	SSL_CTX_set_security_level(ctx, 2);
	SSL_CTX_set_options(ctx, options);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_dh_auto(ctx, 1);
	/* OpenSSL asks the context that was chosen whether a session gets a number; it is kept in
	 * the one that the connection began with. */
	SSL_CTX_set_session_cache_mode(ctx, server->has_cache ? SSL_SESS_CACHE_SERVER
							      : SSL_SESS_CACHE_OFF);
	set_verify(server, ctx);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_tlsext_status_cb(ctx, on_status);
	if (server->alpn_size)
		SSL_CTX_set_alpn_select_cb(ctx, on_alpn, server);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, server);
	bug_on(SSL_CTX_set_min_proto_version(ctx, server->is_min_1_3 ? TLS1_3_VERSION
								     : TLS1_2_VERSION) != 1);
	return set_ciphers(server, ctx, to);
}

void *tls_server_make_ctx(void *arg)
{
	struct tls_server *server = container_of(arg, struct tls_server, user);
	const struct tls_mistakes nobody = { 0 };
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	/* The same was done for `base`, in tls_server_new(). */
	bug_on(!ctx || !tls_server_set_up(server, ctx, &nobody));
	if (server->tickets)
		tls_tickets_use(server->tickets, ctx);
	return ctx;
}
