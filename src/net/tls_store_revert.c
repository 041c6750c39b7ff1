/* SPDX-License-Identifier: MIT */
/* From memory back to the files. */
#include "config.h"

#include "net/tls_store.h"

#include <errno.h>

#include "net/tls_entry.h"

/* 1: another certificate is in force; 0: the same one. */
static int put_in_force(struct tls_entry *entry, const struct tls_mistakes *to)
{
	bool is_same = entry->cert && tls_cert_is_equal(entry->cert, entry->next);

	if (!tls_store_apply(to))
		return -EINVAL;
	return is_same ? 0 : 1;
}

int tls_store_revert(struct str path, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, path };
	struct tls_entry *entry;
	bool was_read;
	int rc = -ENOENT;

	tls_store_lock();
	entry = tls_entry_find(path);
	if (!entry || !entry->is_from_memory) {
		tls_store_unlock();
		return entry ? 0 : -ENOENT;
	}
	was_read = entry->is_read;
	entry->is_read = false;
	rc = tls_entry_read(entry, &to);
	if (rc == 1)
		rc = put_in_force(entry, &to);
	else
		tls_store_take_back();
	if (rc < 0)
		entry->is_read = was_read;
	tls_store_unlock();
	return rc;
}
