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

#include "base/clock.h"
#include "base/log.h"
#include "model/load.h"
#include "model/out.h"

#define assert_str(s, want) assert_true(str_eq(s, STR(want)))

static struct config *load(const char *text)
{
	struct config_messages messages;
	struct config *config = config_load_text("t", str_of(text), &messages);

	if (!config)
		fail_msg("%s", messages.texts[0]);
	config_messages_fini(&messages);
	return config;
}

#define FRONT "frontends: {web: {bind: \":80\", backend: b}}\n"
#define HOSTS "hosts: {h: \"10.0.0.1:1\"}"

static void what_is_not_said_has_its_default(void **state unused_arg)
{
	struct config *config = load(FRONT "backends: {b: {" HOSTS "}}\n");
	const struct frontend *frontend = &config->frontends[0];
	const struct backend *backend = &config->backends[0];

	assert_true(config->global.node.len > 0);
	assert_in_range(config->global.threads, 1, 64);
	assert_int_equal(config->global.max_connections, 0);
	assert_int_equal(config->global.shutdown_grace_ms, 30000);
	assert_str(config->global.logs[0].target, "stderr");
	assert_int_equal(config->global.logs[0].format, LOG_TEXT);
	assert_int_equal(config->global.logs[0].level, LOG_LEVEL_INFO);
	assert_int_equal(config->global.stats_sockets_n, 0);
	assert_null(config->global.mirror);
	assert_int_equal(config->global.head_size_max, 15 * 1024);
	assert_int_equal(config->global.uri_size_max, 8 * 1024);
	assert_int_equal(frontend->mode, TRAFFIC_HTTP);
	assert_true(frontend->has_request_log && frontend->has_request_id);
	assert_int_equal(frontend->timeouts.client_head_ms, 10000);
	assert_int_equal(frontend->timeouts.keep_alive_ms, 60000);
	assert_int_equal(frontend->timeouts.client_ms, 60000);
	assert_int_equal(frontend->timeouts.connect_ms, 5000);
	assert_int_equal(frontend->timeouts.server_ms, 60000);
	assert_int_equal(frontend->timeouts.tunnel_ms, 3600000);
	assert_int_equal(frontend->timeouts.queue_ms, 30000);
	assert_ptr_equal(frontend->backend, backend);
	assert_int_equal(backend->timeouts.server_ms, -1);
	assert_int_equal(timeout_of(frontend, backend, server_ms), 60000);
	assert_int_equal(backend->balance, BALANCE_ROUND_ROBIN);
	assert_int_equal(backend->retries, 2);
	assert_int_equal(backend->health.kind, CHECK_NONE);
	assert_int_equal(backend->passive.failures, 5);
	assert_int_equal(backend->passive.window_ms, 10000);
	assert_int_equal(backend->forwarded, FORWARDED_X);
	assert_int_equal(backend->send_proxy, PROXY_NONE);
	assert_int_equal(backend->hosts[0].weight, 100);
	assert_int_equal(backend->hosts[0].workers_n, 1);
	assert_int_equal(backend->hosts[0].workers[0].name.len, 0);
	config_unref(config);
}

static void stick_rules_come_in_all_their_forms(void **state unused_arg)
{
	struct config *config =
		load(FRONT "backends:\n  b:\n    " HOSTS
			   "\n    stick:\n      - engineio: {path: /eio/, idle: 50s, "
			   "unknown: reject, max_entries: 10k, mirror: no}\n"
			   "      - cookie: {name: N, secret: s, http_only: off, secure: yes, "
			   "same_site: none, "
			   "domain: x.y, path: /p, max_age: 1d}\n"
			   "      - cookie: {mode: learn, name: connect.sid, idle: 1h}\n"
			   "      - ip: {prefix_v4: 24, prefix_v6: 56, remember: 30m}\n");
	const struct backend *backend = &config->backends[0];
	const struct stick_rule *rules = backend->sticks;

	assert_int_equal(backend->balance, BALANCE_LEAST_SESSIONS);
	assert_int_equal(backend->sticks_n, 4);
	assert_int_equal(rules[0].kind, STICK_ENGINEIO);
	assert_str(rules[0].path, "/eio/");
	assert_int_equal(rules[0].idle_ms, 50000);
	assert_true(rules[0].is_unknown_rejected);
	assert_int_equal(rules[0].max_entries, 10000);
	assert_false(rules[0].is_mirrored);
	assert_int_equal(rules[1].kind, STICK_COOKIE_INSERT);
	assert_str(rules[1].cookie_name, "N");
	assert_str(rules[1].secret, "s");
	assert_false(rules[1].is_secret_random);
	assert_false(rules[1].is_http_only);
	assert_true(rules[1].is_secure);
	assert_int_equal(rules[1].same_site, SAME_SITE_NONE);
	assert_str(rules[1].domain, "x.y");
	assert_str(rules[1].cookie_path, "/p");
	assert_int_equal(rules[1].max_age_s, 86400);
	assert_int_equal(rules[2].kind, STICK_COOKIE_LEARN);
	assert_int_equal(rules[2].learn_idle_ms, 3600000);
	assert_int_equal(rules[3].kind, STICK_IP);
	assert_int_equal(rules[3].prefix_v4, 24);
	assert_int_equal(rules[3].prefix_v6, 56);
	assert_int_equal(rules[3].remember_ms, 1800000);
	config_unref(config);
}

static void a_stick_word_stands_for_its_defaults(void **state unused_arg)
{
	struct config *config =
		load(FRONT "backends: {b: {stick: [engineio, cookie, ip], " HOSTS "}}\n");
	const struct stick_rule *rules = config->backends[0].sticks;

	assert_str(rules[0].path, "/socket.io/");
	assert_int_equal(rules[0].idle_ms, 0);
	assert_int_equal(rules[0].max_entries, 1000000);
	assert_true(rules[0].is_mirrored);
	assert_str(rules[1].cookie_name, "LIMPET");
	assert_true(rules[1].is_secret_random);
	assert_int_equal(rules[1].secret.len, 48);
	assert_true(rules[1].is_http_only);
	assert_false(rules[1].is_secure);
	assert_int_equal(rules[1].max_age_s, -1);
	assert_int_equal(rules[2].prefix_v4, 32);
	assert_int_equal(rules[2].prefix_v6, 64);
	assert_int_equal(rules[2].remember_ms, 0);
	config_unref(config);
}

static void balance_comes_in_all_its_forms(void **state unused_arg)
{
	static const struct {
		const char *text;
		enum balance_kind kind;
		enum hash_source source;
		const char *name;
	} rows[] = {
		{ "round_robin", BALANCE_ROUND_ROBIN, HASH_IP, "" },
		{ "least_conn", BALANCE_LEAST_CONN, HASH_IP, "" },
		{ "least_sessions", BALANCE_LEAST_SESSIONS, HASH_IP, "" },
		{ "random", BALANCE_RANDOM, HASH_IP, "" },
		{ "first", BALANCE_FIRST, HASH_IP, "" },
		{ "{hash: ip}", BALANCE_HASH, HASH_IP, "" },
		{ "{hash: uri}", BALANCE_HASH, HASH_URI, "" },
		{ "{hash: {header: x-user}}", BALANCE_HASH, HASH_HEADER, "x-user" },
		{ "{hash: {query: u}}", BALANCE_HASH, HASH_QUERY, "u" },
		{ "{hash: {cookie: c}}", BALANCE_HASH, HASH_COOKIE, "c" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char text[256];
		struct config *config;

		snprintf(text, sizeof(text), FRONT "backends: {b: {balance: %s, " HOSTS "}}\n",
			 rows[i].text);
		config = load(text);
		assert_int_equal(config->backends[0].balance, rows[i].kind);
		assert_int_equal(config->backends[0].hash_source, rows[i].source);
		assert_true(str_eq(config->backends[0].hash_name, str_of(rows[i].name)));
		config_unref(config);
	}
}

static void check_workers(const char *host, const char *want)
{
	struct config *config;
	struct out got;
	char *text = xasprintf(FRONT "backends: {b: {hosts: {h: %s}}}\n", host);

	config = load(text);
	out_init(&got);
	if (config->backends[0].hosts[0].glob.p)
		out_format(&got, "glob %.*s", STR_ARG(config->backends[0].hosts[0].glob));
	for (size_t i = 0; i < config->backends[0].hosts[0].workers_n; i++) {
		const struct worker_conf *worker = &config->backends[0].hosts[0].workers[i];
		char addr[ADDR_TEXT_SIZE];

		sock_addr_text(&worker->addr, addr);
		out_format(&got, "%s%.*s=%s*%u", i ? " " : "", STR_ARG(worker->name), addr,
			   worker->weight);
	}
	if (strcmp(got.p, want) != 0)
		fail_msg("%s gave '%s', not '%s'", host, got.p, want);
	out_fini(&got);
	free(text);
	config_unref(config);
}

static int resolve_for_tests(const char *name, struct ip_addr *ip, const char **why)
{
	*why = "no such name";
	return strcmp(name, "known.example") == 0 ? ip_addr_parse(STR("192.0.2.7"), ip) : -1;
}

static void hosts_and_workers_come_in_all_their_forms(void **state unused_arg)
{
	load_resolver = resolve_for_tests;
	check_workers("\"10.0.0.1:3001\"", "=10.0.0.1:3001*100");
	check_workers("\"[::1]:3001\"", "=[::1]:3001*100");
	check_workers("\"unix:/run/x.sock\"", "=unix:/run/x.sock*100");
	check_workers("\"known.example:80\"", "=192.0.2.7:80*100");
	check_workers("\"unix:/run/chat/*.sock\"", "glob /run/chat/*.sock");
	check_workers("{workers: \"unix:/run/chat/w-?.sock\"}", "glob /run/chat/w-?.sock");
	check_workers("{address: \"10.0.0.1:1\", weight: 5}", "=10.0.0.1:1*100");
	check_workers("{address: 10.0.0.1, workers: 3001-3003}",
		      "3001=10.0.0.1:3001*100 3002=10.0.0.1:3002*100 3003=10.0.0.1:3003*100");
	check_workers("{address: 10.0.0.1, workers: 3001}", "3001=10.0.0.1:3001*100");
	check_workers("{address: \"::1\", workers: [3001]}", "3001=[::1]:3001*100");
	check_workers("{address: known.example, workers: [3001]}", "3001=192.0.2.7:3001*100");
	check_workers(
		"{address: 10.0.0.1, workers: [3001-3002, {port: 4000, weight: 50}, "
		"{port: 5, name: five}, \"unix:/r/a.b.sock\", {address: \"10.0.0.2:6\", name: "
		"six}, "
		"{address: \"unix:/r/z\"}]}",
		"3001=10.0.0.1:3001*100 3002=10.0.0.1:3002*100 4000=10.0.0.1:4000*50 "
		"five=10.0.0.1:5*100 a.b=unix:/r/a.b.sock*100 six=10.0.0.2:6*100 z=unix:/r/z*100");
}

static void a_hosts_settings_reach_its_workers(void **state unused_arg)
{
	struct config *config = load(
		FRONT "backends:\n  b:\n    hosts:\n"
		      "      h: {address: 10.0.0.1, workers: [1, {port: 2, max_connections: 7}], "
		      "max_connections: 5, send_proxy: v1, backup: true, weight: 3}\n"
		      "      i: \"10.0.0.2:1\"\n    send_proxy: v2\n");
	const struct host_conf *hosts = config->backends[0].hosts;

	assert_int_equal(hosts[0].workers[0].max_connections, 5);
	assert_int_equal(hosts[0].workers[1].max_connections, 7);
	assert_int_equal(hosts[0].send_proxy, PROXY_V1);
	assert_true(hosts[0].is_backup);
	assert_int_equal(hosts[0].weight, 3);
	assert_int_equal(hosts[1].send_proxy, PROXY_V2);
	assert_int_equal(hosts[1].max_connections, 0);
	config_unref(config);
}

static void binds_come_in_all_their_forms(void **state unused_arg)
{
	struct config *config = load(
		"frontends:\n  web:\n    bind: [\":80\", {address: \"unix:/x\", mode: \"0600\"},\n"
		"      {address: \":1\", accept_proxy: true}, {address: \":2\", accept_proxy: "
		"false},\n"
		"      {address: \":3\", accept_proxy: [10.0.0.0/16, \"::1\"], backlog: 10},\n"
		"      {address: \":4\", tls: {certificates: /c.pem, client_ca: /a, client_verify: "
		"optional}}]\n"
		"    routes: [{respond: 404}]\n");
	const struct bind_conf *binds = config->frontends[0].binds;

	assert_int_equal(config->frontends[0].binds_n, 6);
	assert_str(binds[0].text, ":80");
	assert_int_equal(binds[0].addr.sa.sa_family, AF_INET6);
	assert_int_equal(binds[1].unix_mode, 0600);
	assert_true(binds[2].is_proxy_required && binds[2].is_proxy_from_any);
	assert_false(binds[3].is_proxy_required || binds[3].is_proxy_from_any);
	assert_true(binds[4].is_proxy_required && !binds[4].is_proxy_from_any);
	assert_int_equal(binds[4].proxy_nets_n, 2);
	assert_int_equal(binds[4].backlog, 10);
	assert_non_null(binds[5].tls);
	assert_int_equal(binds[5].tls->client_verify, TLS_VERIFY_OPTIONAL);
	assert_int_equal(binds[5].tls->pos.line, 6);
	assert_int_equal(binds[5].pos.line, 6);
	assert_null(binds[0].tls);
	config_unref(config);
}

static void routes_say_what_to_do_and_edit(void **state unused_arg)
{
	struct config *config = load(
		"frontends:\n  web:\n    bind: \":80\"\n    routes:\n"
		"      - {match: {path: /a}, backend: b, set_headers: {a: \" x \", b: y}, "
		"remove_headers: c,\n"
		"         set_response_headers: {d: z}, remove_response_headers: [e, f]}\n"
		"      - {name: gone, respond: 410}\n"
		"      - {match: {path: /c}, redirect: /new}\n"
		"      - {match: {path: /d}, redirect: {scheme: https, host: x.y, status: 301}}\n"
		"backends: {b: {" HOSTS "}}\n");
	const struct route *routes = config->frontends[0].routes;

	assert_int_equal(config->frontends[0].routes_n, 4);
	assert_str(routes[0].name, "route-1");
	assert_ptr_equal(routes[0].backend, config_backend(config, STR("b")));
	assert_int_equal(routes[0].request_edits.n, 3);
	assert_str(routes[0].request_edits.edits[0].name, "c");
	assert_null(routes[0].request_edits.edits[0].value.p);
	assert_str(routes[0].request_edits.edits[1].value, "x");
	assert_int_equal(routes[0].response_edits.n, 3);
	assert_str(routes[0].response_edits.edits[2].name, "d");
	assert_str(routes[1].name, "gone");
	assert_int_equal(routes[1].respond.status, 410);
	assert_int_equal(routes[1].redirect.status, 0);
	assert_null(routes[1].match);
	assert_int_equal(routes[2].redirect.status, 302);
	assert_str(routes[2].redirect.to, "/new");
	assert_int_equal(routes[3].redirect.status, 301);
	assert_str(routes[3].redirect.scheme, "https");
	assert_str(routes[3].redirect.host, "x.y");
	config_unref(config);
}

static void defaults_apply_to_those_that_do_not_say(void **state unused_arg)
{
	struct config *config =
		load("defaults: {retries: 5, log: no, timeouts: {server: 7s, queue: 8s}, "
		     "health_check: {interval: 9s}}\n"
		     "frontends:\n  a: {bind: \":1\", backend: x}\n"
		     "  b: {bind: \":2\", backend: y, log: yes, timeouts: {server: 1s}}\n"
		     "backends:\n  x: {" HOSTS ", health_check: {http: /h}}\n"
		     "  y: {" HOSTS ", retries: 0, timeouts: {queue: 2s}, health_check: /z}\n");
	const struct frontend *a = &config->frontends[0], *b = &config->frontends[1];
	const struct backend *x = &config->backends[0], *y = &config->backends[1];

	assert_false(a->has_request_log);
	assert_true(b->has_request_log);
	assert_int_equal(a->timeouts.server_ms, 7000);
	assert_int_equal(b->timeouts.server_ms, 1000);
	assert_int_equal(b->timeouts.queue_ms, 8000);
	assert_int_equal(x->retries, 5);
	assert_int_equal(y->retries, 0);
	/* A frontend's own word goes before the defaults, a backend's before both. */
	assert_int_equal(timeout_of(b, x, server_ms), 1000);
	assert_int_equal(timeout_of(a, y, server_ms), 7000);
	assert_int_equal(timeout_of(a, y, queue_ms), 2000);
	assert_int_equal(x->health.kind, CHECK_HTTP);
	assert_int_equal(x->health.interval_ms, 9000);
	assert_int_equal(y->health.interval_ms, 2000);
	config_unref(config);
}

static void merged_keys_of_the_other_kind_do_no_harm(void **state unused_arg)
{
	struct config *config = load("x-common: &c {timeouts: {server: 7s}, retries: 3, log: no}\n"
				     "frontends: {a: {<<: *c, bind: \":1\", backend: b}}\n"
				     "backends: {b: {<<: *c, " HOSTS "}}\n");

	assert_int_equal(config->frontends[0].timeouts.server_ms, 7000);
	assert_false(config->frontends[0].has_request_log);
	assert_int_equal(config->backends[0].retries, 3);
	assert_int_equal(config->backends[0].timeouts.server_ms, 7000);
	config_unref(config);
}

static void stats_sockets_know_their_level(void **state unused_arg)
{
	struct config *config = load("global: {stats: {socket: [\"unix:/x\", \"127.0.0.1:9\", "
				     "{address: \"127.0.0.1:10\", level: operator}]}}\n" FRONT
				     "backends: {b: {" HOSTS "}}\n");
	const struct global_conf *global = &config->global;

	assert_int_equal(global->stats_sockets_n, 3);
	assert_int_equal(global->stats_sockets[0].level, CTL_ADMIN);
	assert_int_equal(global->stats_sockets[0].unix_mode, 0600);
	assert_int_equal(global->stats_sockets[1].level, CTL_USER);
	assert_int_equal(global->stats_sockets[2].level, CTL_OPERATOR);
	config_unref(config);
}

static const char *const round_trips[] = {
	FRONT "backends: {b: {" HOSTS "}}\n",
	"global: {node: \"a$$b\", threads: 3, max_connections: 5k, user: u, chroot: /c,\n"
	"  log: {target: \"udp:h:1\", format: json, level: debug}, limits: {head: 2000},\n"
	"  stats: {socket: \"unix:/x\", http: {address: \"127.0.0.1:1\", username: u,\n"
	"    password: p, admin: false, hosts: [lb.example.com]}},\n"
	"  mirror: {redis: \"redis://h\", password: \"p \\\"\", mode: sync, read_through: 0}}\n"
	"frontends:\n  web:\n    bind: [\":80\", {address: \"unix:/x\", accept_proxy: "
	"[\"10.0.0.0/8\"],\n"
	"      tls: {certificates: [/a, /b], alpn: h2}}]\n    trusted_proxies: \"::1\"\n"
	"    routes:\n"
	"    - {match: {host: [\"*.a\", \"!b\"], header: {x: \"~^a$\", y: \"!*\"}, query: {\"k "
	"k\": \"\"},\n"
	"       path_regex: \"!^/$$\", source: 10.0.0.0/8, sni: a}, backend: b, set_headers: {a: "
	"\"yes\"}}\n"
	"    - {name: n, match: {cookie: {c: \"1\"}}, respond: {status: 404, body: \"a\\tb\\n\"}}\n"
	"    - {redirect: {to: /x, status: 307}, remove_response_headers: [a]}\n"
	"backends:\n  b:\n    stick: [engineio, {cookie: {secret: \"${LT_X:-x y}\", max_age: "
	"90m}}, "
	"{ip: {remember: 1h}}]\n"
	"    balance: {hash: {query: \"a b\"}}\n    timeouts: {server: 90s}\n    tls: {sni: "
	"app.test}\n"
	"    health_check: {http: \"/h?a=b\", status: [200, 300-302], fast_interval: 1500ms}\n"
	"    passive_check: false\n    slow_start: 30s\n    send_proxy: v1\n"
	"    hosts:\n      a: {address: 10.0.0.1, workers: 3001-3002, weight: 0}\n"
	"      c: \"unix:/x/*.sock\"\n      d: {workers: \"unix:/y/*.sock\", backup: true}\n"
	"      e: {address: \"[::1]:9\", send_proxy: none}\n",
	"frontends: {t: {mode: tcp, bind: \":1\", backend: b}}\n"
	"backends: {b: {mode: tcp, stick: ip, " HOSTS "}}\n",
};

static void a_dump_loads_to_the_same_again(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(round_trips); i++) {
		struct config *first = load(round_trips[i]), *second;
		size_t len, again_len;
		char *text = config_dump(first, true, &len), *again;

		second = load(text);
		again = config_dump(second, true, &again_len);
		assert_int_equal(len, strlen(text));
		assert_string_equal(text, again);
		config_unref(first);
		config_unref(second);
		free(text);
		free(again);
	}
}

static void a_dump_keeps_secrets_when_asked(void **state unused_arg)
{
	struct config *config =
		load("global: {mirror: {redis: \"redis://joe:hush@h:1/2\", password: hush}}\n" FRONT
		     "backends: {b: {stick: {cookie: {secret: hush}}, " HOSTS "}}\n");
	size_t len;
	char *text = config_dump(config, false, &len);

	assert_null(strstr(text, "hush"));
	assert_non_null(strstr(text, "redis: \"redis://h:1/2\""));
	free(text);
	text = config_dump(config, true, &len);
	assert_non_null(strstr(text, "hush"));
	free(text);
	config_unref(config);
}

static void a_marked_dump_tells_lines_and_defaults(void **state unused_arg)
{
	struct config *config = load("global: {node: n1}\n"
				     "defaults:\n  timeouts: {connect: 3s}\n"
				     "frontends:\n  web:\n    bind: \":80\"\n    backend: b\n"
				     "backends:\n  b:\n    retries: 1\n    hosts:\n"
				     "      one: 10.0.0.1:1\n");
	static const char *const wanted[] = {
		"\n  node: n1  # ",
		":1\n",
		"\n      connect: 3s  # ",
		":3\n",
		"\n      keep_alive: ",
		"  # default\n",
		"\n    retries: 1  # ",
		":10\n",
		"\n      \"one\": {address: ",
		":12\n",
		"\n  \"b\":  # ",
		":9\n",
	};
	struct config_messages messages = { 0 };
	struct config *again;
	size_t len;
	char *text = config_dump_marked(config, &len);

	for (size_t i = 0; i < ARRAY_N(wanted); i += 2) {
		const char *at = strstr(text, wanted[i]), *end;
		size_t mark = strlen(wanted[i + 1]);

		assert_non_null(at);
		end = strchr(at + 1, '\n');
		assert_memory_equal(end + 1 - mark, wanted[i + 1], mark);
	}
	again = config_load_text("again", (struct str){ text, len }, &messages);
	assert_non_null(again);
	config_unref(again);
	config_messages_fini(&messages);
	config_unref(config);
	free(text);
}

static void a_large_file_is_checked_in_under_a_second(void **state unused_arg)
{
	struct config *config;
	struct out out;
	int64_t start;

	out_init(&out);
	out_format(&out, "frontends:\n  web:\n    bind: \":80\"\n    routes:\n");
	for (int i = 0; i < 1000; i++)
		out_format(&out, "    - {match: {host: b%d.example.com}, backend: b%d}\n", i, i);
	out_format(&out, "backends:\n");
	for (int i = 0; i < 1000; i++) {
		out_format(&out, "  b%d:\n    stick: engineio\n    hosts:\n", i);
		for (int k = 0; k < 10; k++)
			out_format(&out, "      h%d: {address: 10.0.0.%d, workers: 3001}\n", k, k);
	}
	start = clock_now_us();
	config = load(out.p);
	/* Sanitizers and a busy machine included. */
	assert_true(clock_now_us() - start < 5 * 1000 * 1000);
	assert_int_equal(config->backends_n, 1000);
	assert_ptr_equal(config_backend(config, STR("b777")), &config->backends[777]);
	assert_null(config_backend(config, STR("b1000")));
	config_unref(config);
	out_fini(&out);
}

static void a_snapshot_lives_until_its_last_reference(void **state unused_arg)
{
	struct config *config = load(FRONT "backends: {b: {" HOSTS "}}\n");

	assert_ptr_equal(config_ref(config), config);
	config_unref(config);
	assert_ptr_equal(config_frontend(config, STR("web")), &config->frontends[0]);
	assert_null(config_frontend(config, STR("bew")));
	config_unref(config);
	config_unref(NULL);
}

static void keys_that_need_a_restart_are_found(void **state unused_arg)
{
	struct config *a = load("global: {threads: 2, user: u, node: x}\n" FRONT
				"backends: {b: {" HOSTS "}}\n");
	struct config *b = load("global: {threads: 3, group: g, user: u, node: y}\n" FRONT
				"backends: {b: {" HOSTS "}}\n");
	const char *keys[4];

	assert_int_equal(config_restart_keys(a, a, keys, 4), 0);
	assert_int_equal(config_restart_keys(a, b, keys, 4), 2);
	assert_string_equal(keys[0], "threads");
	assert_string_equal(keys[1], "group");
	config_unref(a);
	config_unref(b);
}

static void the_reference_in_the_tree_is_not_stale(void **state unused_arg)
{
	const char *top = getenv("top_srcdir");
	char *path = xasprintf("%s/doc/configuration.md", top ? top : ".");
	char *want = schema_reference(), *got = xcalloc(1, strlen(want) + 2);
	FILE *file = fopen(path, "r");

	if (!file)
		fail_msg("%s is missing; make it with limpet-gendoc", path);
	(void)!fread(got, 1, strlen(want) + 1, file);
	fclose(file);
	if (strcmp(got, want) != 0)
		fail_msg("%s is stale; run: make gen-config-doc", path);
	free(got);
	free(want);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_said_has_its_default),
		cmocka_unit_test(stick_rules_come_in_all_their_forms),
		cmocka_unit_test(a_stick_word_stands_for_its_defaults),
		cmocka_unit_test(balance_comes_in_all_its_forms),
		cmocka_unit_test(hosts_and_workers_come_in_all_their_forms),
		cmocka_unit_test(a_hosts_settings_reach_its_workers),
		cmocka_unit_test(binds_come_in_all_their_forms),
		cmocka_unit_test(routes_say_what_to_do_and_edit),
		cmocka_unit_test(defaults_apply_to_those_that_do_not_say),
		cmocka_unit_test(merged_keys_of_the_other_kind_do_no_harm),
		cmocka_unit_test(stats_sockets_know_their_level),
		cmocka_unit_test(a_dump_loads_to_the_same_again),
		cmocka_unit_test(a_dump_keeps_secrets_when_asked),
		cmocka_unit_test(a_marked_dump_tells_lines_and_defaults),
		cmocka_unit_test(a_large_file_is_checked_in_under_a_second),
		cmocka_unit_test(a_snapshot_lives_until_its_last_reference),
		cmocka_unit_test(keys_that_need_a_restart_are_found),
		cmocka_unit_test(the_reference_in_the_tree_is_not_stale),
	};

	load_tls_server = NULL; /* no certificates are read */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
