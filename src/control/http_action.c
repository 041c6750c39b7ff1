/* SPDX-License-Identifier: MIT */
/* /api/v1/servers/... and /api/v1/hosts/...: one server or host in detail, and its state set. */
#include "config.h"

#include <stdio.h>

#include "base/log.h"
#include "control/api.h"
#include "control/http_auth.h"
#include "control/http_routes.h"

#define JSON "application/json"

static const char why_dashboard[] = "set on the dashboard";

/* What a path names. */
struct target {
	const struct backend *backend;
	struct srvset *set;
	const struct srvset_member *member; /* of a server's path */
	uint32_t host;                      /* of a host's path */
};

static const struct backend *backend_find(struct str name, struct srvset **set)
{
	const struct backend *backend = config_backend(control_config(), name);

	*set = backend ? srvset_of(backend->state) : NULL;
	return *set ? backend : NULL;
}

static bool server_target(struct str rest, struct target *target)
{
	char names[HTTP_NAME_SIZE];
	struct str backend, name;

	if (!http_read_names(rest, names, &backend, &name))
		return false;
	target->backend = backend_find(backend, &target->set);
	for (uint32_t i = 0; target->backend && i < target->set->members_n; i++) {
		target->member = &target->set->members[i];
		if (str_eq(str_of(target->member->server->name), name))
			return true;
	}
	return false;
}

static bool host_target(struct str rest, struct target *target)
{
	char names[HTTP_NAME_SIZE];
	struct str backend, name;

	if (!http_read_names(rest, names, &backend, &name))
		return false;
	target->backend = backend_find(backend, &target->set);
	for (uint32_t i = 0; target->backend && i < target->set->hosts_n; i++) {
		target->host = i;
		if (str_eq(str_of(target->set->hosts[i].name), name))
			return true;
	}
	return false;
}

static void answer_target(struct http_client *client, const struct target *target)
{
	struct buf body = { 0 };

	if (target->member)
		api_server(&body, target->backend, target->member, http_level());
	else
		api_host(&body, target->backend, target->set, target->host);
	http_begin(client, 200);
	http_end(client, JSON, buf_str(&body));
	buf_release(&body);
}

void http_get_server(struct http_client *client, const struct http_request *request)
{
	struct target target = { 0 };

	if (server_target(request->rest, &target))
		answer_target(client, &target);
	else
		http_text(client, 404, "There is no such server.");
}

void http_get_host(struct http_client *client, const struct http_request *request)
{
	struct target target = { 0 };

	if (host_target(request->rest, &target))
		answer_target(client, &target);
	else
		http_text(client, 404, "There is no such host.");
}

/*
 * No other site's page may act in the name of a user whose browser holds the credentials: a form
 * cannot send such a Content-Type, a script needs a preflight (which is never granted) for it and
 * for the field, and a browser tells the page's origin.
 */
bool http_is_own_page(struct http_client *client, const struct http_head *head)
{
	struct str origin = http_field_value(head, STR("origin"));
	struct str site = http_field_value(head, STR("sec-fetch-site"));
	struct str type = http_field_value(head, STR("content-type"));
	struct str mark = http_field_value(head, STR("x-limpet-action"));
	ptrdiff_t semicolon = type.p ? str_find_char(type, ';') : -1;

	if (semicolon >= 0)
		type = str_trim((struct str){ type.p, (size_t)semicolon });
	if ((origin.p && !auth_is_same_origin(origin, head->authority)) ||
	    (site.p && !str_eq(site, STR("same-origin")))) {
		http_text(client, 403, "Not from this page.");
		return false;
	}
	if (!mark.p || !str_eq(mark, STR("1"))) {
		http_text(client, 403, "The field 'X-Limpet-Action: 1' is needed.");
		return false;
	}
	if (!type.p || !str_ieq(type, STR(JSON))) {
		http_text(client, 415, "The body must be " JSON ".");
		return false;
	}
	return true;
}

/* The state asked for as bits to set and to clear; false: it has its answer. */
static bool read_state(struct http_client *client, struct str body, unsigned *set, unsigned *clear,
		       struct str *state)
{
	static const struct {
		struct str name;
		unsigned set;
	} states[] = {
		{ STR_INIT("ready"), 0 },
		{ STR_INIT("drain"), SERVER_DRAIN },
		{ STR_INIT("maint"), SERVER_MAINT },
	};

	if (json_read_member(body, STR("state"), state) == 0) {
		for (size_t i = 0; i < ARRAY_N(states); i++) {
			if (!str_eq(*state, states[i].name))
				continue;
			*set = states[i].set;
			*clear = (SERVER_DRAIN | SERVER_MAINT) & ~states[i].set;
			return true;
		}
	}
	http_text(client, 400, "The body must be {\"state\": \"ready\"}, \"drain\" or \"maint\".");
	return false;
}

static void act(struct http_client *client, const struct http_request *request,
		const struct target *target)
{
	struct str user = control_config()->global.stats_http->username, state;
	char addr[ADDR_TEXT_SIZE];
	unsigned set, clear, n = 0;

	if (!http_is_own_page(client, request->head) ||
	    !read_state(client, request->body, &set, &clear, &state))
		return;
	for (uint32_t i = 0; i < target->set->members_n; i++) {
		const struct srvset_member *member = &target->set->members[i];

		if (target->member ? member == target->member : member->host == target->host)
			n += server_set_state(member->server, set, clear, why_dashboard);
	}
	log_info("dashboard: %.*s from %.*s set %s %.*s/%s to %.*s (%u changed)", STR_ARG(user),
		 STR_ARG(ip_addr_ip_text(&client->peer, addr)), target->member ? "server" : "host",
		 STR_ARG(target->backend->name),
		 target->member ? target->member->server->name
				: target->set->hosts[target->host].name,
		 STR_ARG(state), n);
	answer_target(client, target);
}

void http_post_server(struct http_client *client, const struct http_request *request)
{
	struct target target = { 0 };

	if (server_target(request->rest, &target))
		act(client, request, &target);
	else
		http_text(client, 404, "There is no such server.");
}

void http_post_host(struct http_client *client, const struct http_request *request)
{
	struct target target = { 0 };

	if (host_target(request->rest, &target))
		act(client, request, &target);
	else
		http_text(client, 404, "There is no such host.");
}
