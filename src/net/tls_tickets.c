/* SPDX-License-Identifier: MIT */
/*
 * The keys of epochs stand in three slots, epoch modulo three: the previous, the current and the
 * next one.  A handshake that finds the clock in another epoch makes the keys that are missing and
 * wipes the old ones.
 */
#include "config.h"

#include "net/tls_tickets.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/tls_mistake.h"

#define EPOCH_MAX SEC(12 * 3600)
#define EPOCHS    TLS_TICKET_EPOCHS
#define KEYS_MIN  3 /* of a file's set: a new key pushes the oldest one out above it */
#define SHORT_KEY 48
#define LONG_KEY  80
#define HMAC_MAX  32

struct tls_tickets {
	struct list link;
	unsigned refs; /* under sets.lock */
	unsigned id;
	enum tls_ticket_source source;
	bool is_inherited;        /* one reference is tls_tickets_inherit()'s */
	char *name;               /* (own) */
	int64_t epoch_ms;         /* not of files */
	unsigned char secret[32]; /* SHA-256 of it */

	pthread_mutex_t lock; /* of what follows */
	int64_t epoch;        /* the current one; of files unused */
	bool has_keys;        /* of epochs: the slots are filled */
	struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
	size_t keys_n;
	unsigned char digest[32]; /* of the file when it was last read */
};

static struct {
	pthread_mutex_t lock; /* of the list, ids and references; before a set's own lock */
	struct list list;     /* in the order of ids */
	unsigned next_id;
} sets = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct tls_tickets *set_of(struct list *link)
{
	return list_entry(link, struct tls_tickets, link);
}

static void lock_sets(void)
{
	pthread_mutex_lock(&sets.lock);
	if (!sets.list.next)
		list_init(&sets.list);
}

static void wipe(struct tls_ticket_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}

/* ---- Keys of epochs ---- */

static void derive(const struct tls_tickets *set, int64_t epoch, struct tls_ticket_key *key)
{
	static char label[] = "limpet session tickets 1";
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	static char sha256[] = "SHA256";
	unsigned char info[8], secret[sizeof(set->secret)];
	OSSL_PARAM params[5];

	for (size_t i = 0; i < sizeof(info); i++)
		info[i] = (unsigned char)((uint64_t)epoch >> (56 - 8 * i));
	memcpy(secret, set->secret, sizeof(secret));
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, sizeof(secret));
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, label, sizeof(label));
	params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info));
	params[4] = OSSL_PARAM_construct_end();
	bug_on(!ctx || EVP_KDF_derive(ctx, key->bytes, LONG_KEY, params) != 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	OPENSSL_cleanse(secret, sizeof(secret));
}

static struct tls_ticket_key *slot_of(struct tls_tickets *set, int64_t epoch)
{
	return &set->keys[epoch % EPOCHS];
}

static void make_epoch(struct tls_tickets *set, int64_t epoch)
{
	struct tls_ticket_key *key = slot_of(set, epoch);

	wipe(key);
	key->size = LONG_KEY;
	if (set->source == TLS_TICKETS_SECRET)
		derive(set, epoch, key);
	else
		bug_on(RAND_priv_bytes(key->bytes, LONG_KEY) != 1);
}

/* Makes the keys of now and of the epochs beside it, when they are not there yet. */
static void turn_epoch(struct tls_tickets *set)
{
	int64_t epoch = clock_unix_ms() / set->epoch_ms;
	int64_t old = set->epoch;

	if (epoch < 1)
		epoch = 1;
	/* Threads' clocks are read apart: one that is behind another does not turn it back. */
	if (set->has_keys && (epoch == old || epoch == old - 1))
		return;
	for (int64_t at = epoch - 1; at <= epoch + 1; at++)
		if (!set->has_keys || at < old - 1 || at > old + 1)
			make_epoch(set, at);
	for (int64_t at = epoch - 1; at <= epoch + 1; at++)
		slot_of(set, at)->is_encrypting = at == epoch;
	set->keys_n = EPOCHS;
	set->epoch = epoch;
	set->has_keys = true;
}

/* ---- Keys of files ---- */

/* False: not 48 or 80 bytes of base64. */
static bool decode(struct str line, struct tls_ticket_key *key)
{
	unsigned char out[LONG_KEY + 4];
	size_t padding = 0;
	int size;

	while (padding < 2 && padding < line.len && line.p[line.len - 1 - padding] == '=')
		padding++;
	/* 108 characters are 81 bytes, 107 and one of padding are 80. */
	if (line.len % 4 || line.len > 108 || !line.len)
		return false;
	size = EVP_DecodeBlock(out, (const unsigned char *)line.p, (int)line.len);
	size -= (int)padding;
	*key = (struct tls_ticket_key){ .size = size < 0 ? 0 : (size_t)size };
	if (key->size == SHORT_KEY || key->size == LONG_KEY)
		memcpy(key->bytes, out, key->size);
	OPENSSL_cleanse(out, sizeof(out));
	return key->size == SHORT_KEY || key->size == LONG_KEY;
}

static bool has_name(const struct tls_ticket_key *keys, size_t n, const unsigned char *name)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(keys[i].bytes, name, TLS_TICKET_NAME) == 0)
			return true;
	return false;
}

/* The last but one encrypts; of one key, that one. */
static void choose(struct tls_ticket_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		keys[i].is_encrypting = i + 2 == n || n == 1;
}

struct read_keys {
	struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
	size_t n;
	unsigned char digest[32];
};

static bool take_line(struct read_keys *read, struct str line, unsigned number,
		      const struct tls_mistakes *to)
{
	struct tls_ticket_key *key = &read->keys[read->n];

	line = str_trim(line);
	if (line.len && line.p[line.len - 1] == '\r')
		line.len--;
	if (!line.len || line.p[0] == '#')
		return true;
	if (read->n == TLS_TICKET_KEYS_MAX) {
		tls_error(to, "line %u: more than %d keys", number, TLS_TICKET_KEYS_MAX);
	} else if (!decode(line, key)) {
		tls_error(to, "line %u: not 48 or 80 bytes in base64", number);
	} else if (has_name(read->keys, read->n, key->bytes)) {
		tls_error(to, "line %u: a key of that name (its first 16 bytes) is there already",
			  number);
	} else {
		read->n++;
		return true;
	}
	return false;
}

static bool read_keys(struct str path, struct read_keys *read, const struct tls_mistakes *to)
{
	struct tls_mistakes about = { to->fn, to->arg, path };
	bool is_open = false, ok = true;
	unsigned number = 0;
	int error = 0;
	size_t size;
	char *text = tls_read_file(path, TLS_FILE_MAX, &size, &is_open, &error);
	struct str rest = { text, size };

	*read = (struct read_keys){ .n = 0 };
	if (!text) {
		tls_error(&about, "%s", error == EFBIG ? "too large" : strerror(error));
		return false;
	}
	bug_on(EVP_Digest(text, size, read->digest, NULL, EVP_sha256(), NULL) != 1);
	while (ok && rest.len) {
		ptrdiff_t at = str_find_char(rest, '\n');
		size_t len = at < 0 ? rest.len : (size_t)at;

		ok = take_line(read, (struct str){ rest.p, len }, ++number, &about);
		len += at >= 0;
		rest = (struct str){ rest.p + len, rest.len - len };
	}
	tls_wipe_file(text, size);
	if (ok && !read->n)
		tls_error(&about, "no key in it");
	if (is_open)
		tls_warning(&about, "others than its owner may read the keys (chmod 600)");
	choose(read->keys, read->n);
	return ok && read->n;
}

/* True: the keys are others now. */
static bool take_read(struct tls_tickets *set, const struct read_keys *read)
{
	bool is_changed;

	pthread_mutex_lock(&set->lock);
	is_changed = memcmp(set->digest, read->digest, sizeof(set->digest)) != 0;
	if (is_changed) {
		memcpy(set->digest, read->digest, sizeof(set->digest));
		memcpy(set->keys, read->keys, sizeof(set->keys));
		set->keys_n = read->n;
	}
	pthread_mutex_unlock(&set->lock);
	return is_changed;
}

/* ---- Sets ---- */

static struct tls_tickets *set_new(enum tls_ticket_source source, char *name)
{
	struct tls_tickets *set = xcalloc(1, sizeof(*set));

	set->id = sets.next_id++;
	set->source = source;
	set->name = name;
	pthread_mutex_init(&set->lock, NULL);
	list_push_back(&sets.list, &set->link);
	return set;
}

static struct tls_tickets *find_file(struct str file)
{
	list_for_each(link, &sets.list) {
		if (set_of(link)->source == TLS_TICKETS_FILE &&
		    str_eq(str_of(set_of(link)->name), file))
			return set_of(link);
	}
	return NULL;
}

static struct tls_tickets *open_file(struct str file, const struct tls_mistakes *to)
{
	struct tls_tickets *set = NULL;
	struct read_keys read;

	if (read_keys(file, &read, to)) {
		lock_sets();
		set = find_file(file);
		if (!set) {
			set = set_new(TLS_TICKETS_FILE, xstrndup(file));
			take_read(set, &read);
		}
		set->refs++;
		pthread_mutex_unlock(&sets.lock);
	}
	OPENSSL_cleanse(&read, sizeof(read));
	return set;
}

static struct tls_tickets *set_of_epochs(enum tls_ticket_source source, int64_t epoch_ms)
{
	const char *what = source == TLS_TICKETS_SECRET ? "secret" : "random";
	struct tls_tickets *set =
		set_new(source, xasprintf("%s of %lld s", what, (long long)(epoch_ms / 1000)));

	set->epoch_ms = epoch_ms;
	return set;
}

void tls_tickets_inherit(int64_t epoch_ms, int64_t epoch, const struct tls_ticket_key keys[EPOCHS])
{
	struct tls_tickets *set;

	if (epoch_ms < MS(500) || epoch_ms > EPOCH_MAX || epoch < 1)
		return;
	lock_sets();
	set = set_of_epochs(TLS_TICKETS_RANDOM, epoch_ms);
	set->is_inherited = true;
	set->refs = 1;
	set->epoch = epoch;
	set->has_keys = true;
	set->keys_n = EPOCHS;
	for (int i = 0; i < EPOCHS; i++)
		*slot_of(set, epoch - 1 + i) = keys[i];
	pthread_mutex_unlock(&sets.lock);
}

void tls_tickets_inherited(void)
{
	struct tls_tickets *set;

	do {
		lock_sets();
		set = set_of(sets.list.next);
		while (&set->link != &sets.list && !set->is_inherited)
			set = set_of(set->link.next);
		set = &set->link == &sets.list ? NULL : set;
		if (set)
			set->is_inherited = false;
		pthread_mutex_unlock(&sets.lock);
		tls_tickets_unref(set);
	} while (set);
}

struct tls_tickets *tls_tickets_open(struct str file, struct str secret, int64_t session_ms,
				     tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, STR("") };
	enum tls_ticket_source source = secret.len ? TLS_TICKETS_SECRET : TLS_TICKETS_RANDOM;
	int64_t epoch_ms = session_ms / 2;
	unsigned char digest[32] = { 0 };
	struct tls_tickets *set = NULL;

	if (file.len)
		return open_file(file, &to);
	epoch_ms = epoch_ms < MS(500) ? MS(500) : epoch_ms > EPOCH_MAX ? EPOCH_MAX : epoch_ms;
	if (secret.len)
		bug_on(EVP_Digest(secret.p, secret.len, digest, NULL, EVP_sha256(), NULL) != 1);
	lock_sets();
	list_for_each(link, &sets.list) {
		struct tls_tickets *at = set_of(link);

		if (at->source == source && at->epoch_ms == epoch_ms &&
		    memcmp(at->secret, digest, sizeof(digest)) == 0)
			set = at;
	}
	if (!set) {
		set = set_of_epochs(source, epoch_ms);
		memcpy(set->secret, digest, sizeof(digest));
	}
	set->refs++;
	pthread_mutex_unlock(&sets.lock);
	OPENSSL_cleanse(digest, sizeof(digest));
	return set;
}

void tls_tickets_unref(struct tls_tickets *set)
{
	if (!set)
		return;
	lock_sets();
	if (--set->refs == 0)
		list_remove(&set->link);
	else
		set = NULL;
	pthread_mutex_unlock(&sets.lock);
	if (!set)
		return;
	pthread_mutex_destroy(&set->lock);
	free(set->name);
	OPENSSL_cleanse(set, sizeof(*set));
	free(set);
}

/* ---- OpenSSL's side ---- */

/* Of NAME; NULL: the one that encrypts. */
static bool find_key(const struct tls_tickets *set, const unsigned char *name,
		     struct tls_ticket_key *key)
{
	for (size_t i = 0; i < set->keys_n; i++) {
		const struct tls_ticket_key *at = &set->keys[i];

		if (name ? memcmp(at->bytes, name, TLS_TICKET_NAME) != 0 : !at->is_encrypting)
			continue;
		*key = *at;
		return true;
	}
	return false;
}

/* A copy of the key to be used; the caller wipes it. */
static bool get_key(struct tls_tickets *set, const unsigned char *name, bool is_new,
		    struct tls_ticket_key *key)
{
	bool is_found;

	pthread_mutex_lock(&set->lock);
	if (set->source != TLS_TICKETS_FILE)
		turn_epoch(set);
	is_found = find_key(set, is_new ? NULL : name, key);
	pthread_mutex_unlock(&set->lock);
	return is_found;
}

static bool set_mac(EVP_MAC_CTX *mac, unsigned char *key, size_t size)
{
	static char sha256[] = "SHA256";
	OSSL_PARAM params[3];

	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, size);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0);
	params[2] = OSSL_PARAM_construct_end();
	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static bool set_keys(struct tls_ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int is_new)
{
	unsigned char *bytes = key->bytes + TLS_TICKET_NAME;

	if (key->size == SHORT_KEY)
		return EVP_CipherInit_ex(cipher, EVP_aes_128_cbc(), NULL, bytes, iv, is_new) == 1 &&
		       set_mac(mac, bytes + 16, 16);
	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, bytes + HMAC_MAX, iv, is_new) ==
		       1 &&
	       set_mac(mac, bytes, HMAC_MAX);
}

static int tickets_index = -1;

static void init_index(void)
{
	tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	bug_on(tickets_index < 0);
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 = a full handshake, 2 = renew the ticket. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int is_new)
{
	struct tls_tickets *set = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
	struct tls_ticket_key key;
	bool is_fresh;
	int rc;

	if (!set || !get_key(set, name, is_new, &key))
		return 0;
	if (is_new) {
		memcpy(name, key.bytes, TLS_TICKET_NAME);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) {
			wipe(&key);
			return -1;
		}
	}
	/* A ticket of TLS 1.3 is for one use (RFC 8446 C.4), so each use gets a new one. */
	is_fresh = is_new || (key.is_encrypting && SSL_version(ssl) < TLS1_3_VERSION);
	rc = !set_keys(&key, iv, cipher, mac, is_new) ? -1 : is_fresh ? 1 : 2;
	wipe(&key);
	return rc;
}

void tls_tickets_use(struct tls_tickets *set, void *ssl_ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_index);
	bug_on(SSL_CTX_set_ex_data(ssl_ctx, tickets_index, set) != 1 ||
	       SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, on_ticket) != 1);
}

/* ---- For the operator ---- */

static void copy_keys(struct tls_tickets *set, struct tls_tickets_about *about)
{
	*about = (struct tls_tickets_about){
		.id = set->id, .source = set->source, .name = set->name, .epoch_ms = set->epoch_ms
	};
	pthread_mutex_lock(&set->lock);
	if (set->source == TLS_TICKETS_FILE) {
		memcpy(about->keys, set->keys, sizeof(about->keys));
		about->keys_n = set->keys_n;
	} else {
		turn_epoch(set);
		about->epoch = set->epoch;
		for (int64_t at = set->epoch - 1; at <= set->epoch + 1; at++)
			about->keys[about->keys_n++] = *slot_of(set, at);
	}
	pthread_mutex_unlock(&set->lock);
}

void tls_tickets_each(tls_tickets_fn *fn, void *arg)
{
	struct tls_tickets_about about;

	lock_sets();
	list_for_each(link, &sets.list) {
		copy_keys(set_of(link), &about);
		fn(arg, &about);
	}
	pthread_mutex_unlock(&sets.lock);
	OPENSSL_cleanse(&about, sizeof(about));
}

static int push(struct tls_tickets *set, struct str text)
{
	struct tls_ticket_key key;
	size_t max;
	int rc = 0;

	if (set->source != TLS_TICKETS_FILE)
		return -EPERM;
	if (!decode(str_trim(text), &key))
		return -EINVAL;
	pthread_mutex_lock(&set->lock);
	max = set->keys_n < KEYS_MIN ? KEYS_MIN : set->keys_n;
	if (has_name(set->keys, set->keys_n, key.bytes)) {
		rc = -EINVAL;
	} else {
		if (set->keys_n == max)
			memmove(set->keys, set->keys + 1, --set->keys_n * sizeof(set->keys[0]));
		set->keys[set->keys_n++] = key;
		choose(set->keys, set->keys_n);
	}
	pthread_mutex_unlock(&set->lock);
	wipe(&key);
	return rc;
}

int tls_tickets_push(unsigned id, struct str key)
{
	int rc = -ENOENT;

	lock_sets();
	list_for_each(link, &sets.list) {
		if (set_of(link)->id == id)
			rc = push(set_of(link), key);
	}
	pthread_mutex_unlock(&sets.lock);
	return rc;
}

int tls_tickets_push_by_name(struct str name, struct str key)
{
	struct tls_tickets *set;
	int rc;

	lock_sets();
	set = find_file(name);
	rc = set ? push(set, key) : -ENOENT;
	pthread_mutex_unlock(&sets.lock);
	return rc;
}

int tls_tickets_reread(struct str name, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, STR("") };
	struct tls_tickets *set;
	struct read_keys read;
	int rc = -EINVAL;

	if (read_keys(name, &read, &to)) {
		lock_sets();
		set = find_file(name);
		rc = set ? take_read(set, &read) : -ENOENT;
		pthread_mutex_unlock(&sets.lock);
	}
	OPENSSL_cleanse(&read, sizeof(read));
	return rc;
}
