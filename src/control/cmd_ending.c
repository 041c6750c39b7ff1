/* SPDX-License-Identifier: MIT */
/* drain, rebalance, show endings: sessions that are to move. */
#include "config.h"

#include <stdio.h>

#include "control/commands.h"
#include "control/delay.h"
#include "control/drain.h"
#include "control/stat.h"

#define OVER_MAX_MS SEC(86400)
#define OVER_MS     SEC(60) /* of "rebalance" when it is not said */

/* What "over TIME" and "now", from argument I on, say; *OVER_MS stays when there is neither. */
static bool read_over(struct run *run, unsigned i, int64_t *over_ms)
{
	if (run->args_n == i)
		return true;
	if (run->args_n == i + 1 && str_eq(run->args[i], STR("now"))) {
		*over_ms = 0;
		return true;
	}
	if (run->args_n != i + 2 || !str_eq(run->args[i], STR("over"))) {
		run_error(run, "Expects 'over <time>' or 'now'.");
		return false;
	}
	if (delay_parse(run->args[i + 1], 1000000, over_ms) != 0 || *over_ms < 0 ||
	    *over_ms > OVER_MAX_MS) {
		run_error(run, "Invalid time: expects for instance '60s' or '5m'.");
		return false;
	}
	return true;
}

/* "B/S": the server of that name, or all of the host of that name. */
static bool is_named(const struct server *server, struct str name)
{
	return str_eq(str_of(server->name), name) || str_eq(str_of(server->host_name), name);
}

static void drain_one(struct run *run, struct server *server, const struct backend *backend,
		      int64_t over_ms)
{
	unsigned sessions = atomic_load(&server->sessions);

	run_print(run, "%s/%s: %u sessions, %u tunnels: ", server->backend->name, server->name,
		  sessions, drain_tunnels(server));
	server_set_state(server, SERVER_DRAIN, SERVER_MAINT, "drained by the operator");
	if (over_ms >= 0) {
		drain_start(server, DRAIN_SERVER, 1000, over_ms);
		run_print(run, "ended over %lld s\n", (long long)((over_ms + 999) / 1000));
	} else if (!backend->drain_grace_ms) {
		run_text(run, STR("go on until they end (drain_grace is 0)\n"));
	} else {
		run_print(run, "go on for %lld s, then ended over %lld s\n",
			  (long long)(backend->drain_grace_ms + 999) / 1000,
			  (long long)(backend->drain_over_ms + 999) / 1000);
	}
}

enum run_step command_drain(struct run *run)
{
	struct str name = run_arg(run, 0);
	ptrdiff_t slash = str_find_char(name, '/');
	struct backend *backend;
	int64_t over_ms = -1;
	struct srvset *set;
	unsigned n = 0;

	if (slash <= 0 || (size_t)slash + 1 == name.len)
		return run_error(run, "Require 'backend/server' or 'backend/host'.");
	if (!read_over(run, 1, &over_ms))
		return RUN_DONE;
	backend = run_backend((struct str){ name.p, (size_t)slash });
	if (!backend)
		return run_error(run, "No such backend.");
	name = (struct str){ name.p + slash + 1, name.len - (size_t)slash - 1 };
	set = srvset_of(backend->state);
	for (uint32_t i = 0; set && i < set->members_n; i++)
		if (is_named(set->members[i].server, name)) {
			drain_one(run, set->members[i].server, backend, over_ms);
			n++;
		}
	return n ? RUN_DONE : run_error(run, "No such server or host.");
}

static void print_drain(struct run *run, const struct drain_info *info)
{
	double left_s = (double)info->left_ms / 1000;
	uint32_t living = info->sessions > info->tunnels ? info->sessions : info->tunnels;
	double rate = info->phase == DRAIN_ENDING && info->left_ms
			      ? (double)living * info->share_permille / (double)info->left_ms
			      : 0;

	if (info->why == DRAIN_REBALANCE && rate > 0 && info->over_ms)
		rate = (double)info->had * info->share_permille / (double)info->over_ms;
	run_print(run, "%s/%s %s %s %u %u %u %.1f %.1f\n", info->server->backend->name,
		  info->server->name, drain_why_name(info->why), drain_phase_name(info->phase),
		  info->sessions, info->tunnels, info->ended, left_s, rate);
}

enum run_step command_show_endings(struct run *run)
{
	const struct server *at = run->state;
	struct drain_info info;

	if (!at)
		run_text(run, STR("# server why phase sessions tunnels ended left_s rate_per_s\n"));
	while (drain_next(&at, &info)) {
		print_drain(run, &info);
		run->state = info.server; /* never freed */
		if (run_is_full(run))
			return RUN_MORE;
	}
	return RUN_DONE;
}

/* What "rebalance" weighs: servers that take new sessions. */
struct shares {
	uint64_t sessions, weight;
	unsigned servers_n;
};

static bool takes_part(const struct srvset_member *member, bool has_backups)
{
	return server_is_ready(member->server) && member->weight &&
	       (!member->is_backup || has_backups);
}

static struct shares sum_shares(const struct srvset *set, bool *has_backups)
{
	struct shares shares = { 0 };

	*has_backups = false;
	for (int round = 0; round < 2 && !shares.servers_n; round++) {
		*has_backups = round == 1; /* they serve when nobody else is left */
		for (uint32_t i = 0; i < set->members_n; i++) {
			const struct srvset_member *member = &set->members[i];

			if (!takes_part(member, *has_backups))
				continue;
			shares.sessions += atomic_load(&member->server->sessions);
			shares.weight += member->weight;
			shares.servers_n++;
		}
	}
	return shares;
}

static void warn_of_rules(struct run *run, const struct backend *backend)
{
	for (size_t i = 0; i < backend->sticks_n; i++)
		if (backend->sticks[i].kind != STICK_ENGINEIO)
			run_message(
				run, SEVERITY_WARNING,
				"warning: the stick rule '%s' may send a client that comes back "
				"to the same server",
				backend->sticks[i].kind == STICK_IP ? "ip" : "cookie");
	if (backend->balance == BALANCE_HASH)
		run_message(run, SEVERITY_WARNING,
			    "warning: 'balance: hash' sends a client that comes back to the same "
			    "server");
	else if (backend->balance != BALANCE_LEAST_SESSIONS)
		run_message(run, SEVERITY_WARNING,
			    "warning: without 'balance: least_sessions' they are spread over all "
			    "servers alike");
}

static void rebalance(struct run *run, const struct srvset *set, uint64_t percent, int64_t over_ms)
{
	bool has_backups;
	struct shares shares = sum_shares(set, &has_backups);

	run_text(run, STR("# server weight sessions share to_end\n"));
	for (uint32_t i = 0; i < set->members_n; i++) {
		const struct srvset_member *member = &set->members[i];
		struct server *server = member->server;
		uint64_t sessions = atomic_load(&server->sessions), share, to_end;

		if (!takes_part(member, has_backups) || !shares.weight)
			continue;
		share = (shares.sessions * member->weight + shares.weight - 1) / shares.weight;
		to_end = sessions > share ? (sessions - share) * percent / 100 : 0;
		run_print(run, "%s/%s %u %llu %llu %llu\n", server->backend->name, server->name,
			  stat_weight(member), (unsigned long long)sessions,
			  (unsigned long long)share, (unsigned long long)to_end);
		if (to_end)
			drain_start(server, DRAIN_REBALANCE,
				    (unsigned)((to_end * 1000 + sessions / 2) / sessions), over_ms);
	}
}

static enum run_step rebalance_stop(struct srvset *set)
{
	struct drain_info info;
	const struct server *at = NULL;

	while (drain_next(&at, &info))
		if (info.why == DRAIN_REBALANCE && srvset_find(set, at))
			drain_cancel(info.server);
	return RUN_DONE;
}

enum run_step command_rebalance(struct run *run)
{
	const struct backend *backend = run_backend(run_arg(run, 0));
	int64_t over_ms = OVER_MS;
	struct str arg = run_arg(run, 1);
	uint64_t percent = 100;
	struct srvset *set;
	unsigned i = 1;

	if (!run->args_n)
		return run_error(run, "Require the name of a backend.");
	if (!backend)
		return run_error(run, "No such backend.");
	set = srvset_of(backend->state);
	if (str_eq(arg, STR("stop")))
		return rebalance_stop(set);
	if (arg.len && arg.p[arg.len - 1] == '%')
		arg.len--;
	if (str_to_u64(arg, 100, &percent) == 0 && percent)
		i = 2;
	else
		percent = 100;
	if (!read_over(run, i, &over_ms))
		return RUN_DONE;
	warn_of_rules(run, backend);
	rebalance(run, set, percent, over_ms);
	return RUN_DONE;
}
