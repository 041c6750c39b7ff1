/* SPDX-License-Identifier: MIT */
/*
 * beat - what each node of a pair says of itself on Redis, once a second, and what the others say.
 *
 *   {prefix}:n   hash: node's name -> beat_value (one line of text)
 *
 * From it come: who is there, whether they have the same secret and the same servers, and the
 * counters of the pair.  No clock is trusted: a peer is present while its beat moves, by our own
 * clock; what a node that is gone said last stays on Redis for its counters.
 *
 * Counters.  A node writes its own field alone, so nobody doubles what another has counted.  Each
 * value is base + counts: counts are this boot's, and the base is what the boots before had.  The
 * next boot reads its own field once, before it writes it for the first time: another boot's base +
 * counts become its base.  An upgrade hands the boot's number over with the counters themselves
 * (beat_boot(), beat_set_boot()), and then the base alone is taken.  The pair's total is the sum
 * over all fields.
 *
 * Threads: the control thread.
 */
#ifndef MIRROR_BEAT_H
#define MIRROR_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "loop/loop.h"
#include "mirror/mirror.h"
#include "model/config.h"

struct redis;

/*
 * What the mirror calls.
 */

/* NUMBER is what {prefix}:q holds now, 0 when it is not there; once a second. */
typedef void beat_number_fn(uint64_t number);
/* Once.  ON_NUMBER may be NULL. */
void beat_init(struct loop *loop, beat_number_fn *on_number);
/* At each mirror_apply(), before beat_up(): this node's name, or no mirror any more. */
void beat_apply(const struct config *config);
/* REDIS (view), the commands link, is up: the first round goes out at once. */
void beat_up(struct redis *redis, struct str prefix);
/* It is lost, or about to be freed. Fine when it was never up. */
void beat_down(void);
/* The end of the process: says "stopping" if it can, so that peers need not wait to know. */
void beat_stop(void);
void beat_fini(void);

/* The lineage of this process' counters: random, or the former process' after an upgrade. */
uint64_t beat_boot(void);
void beat_set_boot(uint64_t boot);

/*
 * What a node says of itself: beat_value.c.
 */
#define BEAT_NODE_MAX     64   /* bytes of a node's name */
#define BEAT_VALUE_SIZE   4096 /* bytes of a value, at most */
#define BEAT_BACKENDS_MAX 64   /* of which a hash is told; more are in the sum alone */

#define BEAT_COUNTS(X)                                                                             \
	X(requests, "requests and TCP sessions")                                                   \
	X(sessions, "Engine.IO sessions learned from handshakes")                                  \
	X(tunnels, "upgrades to WebSocket")                                                        \
	X(hits, "requests with a session id that was known")                                       \
	X(misses, "requests with a session id that was not known")                                 \
	X(unknown, "answers \"Session ID unknown\" made by Limpet")
enum beat_count {
#define X(name, text) BEAT_##name,
	BEAT_COUNTS(X)
#undef X
		BEAT_COUNTS_N
};
extern const char *const beat_count_names[BEAT_COUNTS_N];
extern const char *const beat_count_texts[BEAT_COUNTS_N];

/* The servers that a backend with mirrored tables has. */
struct beat_backend {
	struct str name; /* (view) */
	uint32_t hash;   /* of its servers' names, in any order */
};

struct beat_value {
	uint64_t boot, beat;
	uint64_t key_check; /* of the key that hashes session ids; tells equal from different alone
			     */
	uint64_t servers;   /* hash of all `backends`, those that had no room included */
	enum mirror_state state;
	bool is_stopping;
	bool has_more;      /* not every backend had room */
	uint64_t entries;   /* of its mirrored tables */
	struct str version; /* (view) of the program */
	uint64_t base[BEAT_COUNTS_N], counts[BEAT_COUNTS_N];
	struct beat_backend backends[BEAT_BACKENDS_MAX]; /* sorted by name */
	uint32_t backends_n;
};
/* Length.  Backends that find no room are left out, and has_more is said. */
size_t beat_value_write(char out[BEAT_VALUE_SIZE], const struct beat_value *value);
/*
 * Views into TEXT.  False: not ours (hostile, or of a version that says it differently).  Words
 * that are not known are skipped: a newer node may say more.
 */
bool beat_value_read(struct str text, struct beat_value *value);

/* 1 to BEAT_NODE_MAX printable ASCII characters. */
bool beat_is_node_name(struct str name);

/*
 * What this node is: fingerprint.c.
 */
/* Fills backends, backends_n, has_more, servers and entries of VALUE; names are views of CONFIG. */
void fingerprint(const struct config *config, struct beat_value *value);
/* Names of backends whose servers differ, as "chat, api": length; 0 = they are alike. */
size_t fingerprint_differences(const struct beat_value *a, const struct beat_value *b, char *out,
			       size_t size);

/*
 * What is seen.
 */
#define BEAT_PEERS_MAX 16

struct beat_peer {
	char name[BEAT_NODE_MAX + 1];
	char version[32];
	enum mirror_state state; /* as it said last */
	bool is_present;         /* its beat moved within the last 5 s */
	bool is_key_wrong;      /* its session ids are hashed with another key: nothing is shared */
	bool has_other_servers; /* for more than 10 s */
	char differences[160];  /* names of backends, when it has */
	uint64_t entries;
	uint64_t totals[BEAT_COUNTS_N]; /* base + counts */
	int64_t seen_at_ms;             /* clock_ms() when its beat moved last; 0 = never */

	/* Private. */
	uint64_t boot, beat;
	int64_t differs_since_ms; /* 0 = does not */
	bool is_stopping;         /* it said so */
	bool is_found;            /* in the last round */
	char *text;               /* (own) its value */
};

/* The other nodes, by name.  *PEERS until the next turn of the loop. */
size_t beat_peers(const struct beat_peer **peers);
/* This node's name, and what it has counted; the pair's totals.  OWN and PAIR may be NULL. */
struct str beat_node(void);
void beat_totals(uint64_t own[BEAT_COUNTS_N], uint64_t pair[BEAT_COUNTS_N]);
/* Another process beats under this node's name. */
bool beat_is_name_taken(void);

#endif
