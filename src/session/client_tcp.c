/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/client_tcp.h"

void client_tcp_start(struct client *client)
{
	client_reset(client);
}

void client_tcp_run(struct client *client)
{
	client_reset(client);
}

void client_tcp_on_timer(struct client *client)
{
	client_reset(client);
}
