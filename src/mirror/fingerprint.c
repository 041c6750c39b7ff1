/* SPDX-License-Identifier: MIT */
/*
 * What nodes of a pair must have in common: the servers of each backend with a mirrored table, by
 * name, in any order, whatever state they are in.  A server whose socket has vanished is none.
 */
#include "config.h"

#include "mirror/beat.h"

#include <stdio.h>

#include "balance/table.h"
#include "base/siphash.h"
#include "model/server.h"

/* The same on every node: whoever can read Redis knows the names anyway. */
static const struct siphash_key public_key = { UINT64_C(0x6c696d7065742d62),
					       UINT64_C(0x6561742d73657276) };

/* Server names' hashes are added up, so that their order has no say. */
static uint64_t hash_of_servers(struct backend_state *state)
{
	const struct srvset *set = srvset_of(state);
	uint64_t sum[2] = { 0, 0 };

	for (uint32_t i = 0; set && i < set->members_n; i++) {
		const struct server *server = set->members[i].server;

		if (server_state(server) & SERVER_GONE)
			continue;
		sum[0] += siphash24(&public_key, &server->name_hash, sizeof(server->name_hash));
		sum[1]++;
	}
	return siphash24(&public_key, sum, sizeof(sum));
}

/* Its mirrored tables' entries are added to *ENTRIES.  False: it has none. */
static bool has_mirrored(const struct backend *backend, uint64_t *entries)
{
	struct table_stats stats;
	bool is_any = false;

	for (size_t i = 0; i < backend->sticks_n; i++) {
		const struct stick_rule *rule = &backend->sticks[i];
		const struct table *table = backend->state->tables[rule->kind];

		if (!rule->is_mirrored || !table)
			continue;
		table_stats(table, &stats);
		*entries += stats.entries;
		is_any = true;
	}
	return is_any;
}

static int compare(struct str a, struct str b)
{
	size_t least = a.len < b.len ? a.len : b.len;
	int order = memcmp(a.p, b.p, least);

	return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* The first BEAT_BACKENDS_MAX by name stay. */
static void insert(struct beat_value *value, struct str name, uint32_t hash)
{
	struct beat_backend *backends = value->backends;
	uint32_t at = value->backends_n;

	if (at == BEAT_BACKENDS_MAX) {
		value->has_more = true;
		if (compare(backends[--at].name, name) < 0)
			return;
	} else {
		value->backends_n++;
	}
	for (; at > 0 && compare(backends[at - 1].name, name) > 0; at--)
		backends[at] = backends[at - 1];
	backends[at] = (struct beat_backend){ name, hash };
}

/*
 * Tells whether two nodes keep session ids under the same key.  Never 0, which a node that has
 * nothing to share would say.
 */
static uint64_t check_key(void)
{
	static const char constant[] = "limpet: do both nodes of the pair have the same secret?";
	struct siphash_key key;

	table_digest_current(&key);
	return siphash24(&key, constant, sizeof(constant)) | 1;
}

void fingerprint(const struct config *config, struct beat_value *value)
{
	value->backends_n = 0;
	value->has_more = false;
	value->entries = value->servers = 0;
	for (size_t i = 0; i < config->backends_n; i++) {
		const struct backend *backend = &config->backends[i];
		uint64_t both[2];

		if (!has_mirrored(backend, &value->entries))
			continue;
		both[0] = server_name_hash(backend->name);
		both[1] = hash_of_servers(backend->state);
		value->servers += siphash24(&public_key, both, sizeof(both));
		insert(value, backend->name, (uint32_t)(both[1] ^ both[1] >> 32));
	}
	value->key_check = check_key();
}

struct list_of_names {
	char *out;
	size_t len, size;
	bool is_full;
};

static void put_name(struct list_of_names *list, struct str name)
{
	const char *comma = list->len ? ", " : "";
	int n;

	if (list->is_full)
		return;
	/* Room for "..." is always left. */
	if (list->len + name.len + 2 + sizeof(", ...") >= list->size) {
		n = snprintf(list->out + list->len, list->size - list->len, "%s...", comma);
		list->is_full = true;
	} else {
		n = snprintf(list->out + list->len, list->size - list->len, "%s%.*s", comma,
			     STR_ARG(name));
	}
	list->len += n > 0 ? (size_t)n : 0;
}

size_t fingerprint_differences(const struct beat_value *a, const struct beat_value *b, char *out,
			       size_t size)
{
	struct list_of_names list = { .out = out, .size = size };
	uint32_t i = 0, j = 0;

	bug_on(size < 16);
	out[0] = '\0';
	if (a->servers == b->servers)
		return 0;
	while (i < a->backends_n || j < b->backends_n) {
		int order = i == a->backends_n ? 1
			    : j == b->backends_n
				    ? -1
				    : compare(a->backends[i].name, b->backends[j].name);

		/* Beyond the end of a list that was cut nobody knows. */
		if ((order < 0 && j == b->backends_n && b->has_more) ||
		    (order > 0 && i == a->backends_n && a->has_more))
			break;
		if (order < 0)
			put_name(&list, a->backends[i].name);
		else if (order > 0 || a->backends[i].hash != b->backends[j].hash)
			put_name(&list, b->backends[j].name);
		i += order <= 0;
		j += order >= 0;
	}
	if (!list.len)
		put_name(&list, STR("some backend"));
	return list.len;
}
