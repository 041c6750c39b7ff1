/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/stick_hold.h"

#include <stdlib.h>

#include "base/mem.h"

struct stick_hold {
	struct table *table; /* (view) lives as long as the process */
	uint32_t server;     /* number: the entry may be another server's by now */
	uint8_t sid_len;
	char sid[];
};

struct stick_hold *stick_hold(struct stick *stick, const struct backend *backend)
{
	struct str sid = stick->key.bytes;
	struct stick_hold *hold;

	if (!stick->is_sid_known || !stick->server)
		return NULL;
	hold = xmalloc(sizeof(*hold) + sid.len);
	hold->table = backend->state->tables[STICK_ENGINEIO];
	hold->server = stick->server->number;
	hold->sid_len = (uint8_t)sid.len;
	memcpy(hold->sid, sid.p, sid.len);
	stick->is_sid_known = false;
	return hold;
}

bool stick_hold_is_last(const struct stick_hold *hold)
{
	struct table_key key = table_key(hold->table, (struct str){ hold->sid, hold->sid_len });
	struct table_value value;

	return !table_find(hold->table, &key, &value) || value.opens <= 1;
}

void stick_hold_retire(struct stick_hold *hold, const struct server *server)
{
	struct table_key key = table_key(hold->table, (struct str){ hold->sid, hold->sid_len });

	stick_retire_key(hold->table, &key, server);
}

void stick_hold_end(struct stick_hold *hold, bool is_session_over)
{
	struct table_value value;
	struct table_key key;

	if (!hold)
		return;
	key = table_key(hold->table, (struct str){ hold->sid, hold->sid_len });
	if (!is_session_over)
		table_close(hold->table, &key);
	else if (table_find(hold->table, &key, &value) && value.server == hold->server)
		table_drop(hold->table, &key);
	free(hold);
}
