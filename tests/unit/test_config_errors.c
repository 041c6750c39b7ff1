/* SPDX-License-Identifier: MIT */
/*
 * Every form of mistake and of warning, with its exact text and place.
 */
#include "config.h"

#include "model/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "model/load.h"

struct row {
	const char *text;
	const char *messages; /* all of them, one a line */
};

static int resolve_for_tests(const char *name, struct ip_addr *ip, const char **why)
{
	*why = "no such name";
	return strcmp(name, "known.example") == 0 ? ip_addr_parse(STR("192.0.2.7"), ip) : -1;
}

static int setup(void **state unused_arg)
{
	load_resolver = resolve_for_tests;
	load_tls_server = NULL; /* no certificates are read */
	return 0;
}

static void check_text(const char *text, const char *want)
{
	struct config_messages messages;
	struct config *config = config_load_text("t", str_of(text), &messages);
	size_t size = 1;
	char *got;

	for (size_t i = 0; i < messages.n; i++)
		size += strlen(messages.texts[i]) + 1;
	got = calloc(1, size);
	for (size_t i = 0, used = 0; i < messages.n; i++)
		used += (size_t)snprintf(got + used, size - used, "%s\n", messages.texts[i]);
	if (strcmp(got, want) != 0)
		fail_msg("%s\ngave\n%snot\n%s", text, got, want);
	assert_int_equal(!config, messages.errors_n > 0);
	free(got);
	config_messages_fini(&messages);
	config_unref(config);
}

static void check_rows(const struct row *rows, size_t n, const char *before, const char *after)
{
	for (size_t i = 0; i < n; i++) {
		char *text = xasprintf("%s%s%s", before, rows[i].text, after);

		check_text(text, rows[i].messages);
		free(text);
	}
}

#define FRONTEND "frontends: {web: {bind: \"192.0.2.1:80\", backend: chat}}\n"
#define HOSTS    "    hosts: {h: \"10.0.0.1:1\"}\n"
#define BACKEND  "backends:\n  chat:\n" HOSTS

static void mistakes_at_the_top_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "", "t: the file is empty\n" },
		{ "a\n",
		  "t:1:1: the file must be a mapping with 'frontends' and 'backends', not 'a'\n" },
		{ "{}\n", "t:1:1: the file needs 'frontends'\n" },
		{ "frontends: {}\n", "t:1:12: no frontend: nothing to listen on\n" },
		{ "frontends: 5\n", "t:1:12: 'frontends': expected a mapping, got '5'\n" },
		{ FRONTEND BACKEND "x-any: 1\n", "" },
		{ FRONTEND BACKEND "frontend: 1\n",
		  "t:5:1: unknown key 'frontend' in the file; did you mean 'frontends'?\n" },
		{ "frontends: {\"a b\": {bind: \":1\", routes: [{respond: 404}]}}\n",
		  "t:1:13: name of a frontend: 'a b' must be 1 to 64 of the characters "
		  "A-Z a-z 0-9 _ . : -\n" },
		{ "frontends: {a: {bind: \":1\"}}\n",
		  "t:1:13: frontend 'a' needs 'backend' or 'routes'\n" },
		{ "frontends: {a: }\n", "t:1:16: frontend 'a' needs 'bind'\n" },
		{ "frontends: {a: [x]}\n", "t:1:16: frontend 'a' must be a mapping, not a list\n" },
	};

	check_rows(rows, ARRAY_N(rows), "", "");
}

static void mistakes_in_values_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "threads: 65", "t:1:19: 'threads': 65 is out of range; it may be 1 to 64\n" },
		{ "threads: many", "t:1:19: 'threads': expected a number or 'auto', got 'many'\n" },
		{ "threads: 0", "t:1:19: 'threads': 0 is out of range; it may be 1 to 64\n" },
		{ "shutdown_grace: 5",
		  "t:1:26: 'shutdown_grace': expected a duration like 5s, got '5'\n" },
		{ "shutdown_grace: 2d",
		  "t:1:26: 'shutdown_grace': 2d is out of range; it may be 0 to 1d\n" },
		{ "shutdown_grace: 99999999999999999999s",
		  "t:1:26: 'shutdown_grace': 99999999999999999999s is out of range; it may be 0 to "
		  "1d\n" },
		{ "shutdown_grace: 5 s",
		  "t:1:26: 'shutdown_grace': expected a duration like 5s, got '5 s'\n" },
		{ "shutdown_grace: -5s",
		  "t:1:26: 'shutdown_grace': expected a duration like 5s, got '-5s'\n" },
		{ "shutdown_grace: ",
		  "t:1:26: 'shutdown_grace': expected a duration like 5s, got nothing\n" },
		{ "shutdown_grace: {a: b}",
		  "t:1:26: 'shutdown_grace': expected a duration like 5s, got a mapping\n" },
		{ "max_connections: 10q",
		  "t:1:27: 'max_connections': expected a number like 100, 10k or 1m, got '10q'\n" },
		{ "limits: {head: 1g}",
		  "t:1:25: 'head': 1g is out of range; it may be 1k to 64k\n" },
		{ "limits: {head: big}",
		  "t:1:25: 'head': expected a size like 512, 64k or 1m, got 'big'\n" },
		{ "log: {format: jsn}", "t:1:24: 'format': 'jsn' is not one of text, json, "
					"haproxy; did you mean 'json'?\n" },
		{ "log: {target: file}",
		  "t:1:24: 'target': expected a target like stderr or file:/path, got 'file'\n" },
		{ "log: nonsense", "t:1:15: 'target': expected a target like stderr or file:/path, "
				   "got 'nonsense'\n" },
		{ "log: {tag: \"a b\"}",
		  "t:1:21: 'tag': expected 1 to 48 printable characters without "
		  "':' and '[', got 'a b'\n" },
		{ "log: [stderr, stderr, stderr, stderr, stdout]",
		  "t:1:15: 'log' has 5 targets; 4 are possible\n" },
		{ "pid_file: x", "t:1:20: 'pid_file': 'x' must begin with '/'\n" },
		{ "node: \"\"", "t:1:16: 'node' must not be empty\n" },
		{ "stats: {socket: {level: admin}}", "t:1:26: 'socket' needs 'address'\n" },
		{ "stats: {socket: {address: \"unix:/x\", mode: 999}}",
		  "t:1:53: 'mode': expected permissions like 0660, got '999'\n" },
		{ "stats: {http: nowhere}",
		  "t:1:24: 'http': expected an address like 10.0.0.1:80, [::1]:80 or unix:/path, "
		  "got 'nowhere'\n" },
		{ "mirror: {redis: \"http://x\"}",
		  "t:1:26: 'redis': expected redis://, rediss://, unix:/ or sentinel://\n" },
		{ "mirror: {redis: \"redis://u:p@ss@h\"}",
		  "t:1:26: 'redis': '@' in a user name or password is written %40\n" },
		{ "mirror: {redis: \"rediss://h:70000\"}",
		  "t:1:26: 'redis': not a port (1 to 65535)\n" },
		{ "mirror: {redis: \"sentinel://a,b:1\"}",
		  "t:1:26: 'redis': after the sentinels comes '/' and the name of the master\n" },
		{ "mirror: {}", "t:1:18: 'mirror' needs 'redis'\n" },
		{ "thread: 1",
		  "t:1:10: unknown key 'thread' in 'global'; did you mean 'threads'?\n" },
	};

	check_rows(rows, ARRAY_N(rows), "global: {", "}\n" FRONTEND BACKEND);
}

static void mistakes_in_frontends_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "bind: 80", "t:1:25: 'bind': expected an address like 10.0.0.1:80, [::1]:80 or "
			      "unix:/path, got '80'\n" },
		{ "bind: [\":80\", \":81\", \":80\"]",
		  "t:1:40: ':80' is bound twice; line 1 has it already\n" },
		{ "bind: []", "t:1:25: 'bind' is empty: nothing to listen on\n" },
		{ "bind: {accept_proxy: true}", "t:1:25: 'bind' needs 'address'\n" },
		{ "bind: {address: \":80\", accept_proxy: [10.0.0.0/40]}",
		  "t:1:57: 'accept_proxy': expected a network like 10.0.0.0/8, got "
		  "'10.0.0.0/40'\n" },
		{ "bind: {address: \":80\", accept_proxy: []}",
		  "t:1:56: 'accept_proxy': an empty list refuses everyone\n" },
		{ "bind: {address: \":80\", tls: {}}", "t:1:47: 'tls' needs 'certificates'\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, client_verify: required}}",
		  "t:1:47: 'tls' has 'client_verify' but no 'client_ca'\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, client_crl: /r}}",
		  "t:1:78: 'tls' has 'client_crl' but no 'client_ca'\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, client_ca: /a}}",
		  "t:1:77: warning: 'client_ca': nobody is asked for a certificate without "
		  "'client_verify'\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, ticket_keys: /k, tickets: "
		  "false}}",
		  "t:1:79: 'ticket_keys' are of no use with 'tickets: false'\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, min_version: \"1.3\", ciphers: "
		  "X}}",
		  "t:1:95: 'ciphers' are of TLS 1.2, which 'min_version' excludes\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, alpn: [h2, spdy/3]}}",
		  "t:1:77: 'alpn': 'spdy/3' is not one of h2, http/1.1, which mode http speaks\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, alpn: [h2, h2]}}",
		  "t:1:77: 'alpn': 'h2' is there twice\n" },
		{ "bind: {address: \":80\", tls: {certificates: /c, hsts: {max_age: 1d, preload: "
		  "true}}}",
		  "t:1:72: warning: 'preload': browsers want 'include_subdomains' and a 'max_age' "
		  "of a year with it\n" },
		{ "bind: \"unknown.example:80\"",
		  "t:1:25: host name 'unknown.example' cannot be resolved: no such name\n" },
		{ "bind: \":80\", mode: tcp",
		  "t:1:13: frontend 'web' is of mode tcp, its backend 'chat' of mode http\n" },
		{ "bind: \":80\", trusted_proxies: localhost",
		  "t:1:49: 'trusted_proxies': expected a network like 10.0.0.0/8, got "
		  "'localhost'\n" },
		{ "bind: \":80\", timeouts: {client_haed: 5s}",
		  "t:1:43: unknown key 'client_haed' in 'timeouts'; did you mean "
		  "'client_head'?\n" },
	};

	check_rows(rows, ARRAY_N(rows), "frontends: {web: {", ", backend: chat}}\n" BACKEND);
}

static void mistakes_in_routes_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{backend: chta}",
		  "t:4:11: backend 'chta' is not defined; did you mean 'chat'?\n" },
		{ "{backend: zzzzzzzz}", "t:4:11: backend 'zzzzzzzz' is not defined\n" },
		{ "{backend: chat, respond: 404}",
		  "t:4:1: route 1 needs exactly one of 'backend', 'respond', 'redirect' and "
		  "'reject'\n" },
		{ "{}", "t:4:1: route 1 needs exactly one of 'backend', 'respond', 'redirect' and "
			"'reject'\n" },
		{ "{backend: chat, reject: true}",
		  "t:4:1: route 1 needs exactly one of 'backend', 'respond', 'redirect' and "
		  "'reject'\n" },
		{ "{reject: false}",
		  "t:4:1: route 1 needs exactly one of 'backend', 'respond', 'redirect' and "
		  "'reject'\n" },
		{ "{respond: 99}", "t:4:11: 'status': 99 is out of range; it may be 200 to 599\n" },
		{ "{respond: {body: x}}", "t:4:11: 'respond' needs 'status'\n" },
		{ "{redirect: {to: /x, status: 304}}",
		  "t:4:12: 'status': a redirect is 301, 302, 303, 307 or 308\n" },
		{ "{redirect: {}}", "t:4:12: 'redirect' needs 'to', 'scheme', 'host' or 'port', or "
				    "it leads nowhere\n" },
		{ "{redirect: x}", "t:4:12: 'to': 'x' is neither a path nor an absolute URI\n" },
		{ "{redirect: \"/a\\r\\nb\"}",
		  "t:4:12: 'redirect' holds a space or a control character\n" },
		{ "{redirect: {scheme: ftp}}",
		  "t:4:12: 'scheme': 'ftp' is not one of http, https\n" },
		{ "{respond: 404, set_headers: {\"a b\": x}}",
		  "t:4:30: 'set_headers': 'a b' is not the name of a header field\n" },
		{ "{respond: 404, set_headers: {Content-Length: x}}",
		  "t:4:30: 'set_headers': field 'content-length' belongs to the connection and is "
		  "Limpet's own\n" },
		{ "{respond: 404, remove_headers: [connection]}",
		  "t:4:33: 'remove_headers': field 'connection' belongs to the connection and is "
		  "Limpet's own\n" },
		{ "{respond: 404, set_headers: {a: \"x\\ny\"}}",
		  "t:4:33: 'set_headers': the value of 'a' must be a text without control "
		  "characters\n" },
	};

	check_rows(rows, ARRAY_N(rows),
		   "frontends:\n  web: {bind: \"192.0.2.1:80\", backend: chat,\n routes: [\n",
		   "]}\n" BACKEND);
}

static void mistakes_in_matches_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{match: {hots: x}, respond: 404}",
		  "t:4:10: unknown key 'hots' in 'match'; did you mean 'host'?\n" },
		{ "{match: {host: \"a:80\"}, respond: 404}",
		  "t:4:16: 'a:80': a host is matched without its port\n" },
		{ "{match: {host: \"a.*\"}, respond: 404}",
		  "t:4:16: 'a.*' is not a host name; a wildcard stands for the first labels, as in "
		  "'*.example.com'\n" },
		{ "{match: {path: x}, respond: 404}",
		  "t:4:16: 'x' is not a path; it must begin with '/'\n" },
		{ "{match: {path: /a//b}, respond: 404}",
		  "t:4:16: '/a//b' never matches: paths are compared in the form '/a/b'\n" },
		{ "{match: {path: \"/a?b\"}, respond: 404}",
		  "t:4:16: '/a?b': a path has no '?'; match the query with 'query'\n" },
		{ "{match: {path_regex: \"(\"}, respond: 404}",
		  "t:4:22: '(' is not a regular expression: missing closing parenthesis (at "
		  "character 2)\n" },
		{ "{match: {method: get}, respond: 404}",
		  "t:4:18: 'get' is not a method; they are in upper case, as GET\n" },
		{ "{match: {source: \"!x\"}, respond: 404}",
		  "t:4:18: 'x' is not a network like 10.0.0.0/8\n" },
		{ "{match: {header: x}, respond: 404}",
		  "t:4:18: 'header': expected a mapping from names to patterns, got 'x'\n" },
		{ "{match: {header: {\"a b\": x}}, respond: 404}",
		  "t:4:19: 'a b' is not the name of a header field\n" },
		{ "{match: {path: \"!\"}, respond: 404}", "t:4:16: a pattern is empty\n" },
		{ "{match: {path: [[/a]]}, respond: 404}",
		  "t:4:17: a pattern must be a text, not a list\n" },
		{ "{name: a, respond: 404, match: {path: /}},\n{name: a, respond: 404}",
		  "t:5:1: route 'a' is named twice; line 4 has it already\n" },
	};

	check_rows(rows, ARRAY_N(rows),
		   "frontends:\n  web: {bind: \"192.0.2.1:80\", backend: chat,\n routes: [\n",
		   "]}\n" BACKEND);
}

static void mistakes_in_backends_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "balence: first",
		  "t:4:5: unknown key 'balence' in backend 'chat'; did you mean 'balance'?\n" },
		{ "balance: lest_conn",
		  "t:4:14: 'balance': 'lest_conn' is not one of round_robin, least_conn, "
		  "least_sessions, random, first; did you mean 'least_conn'?\n" },
		{ "balance: hash",
		  "t:4:14: 'balance': expected a word, or a mapping with 'hash', got 'hash'\n" },
		{ "balance: {hash: uro}",
		  "t:4:21: 'hash': 'uro' is not one of ip, uri; did you mean 'uri'?\n" },
		{ "balance: {hash: {}}",
		  "t:4:21: 'hash' needs exactly one of 'header', 'query' and 'cookie'\n" },
		{ "balance: {hash: {heder: x}}",
		  "t:4:21: 'hash' needs exactly one of 'header', 'query' and 'cookie'\n"
		  "t:4:22: unknown key 'heder' in 'hash'; did you mean 'header'?\n" },
		{ "balance: {hsh: ip}",
		  "t:4:15: unknown key 'hsh' in 'balance'; did you mean 'hash'?\n" },
		{ "stick: enginio", "t:4:12: 'stick': 'enginio' is not one of engineio, cookie, "
				    "ip, none; did you mean "
				    "'engineio'?\n" },
		{ "stick: [ip, ip]", "t:4:17: 'stick' has two rules of one kind\n" },
		{ "stick: [[ip]]", "t:4:13: 'stick': each rule is a word like engineio, or a "
				   "mapping with one word and "
				   "its options, as in {ip: {prefix_v6: 56}}\n" },
		{ "stick: {ip: {prefix_v4: 33}}",
		  "t:4:29: 'prefix_v4': 33 is out of range; it may be 1 to 32\n" },
		{ "stick: {engineio: {path: x}}", "t:4:30: 'path': 'x' must begin with '/'\n" },
		{ "stick: {engineio: {idle: 1ms}}",
		  "t:4:30: 'idle': 1ms is out of range; it may be 100ms to 30d\n" },
		{ "stick: {cookie: {name: \"a b\", secret: x, same_site: lax}}",
		  "t:4:13: 'a b' is not the name of a cookie\n" },
		{ "stick: {cookie: {secret: x, same_site: none}}",
		  "t:4:13: 'same_site: none' needs 'secure: true', or browsers refuse the "
		  "cookie\n" },
		{ "stick: {cookie: {secret: x, same_site: lax, domain: \"a; b\"}}",
		  "t:4:13: 'domain' and 'path' of a cookie hold no ';' and no space\n" },
		{ "stick: {cookie: {max_age: 1500ms, secret: x, same_site: lax}}",
		  "t:4:31: 'max_age': only whole seconds can be told\n" },
	};

	check_rows(rows, ARRAY_N(rows), FRONTEND "backends:\n  chat:\n    ", "\n" HOSTS);
}

static void mistakes_in_checks_and_numbers_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "health_check: healthz",
		  "t:4:19: 'health_check': expected none, tcp, tls, a path "
		  "like /healthz, or a mapping, got "
		  "'healthz'\n" },
		{ "health_check: {http: /, tcp: true}",
		  "t:4:19: 'health_check' has both 'tcp' and 'http'\n" },
		{ "health_check: {http: /, status: 200-99}",
		  "t:4:37: 'status': expected a status like 200 or 200-299, within 100 to 599, got "
		  "'200-99'\n" },
		{ "health_check: \"/a b\"",
		  "t:4:19: 'health_check': a path has no spaces or controls\n" },
		{ "passive_check: no way",
		  "t:4:20: 'passive_check': expected false or a mapping, got 'no way'\n" },
		{ "retries: 11", "t:4:14: 'retries': 11 is out of range; it may be 0 to 10\n" },
		{ "send_proxy: v3",
		  "t:4:17: 'send_proxy': 'v3' is not one of none, v1, v2; did you mean 'v1'?\n" },
		{ "tls: {key: /k}",
		  "t:4:10: 'tls' needs both 'certificate' and 'key', or neither\n"
		  "t:4:10: 'tls' of the backend: the key cannot be used: No such file or "
		  "directory\n" },
		{ "timeouts: {server: 5}",
		  "t:4:24: 'server': expected a duration like 5s, got '5'\n" },
		{ "retries: 1\n    retries: 2",
		  "t:5:5: key 'retries' is given twice; it is on line 4 already\n" },
	};

	check_rows(rows, ARRAY_N(rows), FRONTEND "backends:\n  chat:\n    ", "\n" HOSTS);
}

static void mistakes_in_hosts_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{}", "t:4:12: 'hosts' is empty: nobody to serve\n" },
		{ "[\"10.0.0.1:1\"]",
		  "t:4:12: 'hosts': expected a mapping from names to hosts, got a list\n" },
		{ "{a: 10.0.0.1}", "t:4:16: host 'a' needs a port in its address, or 'workers'\n" },
		{ "{a: \"::1\"}", "t:4:16: host 'a' needs a port in its address, or 'workers'\n" },
		{ "{a: {weight: 1}}", "t:4:16: host 'a' needs 'address' or 'workers'\n" },
		{ "{a: {workers: 3001}}",
		  "t:4:26: host 'a' needs an address for worker port 3001\n" },
		{ "{a: {address: \"10.0.0.1:1\", workers: 3001}}",
		  "t:4:16: host 'a' has 'workers', so its address must be without a port: "
		  "'10.0.0.1:1'\n" },
		{ "{a: {address: 10.0.0.1, workers: 3004-3001}}",
		  "t:4:45: 'workers': range 3004-3001 runs backwards\n" },
		{ "{a: {address: 10.0.0.1, workers: 1-60000}}",
		  "t:4:45: 'workers': range 1-60000 is too large\n" },
		{ "{a: {address: 10.0.0.1, workers: [3001, 3000-3002]}}",
		  "t:4:52: host 'a' has two workers named '3001'\n" },
		{ "{a: {address: 10.0.0.1, workers: 70000}}",
		  "t:4:45: 'workers': expected a port, a range like 3001-3004 or unix:/path, got "
		  "'70000'\n" },
		{ "{a: {address: 10.0.0.1, workers: []}}",
		  "t:4:45: 'workers': expected a port, a range like 3001-3004, a socket, or a list "
		  "of "
		  "them, got a list\n" },
		{ "{a: {address: 10.0.0.1, workers: [{weight: 1}]}}",
		  "t:4:46: a worker needs either 'port' or 'address'\n" },
		{ "{a: {address: 10.0.0.1, workers: [{port: 1, wieght: 1}]}}",
		  "t:4:56: unknown key 'wieght' in a worker; did you mean 'weight'?\n" },
		{ "{a: {address: 10.0.0.1, workers: [{port: 1, name: \"a/b\"}]}}",
		  "t:4:46: name of a worker: 'a/b' must be 1 to 64 of the characters A-Z a-z 0-9 _ "
		  ". "
		  ": -\n" },
		{ "{a: \"unix:/x/*/y.sock\"}",
		  "t:4:16: 'unix:/x/*/y.sock': only the file's name may hold wildcards, not its "
		  "directory\n" },
		{ "{a: \"unix:x*\"}",
		  "t:4:16: 'unix:x*': the path of a glob must begin with '/'\n" },
		{ "{a: {workers: [\"unix:/x/*\", \"unix:/y\"]}}",
		  "t:4:27: 'workers': a glob must be the only one\n" },
		{ "{a: {address: \"10.0.0.1:1\", weight: 257}}",
		  "t:4:48: 'weight': 257 is out of range; it may be 0 to 256\n" },
		{ "{a: \"10.0.0.1:0\"}", "t:4:16: '10.0.0.1:0': a server has no port 0\n" },
		{ "{a: \"unknown.example:80\"}",
		  "t:4:16: host name 'unknown.example' cannot be resolved: no such name\n" },
		{ "{a: \"known.example:80\"}", "" },
		{ "{a: {addres: \"10.0.0.1:1\"}}",
		  "t:4:17: unknown key 'addres' in host 'a'; did you mean 'address'?\n" },
		{ "{\"a/b\": \"10.0.0.1:1\"}", "t:4:13: name of a host: 'a/b' must be 1 to 64 of "
					       "the characters A-Z a-z 0-9 _ . : -\n" },
	};

	check_rows(rows, ARRAY_N(rows), FRONTEND "backends:\n  chat:\n    hosts: ", "\n");
}

static void all_mistakes_are_told_by_line_and_each_once(void **state unused_arg)
{
	check_text(
		"defaults:\n  timeouts: {server: 5}\n  retreis: 1\n  retries: x\n"
		"frontends:\n  a: {bind: \":1\", backend: b1}\n  b: {bind: \":2\", backend: b9}\n"
		"backends:\n  b1: {hosts: {h: \"10.0.0.1:1\"}}\n  b2: {hosts: {h: \"10.0.0.1\"}}\n",
		"t:2:22: 'server': expected a duration like 5s, got '5'\n"
		"t:3:3: unknown key 'retreis' in 'defaults'; did you mean 'retries'?\n"
		"t:4:12: 'retries': expected a number like 100, 10k or 1m, got 'x'\n"
		"t:7:28: backend 'b9' is not defined; did you mean 'b1'?\n"
		"t:10:19: host 'h' needs a port in its address, or 'workers'\n");
}

static void what_needs_a_request_is_refused_in_tcp_mode(void **state unused_arg)
{
	check_text("frontends:\n  a: {mode: tcp, bind: \":1\", backend: b, routes: [{backend: b,\n"
		   "    match: {path: /a}}]}\n"
		   "backends:\n  b:\n    mode: tcp\n    stick: engineio\n    balance: {hash: uri}\n"
		   "    set_headers: {a: b}\n    hosts: {h: \"10.0.0.1:1\"}\n",
		   "t:3:13: 'path' needs mode http\n"
		   "t:5:3: backend 'b' is of mode tcp and can be balanced by a hash of 'ip' only\n"
		   "t:5:3: backend 'b' is of mode tcp: there are no header fields to edit\n"
		   "t:7:12: a backend of mode tcp can stick by 'ip' only\n");
}

static void a_flood_of_mistakes_is_cut(void **state unused_arg)
{
	struct config_messages messages;
	char text[16384] = "frontends: {a: {bind: \":1\", routes: [{respond: 404}]}}\nbackends:\n";
	size_t used = strlen(text);

	for (int i = 0; i < 500; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "  b%d: {hosts: {}}\n",
					 i);
	assert_null(config_load_text("t", str_of(text), &messages));
	assert_int_equal(messages.errors_n, 201);
	assert_string_equal(messages.texts[200], "t: 300 more mistakes are not shown");
	config_messages_fini(&messages);
}

static void a_file_that_is_not_there_is_told(void **state unused_arg)
{
	struct config_messages messages;

	assert_null(config_load("/nonexistent/limpet.yaml", &messages));
	assert_int_equal(messages.n, 1);
	assert_string_equal(messages.texts[0],
			    "/nonexistent/limpet.yaml: cannot be read: No such file or directory");
	config_messages_fini(&messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_at_the_top_are_told),
		cmocka_unit_test(mistakes_in_values_are_told),
		cmocka_unit_test(mistakes_in_frontends_are_told),
		cmocka_unit_test(mistakes_in_routes_are_told),
		cmocka_unit_test(mistakes_in_matches_are_told),
		cmocka_unit_test(mistakes_in_backends_are_told),
		cmocka_unit_test(mistakes_in_checks_and_numbers_are_told),
		cmocka_unit_test(mistakes_in_hosts_are_told),
		cmocka_unit_test(all_mistakes_are_told_by_line_and_each_once),
		cmocka_unit_test(what_needs_a_request_is_refused_in_tcp_mode),
		cmocka_unit_test(a_flood_of_mistakes_is_cut),
		cmocka_unit_test(a_file_that_is_not_there_is_told),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
