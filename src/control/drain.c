/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/drain.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/command.h"
#include "loop/loop.h"
#include "session/ending.h"
#include "session/tunnel.h"

#define LOOK_MS 250 /* while the last ones close */

struct drain {
	struct list link; /* drains, by server number */
	struct server *server;
	struct timer timer;
	enum drain_phase phase;
	enum drain_why why;
	int64_t started_ms, until_ms, over_ms;
	unsigned share_permille;
	uint32_t had;
};
static struct list drains = { &drains, &drains };

const char *drain_why_name(enum drain_why why)
{
	static const char *const names[] = { "drain", "socket-gone", "rebalance" };

	return names[why];
}

const char *drain_phase_name(enum drain_phase phase)
{
	static const char *const names[] = { "grace", "ending", "closing" };

	return names[phase];
}

uint32_t drain_tunnels(const struct server *server)
{
	return (uint32_t)counters_sum(&server->counters, server_tunnels_now);
}

/* Tunnels that have to go and are still there. */
static uint32_t left_of(const struct drain *drain)
{
	struct ending_info info;

	if (!ending_info(drain->server, &info))
		return 0;
	return (drain->why == DRAIN_REBALANCE ? 0 : info.tunnels) + info.leaving;
}

static uint32_t ended_of(const struct drain *drain)
{
	struct ending_info info;

	return drain->phase != DRAIN_GRACE && ending_info(drain->server, &info) ? info.ended : 0;
}

/* Sessions, and WebSockets that carry none.  Of a socket that is gone, what is still open. */
static uint32_t count_living(const struct drain *drain)
{
	uint32_t sessions = atomic_load(&drain->server->sessions);
	uint32_t tunnels = drain_tunnels(drain->server);

	return sessions > tunnels ? sessions : tunnels;
}

static struct drain *find(const struct server *server)
{
	list_for_each(at, &drains) {
		struct drain *drain = list_entry(at, struct drain, link);

		if (drain->server == server)
			return drain;
	}
	return NULL;
}

static void drain_free(struct drain *drain)
{
	list_remove(&drain->link);
	timer_fini(&console_loop()->wheel, &drain->timer);
	free(drain);
}

static void say_end(const struct drain *drain)
{
	const struct server *server = drain->server;
	double took_s = (double)(clock_ms() - drain->started_ms) / 1000;

	log_event(LOG_LEVEL_INFO, "drain",
		  LOG_FIELDS({ "backend", server->backend->name, 0 }, { "server", server->name, 0 },
			     { "phase", "over", 0 }, { "reason", drain_why_name(drain->why), 0 },
			     { "ended", NULL, ended_of(drain) }, { "left", NULL, left_of(drain) }),
		  "server %s/%s: %s over: %u sessions and tunnels ended in %.1f s, %u tunnels left",
		  server->backend->name, server->name, drain_why_name(drain->why), ended_of(drain),
		  took_s, left_of(drain));
}

static void begin_ending(struct drain *drain)
{
	const struct server *server = drain->server;

	drain->phase = DRAIN_ENDING;
	drain->started_ms = clock_ms();
	drain->until_ms = clock_ms() + drain->over_ms;
	drain->had = count_living(drain);
	log_event(LOG_LEVEL_INFO, "drain",
		  LOG_FIELDS({ "backend", server->backend->name, 0 }, { "server", server->name, 0 },
			     { "phase", "ending", 0 }, { "reason", drain_why_name(drain->why), 0 },
			     { "sessions", NULL, drain->had },
			     { "share_permille", NULL, drain->share_permille },
			     { "over_ms", NULL, drain->over_ms }),
		  "server %s/%s: %s: ending %llu of %u sessions and tunnels over %.10g s",
		  server->backend->name, server->name, drain_why_name(drain->why),
		  (unsigned long long)drain->had * drain->share_permille / 1000, drain->had,
		  (double)drain->over_ms / 1000);
	ending_post(drain->server, drain->share_permille, drain->over_ms, ENDING_POLITE);
	loop_timer_in(console_loop(), &drain->timer, drain->over_ms);
}

/* The time is over: whoever is between two requests hears it with the next. */
static void end_ending(struct drain *drain)
{
	drain->phase = DRAIN_CLOSING;
	drain->until_ms = clock_ms() + 2 * TUNNEL_LEAVE_MS + SEC(1);
	if (drain->why == DRAIN_SERVER)
		server_new_generation(drain->server);
	loop_timer_in(console_loop(), &drain->timer, LOOK_MS);
}

static void on_timer(struct timer *timer)
{
	struct drain *drain = container_of(timer, struct drain, timer);

	switch (drain->phase) {
	case DRAIN_GRACE:
		begin_ending(drain);
		return;
	case DRAIN_ENDING:
		end_ending(drain);
		return;
	case DRAIN_CLOSING:
		break;
	}
	if (left_of(drain) && clock_ms() < drain->until_ms) {
		loop_timer_in(console_loop(), timer, LOOK_MS);
		return;
	}
	say_end(drain);
	drain_free(drain);
}

static struct drain *drain_new(struct server *server, enum drain_why why, int64_t over_ms)
{
	struct drain *drain = find(server);
	struct list *before = &drains;

	if (drain)
		drain_free(drain);
	drain = xcalloc(1, sizeof(*drain));
	drain->server = server;
	drain->why = why;
	drain->over_ms = over_ms;
	drain->share_permille = 1000;
	drain->started_ms = clock_ms();
	timer_init(&drain->timer, on_timer);
	list_for_each(at, &drains)
		if (list_entry(at, struct drain, link)->server->number > server->number) {
			before = at;
			break;
		}
	list_insert_before(before, &drain->link);
	return drain;
}

void drain_start(struct server *server, enum drain_why why, unsigned share_permille,
		 int64_t over_ms)
{
	struct drain *drain = drain_new(server, why, over_ms);

	drain->share_permille = share_permille;
	begin_ending(drain);
}

bool drain_cancel(struct server *server)
{
	struct drain *drain = find(server);

	if (!drain)
		return false;
	if (drain->phase == DRAIN_ENDING)
		ending_post(server, 0, 0, ENDING_POLITE);
	log_event(LOG_LEVEL_INFO, "drain",
		  LOG_FIELDS({ "backend", server->backend->name, 0 }, { "server", server->name, 0 },
			     { "phase", "cancelled", 0 },
			     { "reason", drain_why_name(drain->why), 0 },
			     { "ended", NULL, ended_of(drain) }),
		  "server %s/%s: %s cancelled: %u sessions and tunnels ended, %u stay",
		  server->backend->name, server->name, drain_why_name(drain->why), ended_of(drain),
		  count_living(drain));
	drain_free(drain);
	return true;
}

/* Its file was in a directory that is watched, which is so still. */
static bool is_discovered(const struct server *server, const struct backend *backend)
{
	for (size_t i = 0; i < backend->hosts_n; i++)
		if (backend->hosts[i].glob.p &&
		    str_eq(backend->hosts[i].name, str_of(server->host_name)))
			return true;
	return false;
}

static void drain_by_itself(struct server *server, const struct backend *backend)
{
	struct drain *drain = find(server);

	if (!backend->drain_grace_ms || (drain && drain->why != DRAIN_REBALANCE))
		return;
	drain_cancel(server);
	drain = drain_new(server, DRAIN_SERVER, backend->drain_over_ms);
	drain->phase = DRAIN_GRACE;
	drain->until_ms = clock_ms() + backend->drain_grace_ms;
	loop_timer_in(console_loop(), &drain->timer, backend->drain_grace_ms);
}

void drain_on_change(struct server *server, unsigned old_state, unsigned new_state,
		     const struct config *config)
{
	unsigned changed = old_state ^ new_state;
	const struct backend *backend;
	struct drain *drain;

	if (!(changed & (DRAIN_BITS | SERVER_MAINT | SERVER_GONE)) || !console_loop())
		return;
	backend = config ? config_backend(config, str_of(server->backend->name)) : NULL;
	drain = find(server);
	if (changed & new_state & SERVER_GONE) {
		if (backend && is_discovered(server, backend) && drain_tunnels(server))
			drain_start(server, DRAIN_SOCKET_GONE, 1000, backend->drain_over_ms);
	} else if (!(new_state & (DRAIN_BITS | SERVER_MAINT))) {
		if (drain && drain->why == DRAIN_SERVER && drain->phase != DRAIN_CLOSING)
			drain_cancel(server);
	} else if (!(old_state & DRAIN_BITS) && new_state & DRAIN_BITS && backend) {
		drain_by_itself(server, backend);
	}
}

bool drain_next(const struct server **at, struct drain_info *info)
{
	list_for_each(node, &drains) {
		const struct drain *drain = list_entry(node, struct drain, link);
		int64_t left_ms = drain->until_ms - clock_ms();

		if (*at && drain->server->number <= (*at)->number)
			continue;
		*at = drain->server;
		*info = (struct drain_info){
			.server = drain->server,
			.phase = drain->phase,
			.why = drain->why,
			.left_ms = left_ms > 0 ? left_ms : 0,
			.over_ms = drain->over_ms,
			.share_permille = drain->share_permille,
			.sessions = atomic_load(&drain->server->sessions),
			.tunnels = drain_tunnels(drain->server),
			.had = drain->had,
			.ended = ended_of(drain),
		};
		return true;
	}
	return false;
}

void drain_fini(void)
{
	while (!list_is_empty(&drains))
		drain_free(list_entry(drains.next, struct drain, link));
}
