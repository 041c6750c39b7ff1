/* SPDX-License-Identifier: MIT */
/*
 * state_file - session tables in a file, so that a restart keeps them (global.state_file).
 *
 *   head     magic "LIMPETST", version, wall clock of the save
 *   records  K digest key of secrets in keys, the current one first
 *            C backend, secret of its cookies that was made up
 *            T table "backend/rule"; what follows is of that table
 *            S server's name; the first of a table is 0, and so on
 *            E server's number above, flags, key as the table keeps it, idle time, what is left
 *            Z how many entries; the last record
 *   SHA-256  of all before it
 *
 * Servers and tables are named, for the next process may number them otherwise.  A sid is never in
 * it: the tables keep digests of sids, and their key is in the file, which is therefore secret: it
 * is made with mode 0600.  Numbers are as the machine has them.
 *
 * A save writes FILE.new, syncs it and renames it, so that FILE is whole at any moment.  The load
 * reads the file twice: first it looks whether all of it is well-formed and its hash right, and
 * changes nothing; then it takes it over.  A file that others could have written is refused:
 * whoever writes it decides where sessions go.
 *
 * Which entries are live for the servers' processes, nobody knows after a restart: those that were
 * live at the save are taken as live.  A worker that was started anew meanwhile answers "Session ID
 * unknown" by itself.
 */
#ifndef MAIN_STATE_FILE_H
#define MAIN_STATE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "balance/table.h"
#include "base/bug.h"
#include "base/siphash.h"
#include "base/str.h"

/* A cookie rule's secret that was made up. */
struct state_secret {
	struct str backend, text; /* (view) */
};

/* What to save: made on the control thread, then any thread may write it. */
struct state_content {
	struct table **tables;        /* (own) the tables themselves are not */
	struct state_secret *secrets; /* (own, with their texts) */
	size_t tables_n, secrets_n;
	int64_t now_unix_ms;
};

struct state_result {
	uint64_t entries;          /* written, or taken over */
	uint64_t expired, skipped; /* load: not taken over; skipped: no such server or table */
	uint64_t size_bytes;
	int64_t age_ms; /* load: since the save; 0 when the clock went backwards */
	char why[160];  /* of a failure */
};

/* All tables that there are, and SECRETS (views, copied). */
void state_content_init(struct state_content *content, const struct state_secret *secrets,
			size_t secrets_n, int64_t now_unix_ms);
void state_content_fini(struct state_content *content);

/*
 * Writes FILE.  0, or negative errno with result->why: then what was there before is still there.
 * Lifetimes are as of the calling thread's clock.
 */
int state_file_write(const char *file, const struct state_content *content,
		     struct state_result *result) must_check;

/* What else a file has; each may be NULL.  Called before the first entry. */
struct state_found {
	/* I = 0: the one that keys were hashed with at the save; then former ones, newest first. */
	void (*key)(const struct siphash_key *key, uint32_t i);
	void (*secret)(const struct state_secret *secret);
};
/*
 * Takes FILE over into the tables that there are; before the threads start.  What a table has
 * already stays.  0, or negative errno with result->why: nothing has changed.  -ENOENT: no file.
 */
int state_file_read(const char *file, int64_t now_unix_ms, const struct state_found *on,
		    struct state_result *result) must_check;
/* The same of a file that is open: for tests. */
int state_file_read_fd(int fd, int64_t now_unix_ms, const struct state_found *on,
		       struct state_result *result) must_check;

#endif
