/* SPDX-License-Identifier: MIT */
/*
 * merge_node - a node of a pair, for tests: a real table, its part of the version clock with a wall
 * clock of its own, servers, and a link to redis_model over which everything takes its time.
 *
 *   table --collect--> flights --execute--> answers --settle--> table
 *   stream --follow--> table        all keys --scan--> table
 *
 * As mirror/ does it: a gap in the stream's numbers, and each new connection, begin a scan.
 */
#ifndef TESTS_MERGE_NODE_H
#define TESTS_MERGE_NODE_H

#include "balance/version.h"
#include "model/server.h"
#include "redis_model.h"

#define NODES_N        3
#define NODE_SERVERS_N 4
#define NODE_FLIGHTS_N 32

struct flight {
	int64_t at_ms;
	struct table_record record;
	bool is_executed;
	enum model_answer answer;
	struct model_record stored;
	int64_t left_ms;
};

struct node {
	int index;
	int writer; /* another one after a restart */
	int64_t skew_ms;
	uint32_t idle_ms; /* of the entries that it makes */
	struct version_clock clock;
	struct table *table;
	struct table_key keys[MODEL_KEYS_N];
	struct server *servers[NODE_SERVERS_N]; /* the same names on all nodes, other numbers */
	unsigned opens[MODEL_KEYS_N];           /* that this process owes a close */
	struct redis_model *redis;
	bool is_up, is_scanning, has_place;
	int scan_from, scanned_n;
	uint64_t seen_id, seen_number;
	uint64_t seen_emptied_n; /* in a stream of three changes numbers fit by chance */
	struct flight flights[NODE_FLIGHTS_N]; /* oldest first */
	uint32_t flights_n;
};

/* Before each call of the table's: this node's clocks. */
void node_enter(struct node *node);
void node_leave(struct node *node);

void node_start(struct node *node, int index, struct redis_model *redis, int64_t skew_ms);
void node_stop(struct node *node);
/* The process dies and another begins, with an empty table. */
void node_restart(struct node *node);

/* A request of KEY: goes on where it is, or to the first able server from FROM on. */
void node_stick(struct node *node, int key, int from);
void node_put(struct node *node, int key, int server);
void node_retire(struct node *node, int key);
void node_open(struct node *node, int key);
void node_close(struct node *node, int key);

/* The link.  What has been sent and not executed may be executed still: EXECUTED_N of it. */
void node_connect(struct node *node);
void node_disconnect(struct node *node, uint32_t executed_n);

/* Steps; false: there was nothing to do.  FROM of a scan: the key that comes first. */
bool node_collect(struct node *node, uint32_t max);
bool node_execute(struct node *node);
bool node_settle(struct node *node);
/* No answer for so long: the link is dropped. */
void node_drop_if_late(struct node *node, int64_t in_ms);
bool node_follow(struct node *node, bool *is_gap);
bool node_scan(struct node *node);
void node_resync(struct node *node, int from);

/* The record of key I; false = none. */
bool node_record(struct node *node, int key, struct table_record *record);
int node_server_index(const struct node *node, uint32_t number); /* -1 */

#endif
