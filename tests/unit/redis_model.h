/* SPDX-License-Identifier: MIT */
/*
 * redis_model - what Redis does for the mirror, for tests: one record per key with an expiry, a
 * capped stream of changes, and the script that changes both.  Time is clock_ms().
 *
 * test_redis_model.c holds it against the real script in a real Redis.
 */
#ifndef TESTS_REDIS_MODEL_H
#define TESTS_REDIS_MODEL_H

#include "balance/table_share.h"

#define MODEL_KEYS_N   6
#define MODEL_STREAM_N 64 /* changes kept at most */

struct model_record {
	bool is_there;
	enum record_state state;
	uint64_t version;
	uint32_t idle_ms;
	int server; /* a name's index; -1 of a tombstone */
	int64_t expires_at_ms;
};

struct model_change {
	uint64_t id;     /* grows for ever, as the time does */
	uint64_t number; /* begins anew when Redis is emptied */
	int writer;
	int key;
	enum record_change change;
	int64_t at_ms, left_ms;
	struct model_record record;
	uint64_t emptied_n; /* how often Redis had been emptied then */
};

struct redis_model {
	struct model_record records[MODEL_KEYS_N];
	struct model_change stream[MODEL_STREAM_N]; /* oldest first */
	uint32_t stream_n, stream_max;
	uint64_t number, emptied_n;
	bool is_full; /* refuses all changes */
};

enum model_answer {
	MODEL_ACCEPTED, /* {1, n} */
	MODEL_OTHER,    /* {0, value, left} */
	MODEL_ABSENT,   /* {2} */
	MODEL_REFUSED,  /* an error */
};

struct model_proposal {
	int writer, key;
	enum record_change change;
	int64_t left_ms;
	struct model_record record; /* without expires_at_ms */
};

/* *STORED and *LEFT_MS are set with MODEL_OTHER. */
enum model_answer model_change(struct redis_model *redis, const struct model_proposal *proposal,
			       struct model_record *stored, int64_t *left_ms);
/* NULL: there is none, or none any more. */
const struct model_record *model_get(const struct redis_model *redis, int key);
int64_t model_left_ms(const struct model_record *record);
/* The oldest change after ID; NULL = none. */
const struct model_change *model_after(const struct redis_model *redis, uint64_t id);
void model_flush(struct redis_model *redis);

#endif
