/* SPDX-License-Identifier: MIT */
/*
 * Sets that must be weighed anew: of servers in slow start, each second; of servers whose agent has
 * said another weight, soon, so that a hundred agents that speak at once cost one new set.
 */
#include "config.h"

#include "main/slow_start.h"

#include "base/clock.h"
#include "main/runtime.h"
#include "main/runtime_sets.h"
#include "model/weight.h"
#include "session/traffic.h"

#define STEP_MIN_MS      SEC(1)
#define AGENTS_WITHIN_MS 50

static struct timer step_timer, agents_timer;
static struct mail came_up_mail;
static atomic_bool is_mail_posted;

/* Milliseconds to the next step of a server of BACKEND; -1 = all have their weight. */
static int64_t next_step_ms(const struct backend *backend, int64_t now_ms)
{
	const struct srvset *set = srvset_of(backend->state);
	int64_t soonest_ms = -1;

	for (uint32_t i = 0; set && i < set->members_n; i++) {
		int64_t in_ms =
			slow_start_next_ms(atomic_load(&set->members[i].server->ready_since_ms),
					   backend->slow_start_ms, now_ms);

		if (in_ms >= 0 && (soonest_ms < 0 || in_ms < soonest_ms))
			soonest_ms = in_ms;
	}
	return soonest_ms;
}

static bool is_slowed(const struct backend *backend)
{
	const struct srvset *set = srvset_of(backend->state);

	for (uint32_t i = 0; set && i < set->members_n; i++)
		if (set->members[i].throttle_pct < 100)
			return true;
	return false;
}

/* Builds what is due, and comes again at the next step; steps of several servers are gathered. */
static void weigh(void)
{
	const struct config *config = runtime_config();
	int64_t soonest_ms = -1;

	if (!traffic_by_index(0))
		return; /* the process is ending: an old set could not be retired any more */
	for (size_t i = 0; i < config->backends_n; i++) {
		const struct backend *backend = &config->backends[i];
		int64_t in_ms;

		if (!backend->slow_start_ms && !is_slowed(backend))
			continue;
		in_ms = next_step_ms(backend, clock_ms());
		if (in_ms >= 0 || is_slowed(backend))
			runtime_weights_changed(backend->state);
		if (in_ms >= 0 && (soonest_ms < 0 || in_ms < soonest_ms))
			soonest_ms = in_ms;
	}
	if (soonest_ms >= 0)
		loop_timer_in(&control_loop, &step_timer,
			      soonest_ms > STEP_MIN_MS ? soonest_ms : STEP_MIN_MS);
}

static void on_step(struct timer *timer)
{
	(void)timer;
	weigh();
}

static void on_came_up(struct mail *mail)
{
	(void)mail;
	atomic_store(&is_mail_posted, false);
	weigh();
}

static void post(void)
{
	if (!atomic_exchange(&is_mail_posted, true))
		loop_post(&control_loop, &came_up_mail, on_came_up);
}

void slow_start_begin(struct server *server)
{
	atomic_store(&server->ready_since_ms, clock_ms());
	post();
}

void slow_start_on_change(struct server *server, unsigned old_state, unsigned new_state)
{
	bool was_able = !(old_state & SERVER_UNABLE), is_able = !(new_state & SERVER_UNABLE);

	if (was_able == is_able)
		return;
	if (is_able)
		slow_start_begin(server);
	else
		atomic_store(&server->ready_since_ms, 0);
}

static void on_agents(struct timer *timer)
{
	const struct config *config = runtime_config();

	(void)timer;
	for (size_t i = 0; traffic_by_index(0) && i < config->backends_n; i++) {
		runtime_weights_changed(config->backends[i].state);
		queue_wake_all(config->backends[i].state); /* a limit may have been raised */
	}
}

void slow_start_weigh(struct server *server)
{
	(void)server;
	if (!timer_is_set(&agents_timer))
		loop_timer_in(&control_loop, &agents_timer, AGENTS_WITHIN_MS);
}

void slow_start_init(void)
{
	timer_init(&step_timer, on_step);
	timer_init(&agents_timer, on_agents);
}
