/* SPDX-License-Identifier: MIT */
/*
 * http_auth - who may look at the dashboard, and from which page: Basic credentials (RFC 7617),
 * the limit of wrong guesses, and the two checks that keep other web pages out.
 *
 * The credentials are kept as one SHA-256 digest and compared in constant time.  After
 * AUTH_WRONG_MAX wrong guesses a source (an address; a /64 of IPv6) is told AUTH_LOCKED until a
 * minute after the first of them, whatever it sends.  AUTH_SOURCES_MAX sources are remembered; the
 * oldest makes room.  A guesser with more addresses than that is not slowed: choose long passwords.
 *
 * Control thread alone.
 */
#ifndef CONTROL_HTTP_AUTH_H
#define CONTROL_HTTP_AUTH_H

#include <stdbool.h>

#include "base/str.h"
#include "model/config.h"
#include "net/addr.h"

#define AUTH_WRONG_MAX   10
#define AUTH_SOURCES_MAX 64
#define AUTH_WINDOW_MS   SEC(60)

enum auth { AUTH_OK, AUTH_MISSING, AUTH_WRONG, AUTH_LOCKED };

/* From now on; CONF may be NULL.  True when the credentials are others than before. */
bool auth_set(const struct stats_http_conf *conf);
bool auth_has_credentials(void);
/* AUTHORIZATION: the field's value, p == NULL when there was none.  AUTH_OK without credentials. */
enum auth auth_check(struct str authorization, const struct ip_addr *peer);
void auth_forget(void); /* all sources; for tests, and when the credentials change */

/*
 * AUTHORITY ("host:port", of Host) is a name that no other web page can make ours: an IP address,
 * localhost, NODE, or one of HOSTS.  (A page of evil.example whose name was made to lead here by
 * its DNS would be let in otherwise: DNS rebinding.)
 */
bool auth_is_host_known(struct str authority, struct str node, const struct str_list *hosts);
/* ORIGIN ("https://host:port") has AUTHORITY. */
bool auth_is_same_origin(struct str origin, struct str authority);

#endif
