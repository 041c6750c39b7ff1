/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/stick_hint.h"

#include "model/server.h"
#include "proto/engineio.h"

#define LINE_MAX_LOOKED_AT 512 /* bytes of the request line */

static __thread struct {
	const struct table *table; /* (view) NULL = no hint */
	struct table_key key;
	uint8_t sid_len;
	char sid[ENGINEIO_SID_MAX];
} hint;

/* The raw value of the first parameter "sid" of the request line, or nothing. */
static struct str find_sid(struct str bytes)
{
	size_t n = bytes.len < LINE_MAX_LOOKED_AT ? bytes.len : LINE_MAX_LOOKED_AT;
	const char *end = memchr(bytes.p, '\r', n), *at;

	if (!end)
		end = bytes.p + n;
	for (at = memchr(bytes.p, '?', (size_t)(end - bytes.p)); at && end - at > 5;
	     at = memchr(at + 1, '&', (size_t)(end - at - 1))) {
		const char *from = at + 5, *to = from;

		if (memcmp(at + 1, "sid=", 4) != 0)
			continue;
		while (to < end && *to != '&' && *to != ' ')
			to++;
		return to < end ? str_sub(from, to) : STR_NONE;
	}
	return STR_NONE;
}

void stick_hint_begin(const struct backend *backend, struct str bytes)
{
	const struct table *table;
	struct str sid;

	hint.table = NULL;
	table = backend && backend->sticks_n ? backend->state->tables[STICK_ENGINEIO] : NULL;
	if (!table)
		return;
	sid = find_sid(bytes);
	if (!sid.len || sid.len > sizeof(hint.sid))
		return;
	hint.key = table_key(table, sid);
	hint.table = table;
	hint.sid_len = (uint8_t)sid.len;
	memcpy(hint.sid, sid.p, sid.len);
	table_prefetch(table, &hint.key);
}

void stick_hint_go_on(void)
{
	if (hint.table)
		table_prefetch_entry(hint.table, &hint.key);
}

struct table_key stick_hint_key(const struct table *table, struct str sid)
{
	if (hint.table == table && hint.sid_len == sid.len && memcmp(hint.sid, sid.p, sid.len) == 0)
		return hint.key;
	return table_key(table, sid);
}

void stick_hint_end(void)
{
	hint.table = NULL;
}
