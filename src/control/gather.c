/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/gather.h"

#include "session/traffic.h"

void gather_init(struct gather *gather, struct run *run, gather_fn *ask,
		 void (*free_fn)(struct gather *))
{
	gather->ask = ask;
	gather->free_fn = free_fn;
	gather->console = run->console;
	gather->control = console_loop();
	gather->is_away = false;
}

/* On the control thread. */
static void come_back(struct mail *mail)
{
	struct gather *gather = container_of(mail, struct gather, mail);

	gather->is_away = false;
	if (gather->console)
		run_wake(gather->console);
	else
		gather->free_fn(gather);
}

/* On the traffic thread. */
static void arrive(struct mail *mail)
{
	struct gather *gather = container_of(mail, struct gather, mail);

	gather->ask(gather, gather->traffic);
	loop_post(gather->control, &gather->mail, come_back);
}

bool gather_send(struct gather *gather, unsigned index)
{
	gather->traffic = traffic_by_index(index);
	if (!gather->traffic)
		return false;
	gather->is_away = true;
	loop_post(&gather->traffic->loop, &gather->mail, arrive);
	return true;
}

void gather_drop(void *state)
{
	struct gather *gather = state;

	gather->console = NULL;
	if (!gather->is_away)
		gather->free_fn(gather);
}
