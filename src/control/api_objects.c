/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/api_objects.h"

#include "balance/lb.h"
#include "base/clock.h"
#include "control/http.h"
#include "control/sample.h"
#include "control/stat.h"
#include "health/health.h"
#include "session/traffic.h"

const char *api_state(unsigned state, uint32_t weight)
{
	static const struct {
		unsigned bit;
		const char *name;
	} words[] = {
		{ SERVER_GONE, "gone" },
		{ SERVER_MAINT, "maint" },
		{ SERVER_AGENT_MAINT, "agent_maint" },
		{ SERVER_DOWN, "down" },
		{ SERVER_AGENT_DOWN, "agent_down" },
		{ SERVER_DRAIN, "drain" },
		{ SERVER_AGENT_DRAIN, "agent_drain" },
		{ SERVER_SICK, "sick" },
	};

	for (size_t i = 0; i < ARRAY_N(words); i++)
		if (state & words[i].bit)
			return words[i].name;
	if (state)
		return "down";
	return weight ? "up" : "drain";
}

void api_counters(struct json *json, const struct counters *counters, enum counter_scope scope)
{
	json_open(json, "counters", '{');
	for (int i = 0; i < COUNTERS_ALL_N; i++)
		if (counter_rows[i].scope == scope)
			json_u64(json, counter_rows[i].name, counters_sum(counters, i));
	json_close(json, '}');
}

static uint64_t sessions_of(struct srvset *set)
{
	uint64_t n = 0;

	for (uint32_t i = 0; set && i < set->members_n; i++)
		n += atomic_load(&set->members[i].server->sessions);
	return n;
}

void api_process(struct json *json, const char *key)
{
	const struct sample *sample = sample_process();
	int64_t up_ms = clock_unix_ms() - process_state.started_unix_ms;
	uint64_t sessions = 0;

	for (struct backend_state *b = backend_state_first(); b; b = b->next)
		sessions += sessions_of(srvset_of(b));
	json_open(json, key, '{');
	json_s64(json, "started_unix_ms", process_state.started_unix_ms);
	json_s64(json, "uptime_s", up_ms > 0 ? up_ms / 1000 : 0);
	json_bool(json, "draining", http_is_draining());
	json_u64(json, "connections", atomic_load(&process_state.connections));
	json_u64(json, "connections_limit", process_state.max_connections);
	json_u64(json, "connection_rate", sample->connections.now);
	json_u64(json, "request_rate", sample->requests.now);
	json_u64(json, "request_rate_max", sample->requests.max);
	json_u64(json, "sessions", sessions);
	api_counters(json, &process_state.counters, SCOPE_process);
	json_close(json, '}');
}

void api_frontend(struct json *json, const struct frontend *frontend)
{
	const struct frontend_state *state = frontend->state;
	const struct sample *sample = sample_frontend(state);
	uint32_t limit = frontend->max_connections ? frontend->max_connections
						   : process_state.max_connections;
	uint64_t open = counters_sum(&state->counters, frontend_connections_now);

	json_open(json, NULL, '{');
	json_text(json, "name", state->name);
	json_text(json, "mode", frontend->mode == TRAFFIC_TCP ? "tcp" : "http");
	json_text(json, "state",
		  atomic_load(&state->is_disabled) ? "stopped"
		  : limit && open >= limit         ? "full"
						   : "open");
	json_u64(json, "connections", open);
	json_u64(json, "connections_limit", limit);
	json_u64(json, "connections_max",
		 open > sample->open_max ? open : (uint64_t)sample->open_max);
	json_u64(json, "connection_rate", sample->connections.now);
	json_u64(json, "request_rate", sample->requests.now);
	json_u64(json, "request_rate_max", sample->requests.max);
	json_open(json, "binds", '[');
	for (size_t i = 0; i < frontend->binds_n; i++)
		json_str(json, NULL, frontend->binds[i].text);
	json_close(json, ']');
	api_counters(json, &state->counters, SCOPE_frontend);
	json_close(json, '}');
}

void api_backend(struct json *json, const struct backend *backend, struct srvset *set)
{
	const struct backend_state *state = backend->state;
	const struct sample *sample = sample_backend(state);

	json_text(json, "name", state->name);
	json_text(json, "mode", backend->mode == TRAFFIC_TCP ? "tcp" : "http");
	json_text(json, "state", set && lb_has_ready(set) ? "up" : "down");
	json_u64(json, "request_rate", sample->requests.now);
	json_u64(json, "request_rate_max", sample->requests.max);
	json_u64(json, "queued", counters_sum(&state->counters, backend_queued_now));
	json_u64(json, "sessions", sessions_of(set));
	json_u64(json, "down_s", sample->down_s);
	api_counters(json, &state->counters, SCOPE_backend);
}

void api_host_add(struct api_host_sum *sum, const struct srvset_member *member)
{
	const struct server *server = member->server;
	unsigned state = server_state(server);

	sum->state.members_n++;
	if (!state)
		sum->state.up++;
	else if (!(state & SERVER_UNABLE))
		sum->state.drain++;
	else if (state & (SERVER_MAINT | SERVER_AGENT_MAINT))
		sum->state.maint++;
	else
		sum->state.down++;
	sum->weight += stat_weight(member);
	sum->open += atomic_load(&server->used);
	sum->sessions += atomic_load(&server->sessions);
	sum->request_rate += sample_server(server)->requests.now;
}

/* host_state_name() in lower case, as all states of the API. */
static struct str host_word(const struct host_state *state, char out[16])
{
	struct str name = str_of(host_state_name(state));

	bug_on(name.len > 16);
	for (size_t i = 0; i < name.len; i++)
		out[i] = (char)ascii_lower((unsigned char)name.p[i]);
	return (struct str){ out, name.len };
}

void api_host_object(struct json *json, const struct srvset *set, uint32_t host,
		     const struct api_host_sum *sum)
{
	char word[16];

	json_open(json, NULL, '{');
	json_text(json, "name", set->hosts[host].name);
	json_str(json, "state", host_word(&sum->state, word));
	json_bool(json, "backup", set->hosts[host].is_backup);
	json_u64(json, "workers", sum->state.members_n);
	json_u64(json, "up", sum->state.up);
	json_u64(json, "down", sum->state.down);
	json_u64(json, "drain", sum->state.drain);
	json_u64(json, "maint", sum->state.maint);
	json_u64(json, "weight", sum->weight);
	json_u64(json, "open", sum->open);
	json_u64(json, "sessions", sum->sessions);
	json_u64(json, "request_rate", sum->request_rate);
	json_close(json, '}');
}

static int64_t unix_of(int64_t at_ms)
{
	return at_ms ? clock_unix_ms() - (clock_ms() - at_ms) : 0;
}

static void check_object(struct json *json, const struct health_info *health)
{
	json_open(json, "check", '{');
	json_text(json, "kind", health->kind == CHECK_NONE ? "none" : "active");
	json_text(json, "code", health->code);
	json_text(json, "text", health->text);
	json_u64(json, "http_status", health->http_status);
	json_s64(json, "duration_ms", health->duration_ms);
	json_s64(json, "at_unix_ms", unix_of(health->at_ms));
	json_u64(json, "rise", health->rise);
	json_u64(json, "fall", health->fall);
	json_u64(json, "successes", health->successes);
	json_u64(json, "failures", health->failures);
	if (health->has_agent) {
		json_text(json, "agent_code", health->agent_code);
		json_text(json, "agent_text", health->agent_text);
	}
	json_close(json, '}');
}

void api_server_object(struct json *json, const struct srvset_member *member, bool is_full,
		       enum ctl_level level)
{
	const struct server *server = member->server;
	const struct sample *sample = sample_server(server);
	int64_t last_ms = atomic_load(&server->last_session_at_ms);
	char status[32], addr[ADDR_TEXT_SIZE];
	struct health_info health;

	stat_health(&health, server);
	stat_status(status, sizeof(status), member, &health);
	json_open(json, NULL, '{');
	json_u64(json, "id", stat_sid(server));
	json_text(json, "name", server->name);
	json_text(json, "host", server->host_name);
	json_text(json, "worker", server->worker_name);
	if (level >= CTL_OPERATOR)
		json_str(json, "address", sock_addr_text(&member->addr, addr));
	json_bool(json, "backup", member->is_backup);
	json_text(json, "state", api_state(server_state(server), member->weight));
	json_text(json, "status", status);
	json_u64(json, "weight", stat_weight(member));
	json_u64(json, "sessions", atomic_load(&server->sessions));
	json_u64(json, "open", atomic_load(&server->used));
	json_u64(json, "request_rate", sample->requests.now);
	json_text(json, "check_code", health.code);
	if (is_full) {
		json_u64(json, "user_weight", member->user_weight);
		json_u64(json, "max_connections", member->max_connections);
		json_u64(json, "request_rate_max", sample->requests.max);
		json_u64(json, "open_max", sample->open_max);
		json_u64(json, "downs", atomic_load(&server->downs));
		json_u64(json, "down_s", sample->down_s);
		json_u64(json, "generation", atomic_load(&server->generation));
		json_s64(json, "changed_unix_ms", unix_of(atomic_load(&server->changed_at_ms)));
		json_s64(json, "last_session_unix_ms", unix_of(last_ms));
		check_object(json, &health);
		api_counters(json, &server->counters, SCOPE_server);
	}
	json_close(json, '}');
}

void api_server_array(struct json *json, const struct srvset_member *member)
{
	const struct server *server = member->server;
	struct health_info health;
	char status[32];

	stat_health(&health, server);
	stat_status(status, sizeof(status), member, &health);
	json_open(json, NULL, '[');
	json_u64(json, NULL, stat_sid(server));
	json_text(json, NULL, api_state(server_state(server), member->weight));
	json_text(json, NULL, status);
	json_u64(json, NULL, stat_weight(member));
	json_u64(json, NULL, atomic_load(&server->sessions));
	json_u64(json, NULL, atomic_load(&server->used));
	json_u64(json, NULL, sample_server(server)->requests.now);
	json_text(json, NULL, health.code);
	json_close(json, ']');
}
