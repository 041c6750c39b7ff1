/* SPDX-License-Identifier: MIT */
/*
 * The rest of the life of a process that has handed over.
 *
 *   0 ........... upgrade_grace / 2 ........... upgrade_grace
 *   idle clients may send one more request      the process ends
 *   WebSockets live on     then they are ended evenly;
 *                                 polls have until the end
 *
 * It ends as soon as nobody is connected any more.
 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "main/runtime.h"
#include "main/upgrade.h"
#include "session/ending.h"

#define TURN_MS           200
#define TURNS_PER_COUNTER 5
#define FIRST_MS          500 /* the console that asked hears the answer */

static struct {
	struct timer timer;
	void (*stop)(void);
	int64_t since_ms, deadline_ms;
	bool is_known; /* every thread has stopped accepting */
	bool is_ending, is_quiet;
	unsigned turns;
} drain;

static void end_tunnels(void)
{
	int64_t over_ms = drain.deadline_ms - clock_ms();

	drain.is_ending = true;
	log_info("upgrade_grace: what is left is ended evenly over %lld s",
		 (long long)over_ms / 1000);
	for (uint32_t i = 0; i < servers_n(); i++)
		ending_post(server_by_number(i), 1000, over_ms - over_ms / 10, ENDING_HANDED_OVER);
}

static void end_process(const char *why)
{
	timer_stop(&drain.timer);
	log_info("%s: process %d ends", why, (int)getpid());
	drain.stop();
}

static void look(void)
{
	struct runtime_left left;

	runtime_count_left(&left);
	/* No requests here any more: the new process need not tell us of its sessions. */
	if (drain.is_known && !drain.is_quiet && left.clients == left.tunnels) {
		drain.is_quiet = true;
		if (left.tunnels)
			log_info("process %d has %u WebSockets left", (int)getpid(), left.tunnels);
	}
	upgrade_say_left(&(struct upgrade_left){
		.clients = left.clients,
		.tunnels = left.tunnels,
		.is_quiet = drain.is_quiet,
		.has_counters = drain.turns++ % TURNS_PER_COUNTER == 0 || !left.clients,
		.left_ms = drain.deadline_ms - clock_ms(),
	});
}

static void on_turn(struct timer *timer)
{
	int64_t now = clock_ms();

	look();
	if (drain.is_known && runtime_is_idle() && now - drain.since_ms >= FIRST_MS) {
		end_process("all connections have ended");
		return;
	}
	if (now >= drain.deadline_ms) {
		end_process("upgrade_grace is over");
		return;
	}
	if (!drain.is_ending && now >= drain.since_ms + (drain.deadline_ms - drain.since_ms) / 2)
		end_tunnels();
	loop_timer_in(&control_loop, timer, TURN_MS);
}

static void on_handed_over(void)
{
	drain.is_known = true;
}

void upgrade_drain(void (*stop)(void))
{
	drain.stop = stop;
	drain.since_ms = clock_ms();
	drain.deadline_ms = drain.since_ms + runtime_config()->global.upgrade_grace_ms;
	runtime_hand_over(on_handed_over);
	timer_init(&drain.timer, on_turn);
	loop_timer_in(&control_loop, &drain.timer, TURN_MS);
}

void upgrade_drain_stop(void)
{
	timer_stop(&drain.timer);
}
