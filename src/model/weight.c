/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/weight.h"

#include "model/server.h"

#define STEPS 20
#define FINE  20 /* below it a weight is too coarse for per cents of it */
#define FINER 100

int64_t slow_start_step_ms(int64_t slow_start_ms)
{
	return slow_start_ms / STEPS > SEC(1) ? slow_start_ms / STEPS : SEC(1);
}

static bool is_over(int64_t since_ms, int64_t slow_start_ms, int64_t now_ms)
{
	return !since_ms || now_ms - since_ms >= slow_start_ms;
}

uint32_t slow_start_pct(int64_t since_ms, int64_t slow_start_ms, int64_t now_ms)
{
	int64_t step_ms = slow_start_step_ms(slow_start_ms);
	int64_t steps, pct;

	if (is_over(since_ms, slow_start_ms, now_ms))
		return 100;
	steps = now_ms > since_ms ? (now_ms - since_ms) / step_ms : 0;
	if (steps)
		pct = 100 * steps * step_ms / slow_start_ms;
	else
		pct = step_ms < slow_start_ms ? 50 * step_ms / slow_start_ms : 50;
	return pct > 0 ? (uint32_t)pct : 1;
}

int64_t slow_start_next_ms(int64_t since_ms, int64_t slow_start_ms, int64_t now_ms)
{
	int64_t step_ms = slow_start_step_ms(slow_start_ms);
	int64_t end_ms = since_ms + slow_start_ms, next_ms;

	if (is_over(since_ms, slow_start_ms, now_ms))
		return -1;
	next_ms = since_ms + ((now_ms - since_ms) / step_ms + 1) * step_ms;
	return (next_ms < end_ms ? next_ms : end_ms) - now_ms;
}

static uint64_t per_10000(uint32_t user, uint32_t agent_pct, uint32_t throttle_pct)
{
	return (uint64_t)user * agent_pct * throttle_pct;
}

static uint32_t bounded(uint64_t weight, uint32_t user, uint32_t agent_pct)
{
	if (!user || !agent_pct)
		return 0;
	if (!weight)
		return 1;
	return weight < WEIGHT_EFFECTIVE_MAX ? (uint32_t)weight : WEIGHT_EFFECTIVE_MAX;
}

uint32_t weight_effective(uint32_t user, uint32_t agent_pct, uint32_t throttle_pct)
{
	return bounded(per_10000(user, agent_pct, throttle_pct) / 10000, user, agent_pct);
}

void weight_apply(struct srvset_spec *specs, const uint32_t *agent_pcts, size_t n)
{
	uint64_t factor = 1, largest = 1;

	for (size_t i = 0; i < n; i++) {
		uint32_t agent_pct = agent_pcts ? agent_pcts[i] : 100;
		uint64_t parts = per_10000(specs[i].user_weight, agent_pct, specs[i].throttle_pct);

		if (parts / 10000 < FINE && parts % 10000)
			factor = FINER;
		if (parts / 10000 >= largest)
			largest = parts / 10000 + 1;
	}
	if (factor > WEIGHT_EFFECTIVE_MAX / largest)
		factor = largest < WEIGHT_EFFECTIVE_MAX ? WEIGHT_EFFECTIVE_MAX / largest : 1;
	for (size_t i = 0; i < n; i++) {
		uint32_t user = specs[i].user_weight, agent_pct = agent_pcts ? agent_pcts[i] : 100;
		uint64_t parts = per_10000(user, agent_pct, specs[i].throttle_pct);

		specs[i].weight = bounded(parts * factor / 10000, user, agent_pct);
	}
}
