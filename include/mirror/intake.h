/* SPDX-License-Identifier: MIT */
/*
 * intake - what Redis says of a key, on its way into its table; private to mirror/.
 *
 * Control thread.
 */
#ifndef MIRROR_INTAKE_H
#define MIRROR_INTAKE_H

#include "balance/table_share.h"
#include "base/str.h"
#include "mirror/wire.h"

/* A change of another node.  Counted as unknown when its table is not shared here. */
void intake_change(const struct wire_change *change);
/* Redis holds VALUE under KEY (wire_key_write()), PTTL as it tells it; for a scan. */
void intake_stored(struct str prefix, struct str key, struct str value, int64_t pttl_ms);
/* The same for a key that is known: ask.h's `take`. */
enum merge_result intake_take(struct table *table, const struct table_key *key, struct str value,
			      int64_t pttl_ms);
/* A record that is neither a key nor a change of ours. */
void intake_refuse(void);

struct intake_stats {
	uint64_t applied, ignored, refused;
};
const struct intake_stats *intake_stats(void);

#endif
