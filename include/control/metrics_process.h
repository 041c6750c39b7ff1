/* SPDX-License-Identifier: MIT */
/* metrics_process - writers of the families of the process and its threads. */
#ifndef CONTROL_METRICS_PROCESS_H
#define CONTROL_METRICS_PROCESS_H

#include "control/metrics_family.h"

enum metrics_process_number {
	PROCESS_START,
	PROCESS_UPTIME,
	PROCESS_CPU,
	PROCESS_MEMORY,
	PROCESS_OPEN_FDS,
	PROCESS_MAX_FDS,
	PROCESS_MAX_CONNECTIONS,
	PROCESS_THREADS,
	PROCESS_RELOAD_OK,
	PROCESS_RELOAD_TIME
};

void metrics_build(struct metrics *metrics, int arg);
void metrics_process(struct metrics *metrics, int number);
void metrics_loop(struct metrics *metrics, int arg);

#endif
