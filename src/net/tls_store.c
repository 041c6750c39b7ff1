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

void tls_entry_read_staple(struct tls_entry *entry, struct tls_cert *cert, bool is_forced,
			   const struct tls_mistakes *to)
{
	unsigned char digest[TLS_DIGEST_SIZE];
	struct tls_ocsp_about about = { .status = TLS_OCSP_NONE };
	char why[TLS_WHY_SIZE];
	size_t size = 0;
	char *der = read_beside(entry, ".ocsp", &size, NULL, to);
	struct str text = { der ? der : "", size };

	digest_of(digest, text, STR(""));
	if (!is_forced && memcmp(digest, entry->ocsp_digest, sizeof(digest)) == 0) {
		tls_wipe_file(der, size);
		return;
	}
	memcpy(entry->ocsp_digest, digest, sizeof(digest));
	if (!size && !is_forced)
		tls_cert_set_staple(cert, NULL, 0, NULL);
	else if (size && !tls_ocsp_check(cert, text, &about, why))
		tls_warning(to, "%s.ocsp is not stapled: %s", entry->path, why);
	else if (size && about.status == TLS_OCSP_UNKNOWN)
		tls_warning(to,
			    "%s.ocsp is not stapled: its responder does not know the certificate",
			    entry->path);
	else if (size)
		tls_cert_set_staple(cert, der, size, &about);
	if (size && about.status == TLS_OCSP_REVOKED)
		tls_warning(to, "the certificate is revoked, says %s.ocsp", entry->path);
	tls_wipe_file(der, size);
}

static int read_files(struct tls_entry *entry, struct str pem, struct str key,
		      const struct tls_mistakes *to)
{
	unsigned char digest[TLS_DIGEST_SIZE];

	digest_of(digest, pem, key);
	if (entry->next && memcmp(digest, entry->next_digest, sizeof(digest)) == 0)
		return 1;
	if (entry->cert && entry->is_read && memcmp(digest, entry->digest, sizeof(digest)) == 0) {
		tls_entry_read_staple(entry, entry->cert, false, to);
		return 0;
	}
	tls_cert_unref(entry->next);
	entry->next = tls_cert_parse(to->file, pem, key, NULL, to->fn, to->arg);
	if (!entry->next)
		return -EINVAL;
	if (entry->cert)
		tls_cert_keep_staple(entry->next, entry->cert);
	tls_entry_read_staple(entry, entry->next, true, to);
	memcpy(entry->next_digest, digest, sizeof(digest));
	return 1;
}

int tls_entry_read(struct tls_entry *entry, const struct tls_mistakes *to)
{
	const struct tls_mistakes about = { to->fn, to->arg, str_of(entry->path) };
	bool is_open = false, is_key_open = false;
	size_t size, key_size = 0;
	int error = 0, rc;
	char *pem = tls_read_file(about.file, TLS_FILE_MAX, &size, &is_open, &error);
	char *key;

	if (!pem) {
		tls_error(&about, "%s", error == EFBIG ? "too large" : strerror(error));
		return -error;
	}
	key = read_beside(entry, ".key", &key_size, &is_key_open, &about);
	rc = read_files(entry, (struct str){ pem, size }, (struct str){ key ? key : "", key_size },
			&about);
	if (rc == 1 && is_open && memmem(pem, size, "PRIVATE KEY", 11))
		tls_warning(&about, "others than its owner may read the key (chmod 600)");
	else if (rc == 1 && is_key_open)
		tls_warning(&about, "others than their owner may read %s.key (chmod 600)",
			    entry->path);
	tls_wipe_file(pem, size);
	tls_wipe_file(key, key_size);
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
	entry->is_from_memory = entry->is_next_from_memory;
	entry->is_next_from_memory = false;
	if (entry->is_from_memory)
		return;
	entry->is_read = true;
	memcpy(entry->digest, entry->next_digest, sizeof(entry->digest));
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

		tls_cert_unref(entry->next);
		entry->next = NULL;
		entry->is_next_from_memory = false;
	}
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
	list_for_each(link, &tls_store.users) {
		if (user_of(link)->next)
			publish(user_of(link));
	}
	for (size_t i = 0; i < tls_store.entries_n; i++)
		publish_entry(tls_store.entries[i]);
	return true;
}
