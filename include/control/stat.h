/* SPDX-License-Identifier: MIT */
/*
 * stat - the rows of "show stat": what each column says of a frontend, backend or server.
 */
#ifndef CONTROL_STAT_H
#define CONTROL_STAT_H

#include "control/value.h"
#include "model/server.h"

#define STAT(name, tag, type, help) STAT_##name,
enum stat_column {
#include "control/stat.def"
	STAT_N
};
#undef STAT

extern const struct column stat_columns[STAT_N];

struct stat_row {
	struct value values[STAT_N];
	char letter; /* F, B, S */
	uint32_t iid, sid;
	/* What values point to. */
	char status[32], check_status[16], check_text[80], addr[ADDR_TEXT_SIZE];
	char agent_status[16], agent_text[80];
};

void stat_frontend(struct stat_row *row, const struct frontend *frontend);
/* LEVEL: addresses and cookies are not shown to users. */
void stat_server(struct stat_row *row, const struct backend *backend,
		 const struct srvset_member *member, enum ctl_level level);
void stat_backend(struct stat_row *row, const struct backend *backend, struct srvset *set,
		  enum ctl_level level);

/* "UP", "UP 2/3", "DOWN", "MAINT", "DRAIN", "no check" ... in OUT. */
struct health_info;
void stat_status(char *out, size_t size, const struct srvset_member *member,
		 const struct health_info *health);
/* health_info(), or what stands for a server that has none. */
void stat_health(struct health_info *health, const struct server *server);
/* The weight in force for people: member->weight may be a multiple of it, finer (model/weight.h).
 */
uint32_t stat_weight(const struct srvset_member *member);
/* HAProxy's scale: 0 ... rise + fall - 1, up from rise on. */
uint32_t stat_check_level(const struct server *server, const struct health_info *health);
/* The number of a server as clients of the socket know it, from 1. */
static inline uint32_t stat_sid(const struct server *server)
{
	return server->number + 1;
}

#endif
