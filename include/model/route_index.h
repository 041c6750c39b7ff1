/* SPDX-License-Identifier: MIT */
/*
 * route_index - the first route of a frontend that a request meets, found without trying all of
 * them.
 *
 * Most routes of a long list ask for names: a host, an SNI, or a path.  Those stand in lists by
 * name, in file order; the others in one list of their own.  A request can only meet routes of the
 * few lists that its own names lead to, and of the last one; these are gone through together, in
 * file order, and each is tried as it always is.
 *
 *   "a.test"   -> 0, 7      a request for a.test with path /x tries 0, 3, 7, 9 in turn
 *   ".b.test"  -> 2         (a pattern "*.b.test")
 *   the others -> 3, 9
 */
#ifndef MODEL_ROUTE_INDEX_H
#define MODEL_ROUTE_INDEX_H

#include "model/config.h"
#include "model/match.h"

struct load;

/* Frontends with fewer routes have no index. */
#define ROUTE_INDEX_MIN 8

/* The first route of FRONTEND that FACTS meet, or NULL.  Any thread; no memory. */
const struct route *route_find(const struct frontend *frontend, const struct match_facts *facts);

/* Makes frontend->route_index, in the snapshot's arena.  For the loader. */
void route_index_build(struct load *load, struct frontend *frontend);

#endif
