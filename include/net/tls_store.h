/* SPDX-License-Identifier: MIT */
/*
 * tls_store - the certificates of the process, each once, by the path of its file.
 *
 *   bind ---> tls_server ---> entry "/etc/site.pem" ---> tls_cert: leaf, chain, key, staple
 *                 \---------> entry ...                  (replaced as a whole)
 *
 * An entry is made when a tls_server names its file, or by tls_store_new() for one that no bind
 * uses yet, and goes with its last user (those of tls_store_new() stay until tls_store_remove()).
 *
 * A change is all or nothing: the new certificate is parsed and checked, tables are made for every
 * tls_server that uses the entry, and only when all of that worked they are put in force.
 *
 * A PEM file has leaf, chain and key; the key may stand in PATH.key.  PATH.ocsp is an OCSP response
 * (DER) to staple.  A directory stands for all of its files in the order of their names, but for
 * hidden ones and *.key, *.ocsp, *.issuer and *.sctl.
 *
 * Threads: the control thread alone (or one thread before others run).  Only tls_server_unref()
 * comes from other threads.  Guard: one mutex; entries and their certificates are good until the
 * next call that is said to change the store.
 */
#ifndef NET_TLS_STORE_H
#define NET_TLS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "net/tls_cert.h"
#include "net/tls_server.h"

struct tls_entry;

/* ---- Looking ---- */

typedef void tls_entry_fn(void *arg, struct tls_entry *entry);
/* In the order of paths.  FN must not change the store. */
void tls_store_each(tls_entry_fn *fn, void *arg);
struct tls_entry *tls_store_find(struct str path); /* NULL = none */

struct str tls_entry_path(const struct tls_entry *entry);
/* (view) What is in force; NULL: made by tls_store_new() and empty as yet. */
struct tls_cert *tls_entry_cert(const struct tls_entry *entry);
/* (view) What tls_store_prepare() has made; NULL: no transaction. */
struct tls_cert *tls_entry_prepared(const struct tls_entry *entry);
bool tls_entry_is_used(const struct tls_entry *entry);
/* It is not what the file had when that was last read: it was committed from memory. */
bool tls_entry_is_from_memory(const struct tls_entry *entry);
/* One of its binds wants the responder asked (ocsp_refresh). */
bool tls_entry_wants_ocsp(const struct tls_entry *entry);

typedef void tls_label_fn(void *arg, struct str label);
/* The labels of the tls_servers that use it, each once. */
void tls_entry_each_user(const struct tls_entry *entry, tls_label_fn *fn, void *arg);

/* ---- Changing: 0, or a negative errno whose reasons MISTAKE was told ---- */

/*
 * Begins a transaction of PATH, or replaces what it has: PEM becomes its certificate when it is
 * committed.  Without a key in it the entry's own one goes on.  -ENOENT: no such entry; -EINVAL.
 */
int tls_store_prepare(struct str path, struct str pem, tls_mistake_fn *mistake,
		      void *arg) must_check;
/* Puts it in force everywhere.  -ENOENT: no transaction; -EINVAL: a bind cannot take it. */
int tls_store_commit(struct str path, tls_mistake_fn *mistake, void *arg) must_check;
/* -ENOENT: there was none. */
int tls_store_abort(struct str path) must_check;

/* An entry without a certificate, for a transaction.  -EEXIST. */
int tls_store_new(struct str path) must_check;
/* -ENOENT; -EBUSY: a bind uses it. */
int tls_store_remove(struct str path) must_check;

/*
 * Binds that name the directory DIRECTORY use the entry PATH as well (or no more), as if the file
 * stood in it.  -ENOENT: no such entry, no certificate in it, or no bind has that directory;
 * -EEXIST, or of detach -ESRCH: it is used (not used) there; -EBUSY: it is the last one of a bind.
 */
int tls_store_attach(struct str directory, struct str path, tls_mistake_fn *mistake,
		     void *arg) must_check;
int tls_store_detach(struct str directory, struct str path, tls_mistake_fn *mistake,
		     void *arg) must_check;

/*
 * Reads PATH (with PATH.key and PATH.ocsp) again.  1: it was changed and is in force; 0: the files
 * say what they said when they were last read, so that what was committed from memory stays;
 * -ENOENT: no such entry, or no such file; -EINVAL or another errno: the old one stays in force.
 */
int tls_store_reread(struct str path, tls_mistake_fn *mistake, void *arg) must_check;
/*
 * The same, and what was committed from memory goes even if the files say what they said before.
 * 1: another certificate is in force; 0: the same one, or it was not from memory.
 */
int tls_store_revert(struct str path, tls_mistake_fn *mistake, void *arg) must_check;
/*
 * Files that have come to DIRECTORY are taken by the binds that name it, those that have gone are
 * left (never the last one).  The number of changes, or a negative errno; files that are no
 * certificates are told as warnings.
 */
int tls_store_rescan(struct str directory, tls_mistake_fn *mistake, void *arg) must_check;
/* The directories that binds name, each once. */
void tls_store_each_directory(tls_label_fn *fn, void *arg);

/*
 * An OCSP response (DER) to staple, checked as tls_ocsp_check() does; "" takes it off.  ABOUT (may
 * be NULL) tells what it says; a certificate that is revoked is told as a warning, and the
 * response is stapled.  -ENOENT, -EINVAL.
 */
int tls_store_set_ocsp(struct str path, struct str der, struct tls_ocsp_about *about,
		       tls_mistake_fn *mistake, void *arg) must_check;

/*
 * What tls_server_new() has read since the last call comes into force for the entries and for every
 * tls_server: the configuration that names it is in force.  Until then only the new tls_servers
 * show it; when all of them go without this, it is forgotten.
 */
void tls_store_activate(void);

/* Entries that nobody uses any more go.  Done by tls_server_new() too. */
void tls_store_sweep(void);

#endif
