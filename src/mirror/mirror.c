/* SPDX-License-Identifier: MIT */
/*
 *                    both links are up, and the place in the stream is known
 *   OFF -> AWAY ---------------------------------------------------> LOADING -> UP
 *            ^ ^                                                        ^ gap   |
 *            | +--- a link is lost ----------------------------------(both)<----+
 *            +--- PAUSED: no links at all
 *
 * When everything is compared (mirror.wants_load): at first; after a gap in the stream; when the
 * Redis behind the link is another process than before, for a restart or failover may have lost
 * what was stored; when a table is mirrored anew; when the operator says so.  After every time but
 * the first, all entries of ours that were not met are proposed once more.
 *
 * Each change of state is one line of the log; tries to connect that fail are one a minute.
 */
#include "config.h"

#include "mirror/mirror.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "balance/version.h"
#include "base/clock.h"
#include "base/log.h"
#include "mirror/ask.h"
#include "mirror/beat.h"
#include "mirror/follow.h"
#include "mirror/intake.h"
#include "mirror/links.h"
#include "mirror/push.h"
#include "mirror/resync.h"
#include "mirror/scripts.h"
#include "mirror/settings.h"
#include "mirror/tables.h"
#include "mirror/wait.h"

#define REMIND_MS     SEC(60)
#define LASTS_MS      SEC(3)
#define LOAD_AGAIN_MS SEC(1)

static struct {
	struct loop *loop;
	struct settings settings;
	char instance[WIRE_NODE_MAX + 1]; /* this process, as it stands in the stream */
	bool is_on, is_paused;
	bool is_loaded;  /* a load was complete since the start */
	bool wants_load; /* everything is to be compared: a load runs, or waits for the links */
	bool wants_all;  /* and then all of ours is to be told */
	const char *gap; /* why, when something was missed; for the log */
	struct timer load_again;
	bool is_failure_told; /* that a load failed; the next ones go on without a word */
	enum mirror_state state;
	int64_t since_ms;
	char why[MIRROR_WHY_SIZE];
	uint64_t losses, resyncs, gaps;
	uint64_t tries;     /* in vain, since the state is AWAY */
	int64_t told_at_ms; /* the last line about them; 0 = none yet */
	/* A Redis that comes and goes (READONLY, a proxy) is not told of each time. */
	int64_t lost_told_at_ms; /* 0 = never */
	uint64_t untold_n;       /* losses since then */
	bool is_quiet;           /* the last loss was not told; so is the return */
} mirror;

const char *mirror_state_name(enum mirror_state state)
{
	static const char *const names[MIRROR_STATES_N] = {
		[MIRROR_OFF] = "off", [MIRROR_AWAY] = "away",     [MIRROR_LOADING] = "loading",
		[MIRROR_UP] = "up",   [MIRROR_PAUSED] = "paused",
	};

	return names[state];
}

static void tell_loading(void)
{
	if (mirror.gap)
		log_event(LOG_LEVEL_WARN, "mirror_gap",
			  LOG_FIELDS({ "reason", mirror.gap, 0 }, { "redis", links_where(), 0 }),
			  "mirror: %s: all entries are compared with %s", mirror.gap,
			  links_where());
	else if (!mirror.is_quiet)
		log_event(LOG_LEVEL_INFO, "mirror_loading",
			  LOG_FIELDS({ "redis", links_where(), 0 }),
			  "mirror: connected to %s, reads all entries", links_where());
}

static void tell_up(enum mirror_state old)
{
	if (mirror.is_quiet && !mirror.gap)
		return;
	if (old != MIRROR_LOADING) {
		log_event(LOG_LEVEL_INFO, "mirror_up", LOG_FIELDS({ "redis", links_where(), 0 }),
			  "mirror: connected to %s again, nothing was missed", links_where());
		return;
	}
	log_event(LOG_LEVEL_INFO, "mirror_up",
		  LOG_FIELDS({ "redis", links_where(), 0 },
			     { "entries", NULL, (int64_t)resync_keys() },
			     { "ms", NULL, resync_ms() }),
		  "mirror: up, %llu entries were read in %lld ms",
		  (unsigned long long)resync_keys(), (long long)resync_ms());
}

static void tell_lost(void)
{
	char times[64] = "";

	if (mirror.untold_n)
		snprintf(times, sizeof(times), " (and %llu times since it was told last)",
			 (unsigned long long)mirror.untold_n);
	mirror.told_at_ms = mirror.lost_told_at_ms = clock_ms();
	log_event(LOG_LEVEL_WARN, "mirror_lost",
		  LOG_FIELDS({ "reason", mirror.why, 0 },
			     { "untold", NULL, (int64_t)mirror.untold_n }),
		  "mirror: Redis is away%s: %s; sessions are served from this node's tables", times,
		  mirror.why);
	mirror.untold_n = 0;
	mirror.is_quiet = false;
}

/* At once, unless one was told lately: then when it lasts. */
static void tell_lost_or_wait(void)
{
	if (!mirror.lost_told_at_ms || clock_ms() - mirror.lost_told_at_ms >= REMIND_MS) {
		tell_lost();
		return;
	}
	mirror.untold_n++;
	mirror.is_quiet = true;
}

static void tell_state(enum mirror_state old)
{
	if (old == MIRROR_PAUSED)
		log_event(LOG_LEVEL_INFO, "mirror_resumed", NULL, "mirror: resumed");
	switch (mirror.state) {
	case MIRROR_OFF:
		log_event(LOG_LEVEL_INFO, "mirror_off", NULL, "mirror: not configured any more");
		break;
	case MIRROR_AWAY:
		if (old == MIRROR_LOADING || old == MIRROR_UP)
			tell_lost_or_wait();
		break;
	case MIRROR_LOADING:
		tell_loading();
		break;
	case MIRROR_UP:
		tell_up(old);
		break;
	case MIRROR_PAUSED:
		log_event(LOG_LEVEL_WARN, "mirror_paused", NULL, "mirror: paused by the operator");
		break;
	}
}

static enum mirror_state state_now(void)
{
	if (!mirror.is_on)
		return MIRROR_OFF;
	if (mirror.is_paused)
		return MIRROR_PAUSED;
	if (!links_commands() || !follow_is_up())
		return MIRROR_AWAY;
	return mirror.wants_load ? MIRROR_LOADING : MIRROR_UP;
}

static void set_state(void)
{
	enum mirror_state old = mirror.state;

	mirror.state = state_now();
	if (mirror.state == old)
		return;
	mirror.since_ms = clock_ms();
	mirror.tries = 0;
	mirror.told_at_ms = 0;
	tell_state(old);
}

/* The place in the stream comes first: what changes during the scan is met there. */
static void load_if_ready(void)
{
	bool is_first = !mirror.is_loaded;

	set_state();
	if (!mirror.wants_load || !links_commands() || !follow_has_place())
		return;
	mirror.resyncs += !resync_is_running();
	for (size_t i = 0; i < tables_n(); i++)
		table_resync_begin(tables_at(i));
	resync_start(links_commands(), mirror.settings.prefix,
		     is_first ? 0 : mirror.settings.resync_rate);
}

static void want_load(bool is_all, const char *gap)
{
	mirror.wants_load = true;
	mirror.wants_all |= is_all;
	if (gap)
		mirror.gap = gap;
}

static void on_load_done(const char *why)
{
	if (why) {
		snprintf(mirror.why, sizeof(mirror.why), "entries cannot be read: %s", why);
		if (!mirror.is_failure_told)
			log_event(LOG_LEVEL_WARN, "mirror_load_failed",
				  LOG_FIELDS({ "reason", why, 0 }),
				  "mirror: %s; it is tried again each second", mirror.why);
		mirror.is_failure_told = true;
		loop_timer_in(mirror.loop, &mirror.load_again, LOAD_AGAIN_MS);
		return;
	}
	mirror.wants_load = mirror.is_failure_told = false;
	mirror.is_loaded = true;
	set_state();
	mirror.gap = NULL;
	if (mirror.wants_all)
		push_all(mirror.settings.resync_rate);
	mirror.wants_all = false;
	wait_loaded(true);
}

static void on_load_again(struct timer *timer)
{
	(void)timer;
	if (!resync_is_running())
		load_if_ready();
}

static void on_place(const char *gap)
{
	if (gap) {
		mirror.gaps++;
		want_load(true, gap);
	}
	load_if_ready();
}

static void on_ready(bool is_other)
{
	struct redis *commands = links_commands();

	if (is_other) {
		mirror.gaps++;
		follow_forget();
		push_forget_number();
		want_load(true, "it is another Redis than before, or was restarted");
	}
	push_up(commands);
	ask_up(commands, mirror.settings.prefix);
	beat_up(commands, mirror.settings.prefix);
	load_if_ready();
}

static void leave_commands(void)
{
	push_down();
	ask_down();
	beat_down();
	resync_stop();
	scripts_forget();
}

static void on_lost(const char *why, bool was_up)
{
	mirror.losses += was_up;
	if (was_up || mirror.state == MIRROR_AWAY)
		snprintf(mirror.why, sizeof(mirror.why), "%s", why);
	if (!links_commands())
		leave_commands();
	set_state();
	if (mirror.state != MIRROR_AWAY || was_up)
		return;
	mirror.tries++;
	if (mirror.told_at_ms && clock_ms() - mirror.told_at_ms < REMIND_MS)
		return;
	if (!mirror.told_at_ms) {
		if (!mirror.is_quiet || clock_ms() - mirror.since_ms >= LASTS_MS)
			tell_lost();
		return;
	}
	mirror.told_at_ms = clock_ms();
	log_event(LOG_LEVEL_WARN, "mirror_away",
		  LOG_FIELDS({ "reason", mirror.why, 0 }, { "tries", NULL, (int64_t)mirror.tries }),
		  "mirror: Redis is still away after %llu tries: %s",
		  (unsigned long long)mirror.tries, mirror.why);
}

static void on_stream(struct redis *stream)
{
	if (stream) {
		follow_up(stream);
	} else {
		follow_down();
		resync_stop(); /* begins anew when the place is known again */
	}
}

static void close_links(void)
{
	leave_commands();
	follow_down();
	links_close();
	timer_stop(&mirror.load_again);
}

static void hurry(struct table *table)
{
	(void)table;
	push_soon();
}

void mirror_init(struct loop *loop)
{
	mirror.loop = loop;
	timer_init(&mirror.load_again, on_load_again);
	ask_init(&(struct ask_options){ .loop = loop, .take = intake_take, .hurry = hurry });
	beat_init(loop, NULL);
	push_init(loop);
	follow_init(&(struct follow_options){ .loop = loop, .on_place = on_place });
	resync_init(&(struct resync_options){ .loop = loop, .on_done = on_load_done });
	links_init(&(struct links_options){
		.loop = loop, .on_ready = on_ready, .on_stream = on_stream, .on_lost = on_lost });
	wait_init(loop);
}

/* "NODE#" and 8 random digits: two processes of one node do not take each other for themselves. */
static void name_instance(struct str node)
{
	uint32_t random = 0;
	size_t n = 0;
	char *out = mirror.instance;

	bug_on(getrandom(&random, sizeof(random), 0) != sizeof(random));
	for (; n < node.len && n < WIRE_NODE_MAX - 16; n++)
		out[n] = node.p[n] > ' ' && node.p[n] < 0x7f ? node.p[n] : '_';
	snprintf(out + n, sizeof(mirror.instance) - n, "#%08x", random);
}

/* Nothing is known of what this Redis holds. */
static void begin_anew(void)
{
	close_links();
	follow_forget();
	links_forget();
	push_forget_number();
	mirror.gap = NULL;
	want_load(mirror.is_loaded, NULL);
}

static void turn_off(void)
{
	if (!mirror.is_on)
		return;
	close_links();
	mirror.is_on = mirror.is_paused = mirror.wants_load = mirror.wants_all = false;
	ask_apply(0, false);
	settings_fini(&mirror.settings);
	mirror.why[0] = '\0';
	set_state();
	wait_loaded(false);
}

static void turn_on(const struct config *config, bool is_more)
{
	struct settings old = mirror.settings;
	bool is_same;

	settings_read(&mirror.settings, config);
	is_same = mirror.is_on && str_eq(old.identity, mirror.settings.identity);
	if (!is_same)
		begin_anew();
	settings_fini(&old);
	mirror.is_on = true;
	push_apply(mirror.settings.prefix, str_of(mirror.instance), mirror.settings.stream_length);
	follow_apply(mirror.settings.prefix, str_of(mirror.instance));
	ask_apply(mirror.settings.read_through_ms, mirror.settings.is_sync);
	if (!is_same && !mirror.is_paused)
		links_open(&mirror.settings.redis);
	set_state();
	if (is_same && is_more) {
		want_load(false, NULL);
		load_if_ready();
	}
	push_soon();
}

void mirror_apply(const struct config *config)
{
	bool is_more;

	if (!mirror.instance[0]) {
		name_instance(config->global.node);
		version_set_node(str_of(mirror.instance));
	}
	settings_set_digest(config);
	beat_apply(config);
	is_more = tables_apply(config, config->global.mirror);
	if (config->global.mirror)
		turn_on(config, is_more);
	else
		turn_off();
}

void mirror_when_loaded(int64_t in_ms, void (*fn)(void *arg, bool is_loaded), void *arg)
{
	if (!mirror.is_on || mirror.is_loaded || in_ms <= 0)
		fn(arg, !mirror.is_on || mirror.is_loaded);
	else
		wait_for_load(in_ms, fn, arg);
}

void mirror_flush(int64_t in_ms, void (*fn)(void *arg), void *arg)
{
	if (mirror.is_on)
		beat_stop();
	wait_for_flush(in_ms, fn, arg);
}

void mirror_fini(void)
{
	if (!mirror.loop)
		return;
	close_links();
	wait_fini();
	ask_fini();
	beat_fini();
	push_fini();
	tables_fini();
	settings_fini(&mirror.settings);
	timer_fini(&mirror.loop->wheel, &mirror.load_again);
	mirror.is_on = false;
}

void mirror_pause(void)
{
	if (!mirror.is_on || mirror.is_paused)
		return;
	mirror.is_paused = true;
	close_links();
	set_state();
	wait_loaded(false);
}

void mirror_resume(void)
{
	if (!mirror.is_on || !mirror.is_paused)
		return;
	mirror.is_paused = false;
	links_open(&mirror.settings.redis);
	set_state();
}

bool mirror_resync(void)
{
	if (!mirror.is_on || mirror.is_paused || !links_commands() || !follow_has_place())
		return false;
	want_load(true, "the operator asks for it");
	load_if_ready();
	return true;
}

void mirror_status(struct mirror_status *status)
{
	const struct push_stats *pushed = push_stats();
	const struct intake_stats *taken = intake_stats();

	*status = (struct mirror_status){
		.state = mirror.state,
		.is_loaded = mirror.is_loaded,
		.is_sync = mirror.settings.is_sync,
		.since_ms = mirror.since_ms,
		.dirty = tables_dirty() + pushed->waiting,
		.lag_ms = follow_lag_ms(),
		.pushed = pushed->pushed,
		.rejected = pushed->rejected,
		.push_errors = pushed->errors,
		.applied = taken->applied,
		.ignored = taken->ignored,
		.refused = taken->refused,
		.conflicts = pushed->conflicts,
		.unknown_names = tables_unknown_names(),
		.resyncs = mirror.resyncs,
		.gaps = mirror.gaps,
		.resync_keys = resync_keys(),
		.resync_ms = resync_ms(),
		.stream_number = follow_number(),
		.losses = mirror.losses,
	};
	snprintf(status->where, sizeof(status->where), "%s", links_where());
	snprintf(status->why, sizeof(status->why), "%s", pushed->why[0] ? pushed->why : mirror.why);
}
