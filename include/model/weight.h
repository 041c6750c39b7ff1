/* SPDX-License-Identifier: MIT */
/*
 * weight - what a server's weight comes to: of the operator's (or the file's), what its agent says
 * and what slow start leaves.  Pure functions.
 *
 * Slow start goes up in steps of slow_start / 20, but of a second at least: after k steps of n a
 * server has k/n of its weight, and before the first one half a step's worth.
 */
#ifndef MODEL_WEIGHT_H
#define MODEL_WEIGHT_H

#include <stddef.h>
#include <stdint.h>

struct srvset_spec;

#define WEIGHT_MAX           256 /* that an operator may set */
#define WEIGHT_EFFECTIVE_MAX 25600

/* Milliseconds from step to step. */
int64_t slow_start_step_ms(int64_t slow_start_ms);
/*
 * Per cent of its weight that a server has NOW_MS which came up at SINCE_MS (0 = not slowed): 1 to
 * 100.
 */
uint32_t slow_start_pct(int64_t since_ms, int64_t slow_start_ms, int64_t now_ms);
/* Milliseconds until slow_start_pct() changes; -1 = never. */
int64_t slow_start_next_ms(int64_t since_ms, int64_t slow_start_ms, int64_t now_ms);

/* For people: 0 to WEIGHT_EFFECTIVE_MAX, at least 1 when USER is. */
uint32_t weight_effective(uint32_t user, uint32_t agent_pct, uint32_t throttle_pct);
/*
 * Sets SPECS[].weight from user_weight, throttle_pct and AGENT_PCTS (NULL = all 100).  Balancing
 * knows ratios alone: where a small weight would not be fine enough for its per cents, those of the
 * whole set are multiplied.
 */
void weight_apply(struct srvset_spec *specs, const uint32_t *agent_pcts, size_t n);

#endif
