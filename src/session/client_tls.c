/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/client_tls.h"

void client_tls_start(struct client *client)
{
	client_reset(client);
}

void client_tls_run(struct client *client)
{
	client_reset(client);
}

void client_tls_on_timer(struct client *client)
{
	client_reset(client);
}

bool client_tls_about(struct client *client, struct tls_about *about)
{
	(void)client;
	(void)about;
	return false;
}
