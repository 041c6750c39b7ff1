/* SPDX-License-Identifier: MIT */
/*
 * traffic - one traffic thread: its loop, its clients, its server connections.
 *
 * Shared-nothing: a client, its timers and its server connections live and die on one thread.  What
 * threads share is listed in doc/threads.md.  Everything here is called on the traffic's own
 * thread, but for traffic_post_config() and the other traffic_post_* calls.
 */
#ifndef SESSION_TRAFFIC_H
#define SESSION_TRAFFIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "model/config.h"
#include "model/server.h"
#include "proto/http1.h"

#define SCRATCH_SIZE 65536

struct h2_mem;
struct srvpool;
struct wait_line;

struct traffic {
	unsigned magic;
	unsigned index; /* (const) = thread_index */
	struct loop loop;
	struct config *config; /* (ref) in force on this thread */
	struct list clients;   /* struct client.link: all of them */
	struct list lines;     /* struct wait_line.link (queue.c): requests waiting for slots */
	struct wait_line *line_tried; /* (view) the one that is being tried; NULL when it went */
	uint32_t lines_n;
	struct list acceptors; /* struct frontend_acceptor.link */
	struct soon wake_waiting;
	struct list handshakes; /* struct client.turn: TLS handshakes with work to do */
	struct soon next_handshake;
	struct list pipelined; /* struct client.turn: idle ones who have sent more already */
	struct soon next_pipelined;
	struct slab client_slab, txn_slab, upstream_slab, head_slab, replay_slab;
	struct h2_mem *h2_mem;  /* (own) of HTTP/2 sessions: h2_mem.h */
	struct srvpool **pools; /* (own) by server number; NULL = not met yet */
	uint32_t pools_n;
	struct endings *endings; /* (own) ending.c; NULL = there was none yet */
	uint32_t upstreams_idle;
	struct timer trim;              /* trim.c */
	uint32_t clients_peak;          /* seen by it since it last asked malloc */
	uint64_t trimmed_bytes;         /* freed when it did */
	bool is_draining;               /* shutting down: answers carry Connection: close */
	bool is_handed_over;            /* draining, and idle clients may send one more request */
	struct http_head response_head; /* scratch: valid within one call chain */
	char scratch[SCRATCH_SIZE];     /* likewise */
	_Atomic uint32_t clients_n;     /* read by the control thread */
};
#define TRAFFIC_MAGIC 0x54524146u

/* Limits and counters of the whole process. */
struct process_state {
	struct counters counters;
	_Atomic uint32_t connections; /* client connections open */
	_Atomic uint32_t max_connections;
	uint32_t max_connections_possible; /* as many as the descriptors allow; fixed at start */
	int64_t started_unix_ms;
	/* Control thread alone. */
	int64_t config_read_unix_ms; /* the last reload that went well; 0 = none since the start */
	bool has_reload_failed;      /* the last one */
	bool is_loading; /* the frontends do not listen yet: the tables are read from the mirror */
	int64_t boot_ms; /* from the program's start until it served */
	_Atomic bool is_stopping;
};
extern struct process_state process_state;

/* What other layers want to hear from the engine; wired in main/wiring.c.  Run on the traffic
 * thread. */
enum server_outcome {
	OUTCOME_OK,
	OUTCOME_REFUSED,
	OUTCOME_CONNECT_FAILED,
	OUTCOME_TIMEOUT,
	OUTCOME_5XX,
	OUTCOME_BROKEN,
};
typedef void server_outcome_fn(struct server *server, const struct backend *backend,
			       enum server_outcome outcome);
extern server_outcome_fn *server_outcome_hook;

struct traffic *traffic_by_index(unsigned index); /* NULL when there is none; any thread */

int traffic_init(struct traffic *traffic, unsigned index) must_check;
/* All slabs of the thread: I < TRAFFIC_SLABS. */
#define TRAFFIC_SLABS 5
struct slab *traffic_slab(struct traffic *traffic, unsigned i);
/* On its thread, when its loop has stopped: closes everything. */
void traffic_quit(struct traffic *traffic);
/* When all traffic threads have ended. */
void traffic_fini(struct traffic *traffic);

/*
 * A listening socket for BIND of the config in force; FD is taken over.  0 or negative errno.
 */
int traffic_listen(struct traffic *traffic, const struct bind_conf *bind, int fd) must_check;
/* Seconds that a connection to BIND may wait in the kernel for the client's first bytes. */
int traffic_defer_accept_s(const struct frontend *frontend, const struct bind_conf *bind);
/* Stops listening on sockets whose text (bind_conf.text) is not in the config in force. */
void traffic_stop_listening(struct traffic *traffic, bool all);
/* Puts CONFIG in force (takes its own reference). */
void traffic_set_config(struct traffic *traffic, struct config *config);
/* Frontends were disabled, enabled, shut or got another limit by the operator. */
void traffic_follow_frontends(struct traffic *traffic);
/* No new connections; idle ones are closed; the others end with their answer. */
void traffic_drain(struct traffic *traffic);
/*
 * Another process accepts from now on: no new connections; all others go on, and end with the
 * answer to their next request.  An idle one is not closed: its client may just be sending.
 */
void traffic_hand_over(struct traffic *traffic);
/* Its listening sockets: up to MAX of them in TO (views); returns how many there are. */
struct traffic_listener {
	const char *text; /* (view) bind_conf.text */
	int fd;           /* (view) */
};
size_t traffic_listeners(struct traffic *traffic, struct traffic_listener *to, size_t max);
/* A connection has closed: those who paused for want of one may accept again. */
void traffic_resume_accepting(struct traffic *traffic);
/* Closes everything at once. */
void traffic_close_all(struct traffic *traffic);

/* queue.c: a slot of BACKEND was given back: those who wait, on any thread, may try again. */
void queue_wake(struct traffic *traffic, struct backend_state *backend);
/* The same from any thread: servers or limits of BACKEND have changed. */
void queue_wake_all(struct backend_state *backend);

#endif
