/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/mirror_view.h"

#include <stdio.h>

#include "base/clock.h"
#include "control/command.h"
#include "mirror/push.h"

#define OWN_PROBLEMS  4u /* own_problem() knows */
#define PEER_PROBLEMS 3u

#define NUMBER(name, key, member)                                                                  \
	{                                                                                          \
		name, key, offsetof(struct mirror_view, member)                                    \
	}
const struct mirror_number mirror_numbers[] = {
	NUMBER("State_sec", "state_s", state_s),
	NUMBER("Losses", "losses", status.losses),
	NUMBER("Lag_ms", "lag_ms", status.lag_ms),
	NUMBER("Dirty", "dirty", status.dirty),
	NUMBER("Pushed", "pushed", status.pushed),
	NUMBER("Rejected", "rejected", status.rejected),
	NUMBER("PushErrors", "push_errors", status.push_errors),
	NUMBER("Applied", "applied", status.applied),
	NUMBER("Ignored", "ignored", status.ignored),
	NUMBER("Refused", "refused", status.refused),
	NUMBER("Conflicts", "conflicts", status.conflicts),
	NUMBER("UnknownNames", "unknown_names", status.unknown_names),
	NUMBER("StreamNumber", "stream_number", status.stream_number),
	NUMBER("Gaps", "gaps", status.gaps),
	NUMBER("Resyncs", "resyncs", status.resyncs),
	NUMBER("ResyncKeys", "resync_keys", status.resync_keys),
	NUMBER("ResyncTime_ms", "resync_ms", status.resync_ms),
	NUMBER("Asks", "asks", share.asks),
	NUMBER("AskHits", "ask_hits", share.hits),
	NUMBER("AskMisses", "ask_misses", share.misses),
	NUMBER("AskTimeouts", "ask_timeouts", share.timeouts),
	NUMBER("SyncWaits", "sync_waits", share.stores),
	NUMBER("SyncTimeouts", "sync_timeouts", share.store_timeouts),
	NUMBER("PeersPresent", "peers_present", peers_present),
};
const unsigned mirror_numbers_n = ARRAY_N(mirror_numbers);
_Static_assert(sizeof(int64_t) == sizeof(uint64_t), "resync_ms is read as the others");

uint64_t mirror_number(const struct mirror_view *view, const struct mirror_number *number)
{
	uint64_t value;

	memcpy(&value, (const char *)view + number->offset, sizeof(value));
	return value;
}

void mirror_view(struct mirror_view *view)
{
	int64_t now_ms = clock_ms();

	const struct config *config = control_config();

	*view = (struct mirror_view){ .is_configured = config && config->global.mirror };
	mirror_status(&view->status);
	share_stats(&view->share);
	if (view->status.since_ms && now_ms > view->status.since_ms)
		view->state_s = (uint64_t)(now_ms - view->status.since_ms) / 1000;
	view->is_refused = push_stats()->why[0] != '\0';
	view->is_blind = view->status.state == MIRROR_AWAY || view->status.state == MIRROR_PAUSED;
	view->peers_n = beat_peers(&view->peers);
	for (size_t i = 0; i < view->peers_n; i++)
		view->peers_present += !view->is_blind && view->peers[i].is_present;
	if (view->is_configured)
		beat_totals(view->own, view->pair);
}

static size_t peer_problem(const struct mirror_view *view, unsigned at, char *out, size_t size)
{
	const struct beat_peer *peer = &view->peers[at / PEER_PROBLEMS];
	unsigned which = at % PEER_PROBLEMS;
	int n = 0;

	if (which == 0 && peer->is_key_wrong)
		n = snprintf(out, size,
			     "node %s has another global.mirror.secret: sessions are not shared",
			     peer->name);
	if (which == 1 && peer->has_other_servers)
		n = snprintf(out, size, "node %s has other servers than this one in: %s",
			     peer->name, peer->differences);
	if (which == 2 && !view->is_blind && !peer->is_present)
		n = snprintf(out, size, "node %s is gone", peer->name);
	return n > 0 ? (size_t)n : 0;
}

static size_t own_problem(const struct mirror_view *view, unsigned which, char *out, size_t size)
{
	int n = 0;

	if (which == 0 && view->status.state == MIRROR_AWAY)
		n = snprintf(out, size, "Redis is away%s%s", view->status.why[0] ? ": " : "",
			     view->status.why);
	if (which == 1 && view->status.state == MIRROR_PAUSED)
		n = snprintf(out, size, "the operator has paused the mirror");
	if (which == 2 && view->is_refused && !view->is_blind)
		n = snprintf(out, size, "Redis takes no changes%s%s; they wait on this node",
			     view->status.why[0] ? ": " : "", view->status.why);
	if (which == 3 && beat_is_name_taken())
		n = snprintf(out, size, "another process says that it is node %.*s too",
			     STR_ARG(beat_node()));
	return n > 0 ? (size_t)n : 0;
}

size_t mirror_problem(const struct mirror_view *view, unsigned *i, char *out, size_t size)
{
	while (view->is_configured && *i < OWN_PROBLEMS + PEER_PROBLEMS * view->peers_n) {
		unsigned at = (*i)++;
		size_t len = at < OWN_PROBLEMS ? own_problem(view, at, out, size)
					       : peer_problem(view, at - OWN_PROBLEMS, out, size);

		if (len)
			return len;
	}
	return 0;
}

static void put_counts(struct json *json, const char *key, const uint64_t counts[BEAT_COUNTS_N])
{
	json_open(json, key, '{');
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		json_u64(json, beat_count_names[i], counts[i]);
	json_close(json, '}');
}

static void put_peer(struct json *json, const struct mirror_view *view,
		     const struct beat_peer *peer)
{
	json_open(json, NULL, '{');
	json_text(json, "name", peer->name);
	if (view->is_blind)
		json_null(json, "present");
	else
		json_bool(json, "present", peer->is_present);
	json_text(json, "state", mirror_state_name(peer->state));
	json_text(json, "version", peer->version);
	if (peer->seen_at_ms)
		json_s64(json, "seen_ms", clock_ms() - peer->seen_at_ms);
	else
		json_null(json, "seen_ms");
	json_u64(json, "entries", peer->entries);
	json_bool(json, "key_mismatch", peer->is_key_wrong);
	json_bool(json, "servers_differ", peer->has_other_servers);
	put_counts(json, "counts", peer->totals);
	json_close(json, '}');
}

void mirror_json(struct json *json, const char *key, enum ctl_level level)
{
	struct mirror_view view;
	char text[512];
	unsigned at = 0;

	mirror_view(&view);
	if (!view.is_configured) {
		json_null(json, key);
		return;
	}
	if (level < CTL_OPERATOR)
		view.status.where[0] = view.status.why[0] = '\0';
	json_open(json, key, '{');
	json_text(json, "state", mirror_state_name(view.status.state));
	json_bool(json, "loaded", view.status.is_loaded);
	json_text(json, "mode", view.status.is_sync ? "sync" : "async");
	json_str(json, "node", beat_node());
	json_text(json, "redis", view.status.where);
	json_text(json, "last_loss", view.status.why);
	json_open(json, "problems", '[');
	while (mirror_problem(&view, &at, text, sizeof(text)))
		json_text(json, NULL, text);
	json_close(json, ']');
	for (unsigned i = 0; i < mirror_numbers_n; i++)
		json_u64(json, mirror_numbers[i].key, mirror_number(&view, &mirror_numbers[i]));
	json_open(json, "peers", '[');
	for (size_t i = 0; i < view.peers_n; i++)
		put_peer(json, &view, &view.peers[i]);
	json_close(json, ']');
	put_counts(json, "own", view.own);
	put_counts(json, "pair", view.pair);
	json_close(json, '}');
}

void mirror_health(char *out, size_t size)
{
	struct mirror_status status;

	out[0] = '\0';
	if (!control_config()->global.mirror)
		return;
	mirror_status(&status);
	snprintf(out, size, "mirror: %s%s", mirror_state_name(status.state),
		 status.is_loaded || status.state == MIRROR_LOADING ? "" : ", not loaded");
}
