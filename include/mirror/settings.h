/* SPDX-License-Identifier: MIT */
/*
 * settings - what global.mirror says, as its parts need it; private to mirror/.
 *
 * Control thread.
 */
#ifndef MIRROR_SETTINGS_H
#define MIRROR_SETTINGS_H

#include "base/mem.h"
#include "base/str.h"
#include "mirror/redis.h"
#include "model/config.h"

struct settings {
	struct arena arena; /* (own) all texts */
	struct redis_options redis;
	struct str prefix;
	struct str identity; /* of all that a connection depends on: the same = keep it */
	uint32_t stream_length, resync_rate;
	int64_t read_through_ms, load_timeout_ms;
	bool is_sync;
};

/* Reads CONFIG's mirror, which must be there, and the password's file (a failure is logged). */
void settings_read(struct settings *settings, const struct config *config);
void settings_fini(struct settings *settings);
/* Sets the key of the tables' hash when it is another one (table_digest_set()). */
void settings_set_digest(const struct config *config);

#endif
