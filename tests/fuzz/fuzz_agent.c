/* SPDX-License-Identifier: MIT */
/* agent_words: figures within their limits, texts inside the line, and the same again in lines. */
#include "config.h"

#include "base/bug.h"
#include "health/agent_words.h"

#define must(cond) bug_on(!(cond))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct str part, struct str whole)
{
	return part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str line = { (const char *)data, size };
	struct agent_words words;
	bool is_known = agent_words_parse(line, &words);

	must(words.weight_pct >= -1 && words.weight_pct <= AGENT_WEIGHT_PCT_MAX);
	must(words.maxconn >= -1 && words.maxconn <= INT32_MAX);
	must(lies_in(words.down, line) && lies_in(words.reason, line));
	must((words.health == AGENT_DOWN) == (words.down.len > 0));
	must(is_known == (words.health != AGENT_HEALTH_UNSAID ||
			  words.admin != AGENT_ADMIN_UNSAID || words.weight_pct >= 0 ||
			  words.maxconn >= 0));
	return 0;
}
