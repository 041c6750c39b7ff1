/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/lb.h"

#include <stdlib.h>
#include <sys/random.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "balance/strategies.h"
#include "base/mem.h"
#include "base/siphash.h"

/* Handshakes under way, by server number: sessions that are not counted yet. */
static atomic_uint pending[SERVERS_MAX];

static __thread uint64_t random_state;

uint64_t lb_random(void)
{
	if (unlikely(!random_state))
		while (getrandom(&random_state, sizeof(random_state), 0) !=
			       (ssize_t)sizeof(random_state) ||
		       !random_state)
			;
	random_state += 0x9e3779b97f4a7c15u;
	return lb_mix(random_state);
}

void lb_random_seed(uint64_t seed)
{
	random_state = seed ? seed : 1;
}

/* Not secret: both nodes of a pair must agree, and after a restart. */
static const struct siphash_key key_hash_key = { 0x6c696d7065742d32u, 0x62616c616e63696eu };

uint64_t lb_key_hash(struct str bytes)
{
	return siphash24(&key_hash_key, bytes.p, bytes.len);
}

uint64_t lb_ip_hash(const struct ip_addr *ip, unsigned prefix_v4, unsigned prefix_v6)
{
	struct ip_addr masked = ip_addr_masked(ip, prefix_v4, prefix_v6);

	return siphash24(&key_hash_key, masked.ip, masked.family == AF_INET ? 4 : 16);
}

void lb_pending_add(const struct server *server, int n)
{
	unsigned was = atomic_fetch_add_explicit(&pending[server->number], (unsigned)n,
						 memory_order_relaxed);

	bug_on(n < 0 && was < (unsigned)-n);
}

uint32_t lb_pending(const struct server *server)
{
	return atomic_load_explicit(&pending[server->number], memory_order_relaxed);
}

/*
 * The filter.
 */
static bool was_tried(const struct lb_ask *ask, const struct server *server)
{
	uint32_t n = ask->tried_n < LB_TRIED_MAX ? ask->tried_n : LB_TRIED_MAX;

	for (uint32_t i = 0; i < n; i++)
		if (ask->tried[i] == server)
			return true;
	return false;
}

static bool has_slot(const struct srvset_member *member)
{
	return !member->max_connections ||
	       atomic_load_explicit(&member->server->used, memory_order_relaxed) <
		       member->max_connections;
}

/* Weight 0 was kept out of the tiers by lb_prepare(). */
bool lb_passes(struct lb_filter *filter, const struct srvset_member *member)
{
	unsigned state = server_state(member->server);

	if (state && !(filter->is_last_resort && !(state & ~(unsigned)(SERVER_DOWN | SERVER_SICK))))
		return false;
	if (!filter->ask)
		return true;
	if (was_tried(filter->ask, member->server))
		return false;
	if (has_slot(member))
		return true;
	filter->is_full = true;
	return false;
}

static void add_tried(struct lb_ask *ask, const struct server *server)
{
	ask->tried[ask->tried_n++ % LB_TRIED_MAX] = server;
	if (ask->tried_n == 2 * LB_TRIED_MAX)
		ask->tried_n = LB_TRIED_MAX;
}

static lb_choose_fn *const choosers[BALANCE_N] = {
	[BALANCE_ROUND_ROBIN] = round_robin_choose,
	[BALANCE_LEAST_CONN] = least_conn_choose,
	[BALANCE_LEAST_SESSIONS] = least_sessions_choose,
	[BALANCE_RANDOM] = random_choose,
	[BALANCE_FIRST] = first_choose,
	[BALANCE_HASH] = hash_choose,
};

/* A set without members (a backend that a reload took away) is published without lb_prepare(). */
static const struct lb_lookup *lookup_of(const struct srvset *set)
{
	static const struct lb_lookup nothing;

	bug_on(!set->lookup && set->members_n);
	return set->lookup ? set->lookup : &nothing;
}

/* Times that another thread may take the last slot before us until we say "full". */
#define RACES_MAX 32

static enum lb_result pick(struct lb_ask *ask, bool is_last_resort, struct srvset_member **member)
{
	const struct lb_lookup *lookup = lookup_of(ask->set);
	struct lb_filter filter = { .ask = ask, .is_last_resort = is_last_resort };

	for (int i = 0; i < 2; i++) {
		const struct lb_tier *tier = &lookup->tiers[i];
		unsigned races = 0;

		while (tier->n && races++ < RACES_MAX) {
			struct srvset_member *found =
				choosers[ask->backend->balance](tier, &filter);

			if (!found)
				break;
			if (!server_take_slot(found->server, found->max_connections)) {
				filter.is_full = true;
				continue;
			}
			add_tried(ask, found->server);
			count(&found->server->counters, server_picked);
			*member = found;
			return LB_PICKED;
		}
		if (filter.is_full)
			return LB_FULL; /* somebody would do but for slots: no backup for that */
	}
	return LB_NONE;
}

enum lb_result lb_pick(struct lb_ask *ask, struct srvset_member **member)
{
	enum lb_result result = pick(ask, false, member);

	/* Nobody checks these servers but traffic: a request finds out sooner than the next probe.
	 */
	if (result == LB_NONE && ask->backend->health.kind == CHECK_NONE)
		result = pick(ask, true, member);
	return result;
}

enum lb_result lb_take(struct lb_ask *ask, struct srvset_member *member, bool is_own_session)
{
	struct server *server = member->server;

	if (is_own_session ? !server_is_able(server) : !server_is_ready(server) || !member->weight)
		return LB_NONE;
	if (!server_take_slot(server, member->max_connections))
		return LB_FULL;
	add_tried(ask, server);
	return LB_PICKED;
}

bool lb_has_ready(const struct srvset *set)
{
	for (uint32_t i = 0; i < set->members_n; i++)
		if (server_is_ready(set->members[i].server))
			return true;
	return false;
}

struct srvset_member *lb_by_hash(struct srvset *set, uint64_t key_hash)
{
	const struct lb_lookup *lookup = lookup_of(set);
	struct srvset_member *member = NULL;

	for (int i = 0; i < 2 && !member; i++) {
		struct lb_filter filter = { .ask = NULL };

		if (lookup->tiers[i].n)
			member = hash_choose_key(&lookup->tiers[i], &filter, key_hash);
	}
	return member;
}

/*
 * Cookie tokens: base64url of the first 18 bytes of HMAC-SHA256(secret, backend NUL server).
 */
#define TOKEN_LEN 24

static void make_token(struct str secret, const struct backend *backend,
		       struct srvset_member *member)
{
	char *text = xasprintf("%.*s%c%s", STR_ARG(backend->name), '\0', member->server->name);
	size_t size = backend->name.len + 1 + strlen(member->server->name);
	unsigned char mac[EVP_MAX_MD_SIZE];

	bug_on(!HMAC(EVP_sha256(), secret.p ? secret.p : "", (int)secret.len,
		     (const unsigned char *)text, size, mac, NULL));
	EVP_EncodeBlock((unsigned char *)member->cookie, mac, TOKEN_LEN / 4 * 3);
	for (int i = 0; i < TOKEN_LEN; i++) {
		if (member->cookie[i] == '+')
			member->cookie[i] = '-';
		else if (member->cookie[i] == '/')
			member->cookie[i] = '_';
	}
	free(text);
}

static uint32_t token_home(const struct lb_lookup *lookup, const char *token)
{
	return (uint32_t)siphash13(siphash_process_key(), token, TOKEN_LEN) &
	       (lookup->tokens_n - 1);
}

static void prepare_tokens(struct lb_lookup *lookup, const struct backend *backend,
			   struct srvset *set)
{
	const struct stick_rule *rule = NULL;

	for (size_t i = 0; i < backend->sticks_n; i++)
		if (backend->sticks[i].kind == STICK_COOKIE_INSERT)
			rule = &backend->sticks[i];
	if (!rule)
		return;
	lookup->tokens_n = 8;
	while (lookup->tokens_n < set->members_n * 2)
		lookup->tokens_n *= 2;
	lookup->tokens = xcalloc(lookup->tokens_n, sizeof(*lookup->tokens));
	for (uint32_t i = 0; i < set->members_n; i++) {
		make_token(rule->secret, backend, &set->members[i]);
		uint32_t at = token_home(lookup, set->members[i].cookie);

		while (lookup->tokens[at])
			at = (at + 1) & (lookup->tokens_n - 1);
		lookup->tokens[at] = i + 1;
	}
}

/* No constant-time compare: who could time it would have to guess a keyed 144-bit token. */
struct srvset_member *lb_by_token(struct srvset *set, struct str token)
{
	const struct lb_lookup *lookup = lookup_of(set);

	if (!lookup->tokens || token.len != TOKEN_LEN)
		return NULL;
	for (uint32_t at = token_home(lookup, token.p); lookup->tokens[at];
	     at = (at + 1) & (lookup->tokens_n - 1)) {
		struct srvset_member *member = &set->members[lookup->tokens[at] - 1];

		if (memcmp(member->cookie, token.p, TOKEN_LEN) == 0)
			return member;
	}
	return NULL;
}

/*
 * Preparation.
 */
static void lookup_free(void *arg)
{
	struct lb_lookup *lookup = arg;

	for (int i = 0; i < 2; i++) {
		free(lookup->tiers[i].members);
		free(lookup->tiers[i].weight_sums);
		free(lookup->tiers[i].schedule);
		free(lookup->tiers[i].maglev);
	}
	free(lookup->tokens);
	free(lookup);
}

static bool is_in_tier(const struct srvset_member *member, bool is_backup)
{
	return member->is_backup == is_backup && member->weight;
}

static void prepare_tier(struct lb_tier *tier, struct srvset *set, bool is_backup)
{
	uint64_t sum = 0;
	uint32_t n = 0;

	tier->set = set;
	for (uint32_t i = 0; i < set->members_n; i++)
		n += is_in_tier(&set->members[i], is_backup);
	if (!n)
		return;
	tier->members = xcalloc(n, sizeof(*tier->members));
	tier->weight_sums = xcalloc(n, sizeof(*tier->weight_sums));
	for (uint32_t i = 0; i < set->members_n; i++) {
		if (!is_in_tier(&set->members[i], is_backup))
			continue;
		sum += set->members[i].weight;
		tier->members[tier->n] = i;
		tier->weight_sums[tier->n++] = sum;
	}
}

static bool needs_hash(const struct backend *backend)
{
	for (size_t i = 0; i < backend->sticks_n; i++)
		if (backend->sticks[i].kind == STICK_IP)
			return true;
	return backend->balance == BALANCE_HASH;
}

void lb_prepare(const struct backend *backend, struct srvset *set)
{
	struct lb_lookup *lookup = xcalloc(1, sizeof(*lookup));

	bug_on(set->lookup);
	rendezvous_prepare();
	for (int i = 0; i < 2; i++) {
		struct lb_tier *tier = &lookup->tiers[i];

		prepare_tier(tier, set, i == 1);
		if (tier->n && backend->balance == BALANCE_ROUND_ROBIN)
			round_robin_prepare(tier);
		if (tier->n > LB_RENDEZVOUS_MAX && needs_hash(backend))
			maglev_prepare(tier);
	}
	prepare_tokens(lookup, backend, set);
	set->lookup = lookup;
	set->lookup_free = lookup_free;
}
