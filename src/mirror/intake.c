/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/intake.h"

#include "mirror/ask.h"
#include "mirror/tables.h"

static struct intake_stats stats;

void intake_refuse(void)
{
	stats.refused++;
}

const struct intake_stats *intake_stats(void)
{
	return &stats;
}

static enum merge_result merge(struct table *table, const struct table_key *key,
			       const struct wire_value *value, int64_t left_ms,
			       enum merge_source source)
{
	enum merge_result result = MERGE_REFUSED;
	struct table_record record;

	if (tables_record(table, key, value, left_ms, &record))
		result = table_merge(table, &record, source);
	switch (result) {
	case MERGE_TAKEN:
		stats.applied++;
		break;
	case MERGE_SAME:
	case MERGE_IGNORED:
	case MERGE_PROPOSED:
		stats.ignored++;
		break;
	case MERGE_REFUSED:
		stats.refused++;
		break;
	}
	return result;
}

static struct table_key kept(const struct table *table, const struct wire_key *key)
{
	return table_key_kept(table, (struct str){ (const char *)key->bytes, key->size });
}

void intake_change(const struct wire_change *change)
{
	struct table *table = tables_find(change->table);
	struct table_key key;

	if (!table) {
		tables_count_unknown();
		return;
	}
	key = kept(table, &change->key);
	merge(table, &key, &change->value, change->left_ms, MERGE_STREAM);
	ask_on_change(table, &key);
}

enum merge_result intake_take(struct table *table, const struct table_key *key, struct str text,
			      int64_t pttl_ms)
{
	struct wire_value value;

	if (!wire_value_read(text, &value)) {
		stats.refused++;
		return MERGE_REFUSED;
	}
	/* Without an expiry somebody else has written it: as if it were new. */
	return merge(table, key, &value, pttl_ms < 0 ? (int64_t)value.idle_ms : pttl_ms,
		     MERGE_STORED);
}

void intake_stored(struct str prefix, struct str name, struct str value, int64_t pttl_ms)
{
	struct table *table;
	struct wire_key wire_key;
	struct table_key key;
	struct str table_name;

	if (!wire_key_read(name, prefix, &table_name, &wire_key)) {
		stats.refused++;
		return;
	}
	table = tables_find(table_name);
	if (!table) {
		tables_count_unknown();
		return;
	}
	key = kept(table, &wire_key);
	intake_take(table, &key, value, pttl_ms);
	ask_on_change(table, &key);
}
