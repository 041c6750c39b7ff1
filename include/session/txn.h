/* SPDX-License-Identifier: MIT */
/*
 * txn - one HTTP request and its response.
 *
 *   REQ_HEAD -> PICK <-> ASK
 *               PICK -> QUEUE ----\
 *                 ^  \-> CONNECT -> SEND -> RSP_HEAD -> RELAY -> DONE
 *                 |________/ (retry)          |  \-> UPGRADED: becomes a tunnel
 *   any ----------------------------> ANSWER (our own response) -> DONE
 *
 * The request's body is relayed beside the states from SEND on, so that an early response can
 * overtake it.  The request's head stays in client->in until a byte of it was handed to a server;
 * until then the request may go to another one.
 */
#ifndef SESSION_TXN_H
#define SESSION_TXN_H

#include "balance/lb.h"
#include "balance/stick.h"
#include "proto/engineio.h"
#include "session/access_log.h"
#include "session/body.h"
#include "session/client.h"

struct match_facts;

enum txn_state {
	TXN_PICK,     /* about to choose a server */
	TXN_ASK,      /* waiting for what other nodes know of its session */
	TXN_QUEUE,    /* waiting for a slot of max_connections_per_server */
	TXN_CONNECT,  /* waiting for connect(), or for the next try of a busy socket */
	TXN_SEND,     /* writing the head */
	TXN_RSP_HEAD, /* waiting for the server's head */
	TXN_RELAY,    /* relaying the response's body */
	TXN_ANSWER,   /* sending our own response */
	TXN_DONE,     /* over; about to be freed */
	TXN_STATE_N
};

enum txn_wait {
	WAIT_NOTHING,
	WAIT_CLIENT,
	WAIT_SERVER,
	WAIT_CONNECT,
	WAIT_BACKLOG,
	WAIT_QUEUE,
	WAIT_RESET
};

#define TARGET_INLINE  192
#define REQUEST_ID_MAX 128
/* Bytes of an Origin that is repeated in our answers; longer ones are not. */
#define ORIGIN_MAX 256

#define REPLAY_SIZE 1016

/*
 * A request without body as it was sent on a pooled connection, for the case that the server had
 * closed that one just before.  Larger heads are not kept.
 */
struct replay {
	uint32_t size;
	char bytes[REPLAY_SIZE];
};

/* Instants, clock_us(); 0 = not reached. */
struct txn_times {
	int64_t accepted_us; /* head complete */
	int64_t queued_us;   /* began to wait for a slot */
	int64_t connect_us;  /* began to connect, or took a pooled connection */
	int64_t connected_us;
	int64_t first_byte_us; /* the server's head is complete */
};

struct txn {
	unsigned magic;
	enum txn_state state; /* change it only through txn_set_state() */
	enum txn_wait wait;
	enum txn_end end;
	struct client *client; /* (view) owns us */
	struct traffic *traffic;
	struct upstream *upstream;     /* (own) while CONNECT..RELAY */
	const struct route *route;     /* (view) in the config; NULL = the frontend's default */
	const struct backend *backend; /* (view) NULL = answered by us */
	struct server *server;         /* (view) */
	struct http_head
		*head; /* (loan) head_slab; views into client->in; NULL once the head is consumed */
	struct ip_addr source; /* the real client: X-Forwarded-For of trusted proxies applied */

	/* What of the head is needed after it is gone. */
	enum http_method method;
	uint8_t minor;
	bool is_keep_alive; /* the client may send another request */
	bool is_head;       /* method HEAD */
	bool wants_upgrade; /* WebSocket upgrade passed on */
	bool has_expect;
	bool is_half_closed; /* the client shut its side before the response began */
	bool is_probed;      /* the client has shut its side, and was asked whether it is there */
	bool is_peer_trusted;

	bool has_slot;          /* we owe one server_release_slot() */
	bool is_counted;        /* server_requests_now was raised */
	bool is_request_sent;   /* a byte of it may have reached a server: never again elsewhere */
	bool is_response_begun; /* a byte of a final response has gone to the client (or to
				   client->out) */
	bool is_queued;         /* stands in a line of queue.c */
	bool is_held; /* the response is not sent yet: its sid is not learned, or (question)
			 not on Redis */
	bool is_told; /* another node knew its session */
	bool is_closing_client; /* Connection: close was sent */
	bool is_scanning;       /* scan runs on the response's body */
	bool is_watching;       /* packets run on the bodies for a close packet */
	bool is_session_over;

	struct body request, response;
	struct share_question *question; /* (own) TXN_ASK; TXN_RELAY while is_held for Redis */
	struct lb_ask lb;

	uint32_t retries_left, retries, redispatches;
	uint32_t backlog_tries;
	uint32_t queue_ahead; /* who waited already when it began to wait */
	uint32_t interims;    /* 1xx heads of the server so far */
	uint32_t response_head_size;
	uint32_t response_seen; /* bytes of the server's head that the parser has had */
	int64_t connect_deadline_ms;
	uint64_t sent_before;          /* client->conn.sent when the response's head was built */
	uint64_t upstream_sent_before; /* on the server's wire when the request began */
	struct replay
		*replay; /* (own) replay_slab; the head as sent on a pooled connection, or NULL */
	uint64_t waited_progress; /* bytes moved either way when the current wait began */
	enum txn_wait waited;     /* what it is for */
	int64_t wait_until_ms;    /* when the current wait is over; the timer may come earlier */
	unsigned status;          /* sent to the client */
	struct txn_times times;
	struct list wait_link;    /* in a line of queue.c, or, in TXN_RSP_HEAD, srvpool.polls */
	unsigned poll_generation; /* of the connection, while it stands among the polls */
	struct wait_line *line;   /* (view) where it stands; valid while is_queued */
	struct soon again;        /* a bulk relay lets the others have their turn */
	const char *why;          /* constant: detail of an error, for the log */

	const char *method_name; /* constant, or method_other */
	char *target;            /* target_inline, or (own) a copy; sids masked */
	uint32_t target_len;
	uint16_t request_id_len, origin_len;

	struct stick stick; /* its last part is not cleared, nor is anything that follows */

	/* The texts have lengths; the union is set up before is_scanning or is_watching is set. */
	union {
		struct engineio_scan scan;
		struct {
			struct engineio_packets to_server, to_client;
		};
	};
	char origin[ORIGIN_MAX]; /* of Engine.IO requests */
	char request_id[REQUEST_ID_MAX];
	char target_inline[TARGET_INLINE];
	char method_other[16];
};
#define TXN_MAGIC 0x54584e53u

/* An Engine.IO poll: its server may hold it as long as it has nothing to say. */
static inline bool txn_is_poll(const struct txn *txn)
{
	return txn->stick.has_sid && txn->method == HTTP_GET && !txn->wants_upgrade;
}

/* A head is complete in client->in: starts a txn on it and runs it. */
void txn_start(struct client *client, struct http_head *head);
/* Mode tcp: a txn without a head, routed by FACTS (of the first bytes; the rest is filled in). */
void txn_start_tcp(struct client *client, struct match_facts *facts);
/* Mode tcp: it ends before it could be routed.  WHY may be NULL. */
void txn_start_tcp_refused(struct client *client, enum txn_end end, const char *why);
static inline bool txn_is_tcp(const struct txn *txn)
{
	return txn->client->frontend->mode == TRAFFIC_TCP;
}
/* The client's head is bad: a txn that answers STATUS and closes. */
void txn_start_refused(struct client *client, unsigned status, const char *why);
/* Goes on as far as it can.  May end with the client closed. */
void txn_run(struct txn *txn);
void txn_on_upstream(struct upstream *upstream, enum conn_ev ev);
void txn_on_timer(struct txn *txn);
/* The client went away or must go: ends the txn with END, logs, frees; the client is not touched.
 */
void txn_abort(struct txn *txn, enum txn_end end);
/* Which END it is when the client goes away now. */
enum txn_end txn_client_gone(const struct txn *txn);
/* Frees the txn without a log line; its server connection and slot are the tunnel's now. */
void txn_become_tunnel(struct txn *txn);
void txn_set_state(struct txn *txn, enum txn_state state);
const char *txn_state_name(enum txn_state state);

/* Parts of the engine, each in its own file. */
enum step { STEP_NEXT, STEP_WAIT, STEP_GONE /* the txn, and maybe the client, is no more */ };
/* route.c: STEP_NEXT: to a server, STEP_WAIT: it has to wait for other nodes. */
enum step txn_route(struct txn *txn);
enum step txn_route_tcp(struct txn *txn, const struct match_facts *facts);
/* Its response taught SID: it is held until the session is on Redis (mode sync). */
void txn_hold_until_stored(struct txn *txn, struct str sid);
enum step txn_pick(struct txn *txn); /* dispatch.c */
enum step txn_connect(struct txn *txn);
enum step txn_connect_failed(struct txn *txn, int error);
enum step txn_queue_timeout(struct txn *txn);
void txn_release_server(struct txn *txn);
enum step txn_send(struct txn *txn); /* request.c */
enum step txn_relay_request(struct txn *txn);
/* The pooled connection had been closed before the request came to the server: nobody has read it.
 */
enum replay_answer { REPLAY_NO, REPLAY_YES, REPLAY_WAIT /* for the reset that proves it */ };
enum replay_answer txn_may_replay(const struct txn *txn);
enum step txn_replay(struct txn *txn); /* on another connection to the same server */
void txn_run_soon(struct txn *txn);
enum step txn_response_head(struct txn *txn); /* response.c */
enum step txn_relay_response(struct txn *txn);
enum step txn_server_failed(struct txn *txn, enum txn_end end, const char *why);
/* Our own response: sets up TXN_ANSWER.  BODY may be empty.  The request's unread body closes the
 * client. */
enum step txn_answer(struct txn *txn, unsigned status, enum txn_end end, const char *why);
/* txn_tcp.c: instead of an answer, a reset; and what comes instead of TXN_SEND. */
enum step txn_tcp_refuse(struct txn *txn, enum txn_end end, const char *why);
enum step txn_tcp_connected(struct txn *txn);
bool txn_tcp_is_client_gone(struct txn *txn);
enum step txn_answer_session_unknown(struct txn *txn, enum txn_end end);
enum step txn_answer_route(struct txn *txn); /* respond and redirect */
/* How long an Engine.IO session may be silent, by its handshake's figures, and a little more. */
int64_t txn_session_ms(const struct txn *txn);
/* How long the server may be silent: for Engine.IO at least that. */
int64_t txn_server_limit_ms(const struct txn *txn);
/* Builds the head for the server (without PROXY header) into OUT; the response's into client->out.
 */
void request_head_write(struct txn *txn, struct buf *out);
void response_head_write(struct txn *txn, const struct http_head *head, struct buf *in);
void interim_head_write(struct txn *txn, const struct http_head *head);
/* Counts a status sent to the client. */
void txn_count_status(struct txn *txn, unsigned status);
/* queue.c: the txn stands at the end of the queue, once. */
void queue_wait(struct txn *txn);
void queue_leave(struct txn *txn);

/* capture.c: what was refused, for "show errors": the response's head or body, or the request's
 * body.
 */
void txn_capture(const struct txn *txn, bool is_response, const char *why);

/* access_log.c */
void access_log_txn(const struct txn *txn);
void access_log_copy_target(struct txn *txn, const struct http_head *head);

#endif
