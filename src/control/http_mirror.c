/* SPDX-License-Identifier: MIT */
/* /api/v1/mirror: what "show mirror" tells, and {"action": "pause"}, "resume" or "resync". */
#include "config.h"

#include "base/log.h"
#include "control/http_routes.h"
#include "control/mirror_view.h"

static void answer(struct http_client *client)
{
	struct buf body = { 0 };
	struct json json = { .out = &body };

	mirror_json(&json, NULL, http_level());
	http_begin(client, 200);
	http_end(client, "application/json", buf_str(&body));
	buf_release(&body);
}

void http_get_mirror(struct http_client *client, const struct http_request *request)
{
	(void)request;
	answer(client);
}

static bool act(struct http_client *client, struct str action)
{
	if (str_eq(action, STR("pause"))) {
		mirror_pause();
	} else if (str_eq(action, STR("resume"))) {
		mirror_resume();
	} else if (!str_eq(action, STR("resync"))) {
		http_text(client, 400,
			  "The body must be {\"action\": \"pause\"}, \"resume\" or \"resync\".");
		return false;
	} else if (!mirror_resync()) {
		http_text(client, 409, "Redis is away, or the mirror is paused.");
		return false;
	}
	return true;
}

void http_post_mirror(struct http_client *client, const struct http_request *request)
{
	struct str user = control_config()->global.stats_http->username, action = STR("");
	char addr[ADDR_TEXT_SIZE];

	if (!http_is_own_page(client, request->head))
		return;
	if (!control_config()->global.mirror) {
		http_text(client, 404, "There is no mirror.");
		return;
	}
	if (json_read_member(request->body, STR("action"), &action) != 0)
		action = STR("");
	if (!act(client, action))
		return;
	log_info("dashboard: %.*s from %.*s: mirror %.*s", STR_ARG(user),
		 STR_ARG(ip_addr_ip_text(&client->peer, addr)), STR_ARG(action));
	answer(client);
}
