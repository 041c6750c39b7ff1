/* SPDX-License-Identifier: MIT */
/*
 * table_share - a session table that other nodes have as well: what of it they must be told, and
 * what they tell.
 *
 * Redis is where the nodes agree; for each key it holds one record.  A change of an entry is a
 * proposal until Redis has answered it:
 *
 *            change                    table_collect()             table_settle(): accepted
 *   CLEAN ------------> DIRTY (one bit) --------------> SENT ----------------------------> CLEAN
 *                         ^                               |  table_settle(): another record stands
 *                         |   table_unsettle(): no answer |  there: it is taken over    ----> CLEAN
 *                         +-------------------------------+
 *   SENT + another change = SENT and DIRTY: it is collected again, and an answer to the first
 *   proposal changes nothing.
 *
 * A dirty entry costs one bit in its shard, whatever happens to it meanwhile: Redis may be away for
 * as long as it likes.
 *
 * What is proposed:
 *   ASSIGN   the key was free here.  The first writer wins: where Redis has another live record,
 *            that one stands, unless its server is not able to serve: then it is proposed again, as
 *            a SET.
 *   SET      the entry was given another server (the old one had died or was drained), or was
 *            retired.  The newer version wins.
 *   REFRESH  only its lifetime began anew.  Less than half of it was left on Redis.
 *   DROP     it was deleted.  The newer version wins.  A tombstone stays in the table and on Redis
 *            for as long as the entry might have lived, so that no older copy comes back.
 *
 * What is taken over (table_merge(), table_settle()) is decided in one pure function,
 * merge_decide(). Absence of a record is never a reason to delete; expiry is everybody's own.
 *
 * Threads: any, as table.h; in practice the control thread.  The shard's mutex is held per entry.
 */
#ifndef BALANCE_TABLE_SHARE_H
#define BALANCE_TABLE_SHARE_H

#include "balance/table.h"

enum record_state {
	RECORD_LIVE, /* the session is at the server */
	RECORD_DEAD, /* it has to leave (table_retire()), or its server's process is another one
			now: answer "Session ID unknown" */
	RECORD_TOMB, /* deleted; `server` means nothing */
};

enum record_change { RECORD_ASSIGN, RECORD_SET, RECORD_REFRESH, RECORD_DROP };

/* One key's content, as proposed to Redis or as found there. */
struct table_record {
	struct table_key key;
	enum record_state state;
	enum record_change change; /* of a proposal; in what Redis holds it has no meaning */
	uint64_t version;          /* version.h; 0 = never told to anybody (a table from before) */
	uint32_t server;           /* number; SERVER_NONE of a tombstone */
	uint32_t idle_ms;          /* lifetime after the last use, 1..TABLE_IDLE_MAX_MS */
	int64_t left_ms;           /* of the lifetime, 1..idle_ms */
};

/*
 * From now on changes are marked (or no longer).  Turned on: every entry that is there becomes
 * dirty, as an ASSIGN.  Turned off: tombstones and marks go.
 */
void table_share(struct table *table, bool is_shared);
bool table_is_shared(const struct table *table);

/*
 * Runs on the thread that changed an entry, after the mutex is let go, when the table had nothing
 * dirty, or nothing urgent: somebody should collect soon.  Set by the mirror; NULL = nobody.
 */
typedef void table_dirty_fn(struct table *table);
extern _Atomic(table_dirty_fn *) table_dirty_hook;

/* Up to MAX dirty entries, as proposals, now SENT.  How many; 0 = none is dirty. */
uint32_t table_collect(struct table *table, uint32_t max, struct table_record *records);
/*
 * The same, of what a request has changed and another may wait for at another node: not what a
 * comparison, a refresh or table_share() has marked, which may be all there is.
 */
uint32_t table_collect_urgent(struct table *table, uint32_t max, struct table_record *records);
/* Proposals not yet collected (without those that are SENT). */
uint32_t table_dirty_n(const struct table *table);
/*
 * Marks for a REFRESH what is held open (a WebSocket, a pending poll) and has less than half of its
 * lifetime left on Redis.  Looks at MAX entries at most, and goes on there the next time; every
 * second.  Uses that end mark theirs themselves.
 */
void table_refresh_open(struct table *table, uint32_t max);

enum merge_result {
	MERGE_TAKEN,    /* the entry is as RECORD says now */
	MERGE_SAME,     /* it was */
	MERGE_IGNORED,  /* ours is newer, or is a proposal under way */
	MERGE_PROPOSED, /* ours has to be told (again): it is dirty now */
	MERGE_REFUSED,  /* malformed: version 0 or from a far future, no such server, no lifetime */
};

/* How a record was met: what else is known about Redis. */
enum merge_source {
	MERGE_STREAM, /* somebody's change; Redis may hold something newer by now */
	MERGE_STORED, /* Redis holds it now (a scan, a question): where ours is newer it is proposed
		       */
};

/*
 * What Redis or the stream said of a key (table_key_kept()).  Live sessions of the servers are
 * counted on the way; LEFT_MS of a record that is taken is what is left here.  A table that is not
 * shared ignores all.
 */
enum merge_result table_merge(struct table *table, const struct table_record *record,
			      enum merge_source source);

/*
 * The answer to a proposal.  STORED = NULL: it was accepted.  Otherwise Redis holds STORED: it is
 * taken over, unless the entry was changed again meanwhile (MERGE_PROPOSED), or PROPOSAL was an
 * ASSIGN and STORED's server cannot serve (the entry becomes dirty as a SET with a newer version).
 * PROPOSAL is what table_collect() gave.
 */
enum merge_result table_settle(struct table *table, const struct table_record *proposal,
			       const struct table_record *stored);
/* No answer came, or "there is nothing to refresh" (IS_ABSENT): it is proposed again, in the second
 * case as an ASSIGN. */
void table_unsettle(struct table *table, const struct table_record *proposal, bool is_absent);
/*
 * Redis may have lost something: what was known to be there is not known any more.  Before a scan
 * that meets all that is there (table_merge(MERGE_STORED)).
 */
void table_resync_begin(struct table *table);
/*
 * After it: what has not been met since becomes dirty, with the version that it has; entries that
 * were on Redis as a SET, so that the newest copy of any node stands in the end.  Without a
 * table_resync_begin() before it: everything (Redis was emptied).
 */
void table_propose_all(struct table *table);

/* What KEY's record is, tombstones included; false: there is none.  For tests and "show table". */
bool table_record(struct table *table, const struct table_key *key, struct table_record *record);

/*
 * The decision, pure: what to do when a record meets what this node has.  For tests, and for
 * table_share.c.
 */
struct merge_side {
	bool is_there;
	enum record_state state;
	uint64_t version;
	uint32_t server;
	bool is_proposed; /* a change of ours that Redis has not answered: DIRTY or SENT */
};
enum merge_action {
	MERGE_TAKE,    /* the record stands */
	MERGE_EXTEND,  /* the same record: the longer lifetime stands */
	MERGE_KEEP,    /* ours stands, and nothing is to be told */
	MERGE_PROPOSE, /* ours stands and is to be told */
};
enum merge_action merge_decide(const struct merge_side *ours, const struct merge_side *theirs,
			       enum merge_source source);

#endif
