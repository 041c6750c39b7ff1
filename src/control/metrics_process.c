/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/metrics_process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/commands.h"
#include "control/console.h"
#include "session/traffic.h"

void metrics_build(struct metrics *metrics, int arg)
{
	(void)arg;
	metrics_number(metrics, "version=\"" PACKAGE_VERSION "\"", 1);
}

static uint64_t cpu_us(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return 0;
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long size = 0, resident = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
	struct stat st;
	uint64_t n = 0;
	DIR *dir;

	/* Linux 6.2 and newer tell without a walk. */
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", ".." and its own */
}

static uint64_t max_fds(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

static uint64_t threads_n(void)
{
	unsigned n = 0;

	while (traffic_by_index(n))
		n++;
	return n;
}

void metrics_process(struct metrics *metrics, int number)
{
	int64_t started_ms = process_state.started_unix_ms,
		uptime_ms = clock_unix_ms() - started_ms;

	switch ((enum metrics_process_number)number) {
	case PROCESS_START:
		metrics_seconds(metrics, "", (uint64_t)started_ms * 1000);
		break;
	case PROCESS_UPTIME:
		metrics_seconds(metrics, "", uptime_ms > 0 ? (uint64_t)uptime_ms * 1000 : 0);
		break;
	case PROCESS_CPU:
		metrics_seconds(metrics, "", cpu_us());
		break;
	case PROCESS_MEMORY:
		metrics_number(metrics, "", resident_bytes());
		break;
	case PROCESS_OPEN_FDS:
		metrics_number(metrics, "", open_fds());
		break;
	case PROCESS_MAX_FDS:
		metrics_number(metrics, "", max_fds());
		break;
	case PROCESS_MAX_CONNECTIONS:
		metrics_number(metrics, "", process_state.max_connections);
		break;
	case PROCESS_THREADS:
		metrics_number(metrics, "", threads_n());
		break;
	case PROCESS_RELOAD_OK:
		metrics_number(metrics, "", !process_state.has_reload_failed);
		break;
	case PROCESS_RELOAD_TIME:
		metrics_seconds(metrics, "",
				(uint64_t)(process_state.config_read_unix_ms
						   ? process_state.config_read_unix_ms
						   : started_ms) *
					1000);
		break;
	}
}

void metrics_loop(struct metrics *metrics, int arg)
{
	struct loop *loop = metrics->object.loop;
	uint32_t bounds_us[LOOP_LAG_BUCKETS - 1];
	uint64_t counts[LOOP_LAG_BUCKETS];

	(void)arg;
	for (unsigned i = 0; i < LOOP_LAG_BUCKETS; i++) {
		counts[i] = atomic_load_explicit(&loop->lag[i], memory_order_relaxed);
		if (i < LOOP_LAG_BUCKETS - 1)
			bounds_us[i] = 16u << i;
	}
	metrics_histogram(
		metrics, "",
		&(struct metrics_histogram){
			.bounds_us = bounds_us,
			.bounds_n = LOOP_LAG_BUCKETS - 1,
			.counts = counts,
			.sum_us = atomic_load_explicit(&loop->busy_us, memory_order_relaxed),
		});
}

enum run_step command_show_metrics(struct run *run)
{
	enum metrics_format format = str_eq(run_arg(run, 0), STR("openmetrics"))
					     ? METRICS_OPENMETRICS
					     : METRICS_PROMETHEUS;

	return metrics_write(&run->console->out, run->at, format);
}
