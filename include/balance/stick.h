/* SPDX-License-Identifier: MIT */
/*
 * stick - which server a request belongs to, and what its response teaches.
 *
 * Asked once per request (stick_ask), told once per response (stick_learn_*), let go once
 * (stick_end).  Rules are tried in the configured order; the first that names a server able to
 * serve wins; all of them learn.
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
	struct server *server; /* STICK_TO */
	bool is_engineio;      /* the path is Engine.IO's of this backend */
	bool is_handshake;     /* is_engineio and no sid: learn from the response */
	bool has_sid;          /* never replay, never redispatch once a byte went out */
	bool is_sid_known;     /* sid was in the table: it is held open until stick_end() */
	bool has_valid_cookie; /* our cookie came and named cookie_server */
	const struct server *cookie_server; /* what it named; no new one is set for the same */
	const struct stick_rule *engineio_rule, *cookie_rule, *learn_rule,
		*ip_rule;            /* (view) config */
	struct engineio_query query; /* valid when is_engineio */
	uint32_t idle_ms;            /* of the session: pingInterval + pingTimeout; 0 = not known */
	struct table_key
		key; /* of the sid; bytes point into query.sid: a stick must not be moved */
	uint8_t learn_key_len; /* learn cookie of the request */
	char learn_key[TABLE_KEY_MAX];
};

struct stick_facts {
	const struct backend *backend;
	struct srvset *set;
	const struct http_head *head; /* NULL in TCP mode */
	const struct ip_addr *client;
};

void stick_ask(struct stick *stick, const struct stick_facts *facts);

/*
 * The handshake's response told a sid: the entry stands when this returns.  IDLE_MS 0 = not told: a
 * default of 45 s. Counts a live session on SERVER.  HOLD: the entry is held open (a
 * WebSocket-first session is not put in the table, use stick_session_begin()).
 */
void stick_learn_sid(const struct stick *stick, const struct backend *backend,
		     struct server *server, struct str sid, uint32_t idle_ms);
/* The session ended (close packet, WebSocket close, code 1 from its worker). */
void stick_drop_sid(struct stick *stick, const struct backend *backend);
/* A Set-Cookie field of the response; learns the app's cookie when the rule names it. */
void stick_learn_set_cookie(const struct stick *stick, const struct backend *backend,
			    struct server *server, struct str set_cookie);
/* A server was chosen: what the other rules remember (ip remember, learn cookie of the request). */
void stick_chosen(const struct stick *stick, const struct backend *backend, struct server *server,
		  const struct ip_addr *client);
/*
 * The Set-Cookie value to add to the response, for the cookie insert rule: "" when the client has
 * that cookie already or there is no such rule.  Length written to OUT.
 */
size_t stick_set_cookie(const struct stick *stick, struct srvset *set, const struct server *server,
			char *out, size_t out_size);
/* Exactly once after stick_ask(). */
void stick_end(struct stick *stick, const struct backend *backend);

/* Sessions that never enter the table (WebSocket first): counted while their tunnel lives. */
void stick_session_begin(struct server *server, uint32_t *generation);
void stick_session_end(struct server *server, uint32_t generation);

/* Makes the tables that BACKEND's rules need (kept over reloads). Control thread, before traffic.
 */
void stick_prepare(const struct backend *backend);
/* Expires a bounded number of entries of all tables; for a timer of the control thread. */
void stick_expire(void);

const char *stick_kind_name(enum stick_kind kind); /* "engineio" ...; "-" for STICK_N */

#endif
