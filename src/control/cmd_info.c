/* SPDX-License-Identifier: MIT */
/* show info, show version, show loop, show activity: this process. */
#include "config.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/console.h"
#include "control/sample.h"
#include "control/value.h"
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
static uint64_t get_uptime_s(void)
{
	int64_t ms =
		process_state.started_unix_ms ? clock_unix_ms() - process_state.started_unix_ms : 0;

	return ms > 0 ? (uint64_t)ms / 1000 : 0;
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
static uint64_t get_memory(void)
{
	return mallinfo2().uordblks;
}
static uint64_t get_memory_mb(void)
{
	return get_memory() >> 20;
}
static uint64_t get_start(void)
{
	return (uint64_t)process_state.started_unix_ms / 1000;
}

#define N(name, tag, type, number)                                                                 \
	{                                                                                          \
		{ name, tag, VALUE_##type, "" }, number, NULL                                      \
	}
#define T(name, tag, text)                                                                         \
	{                                                                                          \
		{ name, tag, VALUE_STR, "" }, NULL, text                                           \
	}

/* Names and order are what tools written for HAProxy read; what we do not have is 0. */
static const struct info_row rows[] = {
	T("Name", "POS", get_name),
	T("Version", "POS", get_version),
	T("Release_date", "POS", get_release),
	N("Nbthread", "CGS", U32, get_threads),
	N("Nbproc", "CGS", U32, get_one),
	N("Process_num", "KGP", U32, get_one),
	N("Pid", "SGP", U32, get_pid),
	T("Uptime", "MDP", get_uptime),
	N("Uptime_sec", "MDP", U32, get_uptime_s),
	N("Memmax_MB", "CLP", U32, NULL),
	N("PoolAlloc_MB", "MGP", U32, get_memory_mb),
	N("PoolUsed_MB", "MGP", U32, get_memory_mb),
	N("PoolFailed", "MCP", U32, NULL),
	N("Ulimit-n", "CLP", U32, get_fds),
	N("Maxsock", "CLP", U32, get_fds),
	N("Maxconn", "CLP", U32, get_maxconn),
	N("Hard_maxconn", "CLP", U32, get_maxconn),
	N("CurrConns", "MGP", U32, get_connections_now),
	N("CumConns", "MCP", U64, get_connections),
	N("CumReq", "MCP", U64, get_requests),
	N("MaxSslConns", "MMP", U32, NULL),
	N("CurrSslConns", "MGP", U32, NULL),
	N("CumSslConns", "MCP", U32, NULL),
	N("Maxpipes", "CLP", U32, NULL),
	N("PipesUsed", "MGP", U32, NULL),
	N("PipesFree", "MGP", U32, NULL),
	N("ConnRate", "MRP", U32, get_connection_rate),
	N("ConnRateLimit", "CLP", U32, NULL),
	N("MaxConnRate", "MMP", U32, get_connection_rate_max),
	N("SessRate", "MRP", U32, get_connection_rate),
	N("SessRateLimit", "CLP", U32, NULL),
	N("MaxSessRate", "MMP", U32, get_connection_rate_max),
	N("SslRate", "MRP", U32, NULL),
	N("SslRateLimit", "CLP", U32, NULL),
	N("MaxSslRate", "MMP", U32, NULL),
	N("SslFrontendKeyRate", "MGP", U32, NULL),
	N("SslFrontendMaxKeyRate", "MMP", U32, NULL),
	N("SslFrontendSessionReuse_pct", "MGP", U32, NULL),
	N("SslBackendKeyRate", "MRP", U32, NULL),
	N("SslBackendMaxKeyRate", "MMP", U32, NULL),
	N("SslCacheLookups", "MCP", U32, NULL),
	N("SslCacheMisses", "MCP", U32, NULL),
	N("CompressBpsIn", "MRP", U32, NULL),
	N("CompressBpsOut", "MRP", U32, NULL),
	N("CompressBpsRateLim", "CLP", U32, NULL),
	N("Tasks", "MGP", U32, get_connections_now),
	N("Run_queue", "MGP", U32, NULL),
	N("Idle_pct", "MaP", U32, NULL),
	T("node", "COS", get_node),
	N("Stopping", "MGP", U32, NULL),
	N("Jobs", "MGP", U32, get_connections_now),
	N("Unstoppable Jobs", "MGP", U32, NULL),
	N("Listeners", "MGP", U32, get_listeners),
	N("ActivePeers", "MGP", U32, NULL),
	N("ConnectedPeers", "MGP", U32, NULL),
	N("DroppedLogs", "MGP", U32, get_dropped_logs),
	N("BusyPolling", "MGP", U32, NULL),
	N("FailedResolutions", "MGP", U32, NULL),
	N("TotalBytesOut", "MGP", U64, get_bytes_out),
	N("TotalSplicedBytesOut", "MGP", U64, NULL),
	N("BytesOutRate", "MRP", U64, NULL),
	N("DebugCommandsIssued", "MGP", U32, NULL),
	N("CumRecvLogs", "MCP", U32, NULL),
	T("Build info", "POS", get_version),
	N("Memmax_bytes", "CLP", U64, NULL),
	N("PoolAlloc_bytes", "MGP", U64, get_memory),
	N("PoolUsed_bytes", "MGP", U64, get_memory),
	N("Start_time_sec", "MDP", U32, get_start),
	N("Tainted", "SGP", U32, NULL),
};

static void print_row(struct run *run, const struct info_row *row, enum value_form form, int at)
{
	char text[256];
	struct value value = { .type = row->column.type };

	if (row->text) {
		row->text(text, sizeof(text));
		value.text = text;
	} else if (row->number) {
		value.number = row->number();
	}
	switch (form) {
	case FORM_PLAIN:
		if (row->text)
			run_print(run, "%s: %s\n", row->column.name, text);
		else
			run_print(run, "%s: %llu\n", row->column.name,
				  (unsigned long long)value.number);
		break;
	case FORM_TYPED:
		run_print(run, "%d.%s.1:", at, row->column.name);
		value_typed(run, &row->column, &value);
		run_text(run, STR("\n"));
		break;
	case FORM_JSON:
		run_print(run, "%s{\"field\":{\"pos\":%d,\"name\":\"%s\"},", at ? "," : "[", at,
			  row->column.name);
		value_json(run, &row->column, &value);
		run_text(run, STR("}"));
		break;
	}
}

enum run_step command_show_info(struct run *run)
{
	enum value_form form = FORM_PLAIN;

	for (unsigned i = 0; i < run->args_n; i++) {
		if (str_eq(run->args[i], STR("typed")))
			form = FORM_TYPED;
		else if (str_eq(run->args[i], STR("json")))
			form = FORM_JSON;
	}
	for (int i = 0; i < (int)ARRAY_N(rows); i++)
		print_row(run, &rows[i], form, i);
	if (form == FORM_JSON)
		run_text(run, STR("]\n"));
	return RUN_DONE;
}

enum run_step command_show_version(struct run *run)
{
	return run_message(run, SEVERITY_INFO, "%s", PACKAGE_VERSION);
}

static void print_loop(struct run *run, const char *name, struct loop *loop)
{
	run_print(run, "%s %llu", name, (unsigned long long)atomic_load(&loop->turns));
	for (int i = 0; i < LOOP_LAG_BUCKETS; i++)
		run_print(run, " %llu", (unsigned long long)atomic_load(&loop->lag[i]));
	run_text(run, STR("\n"));
}

enum run_step command_show_loop(struct run *run)
{
	struct traffic *traffic;

	run_text(run, STR("# thread turns"));
	for (int i = 0; i < LOOP_LAG_BUCKETS - 1; i++)
		run_print(run, " <%uus", 16u << i);
	run_text(run, STR(" more\n"));
	for (unsigned i = 0; (traffic = traffic_by_index(i)); i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		print_loop(run, name, &traffic->loop);
	}
	print_loop(run, "control", console_loop());
	return RUN_DONE;
}

enum run_step command_show_activity(struct run *run)
{
	struct traffic *traffic;

	run_text(run, STR("# thread turns connections requests\n"));
	for (unsigned i = 0; (traffic = traffic_by_index(i)); i++) {
		_Atomic uint64_t *block = atomic_load(&process_state.counters.blocks[i]);

		run_print(run, "%u %llu %u %llu\n", i,
			  (unsigned long long)atomic_load(&traffic->loop.turns),
			  (unsigned)atomic_load(&traffic->clients_n),
			  block ? (unsigned long long)block[counter_slots[process_requests]]
				: 0ull);
	}
	return RUN_DONE;
}
