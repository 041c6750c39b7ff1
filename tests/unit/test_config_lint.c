/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/bug.h"

#define FRONT(more) "frontends:\n  web: {bind: \"192.0.2.1:80\", backend: chat" more "}\n"
#define CHAT(more)  "backends:\n  chat:\n" more
#define HOSTS       "    hosts: {h: \"10.0.0.1:1\"}\n"

/* The file loads, and these are its warnings. */
static void check(const char *text, const char *want)
{
	struct config_messages messages;
	struct config *config = config_load_text("t", str_of(text), &messages);
	char got[2048] = "";
	size_t used = 0;

	for (size_t i = 0; i < messages.n; i++)
		used += (size_t)snprintf(got + used, sizeof(got) - used, "%s\n", messages.texts[i]);
	if (!config || strcmp(got, want) != 0)
		fail_msg("%s\ngave\n%snot\n%s", text, got, want);
	assert_int_equal(messages.errors_n, 0);
	config_messages_fini(&messages);
	config_unref(config);
}

static void a_plain_file_gives_no_warning(void **state unused_arg)
{
	check(FRONT("") CHAT("    stick: [engineio, {cookie: {secret: x}}, ip]\n" HOSTS), "");
}

static void short_timeouts_with_engineio_are_warned_of(void **state unused_arg)
{
	check(FRONT("")
		      CHAT("    stick: engineio\n    timeouts: {server: 44s, tunnel: 45s}\n" HOSTS),
	      "t:4:3: warning: timeouts.server of backend 'chat' is below 45s, Engine.IO's usual "
	      "pingInterval + pingTimeout; its requests go by their handshake's own figures, "
	      "others "
	      "that are held as long will be cut\n");
	check(FRONT(", timeouts: {tunnel: 30s}") CHAT("    stick: engineio\n" HOSTS),
	      "t:2:3: warning: timeouts.tunnel of backend 'chat' is below 45s, Engine.IO's usual "
	      "pingInterval + pingTimeout: silent WebSockets will be cut\n");
	/* The backend's own goes first; without Engine.IO there is nothing to say. */
	check(FRONT(", timeouts: {tunnel: 30s}")
		      CHAT("    stick: engineio\n    timeouts: {tunnel: 1m}\n" HOSTS),
	      "");
	check(FRONT("") CHAT("    timeouts: {server: 1s, tunnel: 1s}\n" HOSTS), "");
}

static void stickiness_by_an_address_that_may_be_a_proxys_is_warned_of(void **state unused_arg)
{
	static const char *const quiet[] = {
		"bind: \"127.0.0.1:80\", trusted_proxies: 10.0.0.0/8",
		"bind: {address: \"127.0.0.1:80\", accept_proxy: true}",
		"bind: \"192.0.2.1:80\"",
		"bind: \":80\"",
	};
	static const char *const loud[] = { "bind: \"127.0.0.1:80\"", "bind: \"unix:/x\"",
					    "bind: \"10.1.2.3:80\"", "bind: \"[::1]:80\"" };
	char text[512];

	for (size_t i = 0; i < ARRAY_N(quiet); i++) {
		snprintf(text, sizeof(text), "frontends:\n  web: {%s, backend: chat}\n%s", quiet[i],
			 CHAT("    stick: ip\n" HOSTS));
		check(text, "");
	}
	for (size_t i = 0; i < ARRAY_N(loud); i++) {
		snprintf(text, sizeof(text), "frontends:\n  web: {%s, backend: chat}\n%s", loud[i],
			 CHAT("    stick: ip\n" HOSTS));
		check(text, "t:5:12: warning: backend 'chat' sticks by address, but frontend 'web' "
			    "listens on "
			    "a private address: if a proxy stands in front, all clients have its "
			    "address; set "
			    "'trusted_proxies', or 'accept_proxy' on the bind\n");
	}
}

static void proxy_headers_to_workers_are_warned_of(void **state unused_arg)
{
	const char *want =
		"t:8:7: warning: 'send_proxy' to the workers of host 'h': plain Node cannot "
		"read a PROXY header; they must listen through contrib/node\n";

	check(FRONT("") CHAT("    stick: engineio\n    send_proxy: v2\n"
			     "    hosts:\n      h: \"unix:/x/*.sock\"\n"),
	      want);
	check(FRONT("") CHAT("    stick: engineio\n    send_proxy: v1\n"
			     "    hosts:\n      h: {address: 10.0.0.1, workers: 3001-3002}\n"),
	      want);
	/* A single address may well be an inner Limpet. */
	check(FRONT("") CHAT("    stick: engineio\n    send_proxy: v2\n" HOSTS), "");
}

static void cookies_that_will_not_last_or_travel_are_warned_of(void **state unused_arg)
{
	check(FRONT("") CHAT("    stick: cookie\n" HOSTS),
	      "t:5:12: warning: cookie 'LIMPET' has no 'secret': one was made up, so its values "
	      "mean "
	      "nothing to other nodes and after a restart\n"
	      "t:5:12: warning: cookie 'LIMPET' has no 'same_site': browsers do not send it from "
	      "pages "
	      "of other sites; if there are such, set 'same_site: none' and 'secure: true'\n");
	check("global: {state_file: /x/state}\n" FRONT("")
		      CHAT("    stick: {cookie: {same_site: lax}}\n" HOSTS),
	      "t:6:13: warning: cookie 'LIMPET' has no 'secret': one was made up, so its values "
	      "mean nothing to other nodes\n");
	check(FRONT("") CHAT("    stick: {cookie: {secret: x, same_site: lax}}\n" HOSTS), "");
	check(FRONT("") CHAT("    stick: {cookie: {mode: learn, name: connect.sid}}\n" HOSTS), "");
}

static void servers_that_take_nothing_are_warned_of(void **state unused_arg)
{
	check(FRONT("") CHAT("    hosts:\n      a: {address: \"10.0.0.1:1\", weight: 0}\n"
			     "      b: {address: 10.0.0.2, workers: [{port: 1, weight: 0}]}\n"),
	      "t:4:3: warning: every server of backend 'chat' has weight 0: none takes new "
	      "sessions\n");
}

static void servers_with_one_address_are_warned_of(void **state unused_arg)
{
	check(FRONT("") CHAT("    hosts:\n      a: \"10.0.0.1:1\"\n      b: \"10.0.0.1:1\"\n"),
	      "t:7:7: warning: 10.0.0.1:1 is a server of host 'a' and of host 'b'\n");
}

static void what_is_never_reached_is_warned_of(void **state unused_arg)
{
	check("frontends:\n  web:\n    bind: \"192.0.2.1:80\"\n    routes:\n"
	      "      - {match: {path: /a}, backend: chat}\n      - {name: all, backend: chat}\n"
	      "      - {match: {path: /b}, backend: chat}\n"
	      "backends:\n  chat: {hosts: {h: \"10.0.0.1:1\"}}\n"
	      "  idle: {hosts: {h: \"10.0.0.2:1\"}}\n",
	      "t:7:9: warning: route 'route-3' is never reached: route 'all' on line 6 has no "
	      "'match' "
	      "and takes everything\n"
	      "t:10:3: warning: backend 'idle' is not used by any frontend\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_file_gives_no_warning),
		cmocka_unit_test(short_timeouts_with_engineio_are_warned_of),
		cmocka_unit_test(stickiness_by_an_address_that_may_be_a_proxys_is_warned_of),
		cmocka_unit_test(proxy_headers_to_workers_are_warned_of),
		cmocka_unit_test(cookies_that_will_not_last_or_travel_are_warned_of),
		cmocka_unit_test(servers_that_take_nothing_are_warned_of),
		cmocka_unit_test(servers_with_one_address_are_warned_of),
		cmocka_unit_test(what_is_never_reached_is_warned_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
