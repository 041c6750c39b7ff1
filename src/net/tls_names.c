/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_names.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"

#define SNI_MAX   253 /* RFC 1035 3.1, without the dot at the end */
#define SETS_ROOM 8   /* to begin with */

struct named {
	const char *name; /* (view) of a certificate of the set */
	SSL_CTX *ctx;     /* (view) of sets */
};

struct tls_names {
	atomic_uint refs;
	struct named *names; /* (own) sorted */
	size_t names_n;
	SSL_CTX **sets; /* (own) each a reference; sorted as compare_sets() does */
	size_t sets_n;
	SSL_CTX *default_ctx; /* (view) of sets */
};

/* ---- Sets ---- */

static int set_index = -1;

static void free_set(unused_arg void *parent, void *ptr, unused_arg CRYPTO_EX_DATA *data,
		     unused_arg int index, unused_arg long argl, unused_arg void *argp)
{
	struct tls_set *set = ptr;

	if (!set)
		return;
	for (size_t i = 0; i < set->certs_n; i++)
		tls_cert_unref(set->certs[i]);
	free(set);
}

static void init_index(void)
{
	set_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_set);
	bug_on(set_index < 0);
}

const struct tls_set *tls_names_set_of(const void *ssl_ctx)
{
	return set_index < 0 ? NULL : SSL_CTX_get_ex_data(ssl_ctx, set_index);
}

static int compare_certs(const struct tls_set *a, const struct tls_set *b)
{
	if (a->certs_n != b->certs_n)
		return a->certs_n < b->certs_n ? -1 : 1;
	return memcmp(a->certs, b->certs, a->certs_n * sizeof(a->certs[0]));
}

static int compare_sets(const void *a, const void *b)
{
	return compare_certs(tls_names_set_of(*(SSL_CTX *const *)a),
			     tls_names_set_of(*(SSL_CTX *const *)b));
}

static int compare_wanted(const void *wanted, const void *ctx)
{
	return compare_certs(wanted, tls_names_set_of(*(SSL_CTX *const *)ctx));
}

static SSL_CTX *find_old(const struct tls_names *old, const struct tls_set *wanted)
{
	SSL_CTX **found =
		old ? bsearch(wanted, old->sets, old->sets_n, sizeof(old->sets[0]), compare_wanted)
		    : NULL;

	return found && SSL_CTX_up_ref(*found) == 1 ? *found : NULL;
}

/* Has OpenSSL's copy of what was tried when the certificates were parsed. */
static SSL_CTX *make_ctx(const struct tls_set *wanted, tls_ctx_fn *make, void *arg)
{
	SSL_CTX *ctx = make(arg);
	struct tls_set *set;

	if (!ctx)
		return NULL;
	set = xmalloc(sizeof(*set));
	*set = *wanted;
	for (size_t i = 0; i < set->certs_n; i++)
		tls_cert_ref(set->certs[i]);
	bug_on(SSL_CTX_set_ex_data(ctx, set_index, set) != 1);
	for (size_t i = 0; i < set->certs_n; i++) {
		const struct tls_cert *cert = set->certs[i];

		bug_on(SSL_CTX_use_cert_and_key(ctx, tls_cert_x509(cert), tls_cert_key(cert),
						tls_cert_chain(cert), 1) != 1);
	}
	return ctx;
}

/* ---- Making a table ---- */

/* A name of a certificate. */
struct claim {
	const char *name;
	size_t cert; /* its number */
};

struct making {
	struct tls_cert *const *certs;
	const struct tls_names *old;
	tls_ctx_fn *make;
	void *arg;
	struct tls_names *names;
	size_t sets_room;
	size_t *chain;  /* of each certificate: 1 + the last set that it is the first of */
	size_t *before; /* of each set: 1 + the set before it with that first certificate */
};

static int compare_claims(const void *a, const void *b)
{
	const struct claim *first = a, *second = b;
	int order = strcmp(first->name, second->name);

	if (order)
		return order;
	return first->cert < second->cert ? -1 : first->cert > second->cert;
}

static void add_to_set(struct tls_set *set, struct tls_cert *cert)
{
	int kind = EVP_PKEY_get_base_id(tls_cert_key(cert));

	for (size_t i = 0; i < set->certs_n; i++)
		if (EVP_PKEY_get_base_id(tls_cert_key(set->certs[i])) == kind)
			return;
	if (set->certs_n < TLS_SET_MAX)
		set->certs[set->certs_n++] = cert;
}

/* WANTED's SSL_CTX; FIRST is the number of its first certificate.  NULL: cannot be made. */
static SSL_CTX *ctx_of(struct making *making, const struct tls_set *wanted, size_t first)
{
	struct tls_names *names = making->names;
	SSL_CTX *ctx;

	for (size_t at = making->chain[first]; at; at = making->before[at - 1])
		if (compare_certs(wanted, tls_names_set_of(names->sets[at - 1])) == 0)
			return names->sets[at - 1];
	ctx = find_old(making->old, wanted);
	if (!ctx)
		ctx = make_ctx(wanted, making->make, making->arg);
	if (!ctx)
		return NULL;
	if (names->sets_n == making->sets_room) {
		making->sets_room *= 2;
		names->sets = xrealloc_array(names->sets, making->sets_room, sizeof(SSL_CTX *));
		making->before = xrealloc_array(making->before, making->sets_room, sizeof(size_t));
	}
	names->sets[names->sets_n] = ctx;
	making->before[names->sets_n] = making->chain[first];
	making->chain[first] = ++names->sets_n;
	return ctx;
}

/* CLAIMS are all of one name. */
static bool add_name(struct making *making, const struct claim *claims, size_t n)
{
	struct tls_names *names = making->names;
	struct tls_set wanted = { .certs_n = 0 };
	SSL_CTX *ctx;

	for (size_t i = 0; i < n; i++)
		add_to_set(&wanted, making->certs[claims[i].cert]);
	ctx = ctx_of(making, &wanted, claims[0].cert);
	if (!ctx)
		return false;
	names->names[names->names_n++] = (struct named){ claims[0].name, ctx };
	return true;
}

static bool add_names(struct making *making, const struct claim *claims, size_t n)
{
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n; to++)
			if (strcmp(claims[to].name, claims[from].name) != 0)
				break;
		if (!add_name(making, claims + from, to - from))
			return false;
	}
	return true;
}

static SSL_CTX *find_name(const struct tls_names *names, const char *name);

/* The first certificate's set: that of its own first name. */
static SSL_CTX *default_of(struct making *making)
{
	const struct tls_cert_about *about = tls_cert_about(making->certs[0]);
	struct tls_set alone = { .certs = { making->certs[0] }, .certs_n = 1 };

	if (about->names_n)
		return find_name(making->names, about->names[0]);
	return ctx_of(making, &alone, 0);
}

static struct claim *collect_claims(struct tls_cert *const *certs, size_t n, size_t *claims_n)
{
	struct claim *claims;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		at += tls_cert_about(certs[i])->names_n;
	claims = xcalloc(at + 1, sizeof(*claims));
	at = 0;
	for (size_t i = 0; i < n; i++) {
		const struct tls_cert_about *about = tls_cert_about(certs[i]);

		for (size_t j = 0; j < about->names_n; j++)
			claims[at++] = (struct claim){ about->names[j], i };
	}
	qsort(claims, at, sizeof(*claims), compare_claims);
	*claims_n = at;
	return claims;
}

struct tls_names *tls_names_new(struct tls_cert *const *certs, size_t n,
				const struct tls_names *old, tls_ctx_fn *make, void *arg)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct tls_names *names = xcalloc(1, sizeof(*names));
	struct making making = {
		.certs = certs, .old = old, .make = make, .arg = arg, .names = names
	};
	struct claim *claims;
	size_t claims_n;
	bool ok;

	bug_on(!n);
	pthread_once(&once, init_index);
	atomic_init(&names->refs, 1);
	claims = collect_claims(certs, n, &claims_n);
	names->names = xcalloc(claims_n + 1, sizeof(*names->names));
	names->sets = xcalloc(SETS_ROOM, sizeof(SSL_CTX *));
	making.chain = xcalloc(n, sizeof(*making.chain));
	making.before = xcalloc(SETS_ROOM, sizeof(*making.before));
	making.sets_room = SETS_ROOM;
	ok = add_names(&making, claims, claims_n);
	if (ok)
		names->default_ctx = default_of(&making);
	free(claims);
	free(making.chain);
	free(making.before);
	if (!ok || !names->default_ctx) {
		tls_names_unref(names);
		return NULL;
	}
	qsort(names->sets, names->sets_n, sizeof(*names->sets), compare_sets);
	return names;
}

struct tls_names *tls_names_ref(struct tls_names *names)
{
	atomic_fetch_add_explicit(&names->refs, 1, memory_order_relaxed);
	return names;
}

void tls_names_unref(struct tls_names *names)
{
	if (!names || atomic_fetch_sub_explicit(&names->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < names->sets_n; i++)
		SSL_CTX_free(names->sets[i]);
	free(names->sets);
	free(names->names);
	free(names);
}

/* ---- Looking up ---- */

static int compare_name(const void *name, const void *named)
{
	return strcmp(name, ((const struct named *)named)->name);
}

static SSL_CTX *find_name(const struct tls_names *names, const char *name)
{
	const struct named *found =
		bsearch(name, names->names, names->names_n, sizeof(names->names[0]), compare_name);

	return found ? found->ctx : NULL;
}

void *tls_names_find(const struct tls_names *names, struct str sni)
{
	char name[SNI_MAX + 1];
	char *dot;
	SSL_CTX *ctx;

	if (sni.len && sni.p[sni.len - 1] == '.')
		sni.len--;
	if (!sni.len || sni.len > SNI_MAX)
		return NULL;
	for (size_t i = 0; i < sni.len; i++) {
		unsigned char c = ascii_lower((unsigned char)sni.p[i]);

		if (c <= ' ' || c >= 0x7f || c == '*')
			return NULL;
		name[i] = (char)c;
	}
	name[sni.len] = '\0';
	ctx = find_name(names, name);
	dot = strchr(name, '.');
	/* The first label becomes "*"; an empty one stands for nothing. */
	if (ctx || !dot || dot == name)
		return ctx;
	*--dot = '*';
	return find_name(names, dot);
}

void *tls_names_default(const struct tls_names *names)
{
	return names->default_ctx;
}
