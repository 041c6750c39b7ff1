/* SPDX-License-Identifier: MIT */
/*
 * mirror_view - what is told of the mirror: the same facts in "show mirror", the API and /metrics.
 *
 * Control thread.
 */
#ifndef CONTROL_MIRROR_VIEW_H
#define CONTROL_MIRROR_VIEW_H

#include "balance/share.h"
#include "control/json.h"
#include "mirror/beat.h"
#include "mirror/mirror.h"

struct mirror_view {
	struct mirror_status status;
	struct share_stats share;
	bool is_configured;
	bool is_refused;  /* Redis takes no changes of this node; status.why says why */
	bool is_blind;    /* no connection: nobody knows whether the others are there */
	uint64_t state_s; /* how long it has been in this state */
	const struct beat_peer *peers;
	size_t peers_n;
	uint64_t peers_present;
	uint64_t own[BEAT_COUNTS_N], pair[BEAT_COUNTS_N];
};
void mirror_view(struct mirror_view *view);

/* Numbers of a view that only need a name.  KEY: of the API. */
struct mirror_number {
	const char *name, *key;
	size_t offset; /* of a uint64_t in struct mirror_view */
};
extern const struct mirror_number mirror_numbers[];
extern const unsigned mirror_numbers_n;
uint64_t mirror_number(const struct mirror_view *view, const struct mirror_number *number);

/*
 * What is wrong with the pair, a sentence each, from *I = 0 on: the length of the next one, 0 at
 * the end.
 */
size_t mirror_problem(const struct mirror_view *view, unsigned *i, char *out, size_t size);

/*
 * The object of the API and of the page's events; null when there is no mirror.  Where Redis is,
 * and why it was lost, are for LEVEL operator.
 */
void mirror_json(struct json *json, const char *key, enum ctl_level level);
/* A line for monitors: "mirror: up". OUT: "" when there is no mirror. */
void mirror_health(char *out, size_t size);

#endif
