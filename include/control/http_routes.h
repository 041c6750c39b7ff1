/* SPDX-License-Identifier: MIT */
/* http_routes - what the handlers of the dashboard's server share.  Private to it. */
#ifndef CONTROL_HTTP_ROUTES_H
#define CONTROL_HTTP_ROUTES_H

#include "control/http_client.h"

/* A request on its way to its handler: views that die with the call. */
struct http_request {
	const struct http_head *head;
	struct str body;
	struct str rest; /* of the path, after the route's */
};

typedef void http_handler_fn(struct http_client *client, const struct http_request *request);

http_handler_fn http_get_page, http_get_events, http_get_server, http_get_host, http_post_server,
	http_post_host, http_get_mirror, http_post_mirror;

/* Who asks may change servers: there are credentials (and they were right), and admin is not off.
 */
bool http_can_act(void);
/* Addresses are for those who gave credentials, or who may open the Unix socket. */
enum ctl_level http_level(void);

/*
 * A request of our own page that may change something, in the name of a user whose browser holds
 * the credentials; false: it has its answer.
 */
bool http_is_own_page(struct http_client *client, const struct http_head *head);

/* http_events.c: streams are opened by http_get_events() and end with their connection. */

/*
 * "backend/name" of a path, percent-decoded into OUT.  False when it has no such form.
 */
#define HTTP_NAME_SIZE 512
bool http_read_names(struct str rest, char out[HTTP_NAME_SIZE], struct str *backend,
		     struct str *name);
/* A field's value; p == NULL when there is none. */
struct str http_field_value(const struct http_head *head, struct str name);

#endif
