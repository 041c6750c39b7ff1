/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "redis_model.h"

#include <string.h>

#include "base/clock.h"

static uint64_t last_id;

const struct model_record *model_get(const struct redis_model *redis, int key)
{
	const struct model_record *record = &redis->records[key];

	return record->is_there && record->expires_at_ms > clock_ms() ? record : NULL;
}

int64_t model_left_ms(const struct model_record *record)
{
	return record->expires_at_ms - clock_ms();
}

static void append(struct redis_model *redis, const struct model_change *change)
{
	if (redis->stream_n >= redis->stream_max) {
		redis->stream_n--;
		memmove(redis->stream, redis->stream + 1,
			redis->stream_n * sizeof(redis->stream[0]));
	}
	redis->stream[redis->stream_n++] = *change;
}

enum model_answer model_change(struct redis_model *redis, const struct model_proposal *proposal,
			       struct model_record *stored, int64_t *left_ms)
{
	const struct model_record *now = model_get(redis, proposal->key);
	enum record_change change = proposal->change;
	struct model_record next = proposal->record;

	if (redis->is_full)
		return MODEL_REFUSED;
	if (!now) {
		if (change == RECORD_REFRESH)
			return MODEL_ABSENT;
	} else if (now->version == next.version) {
		int64_t has = model_left_ms(now);

		if (change != RECORD_REFRESH)
			has = has * 9 / 8;
		if (has >= proposal->left_ms)
			return MODEL_ACCEPTED;
		change = RECORD_REFRESH;
	} else if ((change == RECORD_ASSIGN && now->state == RECORD_LIVE) ||
		   now->version > next.version) {
		*stored = *now;
		*left_ms = model_left_ms(now);
		return MODEL_OTHER;
	}
	next.is_there = true;
	next.expires_at_ms = clock_ms() + proposal->left_ms;
	redis->records[proposal->key] = next;
	append(redis, &(struct model_change){
			      .id = ++last_id,
			      .number = ++redis->number,
			      .writer = proposal->writer,
			      .key = proposal->key,
			      .change = change,
			      .at_ms = clock_ms(),
			      .left_ms = proposal->left_ms,
			      .record = next,
			      .emptied_n = redis->emptied_n,
		      });
	return MODEL_ACCEPTED;
}

const struct model_change *model_after(const struct redis_model *redis, uint64_t id)
{
	for (uint32_t i = 0; i < redis->stream_n; i++)
		if (redis->stream[i].id > id)
			return &redis->stream[i];
	return NULL;
}

void model_flush(struct redis_model *redis)
{
	*redis = (struct redis_model){ .stream_max = redis->stream_max,
				       .emptied_n = redis->emptied_n + 1,
				       .is_full = redis->is_full };
}
