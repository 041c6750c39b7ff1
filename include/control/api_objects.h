/* SPDX-License-Identifier: MIT */
/* api_objects - the JSON objects of which the API's documents consist.  Private to the API. */
#ifndef CONTROL_API_OBJECTS_H
#define CONTROL_API_OBJECTS_H

#include "control/api.h"
#include "model/counters.h"
#include "model/host_state.h"

/* Sums over the workers of one host. */
struct api_host_sum {
	struct host_state state;
	uint64_t weight, open, sessions, request_rate;
};

void api_host_add(struct api_host_sum *sum, const struct srvset_member *member);
/* The members of the object "counters": every row of SCOPE. */
void api_counters(struct json *json, const struct counters *counters, enum counter_scope scope);
void api_process(struct json *json, const char *key);
void api_frontend(struct json *json, const struct frontend *frontend);
/* The members of a backend's object but for its hosts and servers. */
void api_backend(struct json *json, const struct backend *backend, struct srvset *set);
void api_host_object(struct json *json, const struct srvset *set, uint32_t host,
		     const struct api_host_sum *sum);
/* IS_FULL: with its counters and its checks in detail. */
void api_server_object(struct json *json, const struct srvset_member *member, bool is_full,
		       enum ctl_level level);
/* [id, state, status, weight, sessions, open, request_rate, check_code] */
void api_server_array(struct json *json, const struct srvset_member *member);

#endif
