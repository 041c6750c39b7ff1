/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "merge_node.h"

#include <stdio.h>
#include <string.h>

#include "balance/sessions.h"
#include "base/clock.h"

#define TABLE_ENTRIES 64

static const struct node *current;
static int writers;

static int64_t wall(void)
{
	return INT64_C(1700000000000) + clock_ms() + (current ? current->skew_ms : 0);
}

void node_enter(struct node *node)
{
	current = node;
	version_set_wall(wall);
	version_load(&node->clock);
}

void node_leave(struct node *node)
{
	version_save(&node->clock);
	current = NULL;
}

static void make_table(struct node *node)
{
	struct table_options options = { .name = "t",
					 .max_entries = TABLE_ENTRIES,
					 .on_gone = sessions_entry_gone,
					 .is_counted = true };

	node->table = table_new(&options);
	table_share(node->table, true);
	for (int i = 0; i < MODEL_KEYS_N; i++) {
		char bytes[4] = { 10, 0, 0, (char)i };

		node->keys[i] = table_key(node->table, (struct str){ bytes, sizeof(bytes) });
	}
	for (int i = 0; i < NODE_SERVERS_N; i++)
		atomic_store(&node->servers[i]->sessions, 0);
	memset(node->opens, 0, sizeof(node->opens));
	node->writer = ++writers;
}

static void name_version_clock(struct node *node)
{
	char name[16];

	snprintf(name, sizeof(name), "process-%d", node->writer);
	node->clock = (struct version_clock){ 0, 0 };
	version_load(&node->clock);
	version_set_node(str_of(name));
	version_save(&node->clock);
}

void node_start(struct node *node, int index, struct redis_model *redis, int64_t skew_ms)
{
	char name[16];
	struct backend_state *backend;

	*node = (struct node){ .index = index, .redis = redis, .skew_ms = skew_ms };
	snprintf(name, sizeof(name), "node-%d", index);
	backend = backend_state_get(str_of(name));
	for (int i = 0; i < NODE_SERVERS_N; i++) {
		snprintf(name, sizeof(name), "h%d", i);
		node->servers[i] = server_get(backend, str_of(name), STR("w"));
		server_set_state(node->servers[i], 0, SERVER_UNABLE | SERVER_DRAIN, "the test");
	}
	make_table(node);
	name_version_clock(node);
}

void node_stop(struct node *node)
{
	table_free(node->table);
	node->table = NULL;
}

void node_restart(struct node *node)
{
	node_stop(node);
	node->flights_n = 0;
	node->is_up = node->is_scanning = node->has_place = false;
	node->seen_id = node->seen_number = 0;
	make_table(node);
	name_version_clock(node);
}

int node_server_index(const struct node *node, uint32_t number)
{
	for (int i = 0; i < NODE_SERVERS_N; i++)
		if (node->servers[i]->number == number)
			return i;
	return -1;
}

static int key_index(const struct node *node, const struct table_key *key)
{
	for (int i = 0; i < MODEL_KEYS_N; i++)
		if (table_key_eq(&node->keys[i], key))
			return i;
	return -1;
}

static struct table_record record_of(const struct node *node, int key,
				     const struct model_record *from, int64_t left_ms)
{
	return (struct table_record){
		.key = node->keys[key],
		.state = from->state,
		.version = from->version,
		.server = from->state == RECORD_TOMB ? SERVER_NONE
						     : node->servers[from->server]->number,
		.idle_ms = from->idle_ms,
		.left_ms = left_ms,
	};
}

bool node_record(struct node *node, int key, struct table_record *record)
{
	return table_record(node->table, &node->keys[key], record);
}

/*
 * What requests do.
 */
void node_put(struct node *node, int key, int server)
{
	struct server *at = node->servers[server];
	struct table_value value = { .server = at->number,
				     .generation = server_generation(at),
				     .idle_ms = node->idle_ms };

	sessions_up(at);
	if (table_put(node->table, &node->keys[key], &value, NULL) == TABLE_PUT_SAME)
		sessions_down(at);
}

static int able_server(const struct node *node, int from)
{
	for (int i = 0; i < NODE_SERVERS_N; i++)
		if (server_is_able(node->servers[(from + i) % NODE_SERVERS_N]))
			return (from + i) % NODE_SERVERS_N;
	return -1;
}

/* A request that sticks by its key. */
void node_stick(struct node *node, int key, int from)
{
	struct table_value value;
	int server;

	if (table_touch(node->table, &node->keys[key], &value)) {
		const struct server *at = server_by_number(value.server);

		if (server_is_able(at) && server_is_of_generation(at, value.generation))
			return;
	}
	server = able_server(node, from);
	if (server >= 0)
		node_put(node, key, server);
}

void node_retire(struct node *node, int key)
{
	struct table_value value;

	if (table_find(node->table, &node->keys[key], &value))
		table_retire(node->table, &node->keys[key], &value);
}

void node_open(struct node *node, int key)
{
	struct table_value value;

	if (node->opens[key] < 3 && table_open(node->table, &node->keys[key], &value))
		node->opens[key]++;
}

void node_close(struct node *node, int key)
{
	if (!node->opens[key])
		return;
	node->opens[key]--;
	table_close(node->table, &node->keys[key]);
}

/*
 * The link.
 */
static void set_place(struct node *node)
{
	uint32_t n = node->redis->stream_n;

	node->seen_id = n ? node->redis->stream[n - 1].id : 0;
	node->seen_number = n ? node->redis->stream[n - 1].number : 0;
	node->seen_emptied_n = node->redis->emptied_n;
}

void node_resync(struct node *node, int from)
{
	set_place(node);
	table_resync_begin(node->table);
	node->is_scanning = true;
	node->scan_from = from;
	node->scanned_n = 0;
}

void node_connect(struct node *node)
{
	node->is_up = true;
	node_resync(node, node->index);
}

void node_disconnect(struct node *node, uint32_t executed_n)
{
	while (executed_n-- && node_execute(node))
		;
	for (uint32_t i = 0; i < node->flights_n; i++)
		table_unsettle(node->table, &node->flights[i].record, false);
	node->flights_n = 0;
	node->is_up = node->is_scanning = false;
}

bool node_collect(struct node *node, uint32_t max)
{
	struct table_record records[NODE_FLIGHTS_N];
	uint32_t room = NODE_FLIGHTS_N - node->flights_n;
	uint32_t n = node->is_up ? table_collect(node->table, max < room ? max : room, records) : 0;

	for (uint32_t i = 0; i < n; i++)
		node->flights[node->flights_n++] =
			(struct flight){ .at_ms = clock_ms(), .record = records[i] };
	return n > 0;
}

bool node_execute(struct node *node)
{
	for (uint32_t i = 0; i < node->flights_n; i++) {
		struct flight *flight = &node->flights[i];
		const struct table_record *record = &flight->record;
		struct model_proposal proposal;

		if (flight->is_executed)
			continue;
		proposal = (struct model_proposal){
			.writer = node->writer,
			.key = key_index(node, &record->key),
			.change = record->change,
			.left_ms = record->left_ms,
			.record = { .state = record->state,
				    .version = record->version,
				    .idle_ms = record->idle_ms,
				    .server = node_server_index(node, record->server) },
		};
		flight->answer =
			model_change(node->redis, &proposal, &flight->stored, &flight->left_ms);
		flight->is_executed = true;
		return true;
	}
	return false;
}

void node_drop_if_late(struct node *node, int64_t in_ms)
{
	if (node->flights_n && clock_ms() - node->flights[0].at_ms > in_ms)
		node_disconnect(node, 0);
}

bool node_settle(struct node *node)
{
	struct flight flight = node->flights[0];
	struct table_record stored;

	if (!node->flights_n || !flight.is_executed)
		return false;
	node->flights_n--;
	memmove(node->flights, node->flights + 1, node->flights_n * sizeof(flight));
	switch (flight.answer) {
	case MODEL_ACCEPTED:
		table_settle(node->table, &flight.record, NULL);
		break;
	case MODEL_OTHER:
		stored = record_of(node, key_index(node, &flight.record.key), &flight.stored,
				   flight.left_ms);
		table_settle(node->table, &flight.record, &stored);
		break;
	case MODEL_ABSENT:
	case MODEL_REFUSED:
		table_unsettle(node->table, &flight.record, flight.answer == MODEL_ABSENT);
		break;
	}
	return true;
}

bool node_follow(struct node *node, bool *is_gap)
{
	const struct model_change *change = model_after(node->redis, node->seen_id);
	struct table_record record;
	int64_t left_ms;

	*is_gap = false;
	if (!node->is_up)
		return false;
	if (!change) {
		*is_gap = node->redis->number < node->seen_number;
		return *is_gap;
	}
	*is_gap = change->number != node->seen_number + 1 ||
		  change->emptied_n != node->seen_emptied_n;
	if (*is_gap)
		return true;
	node->seen_id = change->id;
	node->seen_number = change->number;
	if (change->writer == node->writer)
		return true;
	left_ms = change->left_ms - (clock_ms() - change->at_ms);
	record = record_of(node, change->key, &change->record, left_ms > 1 ? left_ms : 1);
	table_merge(node->table, &record, MERGE_STREAM);
	return true;
}

bool node_scan(struct node *node)
{
	const struct model_record *stored;
	int key = (node->scan_from + node->scanned_n) % MODEL_KEYS_N;

	if (!node->is_up || !node->is_scanning)
		return false;
	if (node->scanned_n++ == MODEL_KEYS_N) {
		node->is_scanning = false;
		table_propose_all(node->table);
		return true;
	}
	stored = model_get(node->redis, key);
	if (stored) {
		struct table_record record = record_of(node, key, stored, model_left_ms(stored));

		table_merge(node->table, &record, MERGE_STORED);
	}
	return true;
}
