/* SPDX-License-Identifier: MIT */
/* Servers: what they are and do, one line each. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "balance/lb.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/sample.h"
#include "control/stat.h"
#include "health/health.h"
#include "model/host_state.h"
#include "session/traffic.h"

enum run_step command_show_backend(struct run *run)
{
	const struct config *config = control_config();

	if (!run->at[0])
		run_text(run, STR("# name\n"));
	while (run->at[0] < config->backends_n) {
		struct str name = config->backends[run->at[0]++].name;

		run_print(run, "%.*s\n", STR_ARG(name));
		if (run_is_full(run))
			return RUN_MORE;
	}
	return RUN_DONE;
}

typedef void member_fn(struct run *run, const struct backend *backend, struct srvset *set,
		       const struct srvset_member *member);

/*
 * Calls FN for each server of the backend that argument 0 names, or of all.  at[0] counts backends,
 * at[1] members.
 */
static enum run_step for_each_member(struct run *run, const char *header, member_fn *fn)
{
	const struct config *config = control_config();
	const struct backend *only = run->args_n ? run_backend(run->args[0]) : NULL;

	if (run->args_n && !only)
		return run_error(run, "Can't find backend.");
	if (!run->at[2]) {
		run_text(run, str_of(header));
		run->at[2] = 1;
	}
	for (; run->at[0] < config->backends_n; run->at[0]++, run->at[1] = 0) {
		const struct backend *backend = &config->backends[run->at[0]];
		struct srvset *set = srvset_of(backend->state);

		if (only && backend != only)
			continue;
		while (set && run->at[1] < set->members_n) {
			fn(run, backend, set, &set->members[run->at[1]++]);
			if (run_is_full(run))
				return RUN_MORE;
		}
	}
	return RUN_DONE;
}

/* Address and port as the state file has them. */
static unsigned address_parts(const struct sock_addr *addr, char out[ADDR_TEXT_SIZE])
{
	struct ip_addr ip = sock_addr_ip(addr);

	if (sock_addr_is_unix(addr))
		sock_addr_text(addr, out);
	else
		ip_addr_ip_text(&ip, out);
	return ip.port;
}

/* 0 stopped, 1 starting (slowly), 2 running, 3 stopping */
static unsigned op_state_of(const struct srvset_member *member)
{
	unsigned state = server_state(member->server);

	if (state & SERVER_UNABLE)
		return 0;
	if (state & SERVER_SICK)
		return 3;
	return member->throttle_pct < 100 ? 1 : 2;
}

/* HAProxy's numbers of the last check's status. */
static unsigned check_status_number(const char *code)
{
	static const char *const codes[] = {
		[1] = "INI",     [5] = "SOCKERR", [6] = "L4OK",    [7] = "L4TOUT",
		[8] = "L4CON",   [9] = "L6OK",    [10] = "L6TOUT", [11] = "L6RSP",
		[12] = "L7TOUT", [13] = "L7RSP",  [15] = "L7OK",   [17] = "L7STS",
	};

	for (unsigned i = 0; i < ARRAY_N(codes); i++)
		if (codes[i] && strcmp(codes[i], code) == 0)
			return i;
	return 1;
}

/* "port address" of checks where the operator has moved them, else as if nothing was said. */
static void print_target(struct run *run, const struct sock_addr *target,
			 const struct sock_addr *addr)
{
	char text[ADDR_TEXT_SIZE];
	unsigned port;

	if (!target->size || sock_addr_eq(target, addr)) {
		run_text(run, STR(" 0 -"));
		return;
	}
	port = address_parts(target, text);
	run_print(run, " %u %s", port, text);
}

static void print_agent_target(struct run *run, const struct health_info *health,
			       const struct sock_addr *addr)
{
	struct ip_addr ip = sock_addr_ip(&health->agent_addr), own = sock_addr_ip(addr);
	char text[ADDR_TEXT_SIZE];
	unsigned port;

	if (!health->has_agent || !health->agent_addr.size) {
		run_text(run, STR(" - 0\n"));
		return;
	}
	port = address_parts(&health->agent_addr, text);
	run_print(run, " %s %u\n", ip_addr_same_ip(&ip, &own) ? "-" : text, port);
}

static void print_state(struct run *run, const struct backend *backend, struct srvset *set,
			const struct srvset_member *member)
{
	const struct server *server = member->server;
	unsigned state = server_state(server);
	int64_t since_ms = clock_ms() - atomic_load(&server->changed_at_ms);
	struct health_info health;
	char addr[ADDR_TEXT_SIZE];
	unsigned port = address_parts(&member->addr, addr);
	unsigned admin = (state & (SERVER_MAINT | SERVER_AGENT_MAINT) ? 1 : 0) |
			 (state & (SERVER_DRAIN | SERVER_AGENT_DRAIN) ? 8 : 0);
	unsigned result = 0; /* 0 unknown, 2 failed, 3 passed */
	bool is_checked;

	(void)set;
	stat_health(&health, server);
	is_checked = health.kind != CHECK_NONE;
	if (is_checked && health.at_ms)
		result = strstr(health.code, "OK") ? 3 : 2;
	run_print(run, "%u %.*s %u %s %s %u %u %u %u %lld %u %u %u %u %u 0 0 - %u - %u",
		  backend->state->id, STR_ARG(backend->name), stat_sid(server), server->name, addr,
		  op_state_of(member), admin, member->user_weight, member->initial_weight,
		  (long long)(since_ms > 0 ? since_ms / 1000 : 0),
		  is_checked ? check_status_number(health.code) : 1, result,
		  stat_check_level(server, &health), is_checked ? health.is_enabled ? 6 : 2 : 0,
		  health.has_agent ? health.is_agent_enabled ? 22 : 18 : 0, port,
		  backend->tls != NULL);
	if (is_checked)
		print_target(run, &health.addr, &member->addr);
	else
		run_text(run, STR(" 0 -"));
	print_agent_target(run, &health, &member->addr);
}

enum run_step command_show_servers_state(struct run *run)
{
	return for_each_member(
		run,
		"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state "
		"srv_uweight srv_iweight srv_time_since_last_change srv_check_status "
		"srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id "
		"srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port "
		"srv_check_addr srv_agent_addr srv_agent_port\n",
		print_state);
}

static void print_conn(struct run *run, const struct backend *backend, struct srvset *set,
		       const struct srvset_member *member)
{
	const struct server *server = member->server;
	uint64_t idle = counters_sum(&server->counters, server_connections_idle);
	unsigned used = atomic_load(&server->used);
	unsigned used_max = sample_server(server)->open_max;
	char addr[ADDR_TEXT_SIZE];
	unsigned port = address_parts(&member->addr, addr);

	(void)set;
	if (used > used_max)
		used_max = used;
	run_print(run, "%.*s/%s %u/%u %s %u - 0 %u %u %u %u %llu 0 %llu -1 %llu",
		  STR_ARG(backend->name), server->name, backend->state->id, stat_sid(server), addr,
		  port, used, used, used_max, used_max, (unsigned long long)idle,
		  (unsigned long long)idle, (unsigned long long)idle);
	for (unsigned i = 0; traffic_by_index(i); i++) {
		_Atomic uint64_t *block = atomic_load(&server->counters.blocks[i]);

		run_print(run, " %llu",
			  block ? (unsigned long long)block[counter_slots[server_connections_idle]]
				: 0ull);
	}
	run_text(run, STR("\n"));
}

enum run_step command_show_servers_conn(struct run *run)
{
	char header[192];
	unsigned threads = 0;

	while (traffic_by_index(threads))
		threads++;
	snprintf(header, sizeof(header),
		 "# bkname/svname bkid/svid addr port - purge_delay served used_cur used_max "
		 "need_est idle_sess unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[%u]\n",
		 threads);
	return for_each_member(run, header, print_conn);
}

static const char *or_dash(const char *text)
{
	return text[0] ? text : "-";
}

/* A status in one word: "UP_2/3". */
static void status_word(char out[32], const struct srvset_member *member,
			const struct health_info *health)
{
	stat_status(out, 32, member, health);
	for (char *c = out; *c; c++)
		if (*c == ' ')
			*c = '_';
}

static void print_worker(struct run *run, const struct backend *backend, struct srvset *set,
			 const struct srvset_member *member)
{
	const struct server *server = member->server;
	struct health_info health;
	char status[32], addr[ADDR_TEXT_SIZE] = "-", throttle[16] = "-";

	(void)set;
	stat_health(&health, server);
	status_word(status, member, &health);
	if (run_level(run) >= CTL_OPERATOR)
		sock_addr_text(&member->addr, addr);
	if (member->throttle_pct < 100)
		snprintf(throttle, sizeof(throttle), "%u%%", member->throttle_pct);
	run_print(run, "%.*s %s %s %u %s %s %s %u%s %u %u %llu %u %s\n", STR_ARG(backend->name),
		  server->host_name, or_dash(server->worker_name), stat_sid(server), addr, status,
		  or_dash(health.code), stat_weight(member), member->is_backup ? "b" : "",
		  atomic_load(&server->used), atomic_load(&server->sessions),
		  (unsigned long long)counters_sum(&server->counters, server_requests),
		  atomic_load(&server->generation), throttle);
}

enum run_step command_show_workers(struct run *run)
{
	return for_each_member(run,
			       "# backend host worker id address status check weight open sessions "
			       "requests generation throttle\n",
			       print_worker);
}

/* Sums over the workers of one host. */
struct host_sum {
	struct host_state state;
	unsigned weight, open, sessions;
};

static struct host_sum sum_host(const struct srvset *set, uint32_t host)
{
	struct host_sum sum = { .state = host_state_of(set, host, NULL, 0) };

	for (uint32_t i = 0; i < set->members_n; i++) {
		const struct srvset_member *member = &set->members[i];

		if (member->host != host)
			continue;
		sum.weight += stat_weight(member);
		sum.open += atomic_load(&member->server->used);
		sum.sessions += atomic_load(&member->server->sessions);
	}
	return sum;
}

/*
 * Printed at each host's first worker: hosts are numbered in order of appearance, and at[3] is the
 * next one to come.
 */
static void print_host(struct run *run, const struct backend *backend, struct srvset *set,
		       const struct srvset_member *member)
{
	struct host_sum sum;

	if (member == set->members)
		run->at[3] = 0;
	if (member->host < run->at[3])
		return;
	run->at[3] = member->host + UINT64_C(1);
	sum = sum_host(set, member->host);
	run_print(run, "%.*s %s %s %u %u %u %u %u %u%s %u %u\n", STR_ARG(backend->name),
		  set->hosts[member->host].name, host_state_name(&sum.state), sum.state.members_n,
		  sum.state.up, sum.state.down, sum.state.drain, sum.state.maint, sum.weight,
		  member->is_backup ? "b" : "", sum.open, sum.sessions);
}

enum run_step command_show_hosts(struct run *run)
{
	return for_each_member(
		run, "# backend host status workers up down drain maint weight open sessions\n",
		print_host);
}
