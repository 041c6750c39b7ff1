/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/source_limit.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/client.h"
#include "session/source_table.h"

#define LOG_EVERY_MS SEC(1)

/* Of all frontends.  Made by the first that has a limit; stays. */
static struct source_table *_Atomic sources;
static _Atomic int64_t logged_at_ms;
static atomic_uint not_logged; /* since then */

struct source_table *source_limit_table(void)
{
	return atomic_load_explicit(&sources, memory_order_acquire);
}

static struct source_table *need_table(void)
{
	struct source_table *table = source_limit_table(), *made;

	if (table)
		return table;
	made = source_table_new();
	if (atomic_compare_exchange_strong(&sources, &table, made))
		return made;
	source_table_free(made);
	return table;
}

/* Behind a proxy only those have a source of whom it told; the rest are its own checks. */
static bool has_source(const struct client *client)
{
	if (client->bind->is_proxy_required && !client->is_proxied)
		return false;
	return client->source.family == AF_INET || client->source.family == AF_INET6;
}

static void tell(const struct client *client, enum source_answer answer)
{
	const struct frontend *frontend = client->frontend;
	int64_t last = atomic_load_explicit(&logged_at_ms, memory_order_relaxed), now = clock_ms();
	char text[ADDR_TEXT_SIZE];
	unsigned left_out;

	if ((last && now - last < LOG_EVERY_MS) ||
	    !atomic_compare_exchange_strong(&logged_at_ms, &last, now)) {
		atomic_fetch_add_explicit(&not_logged, 1, memory_order_relaxed);
		return;
	}
	left_out = atomic_exchange_explicit(&not_logged, 0, memory_order_relaxed);
	if (answer == SOURCE_HAS_TOO_MANY)
		log_warn("frontend %s: connection from %s refused: "
			 "max_connections_per_source is %u (%u more were refused)",
			 client->frontend->state->name, ip_addr_text(&client->source, text).p,
			 frontend->max_connections_per_source, left_out);
	else
		log_warn("frontend %s: connection from %s refused: "
			 "connection_rate_per_source is %u in %" PRId64
			 " ms (%u more were refused)",
			 client->frontend->state->name, ip_addr_text(&client->source, text).p,
			 frontend->connection_rate_per_source.n,
			 frontend->connection_rate_per_source.window_ms, left_out);
}

bool source_limit_take(struct client *client)
{
	const struct frontend *frontend = client->frontend;
	struct source_limits limits = { frontend->max_connections_per_source,
					frontend->connection_rate_per_source };
	enum source_answer answer;

	if (likely(!limits.connections && !limits.rate.n) || !has_source(client))
		return true;
	answer = source_table_take(need_table(), client->frontend->state->id, &client->source,
				   &limits);
	client->is_limited = answer == SOURCE_MAY;
	if (client->is_limited)
		return true;
	if (answer == SOURCE_HAS_TOO_MANY)
		count(&client->frontend->state->counters, frontend_source_connections_refused);
	else
		count(&client->frontend->state->counters, frontend_source_rate_refused);
	tell(client, answer);
	return false;
}

void source_limit_give_back(struct client *client)
{
	if (likely(!client->is_limited))
		return;
	client->is_limited = false;
	source_table_give(source_limit_table(), client->frontend->state->id, &client->source);
}
