/* SPDX-License-Identifier: MIT */
/*
 * `known` is what the store had when it was looked at last, in the order of paths; each look walks
 * the store and the list side by side, says what has changed, and what is about to run out.
 */
#include "config.h"

#include "main/certificates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/certificate_view.h"
#include "health/ocsp_refresh.h"
#include "main/file_watch.h"
#include "net/tls_store.h"
#include "net/tls_tickets.h"

#define LOOK_MS SEC(6 * 3600) /* at least so often: the wall clock may be set */

struct known {
	char *path; /* (own) */
	char sha256[65];
	bool is_used, is_from_memory;
	enum cert_age age;     /* told of */
	int64_t staple_unix_s; /* end of the staple that was told to have run out */
};

static struct {
	struct loop *loop;   /* NULL = not in use */
	struct known *known; /* (own) */
	size_t known_n;
	struct timer look;
	bool is_begun; /* looked at once */
} care;

static const char *const beside[] = { ".key", ".ocsp", NULL };

/* ---- What has changed, what runs out ---- */

/* A walk over the store. */
struct walk {
	struct known *now; /* (own) becomes care.known */
	size_t n, at;      /* at: in care.known */
	const char *why;   /* NULL = changes are told elsewhere */
	int64_t unix_s, next_unix_s;
};

static void tell_change(const char *path, const struct tls_cert *cert, const char *what,
			const char *why)
{
	const struct tls_cert_about *about = cert ? tls_cert_about(cert) : NULL;
	char left[CERT_LEFT_SIZE] = "";

	if (about)
		cert_left_text(about->not_after_unix_s - clock_unix_ms() / 1000, left);
	log_event(LOG_LEVEL_INFO, "certificate",
		  LOG_FIELDS({ "path", path, 0 }, { "change", what, 0 }, { "reason", why, 0 },
			     { "subject", about ? about->subject : "", 0 },
			     { "not_after_unix_s", NULL, about ? about->not_after_unix_s : 0 }),
		  "certificate %s: %s (%s)%s%s%s%s", path, what, why, about ? "; " : "",
		  about ? about->subject : "", about ? ", good for " : "", left);
}

static void tell_age(const struct known *known, const struct tls_cert_about *about,
		     int64_t now_unix_s)
{
	const char *name = about->common_name[0] ? about->common_name : about->subject;
	int64_t left_s = about->not_after_unix_s - now_unix_s;
	char left[CERT_LEFT_SIZE];

	cert_left_text(left_s < 0 ? -left_s : left_s, left);
	log_event(known->age >= CERT_DAY ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "certificate_expiry",
		  LOG_FIELDS({ "path", known->path, 0 }, { "name", name, 0 },
			     { "not_after_unix_s", NULL, about->not_after_unix_s },
			     { "left_s", NULL, left_s }),
		  known->age == CERT_EXPIRED ? "certificate %s (%s) has expired %s ago"
					     : "certificate %s (%s) expires in %s",
		  known->path, name, left);
}

static void look_at_age(struct walk *walk, struct known *known, const struct tls_cert *cert)
{
	const struct tls_cert_about *about = tls_cert_about(cert);
	enum cert_age age = cert_age(about->not_after_unix_s, walk->unix_s);
	int64_t next = cert_age_changes_unix_s(about->not_after_unix_s, walk->unix_s);

	if (age > known->age) {
		known->age = age;
		tell_age(known, about, walk->unix_s);
	}
	if (next < walk->next_unix_s)
		walk->next_unix_s = next;
}

static void look_at_staple(struct walk *walk, struct known *known, struct tls_cert *cert)
{
	struct tls_ocsp_about staple;

	if (!tls_cert_staple_about(cert, &staple) || !staple.next_update_unix_s)
		return;
	if (staple.next_update_unix_s > walk->unix_s) {
		if (staple.next_update_unix_s < walk->next_unix_s)
			walk->next_unix_s = staple.next_update_unix_s;
		return;
	}
	if (known->staple_unix_s == staple.next_update_unix_s)
		return;
	known->staple_unix_s = staple.next_update_unix_s;
	log_event(LOG_LEVEL_WARN, "ocsp_expiry",
		  LOG_FIELDS({ "path", known->path, 0 },
			     { "next_update_unix_s", NULL, staple.next_update_unix_s }),
		  "certificate %s: its OCSP response has run out and is not stapled any more",
		  known->path);
}

/* What is known of PATH; those that the store has no more stand before it, and are told. */
static const struct known *known_of(struct walk *walk, struct str path)
{
	while (walk->at < care.known_n) {
		struct known *known = &care.known[walk->at];
		struct str name = str_of(known->path);
		size_t n = name.len < path.len ? name.len : path.len;
		int order = memcmp(name.p, path.p, n);

		if (order > 0 || (order == 0 && name.len > path.len))
			return NULL;
		walk->at++;
		if (order == 0 && name.len == path.len)
			return known;
		if (walk->why && known->is_used)
			tell_change(known->path, NULL, "not in use any more", walk->why);
	}
	return NULL;
}

static const char *change_of(const struct known *before, const struct known *now)
{
	if (now->is_used && !(before && before->is_used))
		return "in use from now on";
	if (before && before->is_used && !now->is_used)
		return "not in use any more";
	if (before && strcmp(before->sha256, now->sha256) != 0)
		return "replaced";
	return NULL;
}

static void on_entry(void *arg, struct tls_entry *entry)
{
	struct walk *walk = arg;
	const struct known *before = known_of(walk, tls_entry_path(entry));
	struct tls_cert *cert = tls_entry_cert(entry);
	struct known *now;
	const char *change;

	walk->now = xrealloc_array(walk->now, walk->n + 1, sizeof(*walk->now));
	now = &walk->now[walk->n++];
	*now = (struct known){ .path = xstrndup(tls_entry_path(entry)),
			       .is_used = tls_entry_is_used(entry),
			       .is_from_memory = tls_entry_is_from_memory(entry) };
	if (!cert)
		return;
	snprintf(now->sha256, sizeof(now->sha256), "%s", tls_cert_about(cert)->sha256);
	if (before && strcmp(before->sha256, now->sha256) == 0) {
		now->age = before->age;
		now->staple_unix_s = before->staple_unix_s;
	}
	change = change_of(before, now);
	if (change && walk->why)
		tell_change(now->path, cert, change, walk->why);
	if (!now->is_used)
		return;
	look_at_age(walk, now, cert);
	look_at_staple(walk, now, cert);
}

static void forget_known(void)
{
	for (size_t i = 0; i < care.known_n; i++)
		free(care.known[i].path);
	free(care.known);
	care.known = NULL;
	care.known_n = 0;
}

/* WHY: the reason of changes; NULL = they are told elsewhere. */
static void look(const char *why)
{
	struct walk walk = { .why = care.is_begun ? why : NULL, .next_unix_s = INT64_MAX };
	int64_t now_ms = clock_unix_ms(), in_ms = LOOK_MS;

	walk.unix_s = now_ms / 1000;
	tls_store_each(on_entry, &walk);
	(void)known_of(&walk, STR("\xff"));
	forget_known();
	care.known = walk.now;
	care.known_n = walk.n;
	care.is_begun = true;
	certificate_view_changed();
	if (walk.next_unix_s < (now_ms + LOOK_MS) / 1000)
		in_ms = walk.next_unix_s * 1000 - now_ms;
	loop_timer_in(care.loop, &care.look, in_ms > 0 ? in_ms : MS(1000));
}

static void on_news(void)
{
	look(NULL);
}

static void on_look(struct timer *timer)
{
	(void)timer;
	look(NULL);
}

void certificates_changed(void)
{
	if (!care.loop)
		return;
	look(NULL);
	ocsp_refresh_apply();
}

/* ---- Files that have changed ---- */

/* What was wrong with a path, a line each. */
struct mistakes {
	char *text; /* (own) */
};

static void on_mistake(void *arg, bool is_error, struct str file, const char *text)
{
	struct mistakes *mistakes = arg;
	bool is_denied = strstr(text, strerror(EACCES)) != NULL;
	char *line = xasprintf("TLS: %.*s: %s%s\n", STR_ARG(file), text,
			       is_denied ? "; let the user that limpet runs as read it, or use "
					   "'set ssl cert'"
					 : "");

	(void)is_error; /* a mistake in a file of a directory is softened, and told all the same */
	/* A directory is read for each of its binds. */
	if (!mistakes->text || !strstr(mistakes->text, line)) {
		char *longer = xasprintf("%s%s", mistakes->text ? mistakes->text : "", line);

		free(mistakes->text);
		mistakes->text = longer;
	}
	free(line);
}

static void tell_mistakes(const struct mistakes *mistakes, bool is_kept)
{
	struct str left = str_of(mistakes->text ? mistakes->text : "");

	while (left.len) {
		ptrdiff_t end = str_find_char(left, '\n');

		log_warn("%.*s%s", (int)end, left.p,
			 is_kept ? "; the one from before stays in use" : "");
		left = str_sub(left.p + end + 1, left.p + left.len);
	}
}

/* Mistakes that were told, by path: the same ones are not told again. */
struct told {
	char *path, *text; /* (own) */
};
static struct told *tolds;
static size_t tolds_n;

static struct told *told_of(const char *path)
{
	for (size_t i = 0; i < tolds_n; i++)
		if (strcmp(tolds[i].path, path) == 0)
			return &tolds[i];
	tolds = xrealloc_array(tolds, tolds_n + 1, sizeof(*tolds));
	tolds[tolds_n] = (struct told){ xstrdup(path), NULL };
	return &tolds[tolds_n++];
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_ticket_file(const char *path);

static int read_again(const char *path, struct mistakes *mistakes)
{
	int rc;

	if (is_ticket_file(path))
		rc = tls_tickets_reread(str_of(path), on_mistake, mistakes);
	else if (is_directory(path))
		rc = tls_store_rescan(str_of(path), on_mistake, mistakes);
	else
		rc = tls_store_reread(str_of(path), on_mistake, mistakes);
	if (rc > 0 && is_ticket_file(path))
		log_info("ticket keys of %s were read again", path);
	else if (rc >= 0)
		look("its file has changed");
	if (rc >= 0)
		ocsp_refresh_apply();
	return rc;
}

/*
 * A mistake is told when it is still there at the second look: a writer may have been half way
 * through, and the key be of the new certificate and the rest of the old one.
 */
static bool on_file(const char *path, bool has_changed)
{
	struct mistakes mistakes = { NULL };
	int rc = read_again(path, &mistakes);
	struct told *told = told_of(path);
	bool is_again = false;

	if (!mistakes.text) {
		free(told->text);
		told->text = NULL;
	} else if (!told->text || strcmp(told->text, mistakes.text) != 0) {
		is_again = has_changed && rc <= 0;
		if (!is_again) {
			tell_mistakes(&mistakes, rc < 0);
			free(told->text);
			told->text = mistakes.text;
			mistakes.text = NULL;
		}
	}
	free(mistakes.text);
	return !is_again;
}

/* ---- The configuration ---- */

struct paths {
	const char **items; /* (own), and each of them */
	size_t n;
};

static void add_path(struct paths *paths, struct str path)
{
	paths->items = xrealloc_array(paths->items, paths->n + 1, sizeof(*paths->items));
	paths->items[paths->n++] = xstrndup(path);
}

static struct paths tickets; /* files of ticket keys */

static bool is_ticket_file(const char *path)
{
	for (size_t i = 0; i < tickets.n; i++)
		if (strcmp(tickets.items[i], path) == 0)
			return true;
	return false;
}

static void paths_fini(struct paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		free((char *)(uintptr_t)paths->items[i]);
	free(paths->items);
	*paths = (struct paths){ NULL, 0 };
}

static void add_bind(struct paths *paths, const struct tls_bind_conf *tls)
{
	if (!tls || !tls->is_watched)
		return;
	for (size_t i = 0; i < tls->certificates.n; i++)
		add_path(paths, tls->certificates.items[i]);
	if (tls->ticket_keys.len) {
		add_path(paths, tls->ticket_keys);
		add_path(&tickets, tls->ticket_keys);
	}
}

static void watch_files(const struct config *config)
{
	struct paths paths = { NULL, 0 };

	paths_fini(&tickets);
	for (size_t i = 0; i < config->frontends_n; i++)
		for (size_t j = 0; j < config->frontends[i].binds_n; j++)
			add_bind(&paths, config->frontends[i].binds[j].tls);
	file_watch_set(paths.items, paths.n);
	paths_fini(&paths);
}

static void revert(const char *path)
{
	struct mistakes mistakes = { NULL };
	int rc = tls_store_revert(str_of(path), on_mistake, &mistakes);

	if (rc == 1)
		log_warn("certificate %s: what 'set ssl cert' had put in force is gone: the "
			 "reload has read its file, which is another",
			 path);
	else if (rc < 0)
		log_warn("certificate %s: what 'set ssl cert' has put in force stays: its file "
			 "cannot be used",
			 path);
	if (rc < 0)
		tell_mistakes(&mistakes, false);
	free(mistakes.text);
}

/* The keys were found good when CONFIG was loaded; now they count. */
static void take_ticket_keys(const struct config *config)
{
	for (size_t i = 0; i < config->frontends_n; i++)
		for (size_t j = 0; j < config->frontends[i].binds_n; j++) {
			const struct tls_bind_conf *tls = config->frontends[i].binds[j].tls;

			if (tls && tls->ticket_keys.len &&
			    tls_tickets_reread(tls->ticket_keys, NULL, NULL) > 0)
				log_info("ticket keys of %.*s were read again",
					 STR_ARG(tls->ticket_keys));
		}
}

void certificates_apply(const struct config *config)
{
	tls_store_activate();
	if (!care.loop)
		return;
	if (care.is_begun)
		take_ticket_keys(config);
	/* By their names: reverting changes the store. */
	for (size_t i = 0; care.is_begun && i < care.known_n; i++) {
		const struct tls_entry *entry = tls_store_find(str_of(care.known[i].path));

		if (entry && tls_entry_is_from_memory(entry) && tls_entry_is_used(entry))
			revert(care.known[i].path);
	}
	look("reload");
	watch_files(config);
	ocsp_refresh_apply();
}

void certificates_tell_unsaved(void)
{
	for (size_t i = 0; i < care.known_n; i++)
		if (care.known[i].is_from_memory && care.known[i].is_used)
			log_warn("certificate %s was put in force by 'set ssl cert': the new "
				 "process will have what its file says",
				 care.known[i].path);
}

void certificates_init(struct loop *loop)
{
	care.loop = loop;
	timer_init(&care.look, on_look);
	file_watch_init(loop, on_file, beside);
	ocsp_refresh_init(loop, on_news);
}

void certificates_fini(void)
{
	if (!care.loop)
		return;
	file_watch_fini();
	ocsp_refresh_fini();
	timer_fini(&care.loop->wheel, &care.look);
	forget_known();
	paths_fini(&tickets);
	for (size_t i = 0; i < tolds_n; i++) {
		free(tolds[i].path);
		free(tolds[i].text);
	}
	free(tolds);
	tolds = NULL;
	tolds_n = 0;
	care.is_begun = false;
	care.loop = NULL;
}
