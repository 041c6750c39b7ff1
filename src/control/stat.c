/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/stat.h"

#include <stdio.h>

#include "balance/lb.h"
#include "base/clock.h"
#include "control/frontends.h"
#include "control/sample.h"
#include "health/health.h"
#include "model/weight.h"
#include "session/traffic.h"

#define U32 VALUE_U32
#define U64 VALUE_U64
#define S32 VALUE_S32
#undef STR
#define STR                         VALUE_STR
#define STAT(name, tag, type, help) { #name, tag, type, help },
const struct column stat_columns[STAT_N] = {
#include "control/stat.def"
};
#undef STAT

static void number(struct stat_row *row, enum stat_column at, uint64_t n)
{
	row->values[at] = (struct value){ .type = stat_columns[at].type, .number = n };
}

static void text(struct stat_row *row, enum stat_column at, const char *s)
{
	row->values[at] = (struct value){ .type = VALUE_STR, .text = s };
}

/* Adds N to a column. */
static void add(struct stat_row *row, enum stat_column at, uint64_t n)
{
	row->values[at].type = stat_columns[at].type;
	row->values[at].number += n;
}

static void begin(struct stat_row *row, char letter, const char *proxy, const char *name)
{
	memset(row->values, 0, sizeof(row->values));
	row->letter = letter;
	text(row, STAT_pxname, proxy);
	text(row, STAT_svname, name);
	number(row, STAT_pid, 1);
	number(row, STAT_iid, row->iid);
	number(row, STAT_sid, row->sid);
}

static void zeros(struct stat_row *row, const enum stat_column *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		number(row, columns[i], 0);
}

/* In mode tcp there are no responses to tell of; requests are a frontend's 0, and no one else's. */
static void put_mode(struct stat_row *row, enum traffic_mode mode)
{
	static const enum stat_column http_only[] = {
		STAT_hrsp_1xx,    STAT_hrsp_2xx,   STAT_hrsp_3xx,
		STAT_hrsp_4xx,    STAT_hrsp_5xx,   STAT_hrsp_other,
		STAT_intercepted, STAT_cache_hits, STAT_cache_lookups,
	};

	text(row, STAT_mode, mode == TRAFFIC_TCP ? "tcp" : "http");
	if (mode != TRAFFIC_TCP)
		return;
	for (size_t i = 0; i < ARRAY_N(http_only); i++)
		row->values[http_only[i]] = (struct value){ 0 };
	if (row->letter != 'F')
		row->values[STAT_req_tot] = (struct value){ 0 };
}

struct from_counter {
	enum stat_column column;
	enum counter_id counter;
};

static void from_counters(struct stat_row *row, const struct counters *counters,
			  const struct from_counter *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add(row, from[i].column, counters_sum(counters, (int)from[i].counter));
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t seconds_since(int64_t at_ms)
{
	int64_t ms = clock_ms() - at_ms;

	return ms > 0 ? (uint64_t)ms / 1000 : 0;
}

static void frontend_rates(struct stat_row *row, const struct sample *sample)
{
	number(row, STAT_smax, larger(sample->open_max, row->values[STAT_scur].number));
	number(row, STAT_rate, sample->connections.now);
	number(row, STAT_rate_max, sample->connections.max);
	number(row, STAT_conn_rate, sample->connections.now);
	number(row, STAT_conn_rate_max, sample->connections.max);
	number(row, STAT_req_rate, sample->requests.now);
	number(row, STAT_req_rate_max, sample->requests.max);
}

void stat_frontend(struct stat_row *row, const struct frontend *frontend)
{
	static const struct from_counter from[] = {
		{ STAT_scur, frontend_connections_now },
		{ STAT_stot, frontend_connections },
		{ STAT_bin, frontend_bytes_in },
		{ STAT_bout, frontend_bytes_out },
		{ STAT_dreq, frontend_requests_denied },
		{ STAT_ereq, frontend_request_errors },
		{ STAT_hrsp_1xx, frontend_responses_1xx },
		{ STAT_hrsp_2xx, frontend_responses_2xx },
		{ STAT_hrsp_3xx, frontend_responses_3xx },
		{ STAT_hrsp_4xx, frontend_responses_4xx },
		{ STAT_hrsp_5xx, frontend_responses_5xx },
		{ STAT_req_tot, frontend_requests },
		{ STAT_conn_tot, frontend_connections },
		{ STAT_intercepted, frontend_responses_own },
		{ STAT_dcon, frontend_connections_refused },
	};
	static const enum stat_column none[] = {
		STAT_dresp,    STAT_rate_lim, STAT_hrsp_other, STAT_comp_in,
		STAT_comp_out, STAT_comp_byp, STAT_comp_rsp,   STAT_dses,
		STAT_wrew,     STAT_eint,     STAT_cache_hits, STAT_cache_lookups,
	};
	const struct frontend_state *state = frontend->state;
	uint64_t limit = frontend_limit(frontend);

	row->iid = state->id;
	row->sid = 0;
	begin(row, 'F', state->name, "FRONTEND");
	zeros(row, none, ARRAY_N(none));
	from_counters(row, &state->counters, from, ARRAY_N(from));
	frontend_rates(row, sample_frontend(state));
	number(row, STAT_slim, limit ? limit : process_state.max_connections);
	text(row, STAT_status, frontend_status(frontend));
	number(row, STAT_type, 0);
	put_mode(row, frontend->mode);
}

/* What a server's row and, added up, its backend's say. */
static void count_server(struct stat_row *row, const struct server *server)
{
	static const struct from_counter from[] = {
		{ STAT_bin, server_bytes_in },           { STAT_bout, server_bytes_out },
		{ STAT_econ, server_connect_errors },    { STAT_eresp, server_response_errors },
		{ STAT_wretr, server_retries },          { STAT_wredis, server_redispatches },
		{ STAT_lbtot, server_picked },           { STAT_hrsp_1xx, server_responses_1xx },
		{ STAT_hrsp_2xx, server_responses_2xx }, { STAT_hrsp_3xx, server_responses_3xx },
		{ STAT_hrsp_4xx, server_responses_4xx }, { STAT_hrsp_5xx, server_responses_5xx },
		{ STAT_cli_abrt, server_client_aborts }, { STAT_srv_abrt, server_server_aborts },
		{ STAT_connect, server_connects },       { STAT_reuse, server_connections_reused },
	};

	from_counters(row, &server->counters, from, ARRAY_N(from));
	add(row, STAT_scur, atomic_load(&server->used));
}

/* Columns that servers and backends have, and that we do not measure. */
static const enum stat_column both_none[] = {
	STAT_dresp,     STAT_hrsp_other, STAT_wrew,      STAT_eint,
	STAT_qtime_max, STAT_ctime_max,  STAT_rtime_max, STAT_ttime_max,
};

static int64_t last_session_s(const struct server *server)
{
	int64_t at_ms = atomic_load(&server->last_session_at_ms);

	return at_ms ? (int64_t)seconds_since(at_ms) : -1;
}

void stat_health(struct health_info *health, const struct server *server)
{
	if (!health_info(server, health))
		*health = (struct health_info){
			.code = "", .duration_ms = -1, .agent_code = "", .agent_duration_ms = -1
		};
}

uint32_t stat_weight(const struct srvset_member *member)
{
	return weight_effective(member->user_weight, atomic_load(&member->server->agent_weight_pct),
				member->throttle_pct);
}

uint32_t stat_check_level(const struct server *server, const struct health_info *health)
{
	uint32_t top = health->rise + health->fall - 1;

	if (health->kind == CHECK_NONE || !health->rise || !health->fall)
		return 0;
	if (server_state(server) & SERVER_DOWN)
		return health->successes < health->rise ? health->successes : health->rise - 1;
	return health->failures < health->fall ? top - health->failures : health->rise;
}

void stat_status(char *out, size_t size, const struct srvset_member *member,
		 const struct health_info *health)
{
	unsigned state = server_state(member->server);
	bool is_checked = health->kind != CHECK_NONE && health->is_enabled;

	if (state & (SERVER_MAINT | SERVER_AGENT_MAINT))
		snprintf(out, size, "MAINT");
	else if (state & SERVER_DOWN && is_checked && health->successes)
		snprintf(out, size, "DOWN %u/%u", (unsigned)health->successes,
			 (unsigned)health->rise);
	else if (state & (SERVER_DOWN | SERVER_GONE))
		snprintf(out, size, "DOWN");
	else if (state & SERVER_AGENT_DOWN)
		snprintf(out, size, "DOWN (agent)");
	else if (state & SERVER_SICK)
		snprintf(out, size, "NOLB");
	else if (state & SERVER_DRAIN || !member->user_weight)
		snprintf(out, size, "DRAIN");
	else if (state & SERVER_AGENT_DRAIN || !member->weight)
		snprintf(out, size, "DRAIN (agent)");
	else if (!is_checked)
		snprintf(out, size, "no check");
	else if (health->failures && health->failures < health->fall)
		snprintf(out, size, "UP %u/%u", (unsigned)(health->fall - health->failures),
			 (unsigned)health->fall);
	else
		snprintf(out, size, "UP");
}

static const char *check_description(const char *code)
{
	static const char *const texts[][2] = {
		{ "L4OK", "Layer4 check passed" },
		{ "L4TOUT", "Layer4 timeout" },
		{ "L4CON", "Layer4 connection problem" },
		{ "L6OK", "Layer6 check passed" },
		{ "L6TOUT", "Layer6 timeout" },
		{ "L6RSP", "Layer6 invalid response" },
		{ "L7OK", "Layer7 check passed" },
		{ "L7TOUT", "Layer7 timeout" },
		{ "L7RSP", "Layer7 invalid response" },
		{ "L7STS", "Layer7 wrong status" },
		{ "SOCKERR", "Socket error" },
	};

	for (size_t i = 0; i < ARRAY_N(texts); i++)
		if (strcmp(texts[i][0], code) == 0)
			return texts[i][1];
	return "Initializing";
}

/* A row is one line, whatever a server said. */
static void one_line(struct stat_row *row, enum stat_column at, char *out, size_t size,
		     const char *said)
{
	snprintf(out, size, "%s", said);
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '.';
	text(row, at, out);
}

static void stat_agent(struct stat_row *row, const struct health_info *health)
{
	const char *code = health->agent_code;

	if (!health->has_agent)
		return;
	snprintf(row->agent_status, sizeof(row->agent_status), "%s%s",
		 health->is_agent_running ? "* " : "", code[0] ? code : "INI");
	text(row, STAT_agent_status, row->agent_status);
	text(row, STAT_agent_desc, check_description(code));
	one_line(row, STAT_last_agt, row->agent_text, sizeof(row->agent_text), health->agent_text);
	number(row, STAT_agent_rise, health->agent_rise);
	number(row, STAT_agent_fall, health->agent_fall);
	number(row, STAT_agent_health, health->agent_health);
	if (health->agent_duration_ms >= 0)
		number(row, STAT_agent_duration, (uint64_t)health->agent_duration_ms);
}

static void stat_check(struct stat_row *row, const struct server *server,
		       const struct health_info *health)
{
	if (health->kind == CHECK_NONE || !health->is_enabled)
		return;
	number(row, STAT_chkfail, counters_sum(&server->counters, server_checks_failed));
	number(row, STAT_check_rise, health->rise);
	number(row, STAT_check_fall, health->fall);
	number(row, STAT_check_health, stat_check_level(server, health));
	snprintf(row->check_status, sizeof(row->check_status), "%s%s",
		 health->is_running ? "* " : "", health->code[0] ? health->code : "INI");
	text(row, STAT_check_status, row->check_status);
	text(row, STAT_check_desc, check_description(health->code));
	one_line(row, STAT_last_chk, row->check_text, sizeof(row->check_text), health->text);
	if (health->http_status)
		number(row, STAT_check_code, health->http_status);
	if (health->duration_ms >= 0)
		number(row, STAT_check_duration, (uint64_t)health->duration_ms);
}

static const char *address_text(struct stat_row *row, const struct sock_addr *addr)
{
	if (sock_addr_is_unix(addr))
		return "unix";
	sock_addr_text(addr, row->addr);
	return row->addr;
}

/* qtime, ctime, rtime and ttime, rounded. */
static void times(struct stat_row *row, const struct sample *sample)
{
	static const enum stat_column columns[SPENT_N] = { STAT_qtime, STAT_ctime, STAT_rtime,
							   STAT_ttime };

	for (int i = 0; i < SPENT_N; i++)
		number(row, columns[i], (sample->times.average_us[i] + 500) / 1000);
}

/* The longest ones; of a backend those of all its servers. */
static void longest(struct stat_row *row, const struct server *server)
{
	static const enum stat_column columns[SPENT_N] = { STAT_qtime_max, STAT_ctime_max,
							   STAT_rtime_max, STAT_ttime_max };

	for (int i = 0; i < SPENT_N; i++)
		number(row, columns[i],
		       larger(row->values[columns[i]].number,
			      (atomic_load(&server->longest_us[i]) + 500) / 1000));
}

static void server_gauges(struct stat_row *row, const struct server *server)
{
	const struct sample *sample = sample_server(server);
	uint64_t idle = counters_sum(&server->counters, server_connections_idle);
	uint64_t requests = counters_sum(&server->counters, server_requests);

	times(row, sample);
	longest(row, server);
	number(row, STAT_qcur, 0);
	number(row, STAT_qmax, 0);
	number(row, STAT_smax, larger(sample->open_max, row->values[STAT_scur].number));
	number(row, STAT_stot, requests);
	number(row, STAT_req_tot, requests);
	number(row, STAT_rate, sample->requests.now);
	number(row, STAT_rate_max, sample->requests.max);
	number(row, STAT_downtime, sample->down_s);
	number(row, STAT_chkdown, atomic_load(&server->downs));
	number(row, STAT_lastchg, seconds_since(atomic_load(&server->changed_at_ms)));
	number(row, STAT_lastsess, (uint64_t)last_session_s(server));
	number(row, STAT_srv_icur, idle);
	number(row, STAT_idle_conn_cur, 0);
	number(row, STAT_safe_conn_cur, idle);
	number(row, STAT_used_conn_cur, row->values[STAT_scur].number);
	number(row, STAT_need_conn_est, larger(sample->open_max, row->values[STAT_scur].number));
}

void stat_server(struct stat_row *row, const struct backend *backend,
		 const struct srvset_member *member, enum ctl_level level)
{
	const struct server *server = member->server;
	bool is_ready = server_is_ready(server) && member->weight;
	struct health_info health;

	stat_health(&health, server);
	row->iid = server->backend->id;
	row->sid = stat_sid(server);
	begin(row, 'S', server->backend->name, server->name);
	zeros(row, both_none, ARRAY_N(both_none));
	count_server(row, server);
	server_gauges(row, server);
	if (member->max_connections)
		number(row, STAT_slim, member->max_connections);
	stat_status(row->status, sizeof(row->status), member, &health);
	text(row, STAT_status, row->status);
	number(row, STAT_weight, is_ready ? stat_weight(member) : 0);
	number(row, STAT_uweight, member->user_weight);
	if (is_ready && member->throttle_pct < 100)
		number(row, STAT_throttle, member->throttle_pct);
	number(row, STAT_act, !member->is_backup);
	number(row, STAT_bck, member->is_backup);
	number(row, STAT_type, 2);
	stat_check(row, server, &health);
	stat_agent(row, &health);
	put_mode(row, backend->mode);
	if (level >= CTL_OPERATOR) {
		text(row, STAT_addr, address_text(row, &member->addr));
		if (member->cookie[0])
			text(row, STAT_cookie, member->cookie);
	}
}

static const char *algo_name(const struct backend *backend)
{
	switch (backend->balance) {
	case BALANCE_ROUND_ROBIN:
		return "roundrobin";
	case BALANCE_LEAST_CONN:
		return "leastconn";
	case BALANCE_LEAST_SESSIONS:
		return "leastsessions";
	case BALANCE_RANDOM:
		return "random";
	case BALANCE_FIRST:
		return "first";
	case BALANCE_HASH:
		break;
	case BALANCE_N:
		return "unknown";
	}
	switch (backend->hash_source) {
	case HASH_IP:
		return "source";
	case HASH_URI:
		return "uri";
	case HASH_HEADER:
		return "hdr";
	case HASH_QUERY:
		return "url_param";
	case HASH_COOKIE:
		return "hash";
	}
	return "unknown";
}

/* Adds up what the members say. */
static void backend_members(struct stat_row *row, struct srvset *set)
{
	uint64_t limit = 0;
	int64_t last_s = -1;
	bool is_limited = set->members_n > 0;

	for (uint32_t i = 0; i < set->members_n; i++) {
		const struct srvset_member *member = &set->members[i];
		bool is_ready = server_is_ready(member->server) && member->weight;
		int64_t s = last_session_s(member->server);

		count_server(row, member->server);
		longest(row, member->server);
		add(row, member->is_backup ? STAT_bck : STAT_act, is_ready);
		add(row, STAT_weight, is_ready ? stat_weight(member) : 0);
		add(row, STAT_uweight, member->user_weight);
		limit += member->max_connections;
		is_limited = is_limited && member->max_connections;
		if (s >= 0 && (last_s < 0 || s < last_s))
			last_s = s;
	}
	number(row, STAT_lastsess, (uint64_t)last_s);
	number(row, STAT_slim, is_limited ? limit : process_state.max_connections);
}

static void backend_gauges(struct stat_row *row, const struct backend_state *state)
{
	const struct sample *sample = sample_backend(state);
	uint64_t requests = counters_sum(&state->counters, backend_requests);
	uint64_t queued = counters_sum(&state->counters, backend_queued_now);

	times(row, sample);
	number(row, STAT_qcur, queued);
	number(row, STAT_qmax, larger(sample->queue_max, queued));
	number(row, STAT_smax, larger(sample->open_max, row->values[STAT_scur].number));
	number(row, STAT_stot, requests);
	number(row, STAT_req_tot, requests);
	number(row, STAT_rate, sample->requests.now);
	number(row, STAT_rate_max, sample->requests.max);
	number(row, STAT_downtime, sample->down_s);
	number(row, STAT_chkdown, sample->downs);
	number(row, STAT_lastchg, sample->changed_ms ? seconds_since(sample->changed_ms) : 0);
	/* What we answered in place of a server. */
	add(row, STAT_hrsp_4xx, counters_sum(&state->counters, backend_responses_own_4xx));
	add(row, STAT_hrsp_5xx, counters_sum(&state->counters, backend_responses_own_5xx));
}

void stat_backend(struct stat_row *row, const struct backend *backend, struct srvset *set,
		  enum ctl_level level)
{
	static const enum stat_column none[] = {
		STAT_bin,
		STAT_bout,
		STAT_dreq,
		STAT_econ,
		STAT_eresp,
		STAT_wretr,
		STAT_wredis,
		STAT_lbtot,
		STAT_hrsp_1xx,
		STAT_hrsp_2xx,
		STAT_hrsp_3xx,
		STAT_hrsp_4xx,
		STAT_hrsp_5xx,
		STAT_cli_abrt,
		STAT_srv_abrt,
		STAT_connect,
		STAT_reuse,
		STAT_scur,
		STAT_act,
		STAT_bck,
		STAT_weight,
		STAT_uweight,
		STAT_comp_in,
		STAT_comp_out,
		STAT_comp_byp,
		STAT_comp_rsp,
		STAT_cache_hits,
		STAT_cache_lookups,
		STAT_agg_server_status,
		STAT_agg_server_check_status,
		STAT_agg_check_status,
	};
	const struct backend_state *state = backend->state;

	row->iid = state->id;
	row->sid = 0;
	begin(row, 'B', state->name, "BACKEND");
	zeros(row, both_none, ARRAY_N(both_none));
	zeros(row, none, ARRAY_N(none));
	if (set)
		backend_members(row, set);
	backend_gauges(row, state);
	text(row, STAT_status, set && lb_has_ready(set) ? "UP" : "DOWN");
	number(row, STAT_type, 1);
	put_mode(row, backend->mode);
	if (level >= CTL_OPERATOR)
		text(row, STAT_algo, algo_name(backend));
}
