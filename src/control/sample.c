/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/sample.h"

#include <stdlib.h>

#include "balance/lb.h"
#include "base/mem.h"
#include "session/traffic.h"

#define PIECE 16 /* samples in one */

/* Made when something has happened to the object: of most servers of a large file nothing has. */
struct samples {
	struct sample **pieces; /* (own) each NULL until needed */
	uint32_t n;
};

static struct loop *the_loop;
static struct timer timer;
static struct sample process;
static struct sample_tls tls;
static struct samples proxies; /* by id */
static struct samples servers; /* by number */

/* NULL: there is none yet. */
static struct sample *sample_find(const struct samples *samples, uint32_t i)
{
	uint32_t piece = i / PIECE;

	return piece < samples->n && samples->pieces[piece] ? &samples->pieces[piece][i % PIECE]
							    : NULL;
}

static struct sample *sample_at(struct samples *samples, uint32_t i)
{
	uint32_t piece = i / PIECE;

	if (piece >= samples->n) {
		uint32_t n = samples->n ? samples->n : 16;

		while (n <= piece)
			n *= 2;
		samples->pieces = xrealloc_array(samples->pieces, n, sizeof(struct sample *));
		memset(samples->pieces + samples->n, 0, (n - samples->n) * sizeof(struct sample *));
		samples->n = n;
	}
	if (!samples->pieces[piece])
		samples->pieces[piece] = xcalloc(PIECE, sizeof(struct sample));
	return &samples->pieces[piece][i % PIECE];
}

const struct sample *sample_process(void)
{
	return &process;
}

const struct sample_tls *sample_tls(void)
{
	return &tls;
}

static void raise_max(uint32_t *max, uint64_t value)
{
	if (value > *max)
		*max = (uint32_t)value;
}

const struct sample *sample_frontend(const struct frontend_state *frontend)
{
	struct sample *sample = sample_at(&proxies, frontend->id);

	raise_max(&sample->open_max, atomic_load(&frontend->used_max));
	return sample;
}

const struct sample *sample_backend(const struct backend_state *backend)
{
	struct sample *sample = sample_at(&proxies, backend->id);
	struct srvset *set = atomic_load(&backend->set);

	/* At least as many as any of its servers had at once. */
	for (uint32_t i = 0; set && i < set->members_n; i++)
		raise_max(&sample->open_max, atomic_load(&set->members[i].server->used_max));
	return sample;
}

/* Nothing has ever happened to it: it needs no sample. */
static bool is_untouched(const struct server *server)
{
	return !sample_find(&servers, server->number) && !counters_are_touched(&server->counters) &&
	       !atomic_load(&server->used_max) && !(server_state(server) & SERVER_DOWN);
}

const struct sample *sample_server(const struct server *server)
{
	static const struct sample untouched = { .is_known = true };
	struct sample *sample;

	if (is_untouched(server))
		return &untouched;
	sample = sample_at(&servers, server->number);
	raise_max(&sample->open_max, atomic_load(&server->used_max));
	return sample;
}
/* An object that is met first was made since the last sample. */
static void take_rate(struct sample_rate *rate, uint64_t value)
{
	/* Counters may have been cleared. */
	rate->now = value > rate->last ? (uint32_t)(value - rate->last) : 0;
	rate->last = value;
	if (rate->now > rate->max)
		rate->max = rate->now;
}

/* Adds what SERVER had counted at its own sample, just now. */
static void add_times(const struct server *server, uint64_t *requests, uint64_t us[SPENT_N])
{
	const struct sample *sample = sample_find(&servers, server->number);
	const struct sample_times *times;

	if (!sample)
		return;
	times = &sample->times;
	*requests += times->requests_last;
	for (int i = 0; i < SPENT_N; i++)
		us[i] += times->us_last[i];
}

/* Requests since the last sample push as many of the oldest out of the averages. */
static void take_times(struct sample_times *times, uint64_t requests, const uint64_t us[SPENT_N])
{
	bool is_cleared = requests < times->requests_last;
	uint64_t n = requests - (is_cleared ? 0 : times->requests_last);

	if (n) {
		uint64_t share = n < 1024 ? n : 1024;

		times->seen = times->seen + share < 1024 ? times->seen + (uint32_t)share : 1024;
		for (int i = 0; i < SPENT_N; i++) {
			uint64_t last =
				is_cleared || us[i] < times->us_last[i] ? 0 : times->us_last[i];
			uint64_t average_us = (us[i] - last) / n;

			times->average_us[i] = (times->average_us[i] * (times->seen - share) +
						average_us * share) /
					       times->seen;
		}
	}
	times->requests_last = requests;
	memcpy(times->us_last, us, sizeof(times->us_last));
}

static void take_frontend(struct frontend_state *frontend)
{
	struct sample *sample = sample_at(&proxies, frontend->id);
	const struct counters *c = &frontend->counters;

	take_rate(&sample->connections, counters_sum(c, frontend_connections));
	take_rate(&sample->requests, counters_sum(c, frontend_requests));
	raise_max(&sample->open_max, counters_sum(c, frontend_connections_now));
	sample->is_known = true;
}

static void take_server(const struct server *server)
{
	struct sample *sample;
	uint64_t us[SPENT_N];

	if (is_untouched(server))
		return;
	sample = sample_at(&servers, server->number);
	take_rate(&sample->requests, counters_sum(&server->counters, server_requests));
	raise_max(&sample->open_max, atomic_load(&server->used));
	for (int i = 0; i < SPENT_N; i++)
		us[i] = counters_sum(&server->counters, server_queue_us + i);
	take_times(&sample->times, counters_sum(&server->counters, server_timed_requests), us);
	if (server_state(server) & SERVER_DOWN)
		sample->down_s++;
	sample->is_known = true;
}

static void take_backend(struct backend_state *backend)
{
	struct sample *sample = sample_at(&proxies, backend->id);
	struct srvset *set = srvset_of(backend);
	bool is_up = set && lb_has_ready(set);
	uint64_t used = 0, timed = 0, us[SPENT_N] = { 0 };

	take_rate(&sample->requests, counters_sum(&backend->counters, backend_requests));
	for (uint32_t i = 0; set && i < set->members_n; i++) {
		used += atomic_load(&set->members[i].server->used);
		add_times(set->members[i].server, &timed, us);
	}
	take_times(&sample->times, timed, us);
	raise_max(&sample->open_max, used);
	raise_max(&sample->queue_max, counters_sum(&backend->counters, backend_queued_now));
	if (!sample->is_known || is_up != sample->is_up) {
		sample->changed_ms = clock_ms();
		if (sample->is_known && !is_up)
			sample->downs++;
	}
	sample->is_up = is_up;
	if (!is_up)
		sample->down_s++;
	sample->is_known = true;
}

/* What is summed up over frontends and threads. */
static void take_process(void)
{
	uint64_t bytes_out = 0, busy_us = 0;
	struct traffic *traffic;

	for (struct frontend_state *f = frontend_state_first(); f; f = f->next)
		bytes_out += counters_sum(&f->counters, frontend_bytes_out);
	for (unsigned i = 0; (traffic = traffic_by_index(i)); i++)
		busy_us += atomic_load(&traffic->loop.busy_us);
	take_rate(&process.bytes_out, bytes_out);
	take_rate(&process.busy_us, busy_us);
}

static void take_tls(void)
{
	uint64_t handshakes = 0, resumed = 0, server_keys = 0;

	for (struct frontend_state *f = frontend_state_first(); f; f = f->next) {
		handshakes += counters_sum(&f->counters, frontend_tls_handshakes);
		resumed += counters_sum(&f->counters, frontend_tls_resumed);
	}
	for (uint32_t i = 0; i < servers_n(); i++) {
		const struct counters *c = &server_by_number(i)->counters;

		server_keys += counters_sum(c, server_tls_handshakes) -
			       counters_sum(c, server_tls_resumed);
	}
	take_rate(&tls.handshakes, handshakes);
	take_rate(&tls.keys, handshakes - resumed);
	take_rate(&tls.server_keys, server_keys);
}

static void sample_take(void)
{
	take_process();
	take_tls();
	take_rate(&process.connections, counters_sum(&process_state.counters, process_connections));
	take_rate(&process.requests, counters_sum(&process_state.counters, process_requests));
	for (struct frontend_state *f = frontend_state_first(); f; f = f->next)
		take_frontend(f);
	for (uint32_t i = 0; i < servers_n(); i++)
		take_server(server_by_number(i));
	for (struct backend_state *b = backend_state_first(); b; b = b->next)
		take_backend(b);
}

static void on_second(struct timer *t)
{
	sample_take();
	loop_timer_in(the_loop, t, SEC(1));
}

void sample_start(struct loop *loop)
{
	the_loop = loop;
	timer_init(&timer, on_second);
	loop_timer_in(loop, &timer, SEC(1));
	sample_take();
}

static void samples_free(struct samples *samples)
{
	for (uint32_t i = 0; i < samples->n; i++)
		free(samples->pieces[i]);
	free(samples->pieces);
	*samples = (struct samples){ 0 };
}

void sample_stop(void)
{
	if (!the_loop)
		return;
	timer_fini(&the_loop->wheel, &timer);
	the_loop = NULL;
	samples_free(&proxies);
	samples_free(&servers);
	process = (struct sample){ 0 };
	tls = (struct sample_tls){ 0 };
}

static void clear(struct sample *sample, bool all)
{
	sample->connections.max = sample->requests.max = 0;
	sample->open_max = sample->queue_max = 0;
	if (all)
		sample->down_s = sample->downs = 0;
}

static void clear_all(struct samples *samples, bool all)
{
	for (uint32_t i = 0; i < samples->n; i++)
		for (uint32_t k = 0; samples->pieces[i] && k < PIECE; k++)
			clear(&samples->pieces[i][k], all);
}

void sample_clear(bool all)
{
	clear(&process, all);
	tls.handshakes.max = tls.keys.max = tls.server_keys.max = 0;
	clear_all(&proxies, all);
	clear_all(&servers, all);
	for (struct frontend_state *f = frontend_state_first(); f; f = f->next)
		atomic_store(&f->used_max, atomic_load(&f->used));
	for (uint32_t i = 0; i < servers_n(); i++) {
		struct server *server = server_by_number(i);

		atomic_store(&server->used_max, atomic_load(&server->used));
		for (int which = 0; which < SPENT_N; which++)
			atomic_store(&server->longest_us[which], 0);
	}
}
