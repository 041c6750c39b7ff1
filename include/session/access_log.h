/* SPDX-License-Identifier: MIT */
/*
 * access_log - one line per request or tunnel, in text, JSON or HAProxy's layout.
 *
 * A sid is a bearer secret: access_log_copy_target() replaces the value of each sid parameter by
 * '~' and 16 hex digits of a keyed hash, so that lines of one session can still be found together.
 */
#ifndef SESSION_ACCESS_LOG_H
#define SESSION_ACCESS_LOG_H

#include "base/str.h"
#include "model/config.h"
#include "net/addr.h"
#include "balance/stick.h"

#define END(name, code, text) END_##name,
enum txn_end {
#include "session/end_reasons.def"
	TXN_END_N
};
#undef END

const char *txn_end_code(enum txn_end end); /* two letters: who, and in which phase */
const char *txn_end_text(enum txn_end end);

#define LOG_HTTP_2 20

/* Everything that a line tells.  Durations are -1 when that point was not reached. */
struct log_facts {
	int64_t started_unix_ms, started_ms;
	struct ip_addr source;
	const char *frontend, *backend, *server; /* backend, server: "-" when none */
	struct str route, method, target, request_id;
	uint64_t bytes_in, bytes_out;
	int32_t queue_ms, connect_ms,
		response_ms; /* response: from connected to the server's head */
	uint16_t status;
	uint8_t minor; /* of HTTP/1, or LOG_HTTP_2 */
	uint8_t retries, redispatches;
	enum stick_kind stick_kind;
	char stick_letter; /* H hit, M miss or new, D dead, '-' */
	bool is_tunnel;
	bool is_tcp; /* mode tcp: no request; target is the SNI of TLS that is passed on, or "" */

	/* Of TLS to the client; "" or NULL = none. */
	const char *tls_version, *tls_cipher;
	struct str sni, client_cn; /* client_cn: of a verified certificate */

	/* What HAProxy's layout tells beside, in its terms. */
	bool is_tls;
	bool is_bad;                     /* no request could be read */
	bool is_whole;                   /* of a tunnel: both sides have ended in order */
	int64_t begun_ms;                /* first byte of the request */
	int32_t head_ms;                 /* from there to the whole head */
	int32_t assigned_ms, reached_ms; /* head to server chosen; to connected, 0 when reused */
	uint64_t bytes_sent;             /* to the client, heads included */
	uint32_t connections, frontend_connections, backend_requests, server_requests;
	uint32_t queue_ahead; /* who stood before it in the queue */
	bool is_own_queue;    /* of its server, else of the backend */
	char persistence[2];
};

/* What of a txn a tunnel keeps for its line: small, because WebSockets are idle and many; and not
 * at all when nobody wants lines. */
struct log_mark {
	int64_t started_ms;
	const struct route *route; /* (view) in the client's config */
	struct ip_addr source;
	int32_t queue_ms, connect_ms, response_ms;
	int32_t head_ms, assigned_ms, reached_ms;
	uint32_t queue_ahead;
	uint16_t target_length, request_id_length;
	uint8_t retries, redispatches;
	uint8_t stick_kind;
	char stick_letter;
	char persistence[2];
	bool is_own_queue;
	char text[]; /* target and request id */
};

struct txn;
struct tunnel;
/* Mode tcp: the name in a ClientHello that is passed on; STR_NONE is fine. */
void access_log_copy_sni(struct txn *txn, struct str sni);
/* For free(); NULL when nobody wants a line. */
struct log_mark *access_log_mark(const struct txn *txn);
void access_log_tunnel(const struct tunnel *tunnel, enum txn_end end);
/* Writes the line in every style that a target wants. */
void access_log_write(const struct log_facts *facts, enum txn_end end, const char *why);

/* The layouts; each adds to LINE.  WHY may be NULL. */
struct line;
void access_log_text(struct line *line, const struct log_facts *facts, enum txn_end end,
		     const char *why);
void access_log_json(struct line *line, const struct log_facts *facts, enum txn_end end,
		     const char *why);
/* HAProxy's "option httplog" and "option tcplog" (its manual, 8.2.3 and 8.2.2). */
void access_log_httplog(struct line *line, const struct log_facts *facts, enum txn_end end,
			const char *why);
void access_log_tcplog(struct line *line, const struct log_facts *facts, enum txn_end end,
		       const char *why);

#endif
