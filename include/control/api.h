/* SPDX-License-Identifier: MIT */
/*
 * api - the JSON of /api/v1, and the events that the dashboard lives on.  The fields are told in
 * doc/dashboard.md; the numbers are those of "show stat", "show hosts" and "show workers".
 *
 * Long documents are written piece by piece, so that one about many thousand servers costs little
 * memory and never holds the control thread up.  The configuration may change between two pieces:
 * the document stays well formed, and tells of what is there when each piece is written.
 */
#ifndef CONTROL_API_H
#define CONTROL_API_H

#include "control/command.h"
#include "control/json.h"
#include "model/server.h"

/* What a document has. */
enum api_form {
	API_STAT,  /* everything */
	API_FULL,  /* what the page needs to draw: no counters of servers */
	API_DELTA, /* what changed since the last event: servers as short arrays */
};

struct api_host_sum;

/* A document under way. */
struct api_walk {
	struct json json;
	enum api_form form;
	enum ctl_level level; /* addresses are for operators */
	unsigned phase;
	size_t frontend, backend;
	uint32_t host, member;
	uint64_t set_serial;       /* of sums */
	struct api_host_sum *sums; /* (own) of the backend under way */
	uint32_t sums_n;
	/* API_DELTA: a hash of what the reader knows of each server, by number. */
	uint32_t *known; /* (view) */
	uint32_t known_n;
};

void api_walk_init(struct api_walk *walk, enum api_form form, enum ctl_level level);
void api_walk_fini(struct api_walk *walk);
/* A piece. RUN_MORE or RUN_DONE. */
enum run_step api_walk_write(struct api_walk *walk, struct buf *out);

/* Grows with every change of what API_FULL tells and API_DELTA does not. */
uint64_t api_shape(void);

/* Whole documents; short ones. */
void api_info(struct buf *out, bool can_act, bool has_credentials);
void api_sessions(struct buf *out);
void api_server(struct buf *out, const struct backend *backend, const struct srvset_member *member,
		enum ctl_level level);
void api_host(struct buf *out, const struct backend *backend, struct srvset *set, uint32_t host);

/* The worst thing that STATE and WEIGHT mean, in a word: "up", "down", "drain" ... */
const char *api_state(unsigned state, uint32_t weight);
/* False when *NONE_N of *ALL_N backends have no server that takes new sessions. */
bool api_is_ready(unsigned *none_n, unsigned *all_n);

#endif
