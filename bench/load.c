/* SPDX-License-Identifier: MIT */
/*
 * load - clients and servers for a proxy between them, in one process and one epoll set that spins:
 * the proxy never pays for waking a peer that sleeps, and its processor time is read at the borders
 * of the measured window.
 *
 *	bench_load -a 127.0.0.1:8000 -o 127.0.0.1:9001 -P PID [option...]
 *
 *	-a ADDR		the proxy: 1.2.3.4:80 or unix:/path
 *	-o ADDR		a server of ours for the proxy, up to 16; body and ids tell them apart
 *	-P PID		a process of the proxy, with those below it (again for more)
 *	-m MODE		keep    requests on kept connections (the default)
 *			close   a connection for each; latency from before the connect
 *			ws      echo of messages of -s BYTES (64), upgraded connections
 *			idle    open, one request each (-U: an upgrade), hold; prints "ready"
 *			origin  the servers alone, until SIGTERM
 *	-c N		connections (64)
 *	-p PATH		/1024: so many bytes of answer (the default)
 *	-w, -d SECONDS	warm-up (0.2) and window (1)
 *	-n N		so many requests at most
 *	-R RATE		open loop: so many requests a second, at fixed instants.
 *			A latency counts from the instant at which the request was due,
 *			also when no connection was free then: what a stall holds up is
 *			seen (no coordinated omission)
 *	-i SECONDS	also a line for each such interval:
 *			at=, requests=, p50_us= ... max_us=, failed=
 *	-t, -2, -r	TLS 1.3; TLS 1.2 instead; resume
 *	-b		close: do not say "Connection: close", but close when the answer
 *			is there
 *	-k		cookies: Set-Cookie comes back with each later request; astray=
 *			counts answers of another server than before
 *	-E WHAT		Engine.IO: fill (handshakes), ask (ids 0, 1, 2 ... one after the
 *			other), poll (random ids); astray= counts requests that came to
 *			another server than their handshake
 *	-N N, -F FILE	how many ids there are; whose they are, between runs
 *	-S		sleep in epoll_wait
 *
 * Prints one line of key=value.  cpu_us: processor time of the proxy for a request; cpu_s_per_gb:
 * for 10^9 bytes of bodies; wait_pct, load_wait_pct, steal_pct: shares of the window in which the
 * proxy, the load or the machine waited for a processor that others had; busy_pct: share in which
 * the load had something to do; failed: the sum of the kinds that follow it.
 */
#include "config.h"

#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH 512

struct options opt = {
	.conns = 64, .path = "/1024", .seconds = 1, .warm_seconds = 0.2, .ws_bytes = 64
};
struct tally tally;
int epoll;
char room[ROOM + 1];

static volatile sig_atomic_t stop;
static uint64_t idle_ns; /* of the loop, with nothing to do */

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static double seconds_parse(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || seconds < 0 || seconds > 86400)
		die(text, "not a number of seconds");
	return seconds;
}

static unsigned word_parse(const char *text, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	die(text, "no such word");
}

/* Those that are a word, a number of seconds, or true by being there. */
static bool plain_take(int letter, const char *text)
{
	const struct {
		int letter;
		bool *to;
	} flags[] = { { 't', &opt.tls },    { '2', &opt.tls12 },   { 'r', &opt.resume },
		      { 'b', &opt.bare },   { 'k', &opt.cookies }, { 'S', &opt.sleep },
		      { 'U', &opt.upgrade } };
	const struct {
		int letter;
		double *to;
	} spans[] = { { 'w', &opt.warm_seconds },
		      { 'd', &opt.seconds },
		      { 'i', &opt.interval_seconds } };

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].letter == letter) {
			*flags[i].to = true;
			return true;
		}
	}
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		if (spans[i].letter == letter) {
			*spans[i].to = seconds_parse(text);
			return true;
		}
	}
	return false;
}

static void option_take(int letter, const char *text)
{
	static const char *const modes[] = { "keep", "close", "ws", "idle", "origin" };
	static const char *const engines[] = { "none", "fill", "ask", "poll" };

	if (plain_take(letter, text))
		return;
	if (letter == 'a')
		address_parse(text, &opt.target);
	else if (letter == 'o' && opt.origins_n < ORIGINS_MAX)
		address_parse(text, &opt.origins[opt.origins_n++]);
	else if (letter == 'P')
		watch_pids((int)number_parse(text, 1 << 30));
	else if (letter == 'm')
		opt.mode = (enum mode)word_parse(text, modes, MODE_N);
	else if (letter == 'E')
		opt.engine = (enum engine)word_parse(text, engines, 4);
	else if (letter == 'c')
		opt.conns = (unsigned)number_parse(text, 1000000);
	else if (letter == 'p')
		opt.path = text;
	else if (letter == 'n')
		opt.most = number_parse(text, UINT64_MAX);
	else if (letter == 'N')
		opt.sids = (unsigned)number_parse(text, SIDS_MAX);
	else if (letter == 'F')
		opt.sids_file = text;
	else if (letter == 'R')
		opt.rate = number_parse(text, 10000000);
	else if (letter == 's')
		opt.ws_bytes = (unsigned)number_parse(text, 125);
	else
		die("usage", "see the top of bench/load.c");
}

static uint64_t tally_failed(const struct tally *t)
{
	return t->connect + t->reset + t->cut + t->status + t->length + t->tls + t->astray +
	       t->stuck;
}

/* What came between BEFORE and AFTER. */
static struct tally tally_between(const struct tally *before, const struct tally *after)
{
	struct tally d;
	const uint64_t *a = (const uint64_t *)after, *b = (const uint64_t *)before;
	uint64_t *to = (uint64_t *)&d;

	for (size_t i = 0; i < sizeof(d) / sizeof(*to); i++)
		to[i] = a[i] - b[i];
	return d;
}

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static void quantiles_print(const struct hist *h)
{
	printf("p50_us=%.1f p90_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f",
	       us(hist_quantile(h, 0.5)), us(hist_quantile(h, 0.9)), us(hist_quantile(h, 0.99)),
	       us(hist_quantile(h, 0.999)), us(h->max));
}

static void tally_print(const struct tally *t)
{
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "failed", tally_failed(t) },
		{ "connect", t->connect },
		{ "reset", t->reset },
		{ "cut", t->cut },
		{ "status", t->status },
		{ "length", t->length },
		{ "tls", t->tls },
		{ "astray", t->astray },
		{ "stuck", t->stuck },
		{ "idle_closed", t->idle_closed },
		{ "opened", t->opened },
		{ "handshakes", t->handshakes },
		{ "resumed", t->resumed },
		{ "made", t->made },
		{ "bytes", t->bytes },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		printf(" %s=%" PRIu64, all[i].name, all[i].value);
}

static void report(const struct tally *t, const struct watch *a, const struct watch *b)
{
	double span = (double)(b->at - a->at), cpu = (double)(b->cpu - a->cpu);
	double requests = t->requests != 0 ? (double)t->requests : 1;
	double bytes = t->bytes != 0 ? (double)t->bytes : 1;

	printf("secs=%.3f requests=%" PRIu64 " rps=%.0f cpu_us=%.3f cpu_s_per_gb=%.4f mbps=%.1f ",
	       span / 1e9, t->requests, (double)t->requests * 1e9 / span, cpu / 1000 / requests,
	       cpu / bytes, (double)t->bytes * 1000 / span);
	printf("cpu_pct=%.1f busy_pct=%.1f wait_pct=%.1f load_wait_pct=%.1f steal_pct=%.1f ",
	       100 * cpu / span, 100 - 100 * (double)(b->idle - a->idle) / span,
	       100 * (double)(b->wait - a->wait) / span,
	       100 * (double)(b->self_wait - a->self_wait) / span,
	       100 * (double)(b->steal - a->steal) / span);
	quantiles_print(&latency);
	tally_print(t);
	printf("\n");
}

/* Prints and begins a new interval when one is over. */
static void interval(uint64_t began, uint64_t now)
{
	static uint64_t next, failed, requests;
	uint64_t every = (uint64_t)(opt.interval_seconds * 1e9);

	if (next == 0)
		next = began + every;
	if (now < next)
		return;
	printf("at=%.3f requests=%" PRIu64 " failed=%" PRIu64 " ", (double)(now - began) / 1e9,
	       tally.requests - requests, tally_failed(&tally) - failed);
	quantiles_print(&latency_interval);
	printf("\n");
	fflush(stdout);
	memset(&latency_interval, 0, sizeof(latency_interval));
	requests = tally.requests;
	failed = tally_failed(&tally);
	next += every;
}

/* Milliseconds that epoll_wait may sleep until AT. */
static int patience(uint64_t at, uint64_t now)
{
	uint64_t due = clients_due();

	if (!opt.sleep)
		return 0;
	if (due != 0 && due < at)
		at = due;
	return at <= now ? 0 : (int)((at - now) / 1000000);
}

/* One batch of events; returns the time after it. */
static uint64_t turn(uint64_t until, uint64_t now)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(epoll, events, BATCH, patience(until, now));
	uint64_t after = now_ns();

	if (n <= 0)
		idle_ns += after - now;
	for (int i = 0; i < n; i++) {
		struct source *source = events[i].data.ptr;

		source->on_event(source, events[i].events);
	}
	if (opt.mode != MODE_ORIGIN)
		clients_after_batch(after);
	return n > 0 ? now_ns() : after;
}

static bool is_over(void)
{
	return stop || (opt.most != 0 && tally.requests + tally_failed(&tally) >= opt.most);
}

/* Most of the connections have yet to be opened: the warm-up goes on, for ten seconds at most. */
static bool is_cold(uint64_t now, uint64_t until)
{
	return opt.warm_seconds > 0 && tally.requests + tally_failed(&tally) < opt.conns &&
	       now < until + 10 * SECOND;
}

static void measure(void)
{
	uint64_t now = now_ns(), began = now, until = began + (uint64_t)(opt.warm_seconds * 1e9);
	struct tally before, d;
	struct watch a, b;

	while ((now < until || is_cold(now, until)) && !is_over())
		now = turn(now < until ? until : now + SECOND / 100, now);
	before = tally;
	memset(&latency, 0, sizeof(latency));
	watch_read(&a);
	a.idle = idle_ns;
	now = now_ns();
	until = now + (uint64_t)(opt.seconds * 1e9);
	while (now < until && !is_over()) {
		now = turn(until, now);
		if (opt.interval_seconds > 0)
			interval(began, now);
	}
	watch_read(&b);
	b.idle = idle_ns;
	clients_stuck(now);
	d = tally_between(&before, &tally);
	report(&d, &a, &b);
}

/* Opens, says so, and holds until a signal or the end of the window. */
static void hold(void)
{
	uint64_t now = now_ns(), until = now + (uint64_t)(opt.seconds * 1e9);
	bool said = false;

	opt.sleep = true;
	while (now < until && !stop) {
		now = turn(until, now);
		if (!said && clients_held() + tally_failed(&tally) >= opt.conns) {
			printf("ready=1 held=%u", clients_held());
			tally_print(&tally);
			printf("\n");
			fflush(stdout);
			said = true;
		}
	}
	if (!said)
		die("idle", "not all connections came up in time");
}

static uint8_t *owners_map(void)
{
	uint8_t *map;
	int fd;

	if (opt.engine == ENGINE_NONE)
		return NULL;
	if (opt.sids == 0 || opt.sids_file == NULL)
		die("-E", "needs -N and -F");
	fd = open(opt.sids_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, opt.sids) != 0)
		die(opt.sids_file, strerror(errno));
	map = mmap(NULL, opt.sids, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die(opt.sids_file, strerror(errno));
	close(fd);
	return map;
}

int main(int argc, char **argv)
{
	struct sigaction on_end = { .sa_handler = on_signal };
	struct rlimit files;
	int letter;

	while ((letter = getopt(argc, argv, "a:o:P:m:E:c:p:w:d:i:n:N:F:R:s:t2rbkSU")) != -1)
		option_take(letter, optarg);
	if (opt.mode != MODE_ORIGIN && opt.target.length == 0)
		die("-a", "is needed");
	if (opt.conns == 0 || optind != argc)
		die("usage", "see the top of bench/load.c");
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &on_end, NULL);
	sigaction(SIGINT, &on_end, NULL);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (opt.tls)
		tls_setup();
	origins_open(owners_map());
	if (opt.mode == MODE_ORIGIN) {
		opt.sleep = true;
		for (uint64_t now = now_ns(); !stop;)
			now = turn(now + SECOND, now);
		return 0;
	}
	clients_open();
	if (opt.mode == MODE_IDLE)
		hold();
	else
		measure();
	return 0;
}
