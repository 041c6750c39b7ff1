/* SPDX-License-Identifier: MIT */
/* What the operator does with the certificates: looking, transactions, entries, staples. */
#include "config.h"

#include "net/tls_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_entry.h"
#include "net/tls_ocsp.h"

/* ---- Looking ---- */

void tls_store_each(tls_entry_fn *fn, void *arg)
{
	/* Only this thread changes the entries: the lock is not needed for walking. */
	for (size_t i = 0; i < tls_store.entries_n; i++)
		fn(arg, tls_store.entries[i]);
}

struct tls_entry *tls_store_find(struct str path)
{
	return tls_entry_find(path);
}

struct str tls_entry_path(const struct tls_entry *entry)
{
	return str_of(entry->path);
}

struct tls_cert *tls_entry_cert(const struct tls_entry *entry)
{
	return entry->cert;
}

struct tls_cert *tls_entry_prepared(const struct tls_entry *entry)
{
	return entry->prepared;
}

bool tls_entry_is_from_memory(const struct tls_entry *entry)
{
	return entry->is_from_memory;
}

static bool uses(const struct tls_store_user *user, const struct tls_entry *entry)
{
	for (size_t i = 0; i < user->members.n; i++)
		if (user->members.items[i].entry == entry)
			return true;
	return false;
}

static bool is_used(const struct tls_entry *entry)
{
	list_for_each(link, &tls_store.users) {
		if (uses(list_entry(link, struct tls_store_user, link), entry))
			return true;
	}
	return false;
}

bool tls_entry_is_used(const struct tls_entry *entry)
{
	bool answer;

	tls_store_lock();
	answer = is_used(entry);
	tls_store_unlock();
	return answer;
}

bool tls_entry_wants_ocsp(const struct tls_entry *entry)
{
	bool answer = false;

	tls_store_lock();
	list_for_each(link, &tls_store.users) {
		const struct tls_store_user *user = list_entry(link, struct tls_store_user, link);

		answer = answer || (user->wants_ocsp && uses(user, entry));
	}
	tls_store_unlock();
	return answer;
}

static bool is_told(char *const *labels, size_t n, const char *label)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(labels[i], label) == 0)
			return true;
	return false;
}

void tls_entry_each_user(const struct tls_entry *entry, tls_label_fn *fn, void *arg)
{
	char **labels = NULL;
	size_t n = 0;

	tls_store_lock();
	list_for_each(link, &tls_store.users) {
		const struct tls_store_user *user = list_entry(link, struct tls_store_user, link);

		if (!uses(user, entry) || is_told(labels, n, user->label))
			continue;
		labels = xrealloc_array(labels, n + 1, sizeof(*labels));
		labels[n++] = xstrdup(user->label);
	}
	tls_store_unlock();
	for (size_t i = 0; i < n; i++) {
		fn(arg, str_of(labels[i]));
		free(labels[i]);
	}
	free(labels);
}

/* ---- Transactions ---- */

int tls_store_prepare(struct str path, struct str pem, tls_mistake_fn *mistake, void *arg)
{
	struct tls_entry *entry = tls_entry_find(path);
	const struct tls_cert *key_of;
	struct tls_cert *cert;

	if (!entry)
		return -ENOENT;
	key_of = entry->prepared ? entry->prepared : entry->cert;
	cert = tls_cert_parse(path, pem, STR(""), key_of, mistake, arg);
	if (!cert)
		return -EINVAL;
	tls_cert_unref(entry->prepared);
	entry->prepared = cert;
	return 0;
}

int tls_store_commit(struct str path, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, path };
	struct tls_entry *entry = tls_entry_find(path);
	bool ok;

	if (!entry || !entry->prepared)
		return -ENOENT;
	tls_store_lock();
	if (entry->cert)
		tls_cert_keep_staple(entry->prepared, entry->cert);
	tls_cert_unref(entry->next);
	entry->next = tls_cert_ref(entry->prepared);
	entry->is_next_from_memory = true;
	ok = tls_store_apply(&to);
	if (ok) {
		tls_cert_unref(entry->prepared);
		entry->prepared = NULL;
	}
	tls_store_unlock();
	return ok ? 0 : -EINVAL;
}

int tls_store_abort(struct str path)
{
	struct tls_entry *entry = tls_entry_find(path);

	if (!entry || !entry->prepared)
		return -ENOENT;
	tls_cert_unref(entry->prepared);
	entry->prepared = NULL;
	return 0;
}

/* ---- Entries ---- */

int tls_store_new(struct str path)
{
	int rc = 0;

	tls_store_lock();
	if (tls_entry_find(path))
		rc = -EEXIST;
	else
		tls_entry_make(path)->is_kept = true;
	tls_store_unlock();
	return rc;
}

int tls_store_remove(struct str path)
{
	struct tls_entry *entry;
	int rc = 0;

	tls_store_lock();
	entry = tls_entry_find(path);
	if (!entry)
		rc = -ENOENT;
	else if (is_used(entry))
		rc = -EBUSY;
	else
		entry->is_kept = false;
	tls_store_sweep_locked();
	tls_store_unlock();
	return rc;
}

void tls_store_sweep(void)
{
	tls_store_lock();
	tls_store_sweep_locked();
	tls_store_unlock();
}

/* Index of the source DIRECTORY; sources_n = none. */
static size_t source_of(const struct tls_store_user *user, struct str directory)
{
	size_t i;

	for (i = 0; i < user->sources_n; i++)
		if (user->sources[i].is_directory &&
		    str_eq(str_of(user->sources[i].path), directory))
			break;
	return i;
}

/* MEMBERS of USER with ENTRY behind the others of SOURCE, or without it. */
static void set_members(struct tls_store_user *user, struct tls_entry *entry, size_t source,
			bool is_member)
{
	struct tls_members *next = &user->next_members;
	const struct tls_members *now = &user->members;
	bool is_placed = !is_member;

	next->items = xcalloc(now->n + 1, sizeof(*next->items));
	next->n = 0;
	for (size_t i = 0; i < now->n; i++) {
		if (!is_placed && now->items[i].source > source) {
			next->items[next->n++] = (struct tls_member){ entry, source };
			is_placed = true;
		}
		if (now->items[i].entry != entry)
			next->items[next->n++] = now->items[i];
	}
	if (!is_placed)
		next->items[next->n++] = (struct tls_member){ entry, source };
}

/* 0, or why it is not possible. */
static int change_members(struct str directory, struct tls_entry *entry, bool is_member)
{
	int rc = -ENOENT;

	list_for_each(link, &tls_store.users) {
		struct tls_store_user *user = list_entry(link, struct tls_store_user, link);
		size_t source = source_of(user, directory);

		if (source == user->sources_n)
			continue;
		if (uses(user, entry) == is_member) {
			if (rc == -ENOENT)
				rc = is_member ? -EEXIST : -ESRCH;
			continue;
		}
		if (!is_member && user->members.n == 1)
			return -EBUSY;
		set_members(user, entry, source, is_member);
		rc = 0;
	}
	return rc;
}

static int put_members_in_force(struct str directory, struct tls_entry *entry, bool is_member,
				const struct tls_mistakes *to)
{
	int rc = change_members(directory, entry, is_member);

	if (rc) {
		tls_store_take_back();
		return rc;
	}
	if (!tls_store_apply(to))
		return -EINVAL;
	free(entry->attached_to);
	entry->attached_to = is_member ? xstrndup(directory) : NULL;
	/* Taken off, it stays in the store until tls_store_remove(). */
	entry->is_kept = true;
	return 0;
}

int tls_store_attach(struct str directory, struct str path, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, path };
	struct tls_entry *entry;
	int rc = -ENOENT;

	tls_store_lock();
	entry = tls_entry_find(path);
	if (entry && entry->cert)
		rc = put_members_in_force(directory, entry, true, &to);
	tls_store_unlock();
	return rc;
}

int tls_store_detach(struct str directory, struct str path, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, path };
	struct tls_entry *entry;
	int rc = -ENOENT;

	tls_store_lock();
	entry = tls_entry_find(path);
	if (entry)
		rc = put_members_in_force(directory, entry, false, &to);
	tls_store_unlock();
	return rc;
}

int tls_store_reread(struct str path, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, path };
	struct tls_entry *entry;
	int rc = -ENOENT;

	tls_store_lock();
	entry = tls_entry_find(path);
	if (entry)
		rc = tls_entry_read(entry, &to);
	if (rc == 1 && !tls_store_apply(&to))
		rc = -EINVAL;
	else if (rc < 0)
		tls_store_take_back();
	tls_store_unlock();
	return rc;
}

/* ---- Staples ---- */

int tls_store_set_ocsp(struct str path, struct str der, struct tls_ocsp_about *about,
		       tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, path };
	struct tls_entry *entry = tls_entry_find(path);
	struct tls_ocsp_about said = { 0 };
	char why[TLS_WHY_SIZE];
	bool ok = true;

	if (!entry || !entry->cert)
		return -ENOENT;
	if (der.len)
		ok = tls_ocsp_check(entry->cert, der, &said, why);
	if (about)
		*about = said;
	if (!ok || said.status == TLS_OCSP_UNKNOWN) {
		tls_error(&to, "%s", ok ? "its responder does not know the certificate" : why);
		return -EINVAL;
	}
	if (said.status == TLS_OCSP_REVOKED)
		tls_warning(&to, "the certificate is revoked, says its responder");
	tls_cert_set_staple(entry->cert, der.p, der.len, &said);
	return 0;
}
