/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/ending.h"

#include <stdlib.h>

#include "base/clock.h"
#include "session/client.h"
#include "session/tunnel.h"
#include "session/txn.h"

/* When the ending under way is over, monotonic ms; 0 = none.  By server number. */
static _Atomic int64_t endings_until[SERVERS_MAX];

struct ending_mail {
	struct mail mail;
	struct traffic *traffic;
	struct server *server;
	int64_t over_ms;
	unsigned share_permille;
	enum ending_how how;
};

static bool is_at(const struct client *client, const struct server *server)
{
	if (client->state == CLIENT_BUSY)
		return client->txn && client->txn->server == server;
	return client->state == CLIENT_TUNNEL && client->tunnel && client->tunnel->server == server;
}

static void on_ending(struct mail *mail)
{
	struct ending_mail *ending = container_of(mail, struct ending_mail, mail);

	if (ending->share_permille && ending->how == ENDING_ABRUPT)
		list_for_each_safe(node, after, &ending->traffic->clients) {
			struct client *client = list_entry(node, struct client, link);

			if (is_at(client, ending->server))
				client_close(client);
		}
	free(ending);
}

void ending_post(struct server *server, unsigned share_permille, int64_t over_ms,
		 enum ending_how how)
{
	struct traffic *traffic;

	atomic_store(&endings_until[server->number],
		     share_permille && over_ms > 0 ? clock_ms() + over_ms : 0);
	for (unsigned i = 0; (traffic = traffic_by_index(i)) != NULL; i++) {
		struct ending_mail *ending = xmalloc(sizeof(*ending));

		*ending = (struct ending_mail){
			.traffic = traffic,
			.server = server,
			.over_ms = over_ms,
			.share_permille = share_permille,
			.how = how,
		};
		loop_post(&traffic->loop, &ending->mail, on_ending);
	}
}

int64_t ending_left_ms(const struct server *server)
{
	int64_t until_ms = atomic_load(&endings_until[server->number]);
	int64_t now_ms = clock_ms();

	return until_ms > now_ms ? until_ms - now_ms : -1;
}
