/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/table_copy.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balance/sessions.h"
#include "balance/table.h"
#include "base/mem.h"
#include "base/siphash.h"

enum record_kind { COPY_SET = 1, COPY_DROPPED, COPY_USED, COPY_ENTRY, COPY_DIGEST };

#define IS_CURRENT 1 /* flag: of the process that lives at the server now */

#define READ_AT_ONCE 4096 /* records that one table_copy_catch_up() reads of one peer */
#define WALK_PIECE   16   /* entries; table_each() may give as many again */
#define CACHE_N      4096 /* names of servers found lately; power of two */

struct waiting {
	struct waiting *next;
	size_t n;
	unsigned char bytes[];
};

/* The fields with a guard are written by the control thread, under that mutex. */
static struct peer {
	struct loop *loop;
	struct loop_fd lf;
	int fd;               /* -1 = free; both mutexes */
	bool is_open;         /* both mutexes; false: to be closed by table_copy_reap() */
	bool is_quiet;        /* out: nothing is sent */
	struct waiting *head; /* (own) out */
	struct waiting **tail;
	uint32_t waiting_n; /* out */
} peers[TABLE_COPY_PEERS_MAX] = { [0 ... TABLE_COPY_PEERS_MAX - 1] = { .fd = -1 } };

/* The tables that there are: the registry itself is the control thread's.  Reader's mutex. */
static struct known {
	struct table *table;
	struct backend_state *backend;
	bool is_counted; /* its entries are live sessions */
} * known;               /* (own) */
static size_t known_n;

static pthread_mutex_t in_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t out_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t lost;
/* Where what this thread is just applying came from; it is not sent back there. */
static __thread const struct peer *origin;
static const struct peer nobody; /* of a walk's records */

/*
 * Out.
 */
static void drop_waiting(struct peer *peer)
{
	while (peer->head) {
		struct waiting *first = peer->head;

		peer->head = first->next;
		free(first);
	}
	peer->tail = &peer->head;
	peer->waiting_n = 0;
}

/* True when it is sent, or can never be. */
static bool try_send(const struct peer *peer, const void *bytes, size_t n)
{
	return send(peer->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
	       (errno != EAGAIN && errno != ENOBUFS && errno != EINTR);
}

static void send_waiting(struct peer *peer)
{
	while (peer->head && try_send(peer, peer->head->bytes, peer->head->n)) {
		struct waiting *first = peer->head;

		peer->head = first->next;
		peer->waiting_n--;
		free(first);
	}
	if (!peer->head)
		peer->tail = &peer->head;
}

static void send_to(struct peer *peer, const struct pack *record)
{
	struct waiting *waiting;

	send_waiting(peer);
	if (!peer->head && try_send(peer, record->p, record->n))
		return;
	if (peer->waiting_n == TABLE_COPY_WAITING_MAX) {
		atomic_fetch_add(&lost, 1);
		return;
	}
	waiting = xmalloc(sizeof(*waiting) + record->n);
	waiting->next = NULL;
	waiting->n = record->n;
	memcpy(waiting->bytes, record->p, record->n);
	*peer->tail = waiting;
	peer->tail = &waiting->next;
	peer->waiting_n++;
}

static void write_record(struct pack *to, enum record_kind kind, const struct table *table,
			 struct str kept, const struct table_value *value)
{
	const struct server *server = value ? server_by_number(value->server) : NULL;
	unsigned generation = server ? atomic_load(&server->generation) : 0;

	pack_u8(to, (uint8_t)kind);
	pack_u8(to, server && !((generation ^ value->generation) & TABLE_GENERATION_MASK)
			    ? IS_CURRENT
			    : 0);
	pack_str(to, str_of(table_name(table)));
	pack_str(to, server ? str_of(server->name) : STR(""));
	pack_str(to, kept);
	pack_u32(to, value ? value->idle_ms : 0);
	pack_u32(to, value && value->expires_in_ms > 0 ? (uint32_t)value->expires_in_ms : 0);
}

/* A digest key under which this process keeps keys, or has: the current one is the last. */
static bool write_digest(struct pack *to, uint32_t i)
{
	struct siphash_key key;
	uint32_t former_n = 0;

	while (table_digest_former(former_n, &key))
		former_n++;
	if (i > former_n)
		return false;
	if (i == former_n)
		table_digest_current(&key);
	else
		table_digest_former(former_n - 1 - i, &key);
	pack_u8(to, COPY_DIGEST);
	pack_u64(to, key.k0);
	pack_u64(to, key.k1);
	return true;
}

static void send_digests(struct peer *peer)
{
	for (uint32_t i = 0;; i++) {
		unsigned char bytes[32];
		struct pack record = { bytes, 0, sizeof(bytes), false };

		if (!write_digest(&record, i))
			break;
		send_to(peer, &record);
	}
}

static void on_changed(struct table *table, const struct table_key *key,
		       const struct table_value *value, enum table_change change)
{
	static const enum record_kind kinds[] = {
		[TABLE_SET] = COPY_SET,
		[TABLE_DROPPED] = COPY_DROPPED,
		[TABLE_USED] = COPY_USED,
	};
	unsigned char bytes[TABLE_COPY_RECORD_MAX];
	struct pack record = { bytes, 0, sizeof(bytes), false };

	write_record(&record, kinds[change], table, table_key_str(key), value);
	if (record.is_bad) {
		atomic_fetch_add(&lost, 1); /* names of hundreds of bytes */
		return;
	}
	pthread_mutex_lock(&out_mutex);
	for (size_t i = 0; i < TABLE_COPY_PEERS_MAX; i++)
		if (peers[i].is_open && !peers[i].is_quiet && &peers[i] != origin)
			send_to(&peers[i], &record);
	pthread_mutex_unlock(&out_mutex);
}

/*
 * In.
 */
static struct known *known_of(struct str name)
{
	for (size_t i = 0; i < known_n; i++)
		if (str_eq(str_of(table_name(known[i].table)), name))
			return &known[i];
	return NULL;
}

/* Reader's mutex held.  server_get() would make it, and is the control thread's alone. */
static struct server *server_of(const struct backend_state *backend, struct str name)
{
	static uint32_t cache[CACHE_N]; /* number + 1 */
	uint32_t *cached = &cache[siphash13(siphash_process_key(), name.p, name.len) % CACHE_N];
	struct server *server = *cached ? server_by_number(*cached - 1) : NULL;

	if (server && server->backend == backend && str_eq(str_of(server->name), name))
		return server;
	for (uint32_t n = 0; n < servers_n(); n++) {
		server = server_by_number(n);
		if (server->backend != backend || !str_eq(str_of(server->name), name))
			continue;
		*cached = n + 1;
		return server;
	}
	return NULL;
}

/* As stick_learn_sid(): a session is counted before its entry stands. */
static void set_entry(enum record_kind kind, struct table *table, bool is_counted,
		      const struct table_key *key, struct table_value *value, bool is_current)
{
	struct server *server = server_by_number(value->server);
	bool is_new;

	value->generation = server_generation(server) - !is_current;
	is_counted = is_counted && is_current;
	if (is_counted)
		sessions_up(server);
	if (kind == COPY_ENTRY)
		is_new = table_restore(table, key, value);
	else
		is_new = table_put(table, key, value, NULL) != TABLE_PUT_SAME;
	if (is_counted && !is_new)
		sessions_down(server);
}

/* Reader's mutex held. */
static void read_entry(enum record_kind kind, struct unpack *from)
{
	uint8_t flags = unpack_u8(from);
	struct str table_text = unpack_str(from);
	struct str server_text = unpack_str(from);
	struct str kept = unpack_str(from);
	struct table_value value = { .idle_ms = unpack_u32(from) };
	struct server *server;
	struct known *at;
	struct table_key key;

	value.expires_in_ms = unpack_u32(from);
	if (!kept.len || kept.len > TABLE_KEY_SIZE)
		from->is_bad = true;
	if (from->is_bad)
		return;
	at = known_of(table_text);
	if (!at || (table_is_secret(at->table) && kept.len != TABLE_KEY_SIZE))
		return;
	key = table_key_kept(at->table, kept);
	if (kind == COPY_DROPPED) {
		table_drop(at->table, &key);
		return;
	}
	if (kind == COPY_USED) {
		table_touch(at->table, &key, &value);
		return;
	}
	server = server_of(at->backend, server_text);
	if (!server || server->number > TABLE_SERVER_MAX)
		return;
	value.server = server->number;
	set_entry(kind, at->table, at->is_counted, &key, &value, flags & IS_CURRENT);
}

/* Keys in the peer's records are kept under its digest key. */
static void read_digest(struct unpack *from)
{
	struct siphash_key key = { .k0 = unpack_u64(from) };

	key.k1 = unpack_u64(from);
	if (!from->is_bad)
		table_digest_also(&key);
}

/* Reader's mutex held. */
static void read_record(struct unpack *from)
{
	enum record_kind kind = unpack_u8(from);

	if (kind == COPY_DIGEST)
		read_digest(from);
	else if (kind >= COPY_SET && kind <= COPY_ENTRY)
		read_entry(kind, from);
	else
		from->is_bad = true;
}

static bool read_peer(struct peer *peer)
{
	unsigned char bytes[TABLE_COPY_RECORD_MAX];
	bool is_any = false;

	for (unsigned i = 0; i < READ_AT_ONCE; i++) {
		ssize_t n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		struct unpack record = { bytes, n > 0 ? (size_t)n : 0, false };

		if (n <= 0)
			break; /* nothing, or the peer is gone: main/upgrade.c will hear of it */
		origin = peer;
		read_record(&record);
		origin = NULL;
		is_any = true;
	}
	return is_any;
}

bool table_copy_catch_up(void)
{
	bool is_any = false;

	if (origin)
		return false; /* from within read_record() */
	pthread_mutex_lock(&in_mutex);
	for (size_t i = 0; i < TABLE_COPY_PEERS_MAX; i++)
		if (peers[i].is_open)
			is_any |= read_peer(&peers[i]);
	pthread_mutex_unlock(&in_mutex);
	return is_any;
}

static void on_event(struct loop_fd *lf, uint32_t events)
{
	struct peer *peer = container_of(lf, struct peer, lf);

	if (events & EPOLLOUT) {
		pthread_mutex_lock(&out_mutex);
		if (peer->is_open)
			send_waiting(peer);
		pthread_mutex_unlock(&out_mutex);
	}
	if (events & EPOLLIN)
		while (table_copy_catch_up())
			;
	if (events & (EPOLLHUP | EPOLLERR) && peer->lf.fd >= 0)
		loop_fd_del(peer->loop, &peer->lf);
}

/*
 * Peers.
 */
static const struct table_follower follower = { on_changed, table_copy_catch_up };

static void lock_both(void)
{
	pthread_mutex_lock(&in_mutex);
	pthread_mutex_lock(&out_mutex);
}

static void unlock_both(void)
{
	pthread_mutex_unlock(&out_mutex);
	pthread_mutex_unlock(&in_mutex);
}

static size_t open_n(void)
{
	size_t n = 0;

	for (size_t i = 0; i < TABLE_COPY_PEERS_MAX; i++)
		n += peers[i].is_open;
	return n;
}

void table_copy_refresh(void)
{
	pthread_mutex_lock(&in_mutex);
	known_n = 0;
	for (struct backend_state *at = backend_state_first(); at && open_n(); at = at->next)
		for (int kind = 0; kind < STICK_N; kind++) {
			if (!at->tables[kind])
				continue;
			known = xrealloc_array(known, known_n + 1, sizeof(*known));
			known[known_n++] = (struct known){
				.table = at->tables[kind],
				.backend = at,
				.is_counted = kind == STICK_ENGINEIO,
			};
		}
	if (!known_n) {
		free(known);
		known = NULL;
	}
	pthread_mutex_lock(&out_mutex);
	for (size_t i = 0; i < TABLE_COPY_PEERS_MAX; i++)
		if (peers[i].is_open && !peers[i].is_quiet)
			send_digests(&peers[i]);
	pthread_mutex_unlock(&out_mutex);
	pthread_mutex_unlock(&in_mutex);
}

int table_copy_open(struct loop *loop, int fd)
{
	struct peer *peer = peers;
	int rc;

	while (peer < peers + TABLE_COPY_PEERS_MAX && peer->fd >= 0)
		peer++;
	if (peer == peers + TABLE_COPY_PEERS_MAX)
		return -ENOSPC;
	lock_both();
	*peer = (struct peer){ .loop = loop, .fd = fd, .is_open = true };
	peer->tail = &peer->head;
	unlock_both();
	rc = loop_fd_add(loop, &peer->lf, fd, on_event, EPOLLIN | EPOLLOUT);
	if (rc != 0) {
		lock_both();
		peer->fd = -1;
		peer->is_open = false;
		unlock_both();
		return rc;
	}
	table_copy_refresh();
	atomic_store(&table_follower, &follower);
	return (int)(peer - peers);
}

void table_copy_quiet(int number)
{
	struct peer *peer = &peers[number];

	pthread_mutex_lock(&out_mutex);
	peer->is_quiet = true;
	drop_waiting(peer);
	pthread_mutex_unlock(&out_mutex);
}

void table_copy_close(int number)
{
	struct peer *peer = &peers[number];

	if (!peer->is_open)
		return;
	if (peer->lf.fd >= 0)
		loop_fd_del(peer->loop, &peer->lf);
	table_copy_catch_up(); /* what it said last */
	lock_both();
	peer->is_open = false;
	drop_waiting(peer);
	unlock_both();
	if (!open_n())
		atomic_store(&table_follower, NULL);
	table_copy_refresh();
}

void table_copy_reap(void)
{
	lock_both();
	for (size_t i = 0; i < TABLE_COPY_PEERS_MAX; i++)
		if (peers[i].fd >= 0 && !peers[i].is_open) {
			close(peers[i].fd);
			peers[i].fd = -1;
		}
	unlock_both();
}

uint64_t table_copy_lost(void)
{
	return atomic_load(&lost);
}

/*
 * The walk over what there is.
 */
struct walk_to {
	struct pack *to;
	const struct table *table;
};

static void write_entry(void *arg, struct str key, const struct table_value *value)
{
	struct walk_to *walk = arg;
	size_t before = walk->to->n;

	write_record(walk->to, COPY_ENTRY, walk->table, key, value);
	if (!walk->to->is_bad)
		return;
	walk->to->n = before; /* it does not fit: names of hundreds of bytes */
	walk->to->is_bad = false;
	atomic_fetch_add(&lost, 1);
}

static void next_table(struct table_copy_walk *walk)
{
	walk->cursor = 0;
	if (++walk->kind < STICK_N)
		return;
	walk->kind = 0;
	walk->backend = walk->backend->next;
}

bool table_copy_write(struct table_copy_walk *walk, struct pack *to)
{
	if (!walk->is_begun) {
		walk->backend = backend_state_first();
		for (uint32_t i = 0; write_digest(to, i); i++)
			;
	}
	walk->is_begun = true;
	while (walk->backend &&
	       to->size - to->n >= (size_t)2 * WALK_PIECE * TABLE_COPY_RECORD_MAX) {
		struct table *table = walk->backend->tables[walk->kind];
		struct walk_to walk_to = { to, table };

		if (!table || !table_each(table, &walk->cursor, WALK_PIECE, write_entry, &walk_to))
			next_table(walk);
	}
	return walk->backend != NULL;
}

uint32_t table_copy_read(struct unpack *from)
{
	uint32_t n = 0;

	pthread_mutex_lock(&in_mutex);
	origin = &nobody;
	while (from->left && !from->is_bad) {
		bool is_entry = *from->p != COPY_DIGEST;

		read_record(from);
		n += is_entry && !from->is_bad;
	}
	origin = NULL;
	pthread_mutex_unlock(&in_mutex);
	return n;
}
