/* SPDX-License-Identifier: MIT */
/* Every family that is not a row of model/counters.def. */
#include "config.h"

#include <ctype.h>
#include <stdio.h>

#include "balance/lb.h"
#include "control/certificate_view.h"
#include "control/metrics_mirror.h"
#include "control/metrics_process.h"
#include "control/stat.h"
#include "health/health.h"
#include "session/access_log.h"
#include "session/traffic.h"

static void write_frontend_limit(struct metrics *metrics, int arg)
{
	const struct config *config = control_config();
	const struct frontend_state *state = metrics->object.frontend;
	uint32_t set = atomic_load(&state->max_connections);

	(void)arg;
	for (size_t i = 0; config && i < config->frontends_n; i++) {
		const struct frontend *frontend = &config->frontends[i];
		uint32_t limit = set == UINT32_MAX ? frontend->max_connections : set;

		if (frontend->state == state)
			metrics_number(metrics, "", limit ? limit : process_state.max_connections);
	}
}

/*
 * Ends of requests (IS_TUNNEL false) or tunnels.  Those of the other kind's own phase are left out
 * unless they have happened.
 */
static const char *side_of(const char *code)
{
	switch (code[0]) {
	case 'C':
	case 'c':
		return "client";
	case 'S':
	case 's':
		return "server";
	case '-':
		return "none";
	}
	return "limpet";
}

static void write_ends(struct metrics *metrics, int is_tunnel)
{
	static const char *const names[TXN_END_N] = {
#define END(name, code, text) #name,
#include "session/end_reasons.def"
#undef END
	};
	uint64_t counts[TXN_END_N];
	char label[96];

	tally_sum(&metrics->object.frontend->ends, is_tunnel ? TXN_END_N : 0, TXN_END_N, counts);
	for (int i = 0; i < TXN_END_N; i++) {
		const char *code = txn_end_code((enum txn_end)i);
		bool is_of_tunnels = code[1] == 'T';
		int n;

		if (!counts[i] && is_of_tunnels != (is_tunnel != 0))
			continue;
		n = snprintf(label, sizeof(label), "side=\"%s\",reason=\"", side_of(code));
		for (const char *c = names[i]; *c && n < (int)sizeof(label) - 2; c++)
			label[n++] = (char)tolower((unsigned char)*c);
		snprintf(label + n, sizeof(label) - (size_t)n, "\"");
		metrics_number(metrics, label, counts[i]);
	}
}

static void write_backend_up(struct metrics *metrics, int arg)
{
	(void)arg;
	metrics_number(metrics, "", metrics->object.set && lb_has_ready(metrics->object.set));
}

/* What an operator would say of a server; the first that applies. */
enum { STATE_MAINT, STATE_GONE, STATE_DOWN, STATE_DRAIN, STATE_SICK, STATE_READY, STATE_N };

static int state_of(const struct srvset_member *member)
{
	unsigned state = server_state(member->server);

	if (state & (SERVER_MAINT | SERVER_AGENT_MAINT))
		return STATE_MAINT;
	if (state & SERVER_GONE)
		return STATE_GONE;
	if (state & (SERVER_DOWN | SERVER_AGENT_DOWN))
		return STATE_DOWN;
	if (state & (SERVER_DRAIN | SERVER_AGENT_DRAIN) || !member->weight)
		return STATE_DRAIN;
	return state & SERVER_SICK ? STATE_SICK : STATE_READY;
}

static void write_states(struct metrics *metrics, const uint64_t counts[STATE_N])
{
	static const char *const names[STATE_N] = {
		"state=\"maint\"", "state=\"gone\"", "state=\"down\"",
		"state=\"drain\"", "state=\"sick\"", "state=\"ready\"",
	};

	for (int i = 0; i < STATE_N; i++)
		metrics_number(metrics, names[i], counts[i]);
}

static void write_backend_servers(struct metrics *metrics, int arg)
{
	const struct srvset *set = metrics->object.set;
	uint64_t counts[STATE_N] = { 0 };

	(void)arg;
	for (uint32_t i = 0; set && i < set->members_n; i++)
		counts[state_of(&set->members[i])]++;
	write_states(metrics, counts);
}

static void write_backend_time(struct metrics *metrics, int which)
{
	static const char *const kinds[TIMES_N] = {
		[TIME_QUEUE] = "",
		[TIME_CONNECT] = "",
		[TIME_FIRST_BYTE] = "kind=\"request\"",
		[TIME_FIRST_BYTE_POLL] = "kind=\"poll\"",
		[TIME_TOTAL] = "kind=\"request\"",
		[TIME_TOTAL_POLL] = "kind=\"poll\"",
	};
	int last = kinds[which][0] ? which + 1 : which;

	for (int i = which; i <= last; i++) {
		uint64_t slots[HISTOGRAM_SLOTS];

		tally_sum(metrics->object.backend->times, (unsigned)i * HISTOGRAM_SLOTS,
			  HISTOGRAM_SLOTS, slots);
		metrics_histogram(metrics, kinds[i],
				  &(struct metrics_histogram){
					  .bounds_us = histogram_bounds_us,
					  .bounds_n = HISTOGRAM_BOUNDS_N,
					  .counts = slots,
					  .sum_us = slots[HISTOGRAM_SUM],
				  });
	}
}

/* Healthy, whatever the operator has done to it. */
static bool is_up(const struct server *server)
{
	return !(server_state(server) & (SERVER_DOWN | SERVER_AGENT_DOWN | SERVER_GONE));
}

/* The members of the object's host: how many, and how many of them are up. */
static void count_workers(const struct metrics_object *object, uint64_t *all, uint64_t *up)
{
	const struct srvset *set = object->set;
	uint32_t host = object->member->host, members_n = set->hosts[host].members_n;
	uint32_t from = (uint32_t)(object->member - set->members);

	*all = *up = 0;
	for (uint32_t n = 0; n < set->members_n && *all < members_n; n++) {
		const struct srvset_member *member = &set->members[(from + n) % set->members_n];

		if (member->host != host)
			continue;
		++*all;
		*up += is_up(member->server);
	}
}

enum { HOST_UP, HOST_WORKERS, HOST_WORKERS_UP };

static void write_host(struct metrics *metrics, int what)
{
	uint64_t all, up;

	count_workers(&metrics->object, &all, &up);
	metrics_number(metrics, "", what == HOST_UP ? up > 0 : what == HOST_WORKERS ? all : up);
}

enum { SERVER_UP, SERVER_STATE, SERVER_WEIGHT, SERVER_LIMIT, SERVER_CHECK_TIME, SERVER_SESSIONS };

static void write_sessions(struct metrics *metrics, const struct server *server)
{
	uint64_t all = atomic_load(&server->sessions);
	int64_t sum = (int64_t)counters_sum(&server->counters, server_websocket_sessions_now);
	uint64_t websockets = sum < 0 ? 0 : (uint64_t)sum;

	/* Of a process that has died the WebSockets end a moment later than the sessions. */
	metrics_number(metrics, "transport=\"polling\"", all > websockets ? all - websockets : 0);
	metrics_number(metrics, "transport=\"websocket\"", websockets);
}

static void write_server(struct metrics *metrics, int what)
{
	const struct srvset_member *member = metrics->object.member;
	uint64_t states[STATE_N] = { 0 };
	struct health_info health;

	switch (what) {
	case SERVER_UP:
		metrics_number(metrics, "", is_up(member->server));
		break;
	case SERVER_STATE:
		states[state_of(member)] = 1;
		write_states(metrics, states);
		break;
	case SERVER_WEIGHT:
		metrics_number(metrics, "", stat_weight(member));
		break;
	case SERVER_LIMIT:
		if (member->max_connections)
			metrics_number(metrics, "", member->max_connections);
		break;
	case SERVER_CHECK_TIME:
		stat_health(&health, member->server);
		if (health.duration_ms >= 0)
			metrics_seconds(metrics, "", (uint64_t)health.duration_ms * 1000);
		break;
	case SERVER_SESSIONS:
		write_sessions(metrics, member->server);
		break;
	}
}

enum {
	TABLE_ENTRIES,
	TABLE_MAX,
	TABLE_SIZE,
	TABLE_LOOKUPS,
	TABLE_HITS,
	TABLE_INSERTS,
	TABLE_EVICTIONS,
	TABLE_EXPIRATIONS
};

static void write_table(struct metrics *metrics, int what)
{
	struct table_stats stats;

	table_stats(metrics->object.table, &stats);
	const uint64_t values[] = {
		[TABLE_ENTRIES] = stats.entries,     [TABLE_MAX] = stats.max_entries,
		[TABLE_SIZE] = stats.size_bytes,     [TABLE_LOOKUPS] = stats.lookups,
		[TABLE_HITS] = stats.hits,           [TABLE_INSERTS] = stats.inserts,
		[TABLE_EVICTIONS] = stats.evictions, [TABLE_EXPIRATIONS] = stats.expirations,
	};

	metrics_number(metrics, "", values[what]);
}

#define FAMILY(name, type, each, unit, labels, fn, arg, help)                                      \
	{                                                                                          \
		"limpet_" name, METRIC_##type, EACH_##each, unit, labels, help, fn, arg            \
	}
#define OF_HOST(name, what, help)                                                                  \
	FAMILY("host_" name, GAUGE, HOST, NULL, "", write_host, HOST_##what, help)
#define OF_SERVER(name, unit, labels, what, help)                                                  \
	FAMILY("server_" name, GAUGE, SERVER, unit, labels, write_server, SERVER_##what, help)
#define OF_TABLE(name, type, unit, what, help)                                                     \
	FAMILY("table_" name, type, TABLE, unit, "", write_table, TABLE_##what, help)
#define OF_MIRROR(name, type, member, help)                                                        \
	FAMILY("mirror_" name, type, PROCESS, NULL, "", metrics_mirror, MIRROR_AT(member), help)
#define OF_PEER(name, what, help)                                                                  \
	FAMILY("mirror_" name, GAUGE, PROCESS, NULL, "node", metrics_mirror_peer, PEER_##what, help)
#define OF_NODE(name, help)                                                                        \
	FAMILY("mirror_node_" #name, COUNTER, PROCESS, NULL, "node", metrics_mirror_node,          \
	       BEAT_##name, "of each node of the pair, over all its starts: " help),
#define OF_CERTIFICATE(name, type, unit, what, help)                                               \
	FAMILY("certificate_" name, type, PROCESS, unit, "path, name", metrics_certificates,       \
	       CERTIFICATE_##what, help)
#define SECONDS "seconds"
#define BYTES   "bytes"
const struct metrics_family metrics_families[] = {
	FAMILY("build_info", GAUGE, PROCESS, NULL, "version", metrics_build, 0,
	       "always 1; the version is a label"),
	FAMILY("process_start_time_seconds", GAUGE, PROCESS, SECONDS, "", metrics_process,
	       PROCESS_START, "when the process began, since the epoch"),
	FAMILY("process_uptime_seconds", GAUGE, PROCESS, SECONDS, "", metrics_process,
	       PROCESS_UPTIME, "how long it has run"),
	FAMILY("process_cpu_seconds", COUNTER, PROCESS, SECONDS, "", metrics_process, PROCESS_CPU,
	       "user and system time spent"),
	FAMILY("process_resident_memory_bytes", GAUGE, PROCESS, BYTES, "", metrics_process,
	       PROCESS_MEMORY, "memory that is resident"),
	FAMILY("process_open_fds", GAUGE, PROCESS, NULL, "", metrics_process, PROCESS_OPEN_FDS,
	       "file descriptors open"),
	FAMILY("process_max_fds", GAUGE, PROCESS, NULL, "", metrics_process, PROCESS_MAX_FDS,
	       "limit of file descriptors"),
	FAMILY("process_max_connections", GAUGE, PROCESS, NULL, "", metrics_process,
	       PROCESS_MAX_CONNECTIONS, "limit of client connections"),
	FAMILY("process_threads", GAUGE, PROCESS, NULL, "", metrics_process, PROCESS_THREADS,
	       "threads that carry traffic"),
	FAMILY("config_last_reload_success", GAUGE, PROCESS, NULL, "", metrics_process,
	       PROCESS_RELOAD_OK, "1 when the last start or reload of the configuration went well"),
	FAMILY("config_last_reload_timestamp_seconds", GAUGE, PROCESS, SECONDS, "", metrics_process,
	       PROCESS_RELOAD_TIME, "when the configuration in force was read, since the epoch"),
	FAMILY("loop_turn_seconds", HISTOGRAM, THREAD, SECONDS, "", metrics_loop, 0,
	       "what a turn of an event loop took, waiting not included; the sum is the time that "
	       "the thread was busy"),
	FAMILY("frontend_max_connections", GAUGE, FRONTEND, NULL, "", write_frontend_limit, 0,
	       "limit of connections_now"),
	FAMILY("frontend_requests_ended", COUNTER, FRONTEND, NULL, "side, reason", write_ends,
	       false, "requests by who ended them (none: they are complete) and why"),
	FAMILY("frontend_tunnels_ended", COUNTER, FRONTEND, NULL, "side, reason", write_ends, true,
	       "WebSocket tunnels by who closed them and why"),
	FAMILY("backend_up", GAUGE, BACKEND, NULL, "", write_backend_up, 0,
	       "1 when a server of it takes new sessions"),
	FAMILY("backend_servers", GAUGE, BACKEND, NULL, "state", write_backend_servers, 0,
	       "servers by state"),
	FAMILY("backend_queue_seconds", HISTOGRAM, BACKEND, SECONDS, "", write_backend_time,
	       TIME_QUEUE, "wait for a slot, of requests given to a server; most wait for 0"),
	FAMILY("backend_connect_seconds", HISTOGRAM, BACKEND, SECONDS, "", write_backend_time,
	       TIME_CONNECT, "time to open a connection; pooled ones are not opened"),
	FAMILY("backend_first_byte_seconds", HISTOGRAM, BACKEND, SECONDS, "kind",
	       write_backend_time, TIME_FIRST_BYTE,
	       "time from the connection to the head of the response.  Engine.IO polls, which "
	       "servers hold on purpose, are a kind of their own"),
	FAMILY("backend_request_seconds", HISTOGRAM, BACKEND, SECONDS, "kind", write_backend_time,
	       TIME_TOTAL,
	       "time from the head of the request to the end of the response; without tunnels"),
	OF_HOST("up", UP, "1 when a worker of it is up"),
	OF_HOST("workers", WORKERS, "its workers"),
	OF_HOST("workers_up", WORKERS_UP, "its workers that are up"),
	OF_SERVER("up", NULL, "", UP, "1 when it is healthy, whatever the operator has done to it"),
	OF_SERVER("state", NULL, "state", STATE, "1 for the state that it is in, 0 for the others"),
	OF_SERVER("weight", NULL, "", WEIGHT, "weight in force"),
	OF_SERVER("max_connections", NULL, "", LIMIT,
		  "limit of requests and tunnels; absent without one"),
	OF_SERVER("check_duration_seconds", SECONDS, "", CHECK_TIME,
		  "what the last health check took; absent before the first"),
	OF_SERVER(
		"sessions", NULL, "transport", SESSIONS,
		"live Engine.IO sessions; websocket from the moment that the upgrade is complete"),
	OF_TABLE("entries", GAUGE, NULL, ENTRIES, "entries of the table"),
	OF_TABLE("max_entries", GAUGE, NULL, MAX, "limit of entries"),
	OF_TABLE("size_bytes", GAUGE, BYTES, SIZE, "memory of the table"),
	OF_TABLE("lookups", COUNTER, NULL, LOOKUPS, "keys looked for"),
	OF_TABLE("hits", COUNTER, NULL, HITS, "keys found"),
	OF_TABLE("inserts", COUNTER, NULL, INSERTS, "entries made"),
	OF_TABLE("evictions", COUNTER, NULL, EVICTIONS,
		 "entries that went before their time because the table was full"),
	OF_TABLE("expirations", COUNTER, NULL, EXPIRATIONS, "entries that were idle for too long"),
	FAMILY("mirror_state", GAUGE, PROCESS, NULL, "state", metrics_mirror_state, 0,
	       "1 for the state that the mirror is in, 0 for the others"),
	FAMILY("mirror_lag_seconds", GAUGE, PROCESS, SECONDS, "", metrics_mirror_ms,
	       MIRROR_AT(status.lag_ms),
	       "how old the newest change of another node was when it arrived"),
	OF_MIRROR("dirty", GAUGE, status.dirty, "entries that Redis does not have yet"),
	OF_MIRROR("pushed", COUNTER, status.pushed, "changes that Redis took"),
	OF_MIRROR("rejected", COUNTER, status.rejected,
		  "changes that Redis did not take, for another node's stood there"),
	OF_MIRROR("push_errors", COUNTER, status.push_errors,
		  "changes that Redis answered with an error; they are sent again"),
	OF_MIRROR("applied", COUNTER, status.applied, "changes of other nodes taken over"),
	OF_MIRROR("ignored", COUNTER, status.ignored, "changes of other nodes that were not news"),
	OF_MIRROR("refused", COUNTER, status.refused,
		  "records on Redis that were malformed or from a far future"),
	OF_MIRROR("conflicts", COUNTER, status.conflicts,
		  "keys to which two nodes had given different servers"),
	OF_MIRROR("unknown_names", COUNTER, status.unknown_names,
		  "records of servers or tables that this node did not have"),
	OF_MIRROR("losses", COUNTER, status.losses, "connections to Redis that were lost"),
	OF_MIRROR("gaps", COUNTER, status.gaps, "times that changes were missed"),
	OF_MIRROR("resyncs", COUNTER, status.resyncs, "full comparisons with Redis"),
	OF_MIRROR("resync_keys", GAUGE, status.resync_keys,
		  "entries read by the full comparison that runs, or the last one"),
	FAMILY("mirror_resync_seconds", GAUGE, PROCESS, SECONDS, "", metrics_mirror_ms,
	       MIRROR_AT(status.resync_ms), "what the last full comparison took"),
	OF_MIRROR("asks", COUNTER, share.asks,
		  "requests that waited for what other nodes know (read_through)"),
	FAMILY("mirror_ask_results", COUNTER, PROCESS, NULL, "result", metrics_mirror_asks, 0,
	       "how those waits ended"),
	OF_MIRROR("sync_waits", COUNTER, share.stores,
		  "handshakes that waited until Redis had their session (mode: sync)"),
	OF_MIRROR("sync_timeouts", COUNTER, share.store_timeouts,
		  "handshakes that went on without, after the longest wait"),
	FAMILY("mirror_name_taken", GAUGE, PROCESS, NULL, "", metrics_mirror_name_taken, 0,
	       "1 when another process has this node's name"),
	OF_PEER("peer_up", UP, "1 when that node is there; absent while Redis is away"),
	OF_PEER("key_mismatch", KEY_MISMATCH,
		"1 when that node has another secret: no session is shared with it"),
	OF_PEER("servers_differ", SERVERS_DIFFER,
		"1 when that node has had other servers for some time"),
	OF_PEER("peer_entries", ENTRIES, "entries of its mirrored tables, as it said last"),
	OF_CERTIFICATE("expiry_timestamp_seconds", GAUGE, SECONDS, EXPIRY,
		       "when a certificate in use ends, since the epoch"),
	OF_CERTIFICATE(
		"from_memory", GAUGE, NULL, FROM_MEMORY,
		"1 when it was put in force on the stats socket, and its file may have another"),
	OF_CERTIFICATE("ocsp_good", GAUGE, NULL, OCSP_GOOD,
		       "1 when its OCSP response says good, 0 when revoked; absent without one"),
	OF_CERTIFICATE("ocsp_next_update_timestamp_seconds", GAUGE, SECONDS, OCSP_NEXT,
		       "when its OCSP response ends and is not stapled any more, since the epoch"),
	OF_CERTIFICATE("ocsp_refresh_failures", COUNTER, NULL, OCSP_FAILED,
		       "questions to its OCSP responder that were in vain (ocsp_refresh)"),
#define X(name, text) OF_NODE(name, text)
	BEAT_COUNTS(X)
#undef X
};
const unsigned metrics_families_n = ARRAY_N(metrics_families);
