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

/* Everything that a line tells.  Durations are -1 when that point was not reached. */
struct log_facts {
	int64_t started_unix_ms, started_ms;
	struct ip_addr source;
	const char *frontend, *backend, *server; /* backend, server: "-" when none */
	struct str route, method, target, request_id;
	uint64_t bytes_in, bytes_out;
	int32_t queue_ms, connect_ms, response_ms; /* response: from connected to the server's head */
	uint16_t status;
	uint8_t minor;
	uint8_t retries, redispatches;
	enum stick_kind stick_kind;
	char stick_letter; /* H hit, M miss or new, D dead, '-' */
	bool is_tunnel;
};

struct txn;
/* Copies what a tunnel's line will need; one block, free() it. */
struct log_facts *access_log_facts_of(const struct txn *txn);
void access_log_write(const struct log_facts *facts, enum txn_end end, const char *why,
		      const struct global_conf *global);

#endif
