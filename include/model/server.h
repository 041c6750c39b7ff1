/* SPDX-License-Identifier: MIT */
/*
 * server - run-time objects: what is served, found by name, outliving every config snapshot.
 *
 *   frontend_state "web"       counters
 *   backend_state  "chat" ---> srvset (immutable, replaced as a whole) ---> members ---> server
 *                         ---> tables of its stick rules
 *
 * A struct server is one host/worker pair of one backend.  Servers are made by the control thread
 * when a snapshot or a directory watch names them first, and are never freed: a name that comes
 * back (a reload, a worker born anew) gets its old object and number.  So a pointer to a server is
 * always valid, on every thread.  The number of names that one process may ever see is bounded by
 * SERVERS_MAX.
 *
 * What the configuration says of a server (address, weight) is in the srvset's member, because it
 * may change; what happens to it is here, in atomics that any thread reads and writes.
 *
 * A srvset is published with srvset_publish(); a traffic thread loads it with srvset_of() and may
 * use it until it returns to its loop.  The old one is freed when every traffic thread has passed
 * through its loop since (main/ sees to that through the mailboxes).
 */
#ifndef MODEL_SERVER_H
#define MODEL_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "model/config.h"
#include "model/counters.h"
#include "model/histogram.h"
#include "net/addr.h"

#define SERVERS_MAX 65536
#define SERVER_NONE UINT32_MAX /* no server's number */

/* Reasons not to send traffic; 0 = ready for everything. */
enum server_state_bit {
	SERVER_DOWN = 1,  /* health checks, or refused connections, say so */
	SERVER_MAINT = 2, /* taken out by the operator */
	SERVER_DRAIN = 4, /* no new sessions; its own go on */
	SERVER_SICK = 16, /* too many bad answers in traffic: no new sessions; its own go on */
	SERVER_GONE = 8,  /* not configured any more, or its socket file has vanished */
	SERVER_AGENT_DOWN = 32,   /* its agent says: down */
	SERVER_AGENT_DRAIN = 64,  /* its agent says: no new sessions */
	SERVER_AGENT_MAINT = 128, /* its agent says: maintenance */
};
/* Cannot serve even its own sessions. */
#define SERVER_UNABLE                                                                              \
	(SERVER_DOWN | SERVER_MAINT | SERVER_GONE | SERVER_AGENT_DOWN | SERVER_AGENT_MAINT)

struct server {
	unsigned magic;                /* SERVER_MAGIC */
	uint32_t number;               /* (const) index in the registry */
	struct backend_state *backend; /* (const) */
	const char *name;              /* (const) "host/worker" or "host" */
	const char *host_name;         /* (const) */
	const char *worker_name;       /* (const) "" = the host's single worker */
	uint64_t name_hash;            /* (const) the same on every node */

	atomic_uint state;                  /* enum server_state_bit */
	atomic_uint generation;             /* grows when its process is known to be another one */
	atomic_uint used;                   /* slots taken: requests and tunnels */
	atomic_uint used_max;               /* the most of them at once */
	atomic_uint sessions;               /* live Engine.IO sessions of this generation */
	atomic_uint failures;               /* passive check: failures in the current window */
	_Atomic int64_t failures_at_ms;     /* start of that window */
	_Atomic int64_t changed_at_ms;      /* last change of state, monotonic */
	_Atomic int64_t last_session_at_ms; /* last request; 0 = never */
	atomic_uint downs;
	atomic_uint agent_weight_pct;      /* of the user's weight; 100 unless its agent says */
	atomic_uint agent_max_connections; /* its agent's limit; UINT32_MAX = not said */
	_Atomic int64_t ready_since_ms;    /* slow start: when it came up; 0 = not slowed */

	_Atomic uint64_t longest_us[SPENT_N]; /* of one request, since the maxima were cleared */

	struct check *check;       /* (own by health, control thread only) NULL = not checked */
	struct override *override; /* (own by model/override.c, control thread only) NULL = none */
	struct counters counters;  /* last: counters_tail() */
};
#define SERVER_MAGIC 0x53525652u

struct srvset_member {
	struct server *server; /* (view) never freed */
	struct sock_addr addr;
	uint32_t weight; /* effective, 0..25600: of user_weight what agent and slow start leave; 0 =
			    only own sessions */
	uint32_t user_weight;     /* the operator's, else initial_weight */
	uint32_t initial_weight;  /* the file's: host's x worker's / 100 */
	uint32_t throttle_pct;    /* of slow start; 100 = not slowed */
	uint32_t max_connections; /* 0 = no limit */
	uint32_t host;            /* index in hosts[] */
	bool is_backup;
	enum proxy_mode send_proxy;
	struct tls_client_ctx *tls;       /* (ref) with its names; NULL = plain */
	struct tls_client_ctx *check_tls; /* (ref) of its checks */
	char cookie[28]; /* token of the cookie insert rule, NUL-terminated; "" = none */
};

struct srvset_host {
	const char *name; /* (view) a server's: for ever */
	uint32_t members_n;
	bool is_backup;
};

/* The servers of a backend at one moment.  Immutable once published. */
struct srvset {
	unsigned magic;
	uint64_t serial; /* grows with each set of the process */
	uint32_t members_n;
	uint32_t hosts_n;
	struct srvset_host *hosts;   /* (own) */
	uint32_t *member_of_number;  /* (own) open-addressed: server number -> index */
	uint32_t member_of_number_n; /* power of two; srvset_find() looks there */
	struct srvset *next_retired; /* (own) out of force: the next one that is freed with it */
	void *lookup;                /* (own) made by balance: schedules, Maglev, cookie tokens */
	void (*lookup_free)(void *); /* frees it */
	struct srvset_member members[];
};
#define SRVSET_MAGIC 0x53455453u

struct backend_state {
	unsigned magic;
	const char *name; /* (own, const) */
	uint32_t id;      /* (const) iid of "show stat": frontends and backends together, from 2 */
	_Atomic(struct srvset *) set; /* never NULL once in force */
	/* (own) By kind; made by balance before traffic, NULL = none; kept over reloads. */
	struct table *tables[STICK_N];
	_Atomic uint64_t waiters; /* bit t: traffic thread t has requests waiting for our slots */
	_Atomic uint32_t turn;    /* round robin's place in the schedule */
	_Atomic bool is_gone;     /* not in the configuration any more */
	_Atomic bool is_cut_on_down;   /* on_marked_down: close */
	struct tally *times;           /* (own) TIMES_N histograms: enum backend_time */
	struct backend_state *next;    /* registry */
	struct backend_state *by_name; /* registry: the next one in its bucket */
	struct counters counters;      /* last: counters_tail() */
};

struct frontend_state {
	unsigned magic;
	const char *name;     /* (own, const) */
	uint32_t id;          /* (const) iid */
	atomic_uint used;     /* client connections open */
	atomic_uint used_max; /* the most of them at once */
	_Atomic bool is_gone;
	_Atomic bool is_disabled;         /* by the operator: accepts nothing */
	_Atomic bool is_shut;             /* by the operator: its listening sockets are closed */
	_Atomic uint32_t max_connections; /* the operator's; UINT32_MAX = as configured */
	uint32_t max_overridden;          /* control thread: the file's when he said so */
	struct counters counters;
	struct tally ends; /* by enum txn_end: of requests, then of tunnels */
	struct frontend_state *next;
};

/* Registry: control thread (or before the threads start) makes; any thread looks up by number. */
struct backend_state *backend_state_get(struct str name);   /* finds or makes */
struct frontend_state *frontend_state_get(struct str name); /* finds or makes */
struct backend_state *backend_state_first(void);
struct frontend_state *frontend_state_first(void);
/* Finds or makes.  NULL when SERVERS_MAX names have been seen. */
struct server *server_get(struct backend_state *backend, struct str host, struct str worker);
/* NAME is "host/worker" or "host".  NULL when nobody has named it.  Threads as server_get(). */
struct server *server_find(const struct backend_state *backend, struct str name);
struct server *server_by_number(uint32_t number); /* NULL when there is none */
uint32_t servers_n(void);                         /* numbers below it exist */

static inline unsigned server_state(const struct server *server)
{
	return atomic_load_explicit(&server->state, memory_order_relaxed);
}
/* Able to serve a session that lives there (draining included). */
static inline bool server_is_able(const struct server *server)
{
	return !(server_state(server) & SERVER_UNABLE);
}
/* Able to take new sessions. */
static inline bool server_is_ready(const struct server *server)
{
	return server_state(server) == 0;
}

/* Sets or clears bits; true when that changed the state.  Any thread.  Runs the change hook. */
bool server_set_state(struct server *server, unsigned set, unsigned clear, const char *why);
/* Its process is gone: every session of it is; no scan.  Any thread. */
void server_new_generation(struct server *server);
/* Called on the thread that changed it, after the change; main/ wires it (log lines, wake-ups). */
typedef void server_change_fn(struct server *server, unsigned old_state, unsigned new_state,
			      const char *why);
extern server_change_fn *server_change_hook;
/* Its effective weight must be worked out anew.  Control thread; main/ wires it. */
typedef void server_weight_fn(struct server *server);
extern server_weight_fn *server_weight_hook;

/* What a member is made from. */
struct srvset_spec {
	struct server *server; /* (view) when the caller has looked it up; else NULL */
	struct str host, worker;
	struct sock_addr addr;
	uint32_t weight, max_connections; /* weight: effective */
	uint32_t user_weight, initial_weight, throttle_pct;
	bool is_backup;
	enum proxy_mode send_proxy;
	struct str dns_name;                    /* "" = its address was given as one */
	struct tls_client_ctx *tls, *check_tls; /* (ref) server_tls.h; the set takes its own */
};

/* Builds a set; makes servers as needed; hosts in order of first appearance. Control thread. */
struct srvset *srvset_build(struct backend_state *backend, const struct srvset_spec *specs,
			    size_t n);
void srvset_free(struct srvset *set); /* NULL is fine */
/* Puts SET in force; returns the old one, to be freed when no thread can be using it. */
struct srvset *srvset_publish(struct backend_state *backend, struct srvset *set) must_check;
static inline struct srvset *srvset_of(struct backend_state *backend)
{
	return atomic_load_explicit(&backend->set, memory_order_acquire);
}
/* The member that is SERVER, or NULL.  O(1). */
struct srvset_member *srvset_find(struct srvset *set, const struct server *server);

static inline void max_raise(atomic_uint *max, unsigned value)
{
	unsigned was = atomic_load_explicit(max, memory_order_relaxed);

	while (value > was && !atomic_compare_exchange_weak(max, &was, value))
		;
}

/* A slot: taken for each request and tunnel, given back exactly once.  False: it is full. */
static inline bool server_take_slot(struct server *server, uint32_t max_connections)
{
	unsigned used = atomic_fetch_add(&server->used, 1); /* ordered with queue.c's waiters */

	if (max_connections && used >= max_connections) {
		atomic_fetch_sub_explicit(&server->used, 1, memory_order_relaxed);
		return false;
	}
	max_raise(&server->used_max, used + 1);
	return true;
}
static inline void server_release_slot(struct server *server)
{
	unsigned used = atomic_fetch_sub(&server->used, 1); /* ordered with queue.c's waiters */

	bug_on(used == 0);
}

/* The name's hash that balancing uses; SipHash-2-4 with a fixed key, the same on every node. */
uint64_t server_name_hash(struct str name);

#endif
