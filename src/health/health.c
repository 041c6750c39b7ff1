/* SPDX-License-Identifier: MIT */
/*
 * health - when checks run, and what follows from them.
 *
 * Which there are: check_list.c.  What traffic tells: passive.c.  The operator's switches:
 * switches.c.  Agents: agent.c.  Shared with traffic threads: health_flags[]; one static mail
 * carries any number of pokes.
 */
#include "config.h"

#include "health/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "health/check.h"

#define FIRST_WITHIN_MS      100
#define GRID_MAX_MS          50
#define PROBE_TIMEOUT_MS     SEC(1)
#define BACKOFF_BORN_MS      5
#define BACKOFF_DEAD_MS      20
#define BACKOFF_MAX_MS       SEC(1)
#define FALLBACK_INTERVAL_MS SEC(2)

_Atomic unsigned char health_flags[SERVERS_MAX];

static struct {
	struct loop *loop; /* NULL = not running */
	uint64_t random;
	struct mail poke_mail;
	atomic_bool is_poke_posted;
} health;

struct loop *check_loop(void)
{
	return health.loop;
}

int64_t check_random_up_to(int64_t max)
{
	health.random ^= health.random << 13;
	health.random ^= health.random >> 7;
	health.random ^= health.random << 17;
	return max > 0 ? (int64_t)(health.random % (uint64_t)(max + 1)) : 0;
}

int64_t check_spread(int64_t interval_ms, unsigned spread_pct)
{
	int64_t spread_ms = interval_ms * spread_pct / 100;

	return interval_ms - spread_ms + check_random_up_to(2 * spread_ms);
}

/* Checks that are due at nearly the same time share a turn of the loop: it costs a wake-up less. */
static int64_t rounded(int64_t in_ms)
{
	int64_t grid_ms = in_ms / 25;
	int64_t at_ms = clock_ms() + in_ms;

	if (grid_ms > GRID_MAX_MS)
		grid_ms = GRID_MAX_MS;
	return grid_ms > 1 ? at_ms - at_ms % grid_ms + grid_ms / 2 : at_ms;
}

static bool is_down(const struct server *server)
{
	return server_state(server) & SERVER_DOWN;
}

/* Down or sick: it takes good checks to come back. */
static bool is_out(const struct server *server)
{
	return server_state(server) & (SERVER_DOWN | SERVER_SICK);
}

enum check_kind check_kind(const struct check *check)
{
	return check->is_disabled ? CHECK_NONE : check->backend->health.kind;
}

/* Checks say nothing of the process that traffic talks to. */
static bool is_elsewhere(const struct check *check)
{
	return !sock_addr_eq(&check->addr, &check->target);
}

/* The process is gone. */
static void mark_dead(struct server *server, const char *why)
{
	server_set_state(server, SERVER_DOWN, 0, why);
	if (flag_set(server, FLAG_DEAD))
		server_new_generation(server);
}

void check_mark_up(struct check *check, const char *why)
{
	struct server *server = check->server;

	check->is_newborn = false;
	check->is_stale_told = false;
	check->is_forced_down = false;
	check->backoff_ms = 0;
	check->info.successes = check->info.failures = 0;
	atomic_store(&server->failures, 0);
	flag_clear(server, FLAG_DEAD);
	server_set_state(server, 0, SERVER_DOWN | SERVER_SICK, why);
	/* A traffic thread was refused between the two: its word is the newer one. */
	if (flag_is_set(server, FLAG_DEAD))
		server_set_state(server, SERVER_DOWN, 0, "connection refused");
}

static int64_t interval_of(const struct check *check)
{
	const struct health_conf *conf = &check->backend->health;
	bool down = is_out(check->server);
	int64_t ms = conf->interval_ms;

	if ((down ? check->info.successes : check->info.failures) ||
	    flag_is_set(check->server, FLAG_SUSPECT))
		ms = conf->fast_interval_ms ? conf->fast_interval_ms : ms;
	else if (down)
		ms = conf->down_interval_ms ? conf->down_interval_ms : ms;
	return ms > 0 ? ms : FALLBACK_INTERVAL_MS;
}

static void wait_backoff(struct check *check, int64_t first_ms)
{
	check->backoff_ms = check->backoff_ms ? check->backoff_ms * 2 : first_ms;
	if (check->backoff_ms > BACKOFF_MAX_MS)
		check->backoff_ms = BACKOFF_MAX_MS;
	loop_timer_in(health.loop, &check->timer, check->backoff_ms);
}

static void tell_stale(struct check *check)
{
	char text[ADDR_TEXT_SIZE];

	if (check->is_stale_told || check->backoff_ms < BACKOFF_MAX_MS)
		return;
	check->is_stale_told = true;
	sock_addr_text(&check->addr, text);
	log_warn("server %s/%s: nobody listens on %s; it stays down until somebody does",
		 check->server->backend->name, check->server->name, text);
}

void check_schedule(struct check *check)
{
	int64_t interval_ms;

	if (check->is_newborn && is_down(check->server)) {
		tell_stale(check);
		wait_backoff(check, BACKOFF_BORN_MS);
		return;
	}
	check->is_newborn = false;
	if (check_kind(check) == CHECK_NONE) {
		if (!is_down(check->server) || check->is_forced_down)
			timer_stop(&check->timer);
		else
			wait_backoff(check, flag_is_set(check->server, FLAG_DEAD) ? BACKOFF_DEAD_MS
										  : BACKOFF_MAX_MS);
		return;
	}
	interval_ms = interval_of(check);
	/* After the first, which all ran together, anywhere in the interval. */
	if (check->info.checks_n == 1)
		interval_ms -= check_random_up_to(interval_ms * 9 / 10);
	else
		interval_ms = check_spread(interval_ms, check->backend->health.spread_pct);
	timer_set(&health.loop->wheel, &check->timer, rounded(interval_ms));
}

void check_schedule_soon(struct check *check)
{
	if (exchange_is_idle(&check->exchange))
		loop_timer_in(health.loop, &check->timer, check_random_up_to(FIRST_WITHIN_MS - 1));
}

static void plan(struct check *check)
{
	const struct health_conf *conf = &check->backend->health;
	struct exchange *exchange = &check->exchange;

	check->now = check->is_probe ? check->addr : check->target;
	exchange->addr = &check->now;
	exchange->conf = conf;
	exchange->timeout_ms =
		check->is_probe || conf->timeout_ms <= 0 ? PROBE_TIMEOUT_MS : conf->timeout_ms;
	exchange->send_proxy = conf->has_send_proxy ? check->send_proxy : PROXY_NONE;
	exchange->tls_ctx = check->is_probe ? NULL : check->tls_ctx;
	if (!check->is_probe && conf->kind == CHECK_HTTP)
		exchange->kind = EXCHANGE_HTTP;
	else if (!check->is_probe && (conf->send.len || conf->expect.written.len))
		exchange->kind = EXCHANGE_TEXT;
	else
		exchange->kind = EXCHANGE_CONNECT;
}

static void on_timer(struct timer *timer)
{
	struct check *check = container_of(timer, struct check, timer);
	enum check_kind kind = check_kind(check);
	unsigned state = server_state(check->server);

	if (!exchange_is_idle(&check->exchange))
		return;
	if (state & SERVER_MAINT ||
	    (kind == CHECK_NONE && !(state & (SERVER_DOWN | SERVER_SICK)))) {
		check_schedule(check);
		return;
	}
	check->is_probe = kind == CHECK_NONE || (check->is_newborn && state & SERVER_DOWN) ||
			  (is_elsewhere(check) && flag_is_set(check->server, FLAG_DEAD));
	plan(check);
	exchange_start(&check->exchange);
}

static void succeeded(struct check *check, const char *why)
{
	check->info.failures = 0;
	if (flag_clear(check->server, FLAG_SUSPECT))
		atomic_store(&check->server->failures, 0);
	if (!is_out(check->server))
		return;
	check->info.successes++;
	if (check->is_probe || !check->is_proven ||
	    check->info.successes >= check->backend->health.rise)
		check_mark_up(check, why);
}

static void failed(struct check *check, enum verdict verdict, const char *why)
{
	check->info.successes = 0;
	check->info.failed_n++;
	count(&check->server->counters, server_checks_failed);
	if (verdict == VERDICT_REFUSED && (check->is_probe || !is_elsewhere(check))) {
		mark_dead(check->server, why);
		check->info.failures = 0;
		return;
	}
	if (is_down(check->server))
		return;
	check->info.failures++;
	if (!check->is_proven || check->info.failures >= check->backend->health.fall) {
		check->info.failures = 0;
		server_set_state(check->server, SERVER_DOWN, 0, why);
	}
}

static void on_done(struct exchange *exchange, enum verdict verdict, const char *code,
		    const char *text)
{
	struct check *check = container_of(exchange, struct check, exchange);
	struct health_info *info = &check->info;
	bool was_newborn = check->is_newborn;
	size_t text_len = strnlen(text, sizeof(info->text) - 1);
	char why[160] = "";

	info->code = code;
	memcpy(info->text, text, text_len);
	info->text[text_len] = '\0';
	info->http_status = exchange->http_status;
	info->duration_ms = exchange->duration_ms;
	info->at_ms = clock_ms();
	info->checks_n++;
	if (verdict != VERDICT_NONE)
		count(&check->server->counters, server_checks);
	if (verdict != VERDICT_OK || is_out(check->server))
		snprintf(why, sizeof(why), "%s %s, %s took %lld ms", code, text,
			 check->is_probe ? "probe" : "check", (long long)exchange->duration_ms);
	if (verdict == VERDICT_OK)
		succeeded(check, why);
	else if (verdict != VERDICT_NONE)
		failed(check, verdict, why);
	/* A probe of a newborn that failed proves nothing; nor does one that came through where
	 * a real check is to follow: that first check decides alone. */
	if (verdict != VERDICT_NONE && !was_newborn)
		check->is_proven = true;
	if (was_newborn && !is_down(check->server) && check_kind(check) != CHECK_NONE)
		check_schedule_soon(check);
	else
		check_schedule(check);
}

void check_restart(struct check *check)
{
	exchange_abort(&check->exchange);
	timer_stop(&check->timer);
	if (check_kind(check) != CHECK_NONE)
		check_schedule_soon(check);
	else
		check_schedule(check);
}

struct sock_addr check_target(const struct sock_addr *addr, const struct retarget *retarget,
			      const struct ip_addr *ip, uint32_t port)
{
	struct ip_addr to = sock_addr_ip(addr);
	struct sock_addr target;

	if (retarget->ip.family != AF_UNSPEC)
		ip = &retarget->ip;
	if (retarget->port)
		port = retarget->port;
	if (!port && (ip->family == AF_UNSPEC || sock_addr_is_unix(addr)))
		return *addr;
	if (!port)
		port = to.port;
	if (ip->family != AF_UNSPEC)
		to = *ip;
	else if (to.family == AF_UNSPEC)
		to = (struct ip_addr){ .ip = { 127, 0, 0, 1 }, .family = AF_INET };
	to.port = (uint16_t)port;
	sock_addr_from_ip(&target, &to);
	return target;
}

void check_init(struct check *check)
{
	check->info.code = "";
	check->info.duration_ms = -1;
	timer_init(&check->timer, on_timer);
	exchange_init(&check->exchange, health.loop);
	check->exchange.on_done = on_done;
}

static void poke(struct server *server)
{
	struct check *check = is_out(server) ? check_of(server) : server->check;

	if (!check || !exchange_is_idle(&check->exchange))
		return;
	check->backoff_ms = 0;
	if (check_kind(check) == CHECK_NONE || check->is_newborn)
		check_schedule(check);
	else
		loop_timer_in(health.loop, &check->timer, 1);
}

static void on_poke(struct mail *mail)
{
	(void)mail;
	atomic_store(&health.is_poke_posted, false);
	if (!health.loop)
		return;
	for (uint32_t i = 0; i < servers_n(); i++) {
		struct server *server = server_by_number(i);

		if (flag_is_set(server, FLAG_POKED) && flag_clear(server, FLAG_POKED))
			poke(server);
	}
}

void health_poke(struct server *server)
{
	struct loop *loop = health.loop;

	flag_set(server, FLAG_POKED);
	if (loop && !atomic_exchange(&health.is_poke_posted, true))
		loop_post(loop, &health.poke_mail, on_poke);
}

void health_init(struct loop *loop)
{
	check_list_init();
	health.random = (uint64_t)clock_now_us() | 1;
	health.loop = loop;
}

void health_fini(void)
{
	if (!health.loop)
		return;
	check_list_fini();
	health.loop = NULL;
}
