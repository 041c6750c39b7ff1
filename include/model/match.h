/* SPDX-License-Identifier: MIT */
/*
 * match - the conditions of a route, compiled, and whether a request meets them.
 *
 * All keys of a match must hold.  A key's list holds when any of its plain patterns matches (or it
 * has none) and none of its negated ones ("!pattern") does.
 */
#ifndef MODEL_MATCH_H
#define MODEL_MATCH_H

#include "net/addr.h"
#include "proto/http1.h"

struct match;

/* What a request offers to conditions.  All views. */
struct match_facts {
	const struct http_head *head; /* NULL: in TCP mode there is none */
	const struct ip_addr
		*client; /* the real client: PROXY header and trusted proxies applied */
	struct str host; /* authority without port, case as sent, brackets removed */
	struct str path; /* normalised for matching (uri_normalize_path) */
	struct str sni;  /* from TLS; p == NULL = none */
	struct str alpn; /* agreed on, or (TCP mode) a list as ClientHello has it: each name behind
			    its length (RFC 7301 3.1) */
	bool is_alpn_list;
	struct str protocol;                      /* "tls", "http" ...: of the first bytes */
	struct str client_cn, client_fingerprint; /* of a verified certificate; p == NULL = none */
};

/* What of a connection's first bytes a match looks at; each includes those before it. */
enum match_looks {
	MATCH_LOOKS_AT_NOTHING,
	MATCH_LOOKS_AT_PROTOCOL, /* by which protocol it begins */
	MATCH_LOOKS_AT_HELLO,    /* the whole ClientHello, when that is TLS */
};
enum match_looks match_looks_at(const struct match *match);

/* Runs on any thread; no memory.  A regex that exceeds its match limit does not match. */
bool match_holds(const struct match *match, const struct match_facts *facts);

#endif
