/* SPDX-License-Identifier: MIT */
/*
 * Pace.  Every TICK_MS a thread earns credit: of what it has for the server, as much as the tick is
 * of the time that is left.  Each whole credit ends one tunnel or session.  So the rate is even
 * though things come and go, and all are gone when the time is over.
 *
 * A session between two requests is on no list.  When its next request comes it brings, in the same
 * way, as much credit of a second kind as its silence was of the time that was left.  (How many are
 * silent nobody can know: the table counts sessions whose clients went away without a word.  When
 * only a share has to go, it is taken from those on the lists.)
 */
#include "config.h"

#include "session/ending.h"

#include <stdlib.h>

#include "base/clock.h"
#include "session/client.h"
#include "session/srvpool.h"
#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

#define TICK_MS    50
#define TURN_ENDED 16                  /* at most so many in one turn: others are to be served */
#define ONE        ((uint64_t)1 << 20) /* a whole credit */
#define NO_QUOTA   UINT32_MAX

/* What all threads and "show" know of a server's last ending.  Never freed. */
struct ending_state {
	_Atomic int64_t until_ms; /* 0 = none under way */
	_Atomic int64_t over_ms;
	atomic_uint share_permille;
	atomic_uint tunnels, polls; /* sums of what the threads have */
	atomic_uint sessions;       /* of these, with an Engine.IO session */
	atomic_uint leaving;        /* tunnels that have been told, on all threads */
	atomic_uint ended;
};
static _Atomic(struct ending_state *) states[SERVERS_MAX];

/* How many a thread has that have to go. */
struct ending_count {
	uint32_t tunnels, polls, sessions;
};

/* One server's ending on one thread. */
struct ending {
	struct list link; /* struct endings.list */
	struct traffic *traffic;
	struct server *server;
	struct ending_state *state;
	struct srvpool *pool;
	unsigned generation; /* newer ones stay */
	int64_t started_ms, until_ms, ticked_ms;
	uint64_t credit, credit_silent; /* in parts of ONE */
	uint32_t quota;                 /* still to be ended here; NO_QUOTA = all */
	unsigned share_permille;        /* of which the quota is still to be made; 0 = it is */
	struct ending_count here, told; /* told: what is in the state's sums */
	bool is_polls_turn;
	bool spares_polls; /* until_ms is their time */
};

struct endings {
	struct traffic *traffic;
	struct list list;
	struct timer timer;
};

struct ending_mail {
	struct mail mail;
	struct traffic *traffic;
	struct server *server;
	int64_t until_ms;
	unsigned share_permille, generation;
	enum ending_how how;
};

static struct ending_state *state_of(const struct server *server)
{
	struct ending_state *none = NULL, *state = atomic_load(&states[server->number]);

	if (state)
		return state;
	state = xcalloc(1, sizeof(*state));
	if (atomic_compare_exchange_strong(&states[server->number], &none, state))
		return state;
	free(state);
	return none;
}

static bool has_to_go(const struct ending *ending, unsigned generation)
{
	return (int)(generation - ending->generation) <= 0;
}

static bool has_session(const struct tunnel *tunnel)
{
	return tunnel_hold(tunnel) || tunnel->is_own_session;
}

static void count_tunnel(struct ending *ending, const struct tunnel *tunnel, uint32_t by)
{
	if (!has_to_go(ending, tunnel_upstream(tunnel)->generation))
		return;
	ending->here.tunnels += by;
	ending->here.sessions += has_session(tunnel) ? by : 0;
}

static void count_poll(struct ending *ending, const struct txn *txn, uint32_t by)
{
	if (!has_to_go(ending, txn->poll_generation))
		return;
	ending->here.polls += by;
	ending->here.sessions += by;
}

void ending_add_tunnel(struct tunnel *tunnel)
{
	struct srvpool *pool = srvpool_of(tunnel->client->traffic, tunnel_server(tunnel));

	list_push_back(&pool->tunnels, &tunnel_upstream(tunnel)->link);
	if (unlikely(pool->ending != NULL))
		count_tunnel(pool->ending, tunnel, 1);
}

void ending_remove_tunnel(struct tunnel *tunnel)
{
	struct srvpool *pool = srvpool_of(tunnel->client->traffic, tunnel_server(tunnel));

	if (!list_is_linked(&tunnel_upstream(tunnel)->link))
		return;
	list_remove(&tunnel_upstream(tunnel)->link);
	if (unlikely(pool->ending != NULL))
		count_tunnel(pool->ending, tunnel, UINT32_MAX);
}

void ending_leaving(const struct tunnel *tunnel, bool is_over)
{
	atomic_fetch_add(&state_of(tunnel_server(tunnel))->leaving, is_over ? UINT32_MAX : 1);
}

void ending_add_poll(struct txn *txn)
{
	struct srvpool *pool = srvpool_of(txn->traffic, txn->server);

	txn->poll_generation = txn->upstream->generation;
	list_push_back(&pool->polls, &txn->wait_link);
	if (unlikely(pool->ending != NULL))
		count_poll(pool->ending, txn, 1);
}

void ending_remove_poll(struct txn *txn)
{
	struct srvpool *pool = srvpool_of(txn->traffic, txn->server);

	if (!list_is_linked(&txn->wait_link))
		return;
	list_remove(&txn->wait_link);
	if (unlikely(pool->ending != NULL))
		count_poll(pool->ending, txn, UINT32_MAX);
}

static void count_ended(struct ending *ending, uint64_t *credit)
{
	atomic_fetch_add_explicit(&ending->state->ended, 1, memory_order_relaxed);
	*credit -= *credit < ONE ? *credit : ONE;
	if (ending->quota != NO_QUOTA && ending->quota)
		ending->quota--;
}

/* Of N things, as many as PART_MS is of WHOLE_MS. */
static uint64_t earn(uint64_t n, int64_t part_ms, int64_t whole_ms)
{
	if (part_ms <= 0)
		return 0;
	return part_ms < whole_ms ? n * ONE * (uint64_t)part_ms / (uint64_t)whole_ms : n * ONE;
}

bool ending_takes(struct txn *txn)
{
	struct ending *ending = srvpool_of(txn->traffic, txn->stick.server)->ending;
	int64_t since_ms = clock_ms() - txn->stick.was_idle_ms;

	if (!ending || ending->spares_polls || ending->quota != NO_QUOTA ||
	    ending->share_permille || txn->method != HTTP_GET || txn->wants_upgrade ||
	    ending->generation != atomic_load(&ending->server->generation))
		return false;
	if (since_ms < ending->started_ms)
		since_ms = ending->started_ms;
	ending->credit_silent += earn(1, clock_ms() - since_ms, ending->until_ms - since_ms);
	if (ending->credit_silent < ONE ||
	    !stick_retire_sid(&txn->stick, txn->backend, ending->server))
		return false;
	count_ended(ending, &ending->credit_silent);
	return true;
}

static void end_poll(struct txn *txn)
{
	stick_retire_sid(&txn->stick, txn->backend, txn->server);
	if (txn_answer_session_unknown(txn, END_SESSION_MOVED) != STEP_GONE)
		txn_run(txn);
}

/* The oldest poll whose answer has not begun to come. */
static struct txn *first_poll(const struct ending *ending)
{
	list_for_each(at, &ending->pool->polls) {
		struct txn *txn = list_entry(at, struct txn, wait_link);

		if (has_to_go(ending, txn->poll_generation) && !txn->response_seen)
			return txn;
	}
	return NULL;
}

static struct tunnel *first_tunnel(const struct ending *ending)
{
	struct tunnel *tunnel;

	if (list_is_empty(&ending->pool->tunnels))
		return NULL;
	tunnel = &list_entry(ending->pool->tunnels.next, struct upstream, link)->tunnel;
	return has_to_go(ending, tunnel_upstream(tunnel)->generation) ? tunnel : NULL;
}

/* The two kinds take turns.  False: there is none. */
static bool end_one(struct ending *ending)
{
	struct tunnel *tunnel = first_tunnel(ending);
	bool spares_polls = ending->spares_polls && clock_ms() < ending->until_ms;
	struct txn *txn = spares_polls ? NULL : first_poll(ending);

	if (!tunnel && !txn)
		return false;
	count_ended(ending, &ending->credit);
	ending->is_polls_turn = !ending->is_polls_turn;
	if (txn && (!tunnel || ending->is_polls_turn))
		end_poll(txn);
	else
		tunnel_leave(tunnel);
	return true;
}

static unsigned count_threads(void)
{
	unsigned n = 0;

	while (traffic_by_index(n))
		n++;
	return n ? n : 1;
}

/* Our part of the sessions that are between two requests, or forgotten: at most so many. */
static uint32_t silent_sessions(const struct ending *ending, unsigned threads_n)
{
	unsigned sessions = atomic_load_explicit(&ending->server->sessions, memory_order_relaxed);
	unsigned seen = atomic_load_explicit(&ending->state->sessions, memory_order_relaxed);

	if (ending->generation != atomic_load(&ending->server->generation) || sessions <= seen)
		return 0;
	return (sessions - seen + threads_n - 1) / threads_n;
}

/* Our part of the share; the threads round differently, so that their sum is right. */
static uint32_t quota_of(const struct ending *ending)
{
	unsigned threads_n = count_threads();
	uint64_t n = (uint64_t)ending->here.tunnels + ending->here.polls +
		     silent_sessions(ending, threads_n);
	unsigned bias = (ending->traffic->index * 2 + 1) * 500 / threads_n;

	return (uint32_t)((n * ending->share_permille + bias) / 1000);
}

static void tell_counts(struct ending *ending)
{
	struct ending_state *state = ending->state;

	atomic_fetch_add(&state->tunnels, ending->here.tunnels - ending->told.tunnels);
	atomic_fetch_add(&state->polls, ending->here.polls - ending->told.polls);
	atomic_fetch_add(&state->sessions, ending->here.sessions - ending->told.sessions);
	ending->told = ending->here;
}

static void ending_free(struct ending *ending)
{
	ending->here = (struct ending_count){ 0 };
	tell_counts(ending);
	ending->pool->ending = NULL;
	list_remove(&ending->link);
	free(ending);
}

enum tick { TICK_OVER, TICK_LATER, TICK_BEHIND }; /* BEHIND: more is due already */

static enum tick ending_tick(struct ending *ending)
{
	int64_t now_ms = clock_ms();
	bool is_last = now_ms >= ending->until_ms;
	unsigned left = TURN_ENDED;

	if (ending->share_permille) {
		if (now_ms < ending->started_ms + TICK_MS)
			return TICK_LATER; /* the other threads have not told their counts yet */
		ending->quota = quota_of(ending);
		ending->share_permille = 0;
	}
	bool is_all = ending->quota == NO_QUOTA;
	uint32_t polls = ending->spares_polls ? 0 : ending->here.polls;
	uint64_t n = is_all ? (uint64_t)ending->here.tunnels + polls : ending->quota;

	ending->credit += earn(n, now_ms - ending->ticked_ms, ending->until_ms - ending->ticked_ms);
	ending->ticked_ms = now_ms;
	while (ending->quota && (ending->credit >= ONE || is_last) && left && end_one(ending))
		left--;
	if (is_all && ending->credit > ONE && left)
		ending->credit = ONE; /* nothing was there: not saved for a herd */
	tell_counts(ending);
	if (!left && ending->quota)
		return TICK_BEHIND;
	return is_last || !ending->quota ? TICK_OVER : TICK_LATER;
}

static void on_tick(struct timer *timer)
{
	struct endings *endings = container_of(timer, struct endings, timer);
	int64_t next_ms = TICK_MS;

	list_for_each_safe(at, after, &endings->list) {
		struct ending *ending = list_entry(at, struct ending, link);

		switch (ending_tick(ending)) {
		case TICK_OVER:
			ending_free(ending);
			break;
		case TICK_BEHIND:
			next_ms = 1;
			break;
		case TICK_LATER:
			break;
		}
	}
	if (!list_is_empty(&endings->list))
		loop_timer_in(&endings->traffic->loop, timer, next_ms);
}

static struct endings *endings_of(struct traffic *traffic)
{
	if (!traffic->endings) {
		traffic->endings = xcalloc(1, sizeof(*traffic->endings));
		traffic->endings->traffic = traffic;
		list_init(&traffic->endings->list);
		timer_init(&traffic->endings->timer, on_tick);
	}
	return traffic->endings;
}

static void count_all(struct ending *ending)
{
	list_for_each(at, &ending->pool->tunnels)
		count_tunnel(ending, &list_entry(at, struct upstream, link)->tunnel, 1);
	list_for_each(at, &ending->pool->polls)
		count_poll(ending, list_entry(at, struct txn, wait_link), 1);
}

static void ending_begin(const struct ending_mail *mail)
{
	struct endings *endings = endings_of(mail->traffic);
	struct ending *ending = xcalloc(1, sizeof(*ending));

	ending->traffic = mail->traffic;
	ending->server = mail->server;
	ending->state = state_of(mail->server);
	ending->pool = srvpool_of(mail->traffic, mail->server);
	ending->generation = mail->generation;
	ending->until_ms = mail->until_ms;
	ending->started_ms = ending->ticked_ms = clock_ms();
	ending->quota = NO_QUOTA;
	ending->spares_polls = mail->how == ENDING_HANDED_OVER;
	ending->pool->ending = ending;
	count_all(ending);
	tell_counts(ending);
	if (mail->share_permille < 1000)
		ending->share_permille = mail->share_permille;
	list_push_back(&endings->list, &ending->link);
	loop_timer_in(&mail->traffic->loop, &endings->timer, 1);
}

static void abort_client(struct client *client)
{
	struct txn *txn = client_txn(client);

	if (client->state == CLIENT_TUNNEL) {
		tunnel_abort(client->tunnel, END_SERVER_DOWN);
		client_close(client);
	} else if (txn->state == TXN_ANSWER || txn->state == TXN_DONE) {
		return; /* no more to do with the server */
	} else if (!txn->is_response_begun) {
		enum step step =
			txn->stick.has_sid
				? txn_answer_session_unknown(txn, END_SESSION_DEAD)
				: txn_answer(txn, 503, END_SERVER_DOWN, "the server is down");

		if (step != STEP_GONE)
			txn_run(txn);
	} else {
		txn_abort(txn, END_SERVER_DOWN);
		client_reset(client);
	}
}

static void abort_all(struct traffic *traffic, const struct ending_mail *mail)
{
	list_for_each_safe(node, after, &traffic->clients) {
		struct client *client = list_entry(node, struct client, link);
		const struct upstream *upstream = NULL;
		const struct server *server = NULL;

		if (client_txn(client)) {
			upstream = client->txn->upstream;
			server = client->txn->server;
		} else if (client_tunnel(client)) {
			upstream = tunnel_upstream(client->tunnel);
			server = upstream->server;
		}
		if (server == mail->server && upstream &&
		    (int)(upstream->generation - mail->generation) <= 0)
			abort_client(client);
	}
}

static void on_ending(struct mail *at)
{
	struct ending_mail *mail = container_of(at, struct ending_mail, mail);
	struct srvpool *pool = srvpool_of(mail->traffic, mail->server);

	if (pool->ending)
		ending_free(pool->ending);
	if (mail->share_permille && mail->how == ENDING_ABRUPT)
		abort_all(mail->traffic, mail);
	else if (mail->share_permille)
		ending_begin(mail);
	free(mail);
}

void ending_post(struct server *server, unsigned share_permille, int64_t over_ms,
		 enum ending_how how)
{
	struct ending_state *state = state_of(server);
	unsigned generation = atomic_load(&server->generation);
	bool is_polite = share_permille && how != ENDING_ABRUPT;
	struct traffic *traffic;

	if (server_state(server) & SERVER_GONE)
		generation--;
	if (share_permille) {
		atomic_store(&state->over_ms, is_polite ? over_ms : 0);
		atomic_store(&state->share_permille, share_permille);
		atomic_store(&state->ended, 0);
	}
	atomic_store(&state->until_ms, is_polite ? clock_ms() + over_ms : 0);
	for (unsigned i = 0; (traffic = traffic_by_index(i)) != NULL; i++) {
		struct ending_mail *mail = xmalloc(sizeof(*mail));

		*mail = (struct ending_mail){
			.traffic = traffic,
			.server = server,
			.until_ms = clock_ms() + over_ms,
			.share_permille = share_permille,
			.generation = generation,
			.how = how,
		};
		loop_post(&traffic->loop, &mail->mail, on_ending);
	}
}

int64_t ending_left_ms(const struct server *server)
{
	const struct ending_state *state = atomic_load(&states[server->number]);
	int64_t until_ms = state ? atomic_load(&state->until_ms) : 0;
	int64_t left_ms = until_ms - clock_ms();

	return until_ms && left_ms > 0 ? left_ms : -1;
}

bool ending_info(const struct server *server, struct ending_info *info)
{
	const struct ending_state *state = atomic_load(&states[server->number]);

	if (!state)
		return false;
	*info = (struct ending_info){
		.left_ms = ending_left_ms(server),
		.over_ms = atomic_load(&state->over_ms),
		.share_permille = atomic_load(&state->share_permille),
		.tunnels = atomic_load(&state->tunnels),
		.polls = atomic_load(&state->polls),
		.leaving = atomic_load(&state->leaving),
		.ended = atomic_load(&state->ended),
	};
	return true;
}

void ending_fini(struct traffic *traffic)
{
	struct endings *endings = traffic->endings;

	if (!endings)
		return;
	while (!list_is_empty(&endings->list))
		ending_free(list_entry(endings->list.next, struct ending, link));
	timer_fini(&traffic->loop.wheel, &endings->timer);
	free(endings);
	traffic->endings = NULL;
}
