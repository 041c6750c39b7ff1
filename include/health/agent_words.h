/* SPDX-License-Identifier: MIT */
/*
 * agent_words - what an agent's line says, in HAProxy's words.  Pure; hostile input is fine.
 *
 *   line   = *( word *( SP / HTAB / "," ) ) [ "#" reason ]
 *   word   = "up" / "down" / "failed" / "fail" / "stopped"     is the service there?
 *          / "ready" / "drain" / "maint"                       may it be used?
 *          / number "%"                                        of its weight
 *          / "maxconn:" number                                 the limit of its connections
 *
 * Case does not matter, of several words of one kind the last counts, and words that are not known
 * are skipped; a line without a known one makes no sense.
 */
#ifndef HEALTH_AGENT_WORDS_H
#define HEALTH_AGENT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define AGENT_WEIGHT_PCT_MAX 1000

enum agent_health { AGENT_HEALTH_UNSAID, AGENT_UP, AGENT_DOWN };
enum agent_admin { AGENT_ADMIN_UNSAID, AGENT_READY, AGENT_DRAIN, AGENT_MAINT };

struct agent_words {
	enum agent_health health;
	enum agent_admin admin;
	int32_t weight_pct; /* 0 to AGENT_WEIGHT_PCT_MAX; -1 = not said */
	int64_t maxconn;    /* -1 = not said */
	struct str down;    /* (view) the word behind AGENT_DOWN */
	struct str reason;  /* (view) may be empty */
};

/* False: there is no known word in LINE. */
bool agent_words_parse(struct str line, struct agent_words *words);

#endif
