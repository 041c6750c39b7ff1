/* SPDX-License-Identifier: MIT */
/* beat_internal - the parts of the beat: what a node has counted, and the other nodes. */
#ifndef MIRROR_BEAT_INTERNAL_H
#define MIRROR_BEAT_INTERNAL_H

#include "mirror/beat.h"

/*
 * What one node has counted over all its boots.  Zeroed but for `boot` at first.
 *
 * base + counts never shrinks and takes in each count of each boot once, however often its field is
 * read: a boot that was taken over is known by its number, and only what it has told since then is
 * added (its last words may arrive late).
 */
struct beat_ledger {
	uint64_t boot;
	bool is_open; /* our field was read: it may be written now */
	uint64_t base[BEAT_COUNTS_N];
	uint64_t counts[BEAT_COUNTS_N];
	uint64_t read[BEAT_COUNTS_N];  /* the counters, at the last look */
	uint64_t floor[BEAT_COUNTS_N]; /* counts that this boot has told before an upgrade */
	uint64_t former_boot;          /* whose values are in `base` */
	uint64_t former[BEAT_COUNTS_N];
};
/* COUNTERS are those of the process; they may have been cleared by the operator meanwhile. */
void beat_ledger_count(struct beat_ledger *ledger, const uint64_t counters[BEAT_COUNTS_N]);
/* Redis has FIELD under our name; NULL: nothing, or nothing of ours. */
void beat_ledger_meet(struct beat_ledger *ledger, const struct beat_value *field);
/* Into VALUE's base and counts. */
void beat_ledger_tell(const struct beat_ledger *ledger, struct beat_value *value);
/* A + B, or the largest number. */
uint64_t beat_add(uint64_t a, uint64_t b);

/*
 * The others: beat_peers.c.  One round: begin, meet each, end.
 */
void beat_peers_begin(void);
/* OWN is what this node says now. */
void beat_peers_meet(struct str name, struct str text, const struct beat_value *own);
/* Peers that were not met are forgotten if they are gone and IS_WHOLE: the hash has our field. */
void beat_peers_end(bool is_whole);
/* The link is back: silence while it was away says nothing. */
void beat_peers_wait(void);
void beat_peers_forget(void);
/* Peer I that was not met in the last round, with its last TEXT; false at the end. */
bool beat_peers_lost(uint32_t *i, struct str *name, struct str *text);
/* Adds their totals to SUMS. */
void beat_peers_add(uint64_t sums[BEAT_COUNTS_N]);

#endif
