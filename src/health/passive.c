/* SPDX-License-Identifier: MIT */
/* What traffic tells of servers.  Any thread. */
#include "config.h"

#include "base/clock.h"
#include "health/flags.h"
#include "health/health.h"

static bool is_out(const struct server *server)
{
	return server_state(server) & (SERVER_DOWN | SERVER_SICK);
}

static bool has_ready_server(struct backend_state *backend, const struct server *but)
{
	struct srvset *set = srvset_of(backend);

	for (uint32_t i = 0; set && i < set->members_n; i++) {
		const struct srvset_member *member = &set->members[i];

		if (member->server != but && member->weight && server_is_ready(member->server))
			return true;
	}
	return false;
}

/* Counts one failure; true when there are now too many. */
static bool is_one_too_many(struct server *server, const struct passive_conf *passive)
{
	int64_t now_ms = clock_ms();
	int64_t since_ms = atomic_load(&server->failures_at_ms);

	if ((!since_ms || now_ms - since_ms > passive->window_ms) &&
	    atomic_compare_exchange_strong(&server->failures_at_ms, &since_ms, now_ms))
		atomic_store(&server->failures, 0);
	return atomic_fetch_add(&server->failures, 1) + 1 >= passive->failures;
}

static void count_failure(struct server *server, const struct backend *backend,
			  enum health_outcome outcome)
{
	static const char *const whys[] = {
		[HEALTH_CONNECT_FAILED] = "too many failed connections",
		[HEALTH_TIMEOUT] = "too many responses timed out",
		[HEALTH_5XX] = "too many 5xx responses",
		[HEALTH_BROKEN] = "too many broken responses",
	};
	/* It answers, if badly: better than nobody. */
	bool is_soft = outcome != HEALTH_CONNECT_FAILED;

	if (!backend->passive.failures || is_out(server) ||
	    !is_one_too_many(server, &backend->passive))
		return;
	atomic_store(&server->failures, 0);
	if (backend->passive.is_fast_check) {
		flag_set(server, FLAG_SUSPECT);
		health_poke(server);
		return;
	}
	if (is_soft && !has_ready_server(server->backend, server))
		return;
	/* Anybody can ask for what answers 500: that must not end the sessions that live there. */
	server_set_state(server, is_soft ? SERVER_SICK : SERVER_DOWN, 0, whys[outcome]);
	/* Two threads may have taken the last two servers at once. */
	if (is_soft && !has_ready_server(server->backend, NULL))
		server_set_state(server, 0, SERVER_SICK, "last server left");
	else
		health_poke(server);
}

void health_passive(struct server *server, const struct backend *backend,
		    enum health_outcome outcome)
{
	if (likely(outcome == HEALTH_OK))
		return;
	if (outcome != HEALTH_CONNECT_REFUSED) {
		count_failure(server, backend, outcome);
		return;
	}
	if (server_state(server) & SERVER_DOWN && flag_is_set(server, FLAG_DEAD))
		return;
	server_set_state(server, SERVER_DOWN, 0, "connection refused");
	if (flag_set(server, FLAG_DEAD))
		server_new_generation(server);
	health_poke(server);
}
