/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/stick_hold.h"

#include <stdlib.h>

#include "base/mem.h"

struct stick_hold {
	struct table *table; /* (view) lives as long as the process */
	uint32_t server;     /* number: the entry may be another server's by now */
	struct table_key key;
};

struct stick_hold *stick_hold(struct stick *stick, const struct backend *backend)
{
	struct stick_hold *hold;

	if (!stick->is_sid_known || !stick->server)
		return NULL;
	hold = xmalloc(sizeof(*hold));
	hold->table = backend->state->tables[STICK_ENGINEIO];
	hold->server = stick->server->number;
	hold->key = stick->key;
	stick->is_sid_known = false;
	return hold;
}

bool stick_hold_is_last(const struct stick_hold *hold)
{
	struct table_value value;

	return !table_find(hold->table, &hold->key, &value) || value.opens <= 1;
}

void stick_hold_retire(struct stick_hold *hold, const struct server *server)
{
	stick_retire_key(hold->table, &hold->key, server);
}

void stick_hold_end(struct stick_hold *hold, bool is_session_over)
{
	struct table_value value;

	if (!hold)
		return;
	if (!is_session_over)
		table_close(hold->table, &hold->key);
	else if (table_find(hold->table, &hold->key, &value) && value.server == hold->server)
		table_drop(hold->table, &hold->key);
	free(hold);
}
