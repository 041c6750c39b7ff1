/* SPDX-License-Identifier: MIT */
/*
 * health - when checks run, and what follows from them.
 *
 * Shared with traffic threads: flags[], two bits for each server number.  FLAG_DEAD says that the
 * death of its process has been told (server_new_generation()); whoever sets it tells, so it is
 * told once.  It is cleared on the control thread when the server comes up.  FLAG_POKED asks the
 * control thread to run its check now; one static mail carries any number of them.
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

#define RUNNING_MAX          256
#define FIRST_WITHIN_MS      100
#define BACKOFF_BORN_MS      5
#define BACKOFF_DEAD_MS      20
#define BACKOFF_MAX_MS       SEC(1)
#define FALLBACK_INTERVAL_MS SEC(2)

enum { FLAG_DEAD = 1, FLAG_POKED = 2 };

static _Atomic unsigned char flags[SERVERS_MAX];

static struct {
	struct loop *loop;     /* NULL = not running */
	struct config *config; /* (ref) what the checks point into */
	struct list checks;
	struct list queue; /* CHECK_QUEUED, oldest first */
	unsigned running_n;
	uint64_t random;
	struct mail poke_mail;
	atomic_bool is_poke_posted;
} health;

static bool flag_set(const struct server *server, unsigned char flag)
{
	return !(atomic_fetch_or(&flags[server->number], flag) & flag);
}

static bool flag_clear(const struct server *server, unsigned char flag)
{
	return atomic_fetch_and(&flags[server->number], (unsigned char)~flag) & flag;
}

static bool flag_is_set(const struct server *server, unsigned char flag)
{
	return atomic_load_explicit(&flags[server->number], memory_order_relaxed) & flag;
}

/* Spreads checks over time; nothing depends on its quality. */
static int64_t random_up_to(int64_t max)
{
	health.random ^= health.random << 13;
	health.random ^= health.random >> 7;
	health.random ^= health.random << 17;
	return max > 0 ? (int64_t)(health.random % (uint64_t)(max + 1)) : 0;
}

static bool is_down(const struct server *server)
{
	return server_state(server) & SERVER_DOWN;
}

/* What is checked now. */
static enum check_kind kind_of(const struct check *check)
{
	return check->is_disabled ? CHECK_NONE : check->backend->health.kind;
}

/* Down or sick: it takes good checks to come back. */
static bool is_out(const struct server *server)
{
	return server_state(server) & (SERVER_DOWN | SERVER_SICK);
}

/* The process is gone.  Any thread. */
static void mark_dead(struct server *server, const char *why)
{
	server_set_state(server, SERVER_DOWN, 0, why);
	if (flag_set(server, FLAG_DEAD))
		server_new_generation(server);
}

static void mark_up(struct check *check, const char *why)
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

	if (down ? check->info.successes : check->info.failures)
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

/* Sets the timer to the next run, if there is to be one. */
static void schedule(struct check *check)
{
	int64_t interval_ms;

	if (check->is_newborn && is_down(check->server)) {
		tell_stale(check);
		wait_backoff(check, BACKOFF_BORN_MS);
		return;
	}
	check->is_newborn = false;
	if (kind_of(check) == CHECK_NONE) {
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
		interval_ms -= random_up_to(interval_ms / 2);
	else
		interval_ms += random_up_to(interval_ms / 10);
	loop_timer_in(health.loop, &check->timer, interval_ms);
}

static void schedule_soon(struct check *check)
{
	if (check->state == CHECK_IDLE)
		loop_timer_in(health.loop, &check->timer, random_up_to(FIRST_WITHIN_MS - 1));
}

static void begin(struct check *check)
{
	enum check_kind kind = kind_of(check);
	unsigned state = server_state(check->server);

	if (state & SERVER_MAINT ||
	    (kind == CHECK_NONE && !(state & (SERVER_DOWN | SERVER_SICK)))) {
		schedule(check);
		return;
	}
	if (health.running_n >= RUNNING_MAX) {
		check->state = CHECK_QUEUED;
		list_push_back(&health.queue, &check->queue_link);
		return;
	}
	health.running_n++;
	check->is_probe = kind == CHECK_NONE || (check->is_newborn && state & SERVER_DOWN);
	check_start(health.loop, check);
}

static void on_timer(struct timer *timer)
{
	struct check *check = container_of(timer, struct check, timer);

	switch (check->state) {
	case CHECK_IDLE:
		begin(check);
		break;
	case CHECK_QUEUED:
		break;
	case CHECK_BACKLOG:
	case CHECK_CONNECTING:
	case CHECK_TALKING:
		check_on_deadline(health.loop, check);
		break;
	}
}

static void succeeded(struct check *check, const char *why)
{
	check->info.failures = 0;
	if (!is_out(check->server))
		return;
	check->info.successes++;
	if (check->is_probe || !check->is_proven ||
	    check->info.successes >= check->backend->health.rise)
		mark_up(check, why);
}

static void failed(struct check *check, enum verdict verdict, const char *why)
{
	check->info.successes = 0;
	check->info.failed_n++;
	if (verdict == VERDICT_REFUSED) {
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

/* One has ended: the one that has waited longest takes its place. */
static void start_queued(void)
{
	struct check *check;

	if (list_is_empty(&health.queue))
		return;
	check = list_entry(health.queue.next, struct check, queue_link);
	list_remove(&check->queue_link);
	check->state = CHECK_IDLE;
	/* Not begin(): that may end at once and come here again, ever deeper. */
	loop_timer_in(health.loop, &check->timer, 1);
}

void check_done(struct check *check, enum verdict verdict, const char *code, const char *text)
{
	struct health_info *info = &check->info;
	bool was_newborn = check->is_newborn;
	char why[128];

	health.running_n--;
	info->code = code;
	snprintf(info->text, sizeof(info->text), "%s", text);
	info->duration_ms = (clock_now_us() - check->started_us) / 1000;
	info->at_ms = clock_ms();
	info->checks_n++;
	snprintf(why, sizeof(why), "%s %s: %s", check->is_probe ? "probe" : "check", code, text);
	if (verdict == VERDICT_OK)
		succeeded(check, why);
	else if (verdict != VERDICT_NONE)
		failed(check, verdict, why);
	/* A probe of a newborn that failed proves nothing; nor does one that came through where
	 * a real check is to follow: that first check decides alone. */
	if (verdict != VERDICT_NONE && !was_newborn)
		check->is_proven = true;
	if (was_newborn && !is_down(check->server) && kind_of(check) != CHECK_NONE)
		schedule_soon(check);
	else
		schedule(check);
	start_queued();
}

/* Below: which checks there are. */

static bool is_running(const struct check *check)
{
	return check->state != CHECK_IDLE && check->state != CHECK_QUEUED;
}

static void free_check(struct grave *grave)
{
	free(container_of(grave, struct check, grave));
}

static void abort_run(struct check *check)
{
	if (check->state == CHECK_QUEUED)
		list_remove(&check->queue_link);
	if (is_running(check)) {
		health.running_n--;
		start_queued();
	}
	check_close(check);
}

static void remove_check(struct check *check)
{
	abort_run(check);
	timer_fini(&health.loop->wheel, &check->timer);
	list_remove(&check->link);
	check->server->check = NULL;
	loop_bury(health.loop, &check->grave, free_check);
}

/* Whether anybody listens at ADDR; nobody: DOWN and newborn. */
static bool try_unix(struct server *server, const struct sock_addr *addr)
{
	int rc = check_unix_listens(addr);

	if (rc == 0)
		return true;
	if (!check_is_refusal(-rc))
		return !is_down(server); /* permissions, descriptors: the checks will tell */
	/* No session can live there, so there is no death to tell. */
	flag_set(server, FLAG_DEAD);
	server_set_state(server, SERVER_DOWN, 0, "new socket, nobody listens yet");
	return false;
}

static void first_sight(struct check *check)
{
	if (!sock_addr_is_unix(&check->addr)) {
		schedule_soon(check);
	} else if (try_unix(check->server, &check->addr)) {
		mark_up(check, "socket listens");
		schedule_soon(check);
	} else {
		check->is_newborn = true;
		check->backoff_ms = 0;
		schedule(check);
	}
}

static struct check *new_check(struct server *server)
{
	struct check *check = xcalloc(1, sizeof(*check));

	check->server = server;
	check->conn.fd = check->conn.lf.fd = -1;
	check->info.code = check->info.agent_code = "";
	check->info.duration_ms = check->info.agent_duration_ms = -1;
	timer_init(&check->timer, on_timer);
	list_push_back(&health.checks, &check->link);
	server->check = check;
	return check;
}

static void apply_member(const struct srvset_member *member, const struct backend *backend)
{
	struct check *check = member->server->check;
	bool is_new = !check;
	bool is_moved, is_changed;

	if (is_new)
		check = new_check(member->server);
	is_moved = !is_new && !sock_addr_eq(&check->addr, &member->addr);
	is_changed = !is_new && (check->backend->health.kind != backend->health.kind ||
				 check->backend->health.interval_ms != backend->health.interval_ms);
	if (is_moved || is_changed)
		abort_run(check);
	if (is_moved)
		check->is_proven = false;
	check->backend = backend;
	check->addr = member->addr;
	check->send_proxy = member->send_proxy;
	check->is_kept = true;
	if (is_new || is_moved)
		first_sight(check);
	else if (is_changed)
		schedule_soon(check);
}

void health_apply(struct config *config)
{
	struct config *old = health.config;

	if (!health.loop)
		return;
	health.config = config_ref(config);
	list_for_each(at, &health.checks) {
		list_entry(at, struct check, link)->is_kept = false;
	}
	for (size_t i = 0; i < config->backends_n; i++) {
		const struct backend *backend = &config->backends[i];
		struct srvset *set = backend->state ? srvset_of(backend->state) : NULL;

		for (uint32_t m = 0; set && m < set->members_n; m++)
			apply_member(&set->members[m], backend);
	}
	list_for_each_safe(at, after, &health.checks) {
		struct check *check = list_entry(at, struct check, link);

		if (!check->is_kept)
			remove_check(check);
	}
	config_unref(old);
}

void health_born(struct server *server, const struct sock_addr *addr, bool is_again)
{
	struct check *check = server->check;

	if (is_again && flag_set(server, FLAG_DEAD))
		server_new_generation(server);
	if (check) {
		abort_run(check);
		check->addr = *addr;
		check->is_proven = false;
		first_sight(check);
	} else if (try_unix(server, addr)) {
		flag_clear(server, FLAG_DEAD);
		server_set_state(server, 0, SERVER_DOWN, "socket listens");
	}
}

/* Below: what traffic tells. */

static void on_poke(struct mail *mail)
{
	(void)mail;
	atomic_store(&health.is_poke_posted, false);
	if (!health.loop)
		return;
	list_for_each(at, &health.checks) {
		struct check *check = list_entry(at, struct check, link);

		if (!flag_clear(check->server, FLAG_POKED) || check->state != CHECK_IDLE)
			continue;
		check->backoff_ms = 0;
		if (kind_of(check) == CHECK_NONE || check->is_newborn)
			schedule(check);
		else
			loop_timer_in(health.loop, &check->timer, 1);
	}
}

void health_poke(struct server *server)
{
	struct loop *loop = health.loop;

	flag_set(server, FLAG_POKED);
	if (loop && !atomic_exchange(&health.is_poke_posted, true))
		loop_post(loop, &health.poke_mail, on_poke);
}

static bool has_ready_server(struct backend_state *backend, const struct server *but)
{
	struct srvset *set = srvset_of(backend);

	for (uint32_t i = 0; set && i < set->members_n; i++) {
		const struct srvset_member *member = &set->members[i];

		if (member->server != but && member->weight && server_is_ready(member->server))
			return true;
	}
	return false;
}

/* Counts one failure; true when there are now too many. */
static bool is_one_too_many(struct server *server, const struct passive_conf *passive)
{
	int64_t now_ms = clock_ms();
	int64_t since_ms = atomic_load(&server->failures_at_ms);

	if ((!since_ms || now_ms - since_ms > passive->window_ms) &&
	    atomic_compare_exchange_strong(&server->failures_at_ms, &since_ms, now_ms))
		atomic_store(&server->failures, 0);
	return atomic_fetch_add(&server->failures, 1) + 1 >= passive->failures;
}

static void count_failure(struct server *server, const struct backend *backend,
			  enum health_outcome outcome)
{
	static const char *const whys[] = {
		[HEALTH_CONNECT_FAILED] = "too many failed connections",
		[HEALTH_TIMEOUT] = "too many responses timed out",
		[HEALTH_5XX] = "too many 5xx responses",
		[HEALTH_BROKEN] = "too many broken responses",
	};
	/* It answers, if badly: better than nobody. */
	bool is_soft = outcome != HEALTH_CONNECT_FAILED;

	if (!backend->passive.failures || is_out(server) ||
	    !is_one_too_many(server, &backend->passive))
		return;
	atomic_store(&server->failures, 0);
	if (is_soft && !has_ready_server(server->backend, server))
		return;
	/* Anybody can ask for what answers 500: that must not end the sessions that live there. */
	server_set_state(server, is_soft ? SERVER_SICK : SERVER_DOWN, 0, whys[outcome]);
	/* Two threads may have taken the last two servers at once. */
	if (is_soft && !has_ready_server(server->backend, NULL))
		server_set_state(server, 0, SERVER_SICK, "last server left");
	else
		health_poke(server);
}

void health_passive(struct server *server, const struct backend *backend,
		    enum health_outcome outcome)
{
	if (likely(outcome == HEALTH_OK))
		return;
	if (outcome != HEALTH_CONNECT_REFUSED) {
		count_failure(server, backend, outcome);
		return;
	}
	if (is_down(server) && flag_is_set(server, FLAG_DEAD))
		return;
	mark_dead(server, "connection refused");
	health_poke(server);
}

/* Below: the operator's switches. */

int health_set_enabled(struct server *server, bool is_enabled)
{
	struct check *check = server->check;

	if (!check)
		return -ENOENT;
	if (check->is_disabled == !is_enabled)
		return 0;
	check->is_disabled = !is_enabled;
	abort_run(check);
	if (is_enabled)
		schedule_soon(check);
	else
		schedule(check);
	return 0;
}

bool health_is_enabled(const struct server *server)
{
	return server->check && kind_of(server->check) != CHECK_NONE;
}

int agent_set_enabled(struct server *server, bool is_enabled)
{
	if (!server->check)
		return -ENOENT;
	server->check->is_agent_disabled = !is_enabled;
	return 0;
}

bool agent_is_enabled(const struct server *server)
{
	return health_has_agent(server) && !server->check->is_agent_disabled;
}

bool health_has_agent(const struct server *server)
{
	(void)server;
	return false;
}

int health_force(struct server *server, enum health_forced forced)
{
	struct check *check = server->check;

	if (!check)
		return -ENOENT;
	check->info.failures = check->info.successes = 0;
	check->is_forced_down = forced == HEALTH_FORCED_DOWN;
	switch (forced) {
	case HEALTH_FORCED_UP:
		mark_up(check, "forced by the operator");
		break;
	case HEALTH_FORCED_STOPPING:
		mark_up(check, "forced by the operator");
		server_set_state(server, SERVER_SICK, 0, "forced by the operator");
		break;
	case HEALTH_FORCED_DOWN:
		server_set_state(server, SERVER_DOWN, SERVER_SICK, "forced by the operator");
		break;
	}
	if (check->state == CHECK_IDLE)
		schedule(check);
	return 0;
}

int agent_force(struct server *server, bool is_up)
{
	if (!health_has_agent(server))
		return -ENOENT;
	server_set_state(server, is_up ? 0 : SERVER_AGENT_DOWN, is_up ? SERVER_AGENT_DOWN : 0,
			 "forced by the operator");
	return 0;
}

static int check_retarget(struct check *check)
{
	(void)check;
	return check ? 0 : -ENOENT;
}

int health_set_check_address(struct server *server, const struct ip_addr *ip)
{
	(void)ip;
	return check_retarget(server->check);
}

int health_set_check_port(struct server *server, uint16_t port)
{
	(void)port;
	return check_retarget(server->check);
}

int agent_set_address(struct server *server, const struct ip_addr *ip)
{
	(void)ip;
	return check_retarget(server->check);
}

int agent_set_port(struct server *server, uint16_t port)
{
	(void)port;
	return check_retarget(server->check);
}

int agent_set_send(struct server *server, struct str text)
{
	(void)text;
	return check_retarget(server->check);
}

bool health_info(const struct server *server, struct health_info *out)
{
	const struct check *check = server->check;

	if (!check)
		return false;
	*out = check->info;
	out->kind = check->backend->health.kind;
	out->is_enabled = !check->is_disabled;
	out->rise = check->backend->health.rise;
	out->fall = check->backend->health.fall;
	out->is_running = is_running(check);
	out->addr = check->addr;
	return true;
}

void health_init(struct loop *loop)
{
	health.config = NULL;
	list_init(&health.checks);
	list_init(&health.queue);
	health.running_n = 0;
	health.random = (uint64_t)clock_now_us() | 1;
	health.loop = loop;
}

void health_fini(void)
{
	if (!health.loop)
		return;
	list_for_each_safe(at, after, &health.checks) {
		remove_check(list_entry(at, struct check, link));
	}
	config_unref(health.config);
	health.config = NULL;
	health.loop = NULL;
}
