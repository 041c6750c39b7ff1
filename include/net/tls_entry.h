/* SPDX-License-Identifier: MIT */
/*
 * tls_entry - the inside of the store of certificates, shared by its files and tls_server.c.
 *
 * How a change comes into force: whoever makes it sets `next` of entries or `next_members` of
 * tls_servers and calls tls_store_apply(), which makes the tables of all that are touched and
 * publishes them together, or takes everything back.
 *
 * What a configuration that is being loaded reads waits: its tls_servers have tables with `next` at
 * once, entries and the other tls_servers go on with `cert` until tls_store_activate().  When the
 * last of those tls_servers goes before that, so does what was read for them.
 *
 * Threads: the control thread, under tls_store.lock.  The lock is there for tls_server_unref(),
 * which takes its server off the list on any thread.
 */
#ifndef NET_TLS_ENTRY_H
#define NET_TLS_ENTRY_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "net/tls_cert.h"
#include "net/tls_mistake.h"
#include "net/tls_names.h"

#define TLS_DIGEST_SIZE 32

struct tls_entry {
	char *path;                /* (own) */
	struct tls_cert *cert;     /* (ref) in force; NULL = none yet */
	struct tls_cert *next;     /* (ref) on its way into force; NULL = none */
	struct tls_cert *prepared; /* (ref) of the transaction; NULL = none */
	/* SHA-256 of PATH and PATH.key, and of PATH.ocsp, when they were last read. */
	unsigned char digest[TLS_DIGEST_SIZE], ocsp_digest[TLS_DIGEST_SIZE];
	unsigned char next_digest[TLS_DIGEST_SIZE], next_ocsp_digest[TLS_DIGEST_SIZE];
	bool is_read;        /* digest is set */
	bool is_from_memory; /* `cert` was committed, not read */
	bool is_next_from_memory;
	bool is_pending;   /* `next` outlives the call: it waits for tls_store_activate() */
	bool is_kept;      /* made by tls_store_new() */
	bool is_marked;    /* within tls_store_sweep() */
	char *attached_to; /* (own) directory of tls_store_attach(); NULL = none */
};

/* What an operator has written under `certificates`. */
struct tls_source {
	char *path; /* (own) */
	bool is_directory;
};

struct tls_member {
	struct tls_entry *entry;
	size_t source; /* index */
};

struct tls_members {
	struct tls_member *items; /* (own) in the order that counts */
	size_t n;
};

/* What the store knows of a tls_server, which contains it. */
struct tls_store_user {
	struct list link; /* of tls_store.users */
	char *label;      /* (own) */
	bool wants_ocsp;
	bool is_new;                /* tls_store_activate() was not called since it was made */
	struct tls_source *sources; /* (own) */
	size_t sources_n;
	struct tls_members members;
	struct tls_members next_members; /* within a call; items NULL = no change */
	struct tls_names *next;          /* (ref) within tls_store_apply(); NULL = not touched */

	pthread_mutex_t lock;    /* of `names`; held for a reference or a swap of the pointer */
	struct tls_names *names; /* (ref) in force */
	tls_ctx_fn *make;        /* for its tables */
};

struct tls_store {
	pthread_mutex_t lock;
	struct tls_entry **entries; /* (own) in the order of paths */
	size_t entries_n;
	struct list users;
};
extern struct tls_store tls_store;

void tls_store_lock(void); /* sets the store up at its first call */
void tls_store_unlock(void);

/* Under the lock, all of these. */
struct tls_entry *tls_entry_find(struct str path);
struct tls_entry *tls_entry_make(struct str path); /* finds it, or makes an empty one */
/*
 * Reads the files of ENTRY.  1: `next` is what they have; 0: they have not changed, or, `cert`
 * being from memory, the staple alone has (it is put in force at once); or a negative errno, told.
 */
int tls_entry_read(struct tls_entry *entry, const struct tls_mistakes *to) must_check;
/*
 * Members for the sources of USER; entries are made and read (`next`) as needed.  A directory's
 * file that cannot be used is a warning, and left out, or left as it is in force.  False: told.
 */
bool tls_store_collect(const struct tls_store_user *user, struct tls_members *members,
		       const struct tls_mistakes *to) must_check;
/* Puts all `next` and `next_members` in force, or takes them back: false, told. */
bool tls_store_apply(const struct tls_mistakes *to) must_check;
void tls_store_take_back(void); /* all that is `next`, but for what is_pending */
/*
 * USER, which has next_members, gets a table of what was read, which waits for
 * tls_store_activate().  False: told, and USER is not among the users.
 */
bool tls_store_add_user(struct tls_store_user *user, const struct tls_mistakes *to) must_check;
void tls_store_remove_user(struct tls_store_user *user); /* if it was ever added */
void tls_store_sweep_locked(void);

void tls_store_user_fini(struct tls_store_user *user);

#endif
