/* SPDX-License-Identifier: MIT */
/*
 * Here: the entries, reading their files, and putting changes in force.  Changes by the operator
 * are in tls_store_change.c, directories in tls_store_files.c.
 */
#include "config.h"

#include "net/tls_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "net/tls_entry.h"
#include "net/tls_ocsp.h"

struct tls_store tls_store = { .lock = PTHREAD_MUTEX_INITIALIZER };

void tls_store_lock(void)
{
	pthread_mutex_lock(&tls_store.lock);
	if (!tls_store.users.next)
		list_init(&tls_store.users);
}

void tls_store_unlock(void)
{
	pthread_mutex_unlock(&tls_store.lock);
}

static struct tls_store_user *user_of(struct list *link)
{
	return list_entry(link, struct tls_store_user, link);
}

/* ---- Entries ---- */

static int compare(const char *path, struct str with)
{
	size_t len = strlen(path);
	int order = memcmp(path, with.p, len < with.len ? len : with.len);

	return order ? order : len < with.len ? -1 : len > with.len;
}

/* Where PATH is, or belongs. */
static size_t place_of(struct str path)
{
	size_t low = 0, high = tls_store.entries_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (compare(tls_store.entries[mid]->path, path) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct tls_entry *tls_entry_find(struct str path)
{
	size_t at = place_of(path);

	return at < tls_store.entries_n && compare(tls_store.entries[at]->path, path) == 0
		       ? tls_store.entries[at]
		       : NULL;
}

struct tls_entry *tls_entry_make(struct str path)
{
	struct tls_entry *entry = tls_entry_find(path);
	size_t at = place_of(path);

	if (entry)
		return entry;
	entry = xcalloc(1, sizeof(*entry));
	entry->path = xstrndup(path);
	tls_store.entries = xrealloc_array(tls_store.entries, tls_store.entries_n + 1,
					   sizeof(*tls_store.entries));
	memmove(tls_store.entries + at + 1, tls_store.entries + at,
		(tls_store.entries_n - at) * sizeof(*tls_store.entries));
	tls_store.entries[at] = entry;
	tls_store.entries_n++;
	return entry;
}

static void entry_free(struct tls_entry *entry)
{
	tls_cert_unref(entry->cert);
	tls_cert_unref(entry->next);
	tls_cert_unref(entry->prepared);
	free(entry->attached_to);
	free(entry->path);
	free(entry);
}

void tls_store_sweep_locked(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < tls_store.entries_n; i++)
		tls_store.entries[i]->is_marked = tls_store.entries[i]->is_kept;
	list_for_each(link, &tls_store.users) {
		const struct tls_members *members = &user_of(link)->members;

		for (size_t i = 0; i < members->n; i++)
			members->items[i].entry->is_marked = true;
	}
	for (size_t i = 0; i < tls_store.entries_n; i++) {
		if (tls_store.entries[i]->is_marked)
			tls_store.entries[kept++] = tls_store.entries[i];
		else
			entry_free(tls_store.entries[i]);
	}
	tls_store.entries_n = kept;
	if (!kept) {
		free(tls_store.entries);
		tls_store.entries = NULL;
	}
}

void tls_store_user_fini(struct tls_store_user *user)
{
	for (size_t i = 0; i < user->sources_n; i++)
		free(user->sources[i].path);
	free(user->sources);
	free(user->members.items);
	free(user->next_members.items);
	tls_names_unref(user->next);
	tls_names_unref(user->names);
	free(user->label);
}

/* ---- Reading files ---- */

static void digest_of(unsigned char out[TLS_DIGEST_SIZE], struct str first, struct str second)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint64_t len = first.len;

	bug_on(!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	       EVP_DigestUpdate(ctx, &len, sizeof(len)) != 1 ||
	       EVP_DigestUpdate(ctx, first.p, first.len) != 1 ||
	       EVP_DigestUpdate(ctx, second.p, second.len) != 1 ||
	       EVP_DigestFinal_ex(ctx, out, NULL) != 1);
	EVP_MD_CTX_free(ctx);
}

/* A file that may be missing: *SIZE is 0 then. */
static char *read_beside(const struct tls_entry *entry, const char *ending, size_t *size,
			 bool *is_open, const struct tls_mistakes *to)
{
	char *path = xasprintf("%s%s", entry->path, ending);
	int error = 0;
	char *text = tls_read_file(str_of(path), TLS_FILE_MAX, size, is_open, &error);

	if (!text && error != ENOENT && error != ENOTDIR)
		tls_warning(to, "%s cannot be read: %s", path, strerror(error));
	free(path);
	return text;
}

/* What PATH.ocsp has. */
struct staple_file {
	char *der; /* (own) NULL = there is none */
	size_t size;
	unsigned char digest[TLS_DIGEST_SIZE];
};

static void read_staple(const struct tls_entry *entry, struct staple_file *file,
			const struct tls_mistakes *to)
{
	file->der = read_beside(entry, ".ocsp", &file->size, NULL, to);
	if (!file->der)
		file->size = 0;
	digest_of(file->digest, (struct str){ file->der ? file->der : "", file->size }, STR(""));
}

/* FILE is checked and stapled to CERT; one that cannot be used leaves what CERT has. */
static void staple(const struct tls_entry *entry, struct tls_cert *cert,
		   const struct staple_file *file, const struct tls_mistakes *to)
{
	struct tls_ocsp_about about = { .status = TLS_OCSP_NONE };
	struct str text = { file->der, file->size };
	char why[TLS_WHY_SIZE];

	if (!file->size)
		return;
	if (!tls_ocsp_check(cert, text, &about, why))
		tls_warning(to, "%s.ocsp is not stapled: %s", entry->path, why);
	else if (about.status == TLS_OCSP_UNKNOWN)
		tls_warning(to,
			    "%s.ocsp is not stapled: its responder does not know the certificate",
			    entry->path);
	else
		tls_cert_set_staple(cert, text.p, text.len, &about);
	if (about.status == TLS_OCSP_REVOKED)
		tls_warning(to, "the certificate is revoked, says %s.ocsp", entry->path);
}

/* `cert` is not of the files, and stays; the staple may be for it all the same. */
static void staple_memory(struct tls_entry *entry, const struct staple_file *file,
			  const struct tls_mistakes *to)
{
	memcpy(entry->ocsp_digest, file->digest, sizeof(entry->ocsp_digest));
	if (!file->size)
		tls_cert_set_staple(entry->cert, NULL, 0, NULL);
	staple(entry, entry->cert, file, to);
}

static bool is_digest(const unsigned char *a, const unsigned char *b)
{
	return memcmp(a, b, TLS_DIGEST_SIZE) == 0;
}

static int read_files(struct tls_entry *entry, struct str pem, struct str key,
		      const struct staple_file *file, const struct tls_mistakes *to)
{
	unsigned char digest[TLS_DIGEST_SIZE];
	bool is_same;

	digest_of(digest, pem, key);
	if (entry->next && is_digest(digest, entry->next_digest) &&
	    is_digest(file->digest, entry->next_ocsp_digest))
		return 1;
	is_same = entry->cert && entry->is_read && is_digest(digest, entry->digest);
	if (is_same && is_digest(file->digest, entry->ocsp_digest))
		return 0;
	if (is_same && entry->is_from_memory) {
		staple_memory(entry, file, to);
		return 0;
	}
	tls_cert_unref(entry->next);
	entry->next = tls_cert_parse(to->file, pem, key, NULL, to->fn, to->arg);
	if (!entry->next)
		return -EINVAL;
	/* A file that has gone takes its staple with it. */
	if (entry->cert && (file->size || !is_same))
		tls_cert_keep_staple(entry->next, entry->cert);
	staple(entry, entry->next, file, to);
	memcpy(entry->next_digest, digest, sizeof(digest));
	memcpy(entry->next_ocsp_digest, file->digest, sizeof(entry->next_ocsp_digest));
	return 1;
}

int tls_entry_read(struct tls_entry *entry, const struct tls_mistakes *to)
{
	const struct tls_mistakes about = { to->fn, to->arg, str_of(entry->path) };
	bool is_open = false, is_key_open = false;
	size_t size, key_size = 0;
	struct staple_file file = { 0 };
	int error = 0, rc;
	char *pem = tls_read_file(about.file, TLS_FILE_MAX, &size, &is_open, &error);
	char *key;

	if (!pem) {
		tls_error(&about, "%s", error == EFBIG ? "too large" : strerror(error));
		return -error;
	}
	key = read_beside(entry, ".key", &key_size, &is_key_open, &about);
	read_staple(entry, &file, &about);
	rc = read_files(entry, (struct str){ pem, size }, (struct str){ key ? key : "", key_size },
			&file, &about);
	if (rc == 1 && is_open && memmem(pem, size, "PRIVATE KEY", 11))
		tls_warning(&about, "others than its owner may read the key (chmod 600)");
	else if (rc == 1 && is_key_open)
		tls_warning(&about, "others than their owner may read %s.key (chmod 600)",
			    entry->path);
	tls_wipe_file(pem, size);
	tls_wipe_file(key, key_size);
	tls_wipe_file(file.der, file.size);
	return rc;
}

/* ---- Putting in force ---- */

static const struct tls_members *members_of(const struct tls_store_user *user)
{
	return user->next_members.items ? &user->next_members : &user->members;
}

static bool is_touched(const struct tls_store_user *user)
{
	if (user->next_members.items)
		return true;
	for (size_t i = 0; i < user->members.n; i++)
		if (user->members.items[i].entry->next)
			return true;
	return false;
}

/* The table that USER is to have. */
static bool make_next(struct tls_store_user *user, const struct tls_mistakes *to)
{
	const struct tls_members *members = members_of(user);
	struct tls_cert **certs = xcalloc(members->n + 1, sizeof(struct tls_cert *));
	size_t n = 0;

	for (size_t i = 0; i < members->n; i++) {
		const struct tls_entry *entry = members->items[i].entry;
		struct tls_cert *cert = entry->next ? entry->next : entry->cert;

		if (cert)
			certs[n++] = cert;
	}
	if (n)
		user->next = tls_names_new(certs, n, user->names, user->make, user);
	else
		tls_error(to, "%s would have no certificate", user->label);
	free(certs);
	return user->next;
}

static void publish(struct tls_store_user *user)
{
	struct tls_names *old;

	pthread_mutex_lock(&user->lock);
	old = user->names;
	user->names = user->next;
	pthread_mutex_unlock(&user->lock);
	user->next = NULL;
	tls_names_unref(old);
	if (user->next_members.items) {
		free(user->members.items);
		user->members = user->next_members;
		user->next_members = (struct tls_members){ 0 };
	}
}

static void publish_entry(struct tls_entry *entry)
{
	if (!entry->next)
		return;
	tls_cert_unref(entry->cert);
	entry->cert = entry->next;
	entry->next = NULL;
	entry->is_pending = false;
	entry->is_from_memory = entry->is_next_from_memory;
	entry->is_next_from_memory = false;
	if (entry->is_from_memory)
		return;
	entry->is_read = true;
	memcpy(entry->digest, entry->next_digest, sizeof(entry->digest));
	memcpy(entry->ocsp_digest, entry->next_ocsp_digest, sizeof(entry->ocsp_digest));
}

void tls_store_take_back(void)
{
	list_for_each(link, &tls_store.users) {
		struct tls_store_user *user = user_of(link);

		tls_names_unref(user->next);
		user->next = NULL;
		free(user->next_members.items);
		user->next_members = (struct tls_members){ 0 };
	}
	for (size_t i = 0; i < tls_store.entries_n; i++) {
		struct tls_entry *entry = tls_store.entries[i];

		if (entry->is_pending)
			continue;
		tls_cert_unref(entry->next);
		entry->next = NULL;
		entry->is_next_from_memory = false;
	}
}

static void publish_all(void)
{
	list_for_each(link, &tls_store.users) {
		if (user_of(link)->next)
			publish(user_of(link));
	}
	for (size_t i = 0; i < tls_store.entries_n; i++)
		publish_entry(tls_store.entries[i]);
}

bool tls_store_apply(const struct tls_mistakes *to)
{
	list_for_each(link, &tls_store.users) {
		struct tls_store_user *user = user_of(link);

		if (is_touched(user) && !make_next(user, to)) {
			tls_store_take_back();
			return false;
		}
	}
	publish_all();
	return true;
}

/* ---- Loaded, and not yet in force ---- */

bool tls_store_add_user(struct tls_store_user *user, const struct tls_mistakes *to)
{
	if (!make_next(user, to)) {
		tls_store_take_back();
		return false;
	}
	publish(user);
	for (size_t i = 0; i < user->members.n; i++) {
		struct tls_entry *entry = user->members.items[i].entry;

		entry->is_pending = entry->next;
	}
	user->is_new = true;
	list_push_back(&tls_store.users, &user->link);
	return true;
}

void tls_store_remove_user(struct tls_store_user *user)
{
	list_remove(&user->link);
	if (!user->is_new)
		return;
	list_for_each(link, &tls_store.users) {
		if (user_of(link)->is_new)
			return;
	}
	for (size_t i = 0; i < tls_store.entries_n; i++)
		tls_store.entries[i]->is_pending = false;
	tls_store_take_back();
	tls_store_sweep_locked();
}

void tls_store_activate(void)
{
	const struct tls_mistakes nobody = { 0 };

	tls_store_lock();
	list_for_each(link, &tls_store.users) {
		struct tls_store_user *user = user_of(link);

		/* One that cannot take it, and is about to go, keeps what it has. */
		if (is_touched(user))
			(void)make_next(user, &nobody);
		user->is_new = false;
	}
	publish_all();
	tls_store_unlock();
}
