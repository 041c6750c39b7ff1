/* SPDX-License-Identifier: MIT */
/*
 * stick - which server a request belongs to, and what its response teaches.
 *
 * Asked once per request (stick_ask), told once per response (stick_learn_*), let go once
 * (stick_end).  A known sid comes before everything, for no rule may move a live session.  Else
 * rules are tried in the configured order; the first that names a server able to serve wins; all of
 * them learn.
 */
#ifndef BALANCE_STICK_H
#define BALANCE_STICK_H

#include "balance/table.h"
#include "model/server.h"
#include "proto/engineio.h"
#include "proto/http1.h"

enum stick_result {
	STICK_FREE,    /* no rule names a server: balance */
	STICK_TO,      /* answer.server */
	STICK_DEAD,    /* a known sid whose server is gone: answer 400 code 1 */
	STICK_UNKNOWN, /* an unknown sid and the rule says reject: answer 400 code 1 */
};

/* Lives in the request from stick_ask() to stick_end(). */
struct stick {
	enum stick_result result;
	enum stick_kind kind;  /* of the rule that decided; STICK_N = none */
	struct server *server; /* STICK_TO: a member of the set that is able to serve this */
	bool is_own_session; /* for lb_take(): the session lives there, a draining server will do */
	bool is_engineio;    /* the path is Engine.IO's of this backend */
	bool is_handshake;   /* is_engineio, no sid, GET: learn from the response */
	bool has_sid;        /* never replay, never redispatch once a byte went out */
	bool is_sid_known;   /* sid was in the table: it is held open until stick_end() */
	bool has_valid_cookie;              /* our cookie came and named cookie_server */
	const struct server *cookie_server; /* what it named; no new one is set for the same */
	/* (view) The backend's rules of each kind, or NULL. */
	const struct stick_rule *engineio_rule, *cookie_rule, *learn_rule, *ip_rule;
	uint32_t idle_ms;             /* of a known session: its entry's; 0 = not known */
	uint32_t was_idle_ms;         /* of a known session: since its last request had ended */
	bool has_key;                 /* has_sid, of 1 to 128 bytes */
	const struct server *chosen;  /* what stick_chosen() was told last */
	const struct server *pending; /* counted by lb_pending_add() until the sid is learned */

	/*
	 * From here on nothing is read that a flag or a length does not say is valid: a stick is
	 * made by clearing what stands before (STICK_CLEARED_SIZE).
	 */
	struct table_key learn_key;  /* of the app's cookie in its table; len 0 = none */
	struct table_key key;        /* of the sid; valid when has_key */
	struct engineio_query query; /* valid when is_engineio */
};
#define STICK_CLEARED_SIZE offsetof(struct stick, learn_key)

struct stick_facts {
	const struct backend *backend;
	struct srvset *set;
	const struct http_head *head; /* NULL in TCP mode */
	const struct ip_addr *client;
};

/*
 * A sid over 128 bytes is treated as unknown, always: it is not learned either, because the readers
 * of proto/engineio.h keep its first 128 bytes alone, and two of those might be alike.
 */
void stick_ask(struct stick *stick, const struct stick_facts *facts);

/*
 * A server was chosen, by stickiness or by balancing: remembers it for the address (ip remember)
 * and for the app's cookie of the request, unless what is remembered is able to serve.  Told again
 * when the request is redispatched: the new one then replaces the old.  CLIENT may be NULL.
 */
void stick_chosen(struct stick *stick, const struct backend *backend, struct server *server,
		  const struct ip_addr *client);
/*
 * The handshake's response told a sid: the entry stands when this returns.  IDLE_MS 0 = not told: a
 * default of 45 s.  Counts a live session on SERVER, backend_sids_learned and server_handshakes.
 * A sid of 0 or over 128 bytes (scan.is_sid_too_long) is not taken.  A WebSocket-first session is
 * not put in the table: stick_session_begin().
 *
 * For handshakes alone: a sid that came in a request and was not known is not learned from its
 * answer (doc/decisions/0006).
 */
void stick_learn_sid(struct stick *stick, const struct backend *backend, struct server *server,
		     struct str sid, uint32_t idle_ms);
/* The session ended (close packet, WebSocket close, code 1 from its worker). */
void stick_drop_sid(struct stick *stick, const struct backend *backend);
/*
 * The session has to leave SERVER: its entry stays, dead, so that every later request with its sid
 * is answered 400 code 1 (STICK_DEAD) until its idle time is over.  False: it was not there.
 */
bool stick_retire_sid(const struct stick *stick, const struct backend *backend,
		      const struct server *server);
bool stick_retire_key(struct table *table, const struct table_key *key,
		      const struct server *server); /* private to stick*.c */
/* A Set-Cookie field of the response; learns (or forgets) the app's cookie when the rule names it.
 */
void stick_learn_set_cookie(const struct stick *stick, const struct backend *backend,
			    struct server *server, struct str set_cookie);
/*
 * The Set-Cookie value to add to the response, for the cookie insert rule: "" when the client has
 * that cookie already, there is no such rule, or OUT is too small.  Length written to OUT.
 */
size_t stick_set_cookie(const struct stick *stick, struct srvset *set, const struct server *server,
			char *out, size_t out_size);
/*
 * The handshake is over though no sid was told: a 101, an error.  Its server is no longer weighed
 * as if a session were on the way.  Not needed when stick_end() or stick_learn_sid() follows at
 * once.
 */
void stick_settled(struct stick *stick);
/* Exactly once after stick_ask(). */
void stick_end(struct stick *stick, const struct backend *backend);

/*
 * Sessions that never enter the table (WebSocket first): counted while their tunnel lives, and as
 * server_handshakes.
 */
void stick_session_begin(struct server *server, uint32_t *generation);
void stick_session_end(struct server *server, uint32_t generation);

/*
 * Reads the request's cookies: the two functions look at every cookie of the name in every field.
 * The second gives the first value that is not empty (view), or "".  Private to stick*.c.
 */
struct srvset_member *stick_cookie_member(const struct stick_rule *rule, struct srvset *set,
					  const struct http_head *head);
struct str stick_cookie_learned(const struct stick_rule *rule, const struct http_head *head);

/*
 * Makes the tables that BACKEND's rules need, or changes their bound (they are kept over reloads).
 * Control thread, before the snapshot is published.
 */
void stick_prepare(const struct backend *backend);
/* Expires a bounded number of entries of all tables; every second, on the control thread. */
void stick_expire(void);
/* BACKEND's cookie rule whose secret was made up for this load; NULL = none. */
struct stick_rule *stick_random_rule(struct backend *backend);
/* Frees the tables, when no thread runs any more. */
void stick_fini(void);

const char *stick_kind_name(enum stick_kind kind); /* "engineio" ...; "-" for STICK_N */

#endif
