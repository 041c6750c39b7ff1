/* SPDX-License-Identifier: MIT */
/*
 * sample - rates and maxima: what counters alone do not tell.  Taken once a second on the control
 * thread, for each frontend, backend, server and the process.
 */
#ifndef CONTROL_SAMPLE_H
#define CONTROL_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "model/server.h"

struct sample_rate {
	uint64_t last;     /* the counter at the last sample */
	uint32_t now, max; /* per second */
};

/* TLS of the process. A key is made by each handshake that resumes nothing. */
struct sample_tls {
	struct sample_rate handshakes; /* with clients */
	struct sample_rate keys, server_keys;
};

/* Averages over about the last 1024 requests; servers and backends. */
struct sample_times {
	uint64_t requests_last, us_last[SPENT_N]; /* the counters at the last sample */
	uint32_t seen;                            /* requests in the averages, 1024 at most */
	uint64_t average_us[SPENT_N];
};

struct sample {
	struct sample_rate connections; /* of frontends and the process */
	struct sample_rate requests;
	struct sample_rate bytes_out; /* of the process, to clients */
	struct sample_rate busy_us;   /* of the process: of all traffic threads together */
	struct sample_times times;
	uint32_t open_max;  /* connections of a frontend; slots used of a server or backend */
	uint32_t queue_max; /* backends */
	uint32_t down_s;    /* seconds spent down; servers and backends */
	uint32_t downs;     /* backends: times that the last ready server went */
	int64_t changed_ms; /* backends: when that was, or its opposite; monotonic */
	bool is_known, is_up;
};

void sample_start(struct loop *loop);
void sample_stop(void);

/* Never NULL; until the next call or sample. */
const struct sample *sample_process(void);
const struct sample_tls *sample_tls(void);
const struct sample *sample_frontend(const struct frontend_state *frontend);
const struct sample *sample_backend(const struct backend_state *backend);
const struct sample *sample_server(const struct server *server);
/* Forgets the maxima, and with ALL the times spent down too. */
void sample_clear(bool all);

#endif
