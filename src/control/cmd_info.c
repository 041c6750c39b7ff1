/* SPDX-License-Identifier: MIT */
/* show info, show version: this process. */
#include "config.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/console.h"
#include "control/mirror_view.h"
#include "control/sample.h"
#include "control/startup_log.h"
#include "control/value.h"
#include "net/pipe.h"
#include "session/traffic.h"

struct info_row {
	struct column column;
	uint64_t (*number)(void); /* NULL = always 0, or a text */
	void (*text)(char *out, size_t size);
};

static void get_name(char *out, size_t size)
{
	snprintf(out, size, "Limpet");
}
static void get_version(char *out, size_t size)
{
	snprintf(out, size, "%s", PACKAGE_VERSION);
}
static int64_t uptime_ms(void)
{
	int64_t ms =
		process_state.started_unix_ms ? clock_unix_ms() - process_state.started_unix_ms : 0;

	return ms > 0 ? ms : 0;
}
static uint64_t get_uptime_s(void)
{
	return (uint64_t)uptime_ms() / 1000;
}
static void get_release(char *out, size_t size)
{
	snprintf(out, size, "2026/11/22");
}
static void get_uptime(char *out, size_t size)
{
	uint64_t s = get_uptime_s();

	snprintf(out, size, "%llud %lluh%02um%02us", (unsigned long long)(s / 86400),
		 (unsigned long long)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}
static void get_node(char *out, size_t size)
{
	struct str node = control_config()->global.node;

	snprintf(out, size, "%.*s", STR_ARG(node.len ? node : STR("limpet")));
}
static uint64_t get_threads(void)
{
	unsigned n = 0;

	while (traffic_by_index(n))
		n++;
	return n;
}
static uint64_t get_one(void)
{
	return 1;
}
static uint64_t get_pid(void)
{
	return (uint64_t)getpid();
}
static uint64_t get_fds(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}
static uint64_t get_maxconn(void)
{
	return process_state.max_connections;
}
static uint64_t get_connections_now(void)
{
	return atomic_load(&process_state.connections);
}
static uint64_t get_connections(void)
{
	return counters_sum(&process_state.counters, process_connections);
}
static uint64_t get_requests(void)
{
	return counters_sum(&process_state.counters, process_requests);
}
static uint64_t get_connection_rate(void)
{
	return sample_process()->connections.now;
}
static uint64_t get_connection_rate_max(void)
{
	return sample_process()->connections.max;
}
static uint64_t get_listeners(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < control_config()->frontends_n; i++)
		n += control_config()->frontends[i].binds_n;
	return n + control_config()->global.stats_sockets_n;
}
static uint64_t get_peers(void)
{
	const struct beat_peer *peers;

	return beat_peers(&peers);
}
static uint64_t get_peers_present(void)
{
	struct mirror_view view;

	mirror_view(&view);
	return view.peers_present;
}
static uint64_t get_dropped_logs(void)
{
	return log_dropped();
}
static uint64_t get_bytes_out(void)
{
	uint64_t n = 0;

	for (struct frontend_state *f = frontend_state_first(); f; f = f->next)
		n += counters_sum(&f->counters, frontend_bytes_out);
	return n;
}
static uint64_t get_bytes_spliced(void)
{
	return counters_sum(&process_state.counters, process_spliced_bytes);
}
static uint64_t get_tls_connections(void)
{
	uint64_t n = 0;

	for (struct frontend_state *f = frontend_state_first(); f; f = f->next)
		n += counters_sum(&f->counters, frontend_tls_handshakes);
	for (uint32_t i = 0; i < servers_n(); i++)
		n += counters_sum(&server_by_number(i)->counters, server_tls_handshakes);
	return n;
}
static uint64_t get_tls_rate(void)
{
	return sample_tls()->handshakes.now;
}
static uint64_t get_tls_rate_max(void)
{
	return sample_tls()->handshakes.max;
}
static uint64_t get_tls_keys(void)
{
	return sample_tls()->keys.now;
}
static uint64_t get_tls_keys_max(void)
{
	return sample_tls()->keys.max;
}
static uint64_t get_tls_reuse_pct(void)
{
	uint64_t handshakes = get_tls_rate(), keys = get_tls_keys();

	return keys < handshakes ? (handshakes - keys) * 100 / handshakes : 0;
}
static uint64_t get_tls_server_keys(void)
{
	return sample_tls()->server_keys.now;
}
static uint64_t get_tls_server_keys_max(void)
{
	return sample_tls()->server_keys.max;
}
static uint64_t get_pipes_max(void)
{
	return pipes_max();
}
static uint64_t get_pipes_used(void)
{
	return pipes_in_use();
}
static uint64_t get_pipes_free(void)
{
	uint32_t used = pipes_in_use(), open = pipes_open();

	return open > used ? open - used : 0;
}
static uint64_t get_bytes_out_rate(void)
{
	return sample_process()->bytes_out.now;
}
static uint64_t get_hard_maxconn(void)
{
	return process_state.max_connections_possible;
}
static uint64_t get_maxconn_reached(void)
{
	return counters_sum(&process_state.counters, process_accept_pauses);
}
static uint64_t get_stopping(void)
{
	return process_state.is_stopping;
}
static uint64_t get_boot_ms(void)
{
	return (uint64_t)process_state.boot_ms;
}
static uint64_t get_warnings(void)
{
	return startup_log_warnings();
}
static void get_tainted(char *out, size_t size)
{
	snprintf(out, size, "0");
}
static uint64_t get_streams_now(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < servers_n(); i++)
		n += atomic_load(&server_by_number(i)->used);
	return n;
}
static uint64_t get_consoles(void)
{
	uint64_t n = 0;

	list_for_each(at, control_sockets())
		n += list_entry(at, struct control_socket, link)->consoles_n;
	return n;
}
static uint64_t get_tasks(void)
{
	uint64_t n = get_connections_now() + get_consoles();

	for (uint32_t i = 0; i < servers_n(); i++)
		n += server_by_number(i)->check != NULL;
	return n;
}
static uint64_t get_jobs(void)
{
	return get_connections_now() + get_consoles() + get_listeners();
}
static uint64_t get_idle_pct(void)
{
	uint64_t threads = get_threads();
	uint64_t busy = threads ? sample_process()->busy_us.now / (threads * 10000) : 0;

	return busy < 100 ? 100 - busy : 0;
}
static uint64_t get_allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.arena + info.hblkhd;
}
static uint64_t get_allocated_mb(void)
{
	return get_allocated() >> 20;
}
static uint64_t get_memory(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}
static uint64_t get_memory_mb(void)
{
	return get_memory() >> 20;
}
static uint64_t get_start(void)
{
	return (uint64_t)process_state.started_unix_ms / 1000;
}

#define N(name, help, tag, type, number)                                                           \
	{                                                                                          \
		{ name, tag, VALUE_##type, help }, number, NULL                                    \
	}
#define T(name, help, tag, text)                                                                   \
	{                                                                                          \
		{ name, tag, VALUE_STR, help }, NULL, text                                         \
	}
#define NONE(name, help, tag) N(name, help, tag, U32, NULL)

/* Names and order are what tools written for HAProxy read; what we do not have (NONE) is 0. */
static const struct info_row rows[] = {
	T("Name", "product", "POS", get_name),
	T("Version", "version", "POS", get_version),
	T("Release_date", "date of this version", "POS", get_release),
	N("Nbthread", "threads that carry traffic", "CGS", U32, get_threads),
	N("Nbproc", "processes, always 1", "CGS", U32, get_one),
	N("Process_num", "number of the process, always 1", "KGP", U32, get_one),
	N("Pid", "process id", "SGP", U32, get_pid),
	T("Uptime", "time since the start", "MDP", get_uptime),
	N("Uptime_sec", "the same in seconds", "MDP", U32, get_uptime_s),
	NONE("Memmax_MB", "limit on memory in MB; 0 = none", "CLP"),
	N("PoolAlloc_MB", "memory taken from the system in MB", "MGP", U32, get_allocated_mb),
	N("PoolUsed_MB", "memory in use in MB", "MGP", U32, get_memory_mb),
	NONE("PoolFailed", "allocations that failed", "MCP"),
	N("Ulimit-n", "limit on descriptors", "CLP", U32, get_fds),
	N("Maxsock", "descriptors at most", "CLP", U32, get_fds),
	N("Maxconn", "client connections at most", "CLP", U32, get_maxconn),
	N("Hard_maxconn", "client connections that the descriptors allow", "CLP", U32,
	  get_hard_maxconn),
	N("CurrConns", "client connections open", "MGP", U32, get_connections_now),
	N("CumConns", "client connections accepted", "MCP", U64, get_connections),
	N("CumReq", "requests received", "MCP", U64, get_requests),
	NONE("MaxSslConns", "TLS connections at most", "MMP"),
	NONE("CurrSslConns", "TLS connections open", "MGP"),
	N("CumSslConns", "TLS handshakes so far, with clients and servers", "MCP", U64,
	  get_tls_connections),
	N("Maxpipes", "pipes for splicing at most", "CLP", U32, get_pipes_max),
	N("PipesUsed", "pipes in use", "MGP", U32, get_pipes_used),
	N("PipesFree", "pipes that are spare", "MGP", U32, get_pipes_free),
	N("ConnRate", "connections in the last second", "MRP", U32, get_connection_rate),
	NONE("ConnRateLimit", "limit on that", "CLP"),
	N("MaxConnRate", "highest ConnRate", "MMP", U32, get_connection_rate_max),
	N("SessRate", "the same as ConnRate", "MRP", U32, get_connection_rate),
	NONE("SessRateLimit", "limit on that", "CLP"),
	N("MaxSessRate", "highest SessRate", "MMP", U32, get_connection_rate_max),
	N("SslRate", "TLS handshakes with clients in the last second", "MRP", U32, get_tls_rate),
	NONE("SslRateLimit", "limit on that", "CLP"),
	N("MaxSslRate", "highest SslRate", "MMP", U32, get_tls_rate_max),
	N("SslFrontendKeyRate",
	  "TLS handshakes with clients in the last second that resumed no session", "MGP", U32,
	  get_tls_keys),
	N("SslFrontendMaxKeyRate", "highest of it", "MMP", U32, get_tls_keys_max),
	N("SslFrontendSessionReuse_pct",
	  "handshakes of the last second that resumed a session, per cent", "MGP", U32,
	  get_tls_reuse_pct),
	N("SslBackendKeyRate",
	  "TLS handshakes with servers in the last second that resumed no session", "MRP", U32,
	  get_tls_server_keys),
	N("SslBackendMaxKeyRate", "highest of it", "MMP", U32, get_tls_server_keys_max),
	NONE("SslCacheLookups", "TLS sessions looked for", "MCP"),
	NONE("SslCacheMisses", "TLS sessions not found", "MCP"),
	NONE("CompressBpsIn", "bytes per second into compression", "MRP"),
	NONE("CompressBpsOut", "bytes per second out of it", "MRP"),
	NONE("CompressBpsRateLim", "limit on that", "CLP"),
	N("Tasks", "clients, checks and consoles", "MGP", U32, get_tasks),
	NONE("Run_queue", "work that waits for its turn", "MGP"),
	N("Idle_pct", "share of the last second that the traffic threads spent waiting", "MaP", U32,
	  get_idle_pct),
	T("node", "name of this node", "COS", get_node),
	N("Stopping", "1 = no new connections, about to end", "MGP", U32, get_stopping),
	N("Jobs", "connections and listening sockets", "MGP", U32, get_jobs),
	NONE("Unstoppable Jobs", "of them, those that do not hinder the end", "MGP"),
	N("Listeners", "listening sockets", "MGP", U32, get_listeners),
	N("ActivePeers", "other nodes of the mirror", "MGP", U32, get_peers),
	N("ConnectedPeers", "of them, those that are there", "MGP", U32, get_peers_present),
	N("DroppedLogs", "log lines dropped", "MGP", U32, get_dropped_logs),
	NONE("BusyPolling", "1 = polling without waiting", "MGP"),
	NONE("FailedResolutions", "host names that could not be resolved", "MGP"),
	N("TotalBytesOut", "bytes sent to clients", "MGP", U64, get_bytes_out),
	N("TotalSplicedBytesOut", "bytes spliced, to clients and to servers", "MGP", U64,
	  get_bytes_spliced),
	N("BytesOutRate", "bytes sent to clients in the last second", "MRP", U64,
	  get_bytes_out_rate),
	NONE("DebugCommandsIssued", "debugging commands given", "MGP"),
	NONE("CumRecvLogs", "log lines received", "MCP"),
	T("Build info", "the build", "POS", get_version),
	N("Memmax_bytes", "limit on memory in bytes; 0 = none", "CLP", U64, NULL),
	N("PoolAlloc_bytes", "memory taken from the system in bytes", "MGP", U64, get_allocated),
	N("PoolUsed_bytes", "memory in use in bytes", "MGP", U64, get_memory),
	N("Start_time_sec", "when it was started, seconds since 1970", "MDP", U32, get_start),
	T("Tainted", "flags of what is not supported; 0 = none", "SGP", get_tainted),
	N("TotalWarnings", "warnings of the last load of the configuration", "MCP", U32,
	  get_warnings),
	N("MaxconnReached", "times that accepting paused", "MCP", U32, get_maxconn_reached),
	N("BootTime_ms", "time that the start took", "MDP", U32, get_boot_ms),
	NONE("Niced_tasks", "work of lower priority", "MGP"),
	N("CurrStreams", "requests and tunnels open at servers", "MGP", U32, get_streams_now),
	N("CumStreams", "requests so far", "MCP", U64, get_requests),
	N("NbThreadGroups", "groups of threads, always 1", "CGS", U32, get_one),
};

struct info_form {
	enum value_form form;
	bool has_desc, has_float;
};

static void print_value(struct run *run, const struct info_row *row, const struct value *value,
			const struct info_form *form)
{
	if (row->text)
		run_text(run, str_of(value->text));
	else if (form->has_float && row->number == get_uptime_s)
		run_print(run, "%.6f", (double)uptime_ms() / 1000);
	else
		run_print(run, "%llu", (unsigned long long)value->number);
}

static void print_row(struct run *run, const struct info_row *row, const struct info_form *form,
		      int at)
{
	char text[256];
	struct value value = { .type = row->column.type };

	if (row->text) {
		row->text(text, sizeof(text));
		value.text = text;
	} else if (row->number) {
		value.number = row->number();
	}
	switch (form->form) {
	case FORM_PLAIN:
		run_print(run, "%s: ", row->column.name);
		print_value(run, row, &value, form);
		break;
	case FORM_TYPED:
		run_print(run, "%d.%s.1:", at, row->column.name);
		value_typed(run, &row->column, &value);
		break;
	case FORM_JSON:
		run_print(run, "%s{\"field\":{\"pos\":%d,\"name\":\"%s\"},", at ? "," : "[", at,
			  row->column.name);
		value_json(run, &row->column, &value);
		run_text(run, STR("}"));
		return;
	}
	if (form->has_desc)
		run_print(run, ":\"%s\"", row->column.help);
	run_text(run, STR("\n"));
}

enum run_step command_show_info(struct run *run)
{
	struct info_form form = { .form = FORM_PLAIN };

	for (unsigned i = 0; i < run->args_n; i++) {
		if (str_eq(run->args[i], STR("typed")))
			form.form = FORM_TYPED;
		else if (str_eq(run->args[i], STR("json")))
			form.form = FORM_JSON;
		else if (str_eq(run->args[i], STR("desc")))
			form.has_desc = true;
		else if (str_eq(run->args[i], STR("float")))
			form.has_float = true;
	}
	for (int i = 0; i < (int)ARRAY_N(rows); i++)
		print_row(run, &rows[i], &form, i);
	if (form.form == FORM_JSON)
		run_text(run, STR("]\n"));
	return RUN_DONE;
}

enum run_step command_show_version(struct run *run)
{
	return run_message(run, SEVERITY_INFO, "%s", PACKAGE_VERSION);
}
