/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/h2.h"

bool h2_is_wanted(struct client *client)
{
	(void)client;
	return false;
}

void h2_start(struct client *client)
{
	client_reset(client);
}

void h2_run(struct client *client)
{
	client_reset(client);
}

void h2_on_timer(struct client *client)
{
	client_reset(client);
}

void h2_close(struct client *client)
{
	(void)client;
}

void h2_drain(struct client *client)
{
	client_close(client);
}
