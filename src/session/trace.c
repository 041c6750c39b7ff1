/* SPDX-License-Identifier: MIT */
/*
 * What is looked for is kept in atomics that are set one after the other: while it changes, a line
 * of neither the old nor the new trace may come through, which harms nobody.
 */
#include "config.h"

#include "session/trace.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "session/client.h"
#include "session/traffic.h"
#include "session/txn.h"

#define UNDER_WAY_MAX 4096

atomic_bool trace_is_on;

static _Atomic(struct loop *) the_loop;
static _Atomic(trace_line_fn *) the_fn;
static _Atomic uint64_t ip_high, ip_low, sid_hash, dropped;
static atomic_uint ip_family, under_way;
static _Atomic int64_t started_us;

static void split_ip(const struct ip_addr *ip, uint64_t *high, uint64_t *low)
{
	memcpy(high, ip->ip, 8);
	memcpy(low, ip->ip + 8, 8);
}

void trace_start(const struct trace_filter *filter, struct loop *loop, trace_line_fn *fn)
{
	uint64_t high, low;

	trace_stop();
	split_ip(&filter->ip, &high, &low);
	atomic_store(&ip_high, high);
	atomic_store(&ip_low, low);
	atomic_store(&ip_family, filter->ip.family);
	atomic_store(&sid_hash, filter->sid_hash);
	atomic_store(&dropped, 0);
	atomic_store(&started_us, clock_now_us());
	atomic_store(&the_loop, loop);
	atomic_store(&the_fn, fn);
	atomic_store(&trace_is_on, true);
}

void trace_stop(void)
{
	atomic_store(&trace_is_on, false);
}

void trace_line_done(void)
{
	atomic_fetch_sub(&under_way, 1);
}

uint64_t trace_dropped(void)
{
	return atomic_load(&dropped);
}

static void on_line(struct mail *mail)
{
	atomic_load (&the_fn)(container_of(mail, struct trace_line, mail));
}

static bool is_wanted_ip(const struct ip_addr *ip)
{
	uint64_t high, low;

	if (atomic_load(&ip_family) == AF_UNSPEC)
		return atomic_load(&sid_hash) == 0;
	split_ip(ip, &high, &low);
	return ip->family == atomic_load(&ip_family) && high == atomic_load(&ip_high) &&
	       low == atomic_load(&ip_low);
}

/* A line with what all have; NULL when there are too many. */
static struct trace_line *begin(const struct client *client, size_t *len)
{
	struct trace_line *line;
	char source[ADDR_TEXT_SIZE];
	int64_t us = clock_now_us() - atomic_load(&started_us);

	if (atomic_fetch_add(&under_way, 1) >= UNDER_WAY_MAX) {
		atomic_fetch_sub(&under_way, 1);
		atomic_fetch_add(&dropped, 1);
		return NULL;
	}
	line = xmalloc(sizeof(*line));
	ip_addr_text(&client->source, source);
	*len = (size_t)snprintf(line->text, sizeof(line->text), "+%lld.%06d thread=%u 0x%llx %s ",
				(long long)(us / 1000000), (int)(us % 1000000),
				client->traffic->index, (unsigned long long)(uintptr_t)client,
				source);
	return line;
}

static void send_line(struct trace_line *line)
{
	loop_post(atomic_load(&the_loop), &line->mail, on_line);
}

void trace_client_now(const struct client *client, const char *what)
{
	struct trace_line *line;
	size_t len;

	if (!is_wanted_ip(&client->source))
		return;
	line = begin(client, &len);
	if (!line)
		return;
	snprintf(line->text + len, sizeof(line->text) - len, "client %s fe=%s requests=%u", what,
		 client->frontend->state->name, client->requests);
	send_line(line);
}

void trace_txn_now(const struct txn *txn, const char *what)
{
	uint64_t want = atomic_load(&sid_hash);
	bool is_session = want && txn->stick.has_key && table_key_id(&txn->stick.key) == want;
	struct trace_line *line;
	size_t len;

	if (!is_session && !is_wanted_ip(&txn->source) && !is_wanted_ip(&txn->client->source))
		return;
	line = begin(txn->client, &len);
	if (!line)
		return;
	len += (size_t)snprintf(
		line->text + len, sizeof(line->text) - len, "%s %s %.*s be=%s srv=%s", what,
		txn->method_name ? txn->method_name : "-",
		txn->target ? (int)(txn->target_len < 160 ? txn->target_len : 160) : 0,
		txn->target ? txn->target : "", txn->backend ? txn->backend->state->name : "-",
		txn->server ? txn->server->name : "-");
	if (len < sizeof(line->text) && txn->stick.has_key)
		len += (size_t)snprintf(line->text + len, sizeof(line->text) - len, " sid=~%016llx",
					(unsigned long long)table_key_id(&txn->stick.key));
	if (len < sizeof(line->text) && txn->status)
		len += (size_t)snprintf(line->text + len, sizeof(line->text) - len, " status=%u",
					txn->status);
	if (len < sizeof(line->text) && txn->why)
		snprintf(line->text + len, sizeof(line->text) - len, " why=%s", txn->why);
	for (char *c = line->text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '.';
	send_line(line);
}
