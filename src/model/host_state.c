/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/host_state.h"

struct host_state host_state_of(const struct srvset *set, uint32_t host, const struct server *but,
				unsigned state)
{
	struct host_state sum = { 0 };

	for (uint32_t i = 0; i < set->members_n; i++) {
		const struct srvset_member *member = &set->members[i];
		unsigned bits = member->server == but ? state : server_state(member->server);

		if (member->host != host)
			continue;
		sum.members_n++;
		if (!bits)
			sum.up++;
		else if (!(bits & SERVER_UNABLE))
			sum.drain++;
		else if (bits & (SERVER_MAINT | SERVER_AGENT_MAINT))
			sum.maint++;
		else
			sum.down++;
	}
	return sum;
}

const char *host_state_name(const struct host_state *host)
{
	if (host->up)
		return "UP";
	if (host->drain)
		return "DRAIN";
	return host->maint && !host->down ? "MAINT" : "DOWN";
}

const char *server_state_name(unsigned state)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ SERVER_GONE, "GONE" },
		{ SERVER_MAINT, "MAINT" },
		{ SERVER_AGENT_MAINT, "MAINT (agent)" },
		{ SERVER_DOWN, "DOWN" },
		{ SERVER_AGENT_DOWN, "DOWN (agent)" },
		{ SERVER_SICK, "SICK (no new sessions)" },
		{ SERVER_DRAIN, "DRAIN" },
		{ SERVER_AGENT_DRAIN, "DRAIN (agent)" },
	};

	for (size_t i = 0; i < ARRAY_N(names); i++)
		if (state & names[i].bit)
			return names[i].name;
	return "UP";
}
