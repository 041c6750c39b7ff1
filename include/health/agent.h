/* SPDX-License-Identifier: MIT */
/*
 * agent - a program beside a server that is asked, each interval, how the server is.  Its words
 * (agent_words.h) become state bits of their own (SERVER_AGENT_...) and a share of the weight, so
 * they never undo what checks or the operator have said.
 *
 * An agent that cannot be reached, or talks nonsense, changes nothing: what it said last holds.
 * Used inside this layer alone; control thread.
 */
#ifndef HEALTH_AGENT_H
#define HEALTH_AGENT_H

#include "health/agent_words.h"
#include "health/check.h"

#define AGENT_SEND_MAX 256

struct agent {
	struct check *check; /* (view) whose server's it is */
	uint32_t port;       /* as configured */
	struct timer timer;  /* the next question */
	struct exchange exchange;
	struct sock_addr target; /* of the run under way, or of the last one */
	struct retarget retarget;
	char *send; /* (own) the operator's; NULL = as configured */
	bool is_disabled;

	bool has_said_down; /* in the last line */
	const char *code;   /* "" = none yet */
	char text[64];
	int64_t duration_ms, at_ms;
	struct grave grave;
};

/* The next question goes where it is to go now, and soon. */
void agent_restart(struct agent *agent);

#endif
