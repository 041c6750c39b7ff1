/* SPDX-License-Identifier: MIT */
/* Questions and orders of an upgrade that go to every traffic thread by mail. */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/mem.h"
#include "main/runtime.h"
#include "session/traffic.h"

#define LISTENERS_PER_THREAD 1024

/* Goes through one thread after another, then home. */
struct round {
	struct mail mail;
	unsigned next_thread;
	void (*at_thread)(struct round *round, struct traffic *traffic); /* may be NULL */
	void (*at_home)(struct round *round);
	void (*done)(void);
	/* runtime_collect_listening() */
	void (*collected)(struct runtime_listening *list, size_t n);
	struct runtime_listening *list; /* (own) */
	size_t n;
};

static void on_home(struct mail *mail)
{
	struct round *round = container_of(mail, struct round, mail);

	round->at_home(round);
	free(round);
}

static void on_thread(struct mail *mail);

static void go_on(struct round *round)
{
	struct traffic *traffic = traffic_by_index(round->next_thread);

	if (traffic)
		loop_post(&traffic->loop, &round->mail, on_thread);
	else
		loop_post(&control_loop, &round->mail, on_home);
}

static void on_thread(struct mail *mail)
{
	struct round *round = container_of(mail, struct round, mail);

	if (round->at_thread)
		round->at_thread(round, traffic_by_index(round->next_thread));
	round->next_thread++;
	go_on(round);
}

static void call_done(struct round *round)
{
	round->done();
}

void runtime_barrier(void (*done)(void))
{
	struct round *round = xcalloc(1, sizeof(*round));

	round->at_home = call_done;
	round->done = done;
	go_on(round);
}

static void hand_over(struct round *round, struct traffic *traffic)
{
	(void)round;
	traffic_hand_over(traffic);
}

void runtime_hand_over(void (*done)(void))
{
	struct round *round = xcalloc(1, sizeof(*round));

	round->at_thread = hand_over;
	round->at_home = call_done;
	round->done = done;
	go_on(round);
}

static void collect(struct round *round, struct traffic *traffic)
{
	struct traffic_listener *list = xcalloc(LISTENERS_PER_THREAD, sizeof(*list));
	size_t n = traffic_listeners(traffic, list, LISTENERS_PER_THREAD);

	round->list =
		xrealloc_array(round->list, round->n + LISTENERS_PER_THREAD, sizeof(*round->list));
	for (size_t i = 0; i < n && i < LISTENERS_PER_THREAD; i++) {
		int fd = fcntl(list[i].fd, F_DUPFD_CLOEXEC, 0);

		if (fd >= 0)
			round->list[round->n++] =
				(struct runtime_listening){ xstrdup(list[i].text), fd };
	}
	free(list);
}

static void give_collected(struct round *round)
{
	round->collected(round->list, round->n);
}

void runtime_collect_listening(void (*done)(struct runtime_listening *list, size_t n))
{
	struct round *round = xcalloc(1, sizeof(*round));

	round->at_thread = collect;
	round->at_home = give_collected;
	round->collected = done;
	go_on(round);
}

void runtime_count_left(struct runtime_left *left)
{
	*left = (struct runtime_left){ 0 };
	for (struct frontend_state *at = frontend_state_first(); at; at = at->next)
		left->tunnels += (uint32_t)counters_sum(&at->counters, frontend_tunnels_now);
	for (unsigned t = 0; traffic_by_index(t); t++)
		left->clients += atomic_load(&traffic_by_index(t)->clients_n);
	if (left->tunnels > left->clients)
		left->tunnels = left->clients; /* one ended between the two */
}
