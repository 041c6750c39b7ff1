/* SPDX-License-Identifier: MIT */
/*
 * redis_answers: whatever a peer sends, in one piece, byte by byte or cut where the first byte
 * says, the same answers come out, or the same end.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "mirror/redis_answers.h"

#define must(cond)    bug_on(!(cond))
#define SUM_DEPTH_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	uint64_t sum, n;
	bool has_failed;
};

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x100000001b3u;
}

static uint64_t sum_of(uint64_t sum, const redisReply *reply, unsigned depth)
{
	must(depth < SUM_DEPTH_MAX);
	sum = mix(sum, (uint64_t)reply->type);
	switch (reply->type) {
	case REDIS_REPLY_ARRAY:
		sum = mix(sum, reply->elements);
		for (size_t i = 0; i < reply->elements; i++) {
			must(reply->element[i]);
			sum = sum_of(sum, reply->element[i], depth + 1);
		}
		break;
	case REDIS_REPLY_INTEGER:
		sum = mix(sum, (uint64_t)reply->integer);
		break;
	case REDIS_REPLY_NIL:
		break;
	default:
		must(reply->str[reply->len] == '\0');
		for (size_t i = 0; i < (size_t)reply->len; i++)
			sum = mix(sum, (unsigned char)reply->str[i]);
		break;
	}
	return sum;
}

static void take(struct redis_answers *answers, const uint8_t *bytes, size_t size,
		 struct result *result)
{
	redisReply *reply;

	redis_answers_feed(answers, (const char *)bytes, size);
	while ((reply = redis_answers_next(answers)) != NULL) {
		result->sum = sum_of(result->sum, reply, 0);
		result->n++;
		freeReplyObject(reply);
	}
}

static struct result read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
	struct result result = { .sum = 1 };
	struct redis_answers answers;

	redis_answers_open(&answers);
	for (size_t at = 0; at < size; at += piece)
		take(&answers, data + at, size - at < piece ? size - at : piece, &result);
	result.has_failed = answers.why != NULL;
	redis_answers_close(&answers);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole, bytes, pieces;

	if (size < 2)
		return 0;
	whole = read_in_pieces(data + 1, size - 1, size);
	bytes = read_in_pieces(data + 1, size - 1, 1);
	pieces = read_in_pieces(data + 1, size - 1, (size_t)data[0] + 1);
	must(whole.sum == bytes.sum && whole.n == bytes.n && whole.has_failed == bytes.has_failed);
	must(whole.sum == pieces.sum && whole.n == pieces.n &&
	     whole.has_failed == pieces.has_failed);
	return 0;
}
