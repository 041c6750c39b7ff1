/* SPDX-License-Identifier: MIT */
/* Which files the words of a configuration stand for. */
#include "config.h"

#include "net/tls_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls_entry.h"

#define FILES_MAX 100000 /* of one directory */

struct file_names {
	char **items; /* (own) paths, sorted */
	size_t n;
};

static void file_names_fini(struct file_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_left_out(struct str name)
{
	return str_starts(name, STR(".")) || str_ends(name, STR(".key")) ||
	       str_ends(name, STR(".ocsp")) || str_ends(name, STR(".issuer")) ||
	       str_ends(name, STR(".sctl"));
}

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void add_file(struct file_names *names, char *path)
{
	names->items = xrealloc_array(names->items, names->n + 1, sizeof(char *));
	names->items[names->n++] = path;
}

static bool list_directory(const char *directory, struct file_names *names,
			   const struct tls_mistakes *to)
{
	DIR *dir = opendir(directory);
	const char *slash = str_ends(str_of(directory), STR("/")) ? "" : "/";
	struct dirent *item;

	if (!dir) {
		tls_error(to, "%s", strerror(errno));
		return false;
	}
	while ((item = readdir(dir)) && names->n < FILES_MAX) {
		char *path;

		if (is_left_out(str_of(item->d_name)))
			continue;
		path = xasprintf("%s%s%s", directory, slash, item->d_name);
		if (is_file(path))
			add_file(names, path);
		else
			free(path);
	}
	closedir(dir);
	if (names->n)
		qsort(names->items, names->n, sizeof(char *), compare);
	return true;
}

static void add_member(struct tls_members *members, struct tls_entry *entry, size_t source)
{
	for (size_t i = 0; i < members->n; i++)
		if (members->items[i].entry == entry)
			return;
	members->items = xrealloc_array(members->items, members->n + 1, sizeof(*members->items));
	members->items[members->n++] = (struct tls_member){ entry, source };
}

/* What is an error of a file is a warning of its directory. */
static void soften(void *arg, unused_arg bool is_error, struct str file, const char *text)
{
	const struct tls_mistakes *to = arg;

	if (to->fn)
		to->fn(to->arg, false, file, text);
}

/* Entries that tls_store_attach() has put there go on after a reload. */
static void add_attached(struct tls_members *members, const char *directory, size_t source)
{
	for (size_t i = 0; i < tls_store.entries_n; i++) {
		struct tls_entry *entry = tls_store.entries[i];

		if (entry->attached_to && strcmp(entry->attached_to, directory) == 0 && entry->cert)
			add_member(members, entry, source);
	}
}

static bool collect_directory(const char *directory, size_t source, struct tls_members *members,
			      const struct tls_mistakes *to)
{
	struct tls_mistakes outer = *to;
	const struct tls_mistakes soft = { soften, &outer, to->file };
	struct file_names names = { 0 };
	size_t before = members->n;

	if (!list_directory(directory, &names, to)) {
		file_names_fini(&names);
		return false;
	}
	for (size_t i = 0; i < names.n; i++) {
		struct tls_entry *entry = tls_entry_make(str_of(names.items[i]));

		if (tls_entry_read(entry, &soft) >= 0 || entry->cert)
			add_member(members, entry, source);
	}
	file_names_fini(&names);
	add_attached(members, directory, source);
	if (members->n == before)
		tls_error(to, "no certificate in this directory");
	return members->n > before;
}

/*
 * Started as root, limpet may not read again what it has read: a reload goes on with what is in
 * force, for else there would be none at all.
 */
static bool is_denied(const struct tls_entry *entry)
{
	char *key = xasprintf("%s.key", entry->path);
	bool is = (access(entry->path, R_OK) != 0 && errno == EACCES) ||
		  (access(key, R_OK) != 0 && errno == EACCES);

	free(key);
	return is;
}

static bool collect_source(struct tls_source *source, size_t index, struct tls_members *members,
			   const struct tls_mistakes *to)
{
	struct tls_mistakes about = { to->fn, to->arg, str_of(source->path) };
	struct tls_entry *entry;
	struct stat st;

	source->is_directory = stat(source->path, &st) == 0 && S_ISDIR(st.st_mode);
	if (source->is_directory)
		return collect_directory(source->path, index, members, &about);
	entry = tls_entry_make(about.file);
	if (entry->cert && is_denied(entry))
		tls_warning(&about, "%s; the certificate from before stays in use",
			    strerror(EACCES));
	else if (tls_entry_read(entry, &about) < 0)
		return false;
	add_member(members, entry, index);
	return true;
}

bool tls_store_collect(const struct tls_store_user *user, struct tls_members *members,
		       const struct tls_mistakes *to)
{
	bool ok = true;

	*members = (struct tls_members){ 0 };
	for (size_t i = 0; i < user->sources_n; i++)
		if (!collect_source(&user->sources[i], i, members, to))
			ok = false;
	return ok && members->n;
}

/* ---- Directories that change ---- */

static bool has_directory(const struct tls_store_user *user, struct str directory)
{
	for (size_t i = 0; i < user->sources_n; i++)
		if (user->sources[i].is_directory &&
		    str_eq(str_of(user->sources[i].path), directory))
			return true;
	return false;
}

static bool has_member(const struct tls_members *members, const struct tls_entry *entry)
{
	for (size_t i = 0; i < members->n; i++)
		if (members->items[i].entry == entry)
			return true;
	return false;
}

static int count_differences(const struct tls_members *a, const struct tls_members *b)
{
	int n = 0;

	for (size_t i = 0; i < a->n; i++)
		n += !has_member(b, a->items[i].entry);
	for (size_t i = 0; i < b->n; i++)
		n += !has_member(a, b->items[i].entry);
	return n;
}

/* The other sources of a bind are read as well: what has changed there comes with it. */
static int rescan(struct str directory, const struct tls_mistakes *to)
{
	struct tls_mistakes outer = *to;
	const struct tls_mistakes soft = { soften, &outer, to->file };
	int n = 0;

	list_for_each(link, &tls_store.users) {
		struct tls_store_user *user = list_entry(link, struct tls_store_user, link);
		struct tls_members members;
		int changes;

		if (!has_directory(user, directory))
			continue;
		if (!tls_store_collect(user, &members, &soft)) {
			free(members.items);
			continue;
		}
		changes = count_differences(&user->members, &members);
		free(user->next_members.items);
		user->next_members = changes ? members : (struct tls_members){ 0 };
		if (!changes)
			free(members.items);
		n = changes > n ? changes : n;
	}
	for (size_t i = 0; i < tls_store.entries_n; i++)
		n += tls_store.entries[i]->next && tls_store.entries[i]->cert;
	return n;
}

int tls_store_rescan(struct str directory, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, directory };
	int n;

	tls_store_lock();
	n = rescan(directory, &to);
	if (!tls_store_apply(&to))
		n = -EINVAL;
	tls_store_sweep_locked();
	tls_store_unlock();
	return n;
}

void tls_store_each_directory(tls_label_fn *fn, void *arg)
{
	struct file_names told = { 0 };

	tls_store_lock();
	list_for_each(link, &tls_store.users) {
		const struct tls_store_user *user = list_entry(link, struct tls_store_user, link);

		for (size_t i = 0; i < user->sources_n; i++)
			if (user->sources[i].is_directory)
				add_file(&told, xstrdup(user->sources[i].path));
	}
	tls_store_unlock();
	if (told.n)
		qsort(told.items, told.n, sizeof(char *), compare);
	for (size_t i = 0; i < told.n; i++)
		if (i == 0 || strcmp(told.items[i], told.items[i - 1]) != 0)
			fn(arg, str_of(told.items[i]));
	file_names_fini(&told);
}
