/* SPDX-License-Identifier: MIT */
/*
 * The other nodes, by name, and what is told of them once per change.
 *
 * A peer is present from the second beat that we see to SILENT_MS after the last one, by our clock
 * and in rounds that Redis has answered; one that says that it stops is gone at once.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mirror/beat_internal.h"

#define SILENT_MS    SEC(5)
#define DIFFERENT_MS SEC(10) /* rolling changes of the configuration take a while */

static struct beat_peer peers[BEAT_PEERS_MAX];
static uint32_t peers_n;

size_t beat_peers(const struct beat_peer **all)
{
	*all = peers;
	return peers_n;
}

/* Its place by name; *IS_NEW: it is not there yet. */
static uint32_t place_of(struct str name, bool *is_new)
{
	uint32_t at = 0;
	int order = 1;

	for (; at < peers_n; at++) {
		struct str has = str_of(peers[at].name);
		size_t least = has.len < name.len ? has.len : name.len;

		order = memcmp(has.p, name.p, least);
		if (!order)
			order = has.len < name.len ? -1 : has.len > name.len;
		if (order >= 0)
			break;
	}
	*is_new = at == peers_n || order != 0;
	return at;
}

static void remove_peer(uint32_t at)
{
	free(peers[at].text);
	memmove(&peers[at], &peers[at + 1], (peers_n - at - 1) * sizeof(*peers));
	peers_n--;
}

/* NULL: there is no room for one more. */
static struct beat_peer *peer_of(struct str name)
{
	bool is_new;
	uint32_t at = place_of(name, &is_new);

	if (!is_new)
		return &peers[at];
	if (peers_n == BEAT_PEERS_MAX)
		return NULL;
	memmove(&peers[at + 1], &peers[at], (peers_n - at) * sizeof(*peers));
	peers_n++;
	peers[at] = (struct beat_peer){ 0 };
	snprintf(peers[at].name, sizeof(peers[at].name), "%.*s", STR_ARG(name));
	return &peers[at];
}

/*
 * What is told.
 */
static void tell_presence(struct beat_peer *peer, bool is_present)
{
	if (is_present == peer->is_present)
		return;
	peer->is_present = is_present;
	log_event(is_present ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
		  is_present ? "mirror_peer_up" : "mirror_peer_gone",
		  LOG_FIELDS({ "peer", peer->name, 0 }, { "version", peer->version, 0 }),
		  is_present          ? "mirror: node %s is there (limpet %s)"
		  : peer->is_stopping ? "mirror: node %s has stopped (limpet %s)"
				      : "mirror: node %s is gone: it says nothing (limpet %s)",
		  peer->name, peer->version);
}

static void tell_key(struct beat_peer *peer, bool is_wrong)
{
	if (is_wrong == peer->is_key_wrong)
		return;
	peer->is_key_wrong = is_wrong;
	if (is_wrong)
		log_event(LOG_LEVEL_ERROR, "mirror_key_mismatch",
			  LOG_FIELDS({ "peer", peer->name, 0 }),
			  "mirror: node %s has another global.mirror.secret: sessions are not "
			  "shared",
			  peer->name);
	else
		log_event(LOG_LEVEL_INFO, "mirror_key_match", LOG_FIELDS({ "peer", peer->name, 0 }),
			  "mirror: node %s has the same global.mirror.secret now", peer->name);
}

static void tell_servers(struct beat_peer *peer)
{
	int64_t since_ms = peer->differs_since_ms;
	bool is_other = since_ms && clock_ms() - since_ms > DIFFERENT_MS;

	if (is_other == peer->has_other_servers)
		return;
	peer->has_other_servers = is_other;
	if (is_other)
		log_event(
			LOG_LEVEL_WARN, "mirror_servers_differ",
			LOG_FIELDS({ "peer", peer->name, 0 }, { "backends", peer->differences, 0 }),
			"mirror: node %s has other servers than this one in: %s", peer->name,
			peer->differences);
	else
		log_event(LOG_LEVEL_INFO, "mirror_servers_alike",
			  LOG_FIELDS({ "peer", peer->name, 0 }),
			  "mirror: node %s has the same servers now", peer->name);
}

/*
 * Rounds.
 */
void beat_peers_begin(void)
{
	for (uint32_t i = 0; i < peers_n; i++)
		peers[i].is_found = false;
}

static void compare_servers(struct beat_peer *peer, const struct beat_value *own,
			    const struct beat_value *value)
{
	char differences[sizeof(peer->differences)];

	if (!fingerprint_differences(own, value, differences, sizeof(differences))) {
		peer->differs_since_ms = 0;
		return;
	}
	if (!peer->differs_since_ms)
		peer->differs_since_ms = clock_ms();
	memcpy(peer->differences, differences, sizeof(differences));
}

static void take_over(struct beat_peer *peer, struct str text, const struct beat_value *value)
{
	peer->boot = value->boot;
	peer->beat = value->beat;
	peer->state = value->state;
	peer->is_stopping = value->is_stopping;
	peer->entries = value->entries;
	snprintf(peer->version, sizeof(peer->version), "%.*s", STR_ARG(value->version));
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		peer->totals[i] = beat_add(value->base[i], value->counts[i]);
	free(peer->text);
	peer->text = xstrndup(text);
}

void beat_peers_meet(struct str name, struct str text, const struct beat_value *own)
{
	struct beat_value value;
	struct beat_peer *peer;
	bool is_first, has_moved;

	if (!beat_is_node_name(name) || !beat_value_read(text, &value))
		return;
	peer = peer_of(name);
	if (!peer)
		return;
	is_first = !peer->text;
	has_moved = value.boot != peer->boot || value.beat != peer->beat;
	peer->is_found = true;
	if (!has_moved)
		return;
	take_over(peer, text, &value);
	/* What stands there at our first look may be of last year. */
	if (is_first)
		return;
	if (!value.is_stopping)
		peer->seen_at_ms = clock_ms();
	tell_presence(peer, !value.is_stopping);
	tell_key(peer, own->key_check && value.key_check && own->key_check != value.key_check);
	compare_servers(peer, own, &value);
}

void beat_peers_end(bool is_whole)
{
	int64_t now_ms = clock_ms();

	for (uint32_t i = peers_n; i-- > 0;) {
		struct beat_peer *peer = &peers[i];

		if (peer->is_present && now_ms - peer->seen_at_ms > SILENT_MS)
			tell_presence(peer, false);
		if (peer->is_present)
			tell_servers(peer);
		else if (!peer->is_found && is_whole)
			remove_peer(i);
	}
}

void beat_peers_wait(void)
{
	for (uint32_t i = 0; i < peers_n; i++)
		if (peers[i].is_present)
			peers[i].seen_at_ms = clock_ms();
}

void beat_peers_forget(void)
{
	while (peers_n)
		remove_peer(peers_n - 1);
}

bool beat_peers_lost(uint32_t *i, struct str *name, struct str *text)
{
	for (; *i < peers_n; ++*i) {
		const struct beat_peer *peer = &peers[*i];

		if (peer->is_found)
			continue;
		*name = str_of(peer->name);
		*text = str_of(peer->text);
		++*i;
		return true;
	}
	return false;
}

void beat_peers_add(uint64_t sums[BEAT_COUNTS_N])
{
	for (uint32_t i = 0; i < peers_n; i++)
		for (int c = 0; c < BEAT_COUNTS_N; c++)
			sums[c] = beat_add(sums[c], peers[i].totals[c]);
}
