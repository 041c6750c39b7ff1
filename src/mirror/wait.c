/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/wait.h"

#include "base/clock.h"
#include "mirror/links.h"
#include "mirror/push.h"

#define FLUSH_EVERY_MS 5

static struct {
	struct loop *loop;
	struct timer load_timer;
	void (*load_fn)(void *arg, bool is_loaded); /* NULL = nobody waits */
	void *load_arg;
	struct timer flush_timer;
	int64_t flush_until_ms;
	void (*flush_fn)(void *arg);
	void *flush_arg;
} waits;

void wait_loaded(bool is_loaded)
{
	void (*fn)(void *, bool) = waits.load_fn;

	timer_stop(&waits.load_timer);
	waits.load_fn = NULL;
	if (fn)
		fn(waits.load_arg, is_loaded);
}

static void on_load_timer(struct timer *timer)
{
	(void)timer;
	wait_loaded(false);
}

void wait_for_load(int64_t in_ms, void (*fn)(void *arg, bool is_loaded), void *arg)
{
	waits.load_fn = fn;
	waits.load_arg = arg;
	loop_timer_in(waits.loop, &waits.load_timer, in_ms);
}

/* Who is away cannot be waited for: what is dirty would not get there. */
static void on_flush_timer(struct timer *timer)
{
	void (*fn)(void *) = waits.flush_fn;

	if (!push_is_idle() && links_commands() && clock_ms() < waits.flush_until_ms) {
		push_soon();
		loop_timer_in(waits.loop, timer, FLUSH_EVERY_MS);
		return;
	}
	waits.flush_fn = NULL;
	if (fn)
		fn(waits.flush_arg);
}

void wait_for_flush(int64_t in_ms, void (*fn)(void *arg), void *arg)
{
	waits.flush_fn = fn;
	waits.flush_arg = arg;
	waits.flush_until_ms = clock_ms() + in_ms;
	on_flush_timer(&waits.flush_timer);
}

void wait_init(struct loop *loop)
{
	waits.loop = loop;
	timer_init(&waits.load_timer, on_load_timer);
	timer_init(&waits.flush_timer, on_flush_timer);
}

void wait_fini(void)
{
	if (!waits.loop)
		return;
	timer_fini(&waits.loop->wheel, &waits.load_timer);
	timer_fini(&waits.loop->wheel, &waits.flush_timer);
	waits.load_fn = NULL;
	waits.flush_fn = NULL;
}
