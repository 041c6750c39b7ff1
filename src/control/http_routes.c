/* SPDX-License-Identifier: MIT */
/* Which path is answered by whom, and what a request must have before it is. */
#include "config.h"

#include "control/http_routes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/api.h"
#include "control/http.h"
#include "control/http_auth.h"
#include "control/metrics.h"
#include "control/mirror_view.h"
#include "proto/uri.h"
#include "session/traffic.h"

#define JSON "application/json"

enum route_flag {
	ROUTE_OPEN = 1,   /* no credentials, any Host: for monitors and balancers */
	ROUTE_PREFIX = 2, /* and what follows */
};

struct http_route {
	const char *path;
	unsigned flags;
	http_handler_fn *get;  /* GET and HEAD */
	http_handler_fn *post; /* NULL = not allowed */
};

static http_handler_fn get_metrics, get_healthz, get_readyz, get_info, get_stat, get_sessions;

static const struct http_route routes[] = {
	{ "/", 0, http_get_page, NULL },
	{ "/metrics", ROUTE_OPEN, get_metrics, NULL },
	{ "/healthz", ROUTE_OPEN, get_healthz, NULL },
	{ "/readyz", ROUTE_OPEN, get_readyz, NULL },
	{ "/api/v1/info", 0, get_info, NULL },
	{ "/api/v1/stat", 0, get_stat, NULL },
	{ "/api/v1/sessions", 0, get_sessions, NULL },
	{ "/api/v1/events", 0, http_get_events, NULL },
	{ "/api/v1/mirror", 0, http_get_mirror, http_post_mirror },
	{ "/api/v1/servers/", ROUTE_PREFIX, http_get_server, http_post_server },
	{ "/api/v1/hosts/", ROUTE_PREFIX, http_get_host, http_post_host },
};

struct str http_field_value(const struct http_head *head, struct str name)
{
	const struct http_field *field = http_head_find(head, name);

	return field ? field->value : STR_NONE;
}

static const struct stats_http_conf *conf(void)
{
	return control_config()->global.stats_http;
}

bool http_can_act(void)
{
	return auth_has_credentials() && conf() && conf()->is_admin;
}

enum ctl_level http_level(void)
{
	return auth_has_credentials() || (conf() && sock_addr_is_unix(&conf()->addr)) ? CTL_OPERATOR
										      : CTL_USER;
}

bool http_read_names(struct str rest, char out[HTTP_NAME_SIZE], struct str *backend,
		     struct str *name)
{
	ptrdiff_t slash = str_find_char(rest, '/');
	ptrdiff_t n, m;

	if (slash <= 0 || (size_t)slash + 1 >= rest.len)
		return false;
	n = uri_decode((struct str){ rest.p, (size_t)slash }, out, HTTP_NAME_SIZE, false);
	if (n < 0)
		return false;
	*backend = (struct str){ out, (size_t)n };
	m = uri_decode(str_sub(rest.p + slash + 1, rest.p + rest.len), out + n,
		       HTTP_NAME_SIZE - (size_t)n, false);
	if (m < 0)
		return false;
	*name = (struct str){ out + n, (size_t)m };
	return true;
}

static enum run_step write_metrics(struct http_client *client, struct buf *out)
{
	return metrics_write(out, client->at, (enum metrics_format)client->at[4]);
}

/* The element of Accept that Prometheus sends when it would rather have OpenMetrics. */
static enum metrics_format format_of(struct str accept)
{
	struct str element;

	while (accept.p && str_next_element(&accept, &element))
		if (str_istarts(element, STR("application/openmetrics-text")))
			return METRICS_OPENMETRICS;
	return METRICS_PROMETHEUS;
}

static void get_metrics(struct http_client *client, const struct http_request *request)
{
	enum metrics_format format = format_of(http_field_value(request->head, STR("accept")));

	http_begin(client, 200);
	http_header(client, "Vary", "Accept");
	client->at[4] = format;
	http_end_pieces(client, metrics_content_type(format), write_metrics);
}

/* The first line of an answer, and one about the mirror when there is one. */
static void answer_health(struct http_client *client, int status, const char *says)
{
	char mirror[64], text[192];

	mirror_health(mirror, sizeof(mirror));
	snprintf(text, sizeof(text), "%s%s%s", says, mirror[0] ? "\n" : "", mirror);
	http_text(client, status, text);
}

/* True when the answer is out: traffic is not to come here. */
static bool refuse_traffic(struct http_client *client)
{
	if (http_is_draining())
		answer_health(client, 503, "draining");
	else if (process_state.is_loading)
		answer_health(client, 503, "loading");
	else
		return false;
	return true;
}

/* A node whose Redis is away is healthy: it serves from its own tables. */
static void get_healthz(struct http_client *client, const struct http_request *request)
{
	(void)request;
	if (!refuse_traffic(client))
		answer_health(client, 200, "ok");
}

static void get_readyz(struct http_client *client, const struct http_request *request)
{
	unsigned none_n, all_n;
	char text[96];

	(void)request;
	if (refuse_traffic(client))
		return;
	if (api_is_ready(&none_n, &all_n)) {
		answer_health(client, 200, "ready");
		return;
	}
	snprintf(text, sizeof(text), "no server takes new sessions in %u of %u backends", none_n,
		 all_n);
	answer_health(client, 503, text);
}

static void answer_json(struct http_client *client, struct buf *body)
{
	http_begin(client, 200);
	http_end(client, JSON, buf_str(body));
	buf_release(body);
}

static void get_info(struct http_client *client, const struct http_request *request)
{
	struct buf body = { 0 };

	(void)request;
	api_info(&body, http_can_act(), auth_has_credentials());
	answer_json(client, &body);
}

static void get_sessions(struct http_client *client, const struct http_request *request)
{
	struct buf body = { 0 };

	(void)request;
	api_sessions(&body);
	answer_json(client, &body);
}

static void walk_free(void *data)
{
	api_walk_fini(data);
	free(data);
}

static enum run_step write_stat(struct http_client *client, struct buf *out)
{
	return api_walk_write(client->data, out);
}

static void get_stat(struct http_client *client, const struct http_request *request)
{
	struct api_walk *walk = xcalloc(1, sizeof(*walk));

	(void)request;
	api_walk_init(walk, API_STAT, http_level());
	client->data = walk;
	client->data_free = walk_free;
	http_begin(client, 200);
	http_end_pieces(client, JSON, write_stat);
}

static const struct http_route *route_of(struct str path, struct str *rest)
{
	for (size_t i = 0; i < ARRAY_N(routes); i++) {
		struct str want = str_of(routes[i].path);

		if (routes[i].flags & ROUTE_PREFIX ? str_starts(path, want) : str_eq(path, want)) {
			*rest = str_sub(path.p + want.len, path.p + path.len);
			return &routes[i];
		}
	}
	return NULL;
}

static void not_allowed(struct http_client *client, const struct http_route *route)
{
	http_begin(client, 405);
	http_header(client, "Allow", "GET, HEAD%s", route->post && http_can_act() ? ", POST" : "");
	http_end(client, "text/plain", STR("This method is not allowed here.\n"));
}

static void log_wrong(const struct http_client *client, const char *what)
{
	char text[ADDR_TEXT_SIZE];

	log_warn("dashboard: %s from %.*s", what, STR_ARG(ip_addr_ip_text(&client->peer, text)));
}

/* False when REQUEST may not go on; it has its answer then. */
static bool let_in(struct http_client *client, const struct http_head *head)
{
	static const struct str_list no_hosts;

	if (!auth_has_credentials() && http_level() == CTL_USER &&
	    !auth_is_host_known(head->authority, control_config()->global.node,
				conf() ? &conf()->hosts : &no_hosts)) {
		http_text(client, 421,
			  "Not a known name of this dashboard: ask by IP address, or "
			  "name it in global.stats.http.hosts.");
		return false;
	}
	switch (auth_check(http_field_value(head, STR("authorization")), &client->peer)) {
	case AUTH_OK:
		return true;
	case AUTH_LOCKED:
		http_begin(client, 429);
		http_header(client, "Retry-After", "60");
		http_end(client, "text/plain", STR("Too many wrong passwords: wait a minute.\n"));
		return false;
	case AUTH_WRONG:
		log_wrong(client, "wrong user name or password");
		break;
	case AUTH_MISSING:
		break;
	}
	http_begin(client, 401);
	http_header(client, "WWW-Authenticate", "Basic realm=\"Limpet\", charset=\"UTF-8\"");
	http_end(client, "text/plain", STR("A user name and a password are needed.\n"));
	return false;
}

void http_handle(struct http_client *client, const struct http_head *head, struct str body)
{
	struct http_request request = { .head = head, .body = body };
	const struct http_route *route = route_of(head->path, &request.rest);
	http_handler_fn *handler = NULL;

	if (!(route && route->flags & ROUTE_OPEN) && !let_in(client, head))
		return;
	if (!route) {
		http_text(client, 404, "There is nothing here.");
		return;
	}
	if (head->method_id == HTTP_GET || head->method_id == HTTP_HEAD)
		handler = route->get;
	else if (head->method_id == HTTP_POST && http_can_act())
		handler = route->post;
	if (handler)
		handler(client, &request);
	else
		not_allowed(client, route);
}
