/* SPDX-License-Identifier: MIT */
/*
 * match_build - the inside of a compiled match.  Private to src/model: the loader fills it, match.c
 * walks it, the dump prints it.
 */
#ifndef MODEL_MATCH_BUILD_H
#define MODEL_MATCH_BUILD_H

#include "base/regex.h"
#include "model/match.h"

/* Cheap ones first: a match is tried in this order. */
enum match_key {
	MATCH_METHOD,
	MATCH_HOST,
	MATCH_PATH,
	MATCH_PATH_PREFIX,
	MATCH_SNI,
	MATCH_ALPN,
	MATCH_PROTOCOL,
	MATCH_CLIENT_CN,
	MATCH_CLIENT_FINGERPRINT,
	MATCH_SOURCE,
	MATCH_HEADER,
	MATCH_QUERY,
	MATCH_COOKIE,
	MATCH_PATH_REGEX,
	MATCH_KEY_N
};

enum pattern_kind {
	PATTERN_EXACT,
	PATTERN_ANY,    /* "*": present */
	PATTERN_SUFFIX, /* "*.example.com"; text is ".example.com" */
	PATTERN_REGEX,
	PATTERN_NET,
};

struct pattern {
	enum pattern_kind kind;
	bool is_negated;
	struct str text;     /* what is compared */
	struct str written;  /* as in the file, without "!" */
	struct regex *regex; /* (view) the snapshot's */
	struct ip_net net;
};

/* One key of a match, or one name of a header, query or cookie. */
struct condition {
	enum match_key key;
	struct str name; /* of the header, query key or cookie */
	bool has_plain;  /* some pattern is not negated */
	struct pattern *patterns;
	size_t patterns_n;
};

struct match {
	struct condition *conditions; /* by key */
	size_t conditions_n;
};

#endif
