/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_server.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/mem.h"
#include "net/tls_server_ctx.h"
#include "net/tls_store.h"
#include "net/tls_tickets.h"

#define TLS_SERVER_MAGIC 0x715e7e40u

static char *text_of(struct str text)
{
	return text.len ? xstrndup(text) : NULL;
}

static bool set_alpn(struct tls_server *server, const struct tls_server_options *options,
		     const struct tls_mistakes *to)
{
	for (size_t i = 0; i < options->alpn_n; i++) {
		struct str name = options->alpn[i];

		if (name.len < 1 || name.len > 255 ||
		    server->alpn_size + name.len + 1 > sizeof(server->alpn)) {
			tls_error(to, "alpn: too many or too long protocol names");
			return false;
		}
		server->alpn[server->alpn_size++] = (unsigned char)name.len;
		memcpy(server->alpn + server->alpn_size, name.p, name.len);
		server->alpn_size += (unsigned)name.len;
	}
	return true;
}

static void set_sources(struct tls_store_user *user, const struct tls_server_options *options)
{
	user->sources = xcalloc(options->certificates_n + 1, sizeof(*user->sources));
	user->sources_n = options->certificates_n;
	for (size_t i = 0; i < user->sources_n; i++)
		user->sources[i].path = xstrndup(options->certificates[i]);
}

static struct tls_server *allocate(const struct tls_server_options *options)
{
	struct tls_server *server = xcalloc(1, sizeof(*server));

	server->magic = TLS_SERVER_MAGIC;
	atomic_init(&server->refs, 1);
	server->ciphers = text_of(options->ciphers);
	server->ciphersuites = text_of(options->ciphersuites);
	server->groups = text_of(options->groups);
	server->is_min_1_3 = options->is_min_1_3;
	server->is_sni_strict = options->is_sni_strict;
	/* TLS 1.3 without tickets keeps its sessions in the cache, as 1.2 does. */
	server->has_tickets = options->has_tickets;
	server->has_cache = options->session_cache > 0;
	server->client_verify = options->client_verify;
	server->user.label = xstrndup(options->label);
	server->user.wants_ocsp = options->has_ocsp_refresh;
	server->user.make = tls_server_make_ctx;
	pthread_mutex_init(&server->user.lock, NULL);
	set_sources(&server->user, options);
	server->base = SSL_CTX_new(TLS_server_method());
	bug_on(!server->base);
	return server;
}

/* What `base` alone has: sessions and tickets. */
static bool set_sessions(struct tls_server *server, const struct tls_server_options *options,
			 const struct tls_mistakes *to)
{
	SSL_CTX *base = server->base;
	int64_t session_s = options->session_ms / 1000;

	SSL_CTX_set_timeout(base, session_s > 0 ? (long)session_s : 1);
	if (options->session_cache) {
		/* Full, it drops the oldest; so nobody need walk through all of it (AUTO_CLEAR). */
		SSL_CTX_set_session_cache_mode(base, SSL_SESS_CACHE_SERVER |
							     SSL_SESS_CACHE_NO_AUTO_CLEAR);
		SSL_CTX_sess_set_cache_size(base, (long)options->session_cache);
	} else if (!options->has_tickets) {
		SSL_CTX_set_num_tickets(base, 0);
	}
	if (!options->has_tickets)
		return true;
	server->tickets = tls_tickets_open(options->ticket_keys, options->ticket_secret,
					   options->session_ms, to->fn, to->arg);
	if (!server->tickets)
		return false;
	tls_tickets_use(server->tickets, base);
	return true;
}

/*
 * Reads the certificates and puts the server among the users of the store; not IS_WANTED: reads
 * them for what there is to be told of them.
 */
static bool use_certificates(struct tls_server *server, bool is_wanted,
			     const struct tls_mistakes *to)
{
	struct tls_members members;
	bool ok;

	tls_store_lock();
	ok = tls_store_collect(&server->user, &members, to) && is_wanted;
	if (ok) {
		server->user.next_members = members;
		ok = tls_store_add_user(&server->user, to);
	} else {
		free(members.items);
		tls_store_take_back();
	}
	tls_store_sweep_locked();
	tls_store_unlock();
	return ok;
}

struct tls_server *tls_server_new(const struct tls_server_options *options, tls_mistake_fn *mistake,
				  void *arg)
{
	const struct tls_mistakes to = { mistake, arg, STR("") };
	struct tls_server *server = allocate(options);
	bool ok;

	ERR_clear_error();
	ok = set_alpn(server, options, &to);
	ok = tls_server_read_authorities(server, options, &to) && ok;
	ok = tls_server_set_up(server, server->base, &to) && ok;
	ok = set_sessions(server, options, &to) && ok;
	if (!options->certificates_n)
		tls_error(&to, "no certificate is named");
	ok = use_certificates(server, ok && options->certificates_n, &to);
	ERR_clear_error();
	if (ok)
		return server;
	tls_server_unref(server);
	return NULL;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
	check_magic(server, TLS_SERVER_MAGIC);
	atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
	return server;
}

void tls_server_unref(struct tls_server *server)
{
	if (!server)
		return;
	check_magic(server, TLS_SERVER_MAGIC);
	if (atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) != 1)
		return;
	tls_store_lock();
	tls_store_remove_user(&server->user);
	tls_store_unlock();
	server->magic = 0;
	tls_store_user_fini(&server->user);
	SSL_CTX_free(server->base);
	tls_tickets_unref(server->tickets);
	X509_STORE_free(server->authorities);
	sk_X509_NAME_pop_free(server->ca_names, X509_NAME_free);
	pthread_mutex_destroy(&server->user.lock);
	free(server->ciphers);
	free(server->ciphersuites);
	free(server->groups);
	free(server);
}

void *tls_server_ssl_ctx(struct tls_server *server)
{
	return server->base;
}
