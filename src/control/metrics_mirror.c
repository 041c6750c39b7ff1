/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/metrics_mirror.h"

#include <stdio.h>

static uint64_t number_at(const struct mirror_view *view, int offset)
{
	uint64_t value;

	memcpy(&value, (const char *)view + offset, sizeof(value));
	return value;
}

void metrics_mirror(struct metrics *metrics, int arg)
{
	struct mirror_view view;

	mirror_view(&view);
	if (view.is_configured)
		metrics_number(metrics, "", number_at(&view, arg));
}

void metrics_mirror_ms(struct metrics *metrics, int arg)
{
	struct mirror_view view;

	mirror_view(&view);
	if (view.is_configured)
		metrics_seconds(metrics, "", number_at(&view, arg) * 1000);
}

void metrics_mirror_state(struct metrics *metrics, int arg)
{
	struct mirror_view view;
	char label[32];

	(void)arg;
	mirror_view(&view);
	for (int i = MIRROR_OFF + 1; view.is_configured && i < MIRROR_STATES_N; i++) {
		snprintf(label, sizeof(label), "state=\"%s\"",
			 mirror_state_name((enum mirror_state)i));
		metrics_number(metrics, label, (int)view.status.state == i);
	}
}

void metrics_mirror_asks(struct metrics *metrics, int arg)
{
	struct mirror_view view;

	(void)arg;
	mirror_view(&view);
	if (!view.is_configured)
		return;
	metrics_number(metrics, "result=\"hit\"", view.share.hits);
	metrics_number(metrics, "result=\"miss\"", view.share.misses);
	metrics_number(metrics, "result=\"timeout\"", view.share.timeouts);
}

void metrics_mirror_name_taken(struct metrics *metrics, int arg)
{
	struct mirror_view view;

	(void)arg;
	mirror_view(&view);
	if (view.is_configured)
		metrics_number(metrics, "", beat_is_name_taken());
}

/* NODE may have any printable character. */
static void put_of_node(struct metrics *metrics, struct str node, uint64_t value)
{
	struct buf label = { 0 };
	char text[2 * BEAT_NODE_MAX + 16];

	buf_append_str(&label, STR("node=\""));
	metrics_escape(&label, node);
	buf_append_str(&label, STR("\""));
	snprintf(text, sizeof(text), "%.*s", STR_ARG(buf_str(&label)));
	buf_release(&label);
	metrics_number(metrics, text, value);
}

void metrics_mirror_peer(struct metrics *metrics, int what)
{
	struct mirror_view view;

	mirror_view(&view);
	for (size_t i = 0; view.is_configured && i < view.peers_n; i++) {
		const struct beat_peer *peer = &view.peers[i];
		uint64_t value = 0;

		switch ((enum metrics_peer)what) {
		case PEER_UP:
			if (view.is_blind)
				continue;
			value = peer->is_present;
			break;
		case PEER_KEY_MISMATCH:
			value = peer->is_present && peer->is_key_wrong;
			break;
		case PEER_SERVERS_DIFFER:
			value = peer->is_present && peer->has_other_servers;
			break;
		case PEER_ENTRIES:
			value = peer->entries;
			break;
		}
		put_of_node(metrics, str_of(peer->name), value);
	}
}

void metrics_mirror_node(struct metrics *metrics, int which)
{
	struct mirror_view view;

	mirror_view(&view);
	if (!view.is_configured)
		return;
	put_of_node(metrics, beat_node(), view.own[which]);
	for (size_t i = 0; i < view.peers_n; i++)
		put_of_node(metrics, str_of(view.peers[i].name), view.peers[i].totals[which]);
}
