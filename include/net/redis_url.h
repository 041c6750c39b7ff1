/* SPDX-License-Identifier: MIT */
/*
 * redis_url - what a URL of a Redis says.
 *
 *   redis://[user[:password]@]host[:6379][/db]          rediss://... alike, with TLS
 *   unix:/path[?db=N]                                   also unix:///path
 *   sentinel://[user[:password]@]host[:26379][,host...]/name[/db]
 *
 * IPv6 stands in brackets.  User and password may be percent-encoded, and must be where they hold
 * one of "/?#@:%" (a ':' of the password alone may stand as it is).  Everything is printable ASCII.
 */
#ifndef NET_REDIS_URL_H
#define NET_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define REDIS_SENTINELS_MAX  16
#define REDIS_DB_MAX         15999
#define REDIS_SECRET_MAX     512 /* bytes of a user name or a password, as written */
#define REDIS_URL_MASTER_MAX 128

enum redis_scheme { REDIS_TCP, REDIS_TLS, REDIS_UNIX, REDIS_SENTINEL };

/* Views into the text that was parsed. */
struct redis_url {
	enum redis_scheme scheme;
	struct str username, password; /* percent-encoded as written; "" = none */
	struct {
		struct str host; /* without brackets */
		uint16_t port;
	} hosts[REDIS_SENTINELS_MAX]; /* 1, or the sentinels; of REDIS_UNIX none */
	size_t hosts_n;
	struct str path;   /* REDIS_UNIX */
	struct str master; /* REDIS_SENTINEL: the name of the set */
	unsigned db;       /* 0..REDIS_DB_MAX */
};

/* False: *WHY is a constant text, and URL is not to be used. */
bool redis_url_parse(struct str text, struct redis_url *url, const char **why);
/*
 * Decodes a user name or password that redis_url_parse() has accepted.  OUT has room for TEXT.len
 * bytes; returns how many were written.
 */
size_t redis_url_decode(struct str text, char *out);
/* A name or a numeric address that may stand in a URL, without brackets. */
bool redis_is_host(struct str host);

#endif
