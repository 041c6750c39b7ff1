/* SPDX-License-Identifier: MIT */
/* load_tls - the bytes of a client, with or without TLS.  Certificates are not verified. */
#include "config.h"

#include "load.h"

#include <errno.h>
#include <openssl/err.h>

static SSL_CTX *context;

/* A ticket of TLS 1.3 comes with the first read after the handshake. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->session);
	c->session = session;
	return 1;
}

void tls_setup(void)
{
	int version = opt.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;

	context = SSL_CTX_new(TLS_client_method());
	if (context == NULL)
		die("TLS", "no context");
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_min_proto_version(context, version);
	SSL_CTX_set_max_proto_version(context, version);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(context, opt.resume ? SSL_SESS_CACHE_CLIENT |
								     SSL_SESS_CACHE_NO_INTERNAL
							   : SSL_SESS_CACHE_OFF);
	if (opt.resume)
		SSL_CTX_sess_set_new_cb(context, on_session);
}

int tls_begin(struct client *c)
{
	c->ssl = SSL_new(context);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->source.fd) != 1)
		die("TLS", "no connection");
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	if (opt.resume && c->session != NULL) {
		SSL_set_session(c->ssl, c->session);
		SSL_SESSION_free(c->session);
		c->session = NULL;
	}
	return 0;
}

static int tls_error(struct client *c, int result)
{
	int why = SSL_get_error(c->ssl, result), e = errno;

	ERR_clear_error();
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (why == SSL_ERROR_SYSCALL)
		return e != 0 ? -e : 0;
	return -EPROTO;
}

int tls_shake(struct client *c)
{
	int result;

	errno = 0;
	result = SSL_do_handshake(c->ssl);
	if (result != 1)
		return tls_error(c, result);
	tally.handshakes++;
	if (SSL_session_reused(c->ssl))
		tally.resumed++;
	return 1;
}

int wire_send(struct client *c, const char *data, size_t size)
{
	int n;

	errno = 0;
	if (c->ssl == NULL) {
		ssize_t sent = send(c->source.fd, data, size, MSG_NOSIGNAL);

		return sent < 0 ? -errno : (int)sent;
	}
	n = SSL_write(c->ssl, data, (int)size);
	return n > 0 ? n : tls_error(c, n);
}

int wire_recv(struct client *c, char *data, size_t size)
{
	int n;

	errno = 0;
	if (c->ssl == NULL) {
		ssize_t got = recv(c->source.fd, data, size, 0);

		return got < 0 ? -errno : (int)got;
	}
	n = SSL_read(c->ssl, data, (int)size);
	return n > 0 ? n : tls_error(c, n);
}

/* Says goodbye when that can be: the peer then sees an orderly end. */
void tls_end(struct client *c)
{
	if (c->ssl == NULL)
		return;
	if (SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	ERR_clear_error();
	SSL_free(c->ssl);
	c->ssl = NULL;
}
