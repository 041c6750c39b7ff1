/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/schema.h"

#include "base/log.h"
#include "model/load.h"
#include "model/match_build.h"

#define DAY SEC(86400)
#define KIB 1024

#define IN(type, field) offsetof(struct type, field)
#define ROWS(name)      .rows = name, .rows_n = ARRAY_N(name)

static const struct schema_name modes[] = { { "http", TRAFFIC_HTTP },
					    { "tcp", TRAFFIC_TCP },
					    { 0 } };
static const struct schema_name log_formats[] = {
	{ "text", LOG_TEXT }, { "json", LOG_JSON }, { "haproxy", LOG_HAPROXY }, { 0 }
};
static const struct schema_name log_facilities[] = {
	{ "kern", 0 },    { "user", 1 },    { "mail", 2 },    { "daemon", 3 },  { "auth", 4 },
	{ "syslog", 5 },  { "lpr", 6 },     { "news", 7 },    { "uucp", 8 },    { "cron", 9 },
	{ "auth2", 10 },  { "ftp", 11 },    { "ntp", 12 },    { "audit", 13 },  { "alert", 14 },
	{ "cron2", 15 },  { "local0", 16 }, { "local1", 17 }, { "local2", 18 }, { "local3", 19 },
	{ "local4", 20 }, { "local5", 21 }, { "local6", 22 }, { "local7", 23 }, { NULL, 0 }
};
static const struct schema_name log_syslogs[] = { { "auto", LOG_SYSLOG_AUTO },
						  { "rfc5424", LOG_SYSLOG_5424 },
						  { "rfc3164", LOG_SYSLOG_3164 },
						  { 0 } };
static const struct schema_name log_levels[] = { { "error", LOG_LEVEL_ERROR },
						 { "warn", LOG_LEVEL_WARN },
						 { "info", LOG_LEVEL_INFO },
						 { "debug", LOG_LEVEL_DEBUG },
						 { 0 } };
static const struct schema_name ctl_levels[] = { { "auto", -1 },
						 { "user", CTL_USER },
						 { "operator", CTL_OPERATOR },
						 { "admin", CTL_ADMIN },
						 { 0 } };
static const struct schema_name mirror_modes[] = { { "async", false }, { "sync", true }, { 0 } };
static const struct schema_name tls_versions[] = { { "1.2", TLS_V1_2 },
						   { "1.3", TLS_V1_3 },
						   { 0 } };
static const struct schema_name tls_verifies[] = { { "none", TLS_VERIFY_NONE },
						   { "optional", TLS_VERIFY_OPTIONAL },
						   { "required", TLS_VERIFY_REQUIRED },
						   { 0 } };
static const struct schema_name proxy_modes[] = {
	{ "none", PROXY_NONE }, { "v1", PROXY_V1 }, { "v2", PROXY_V2 }, { 0 }
};
static const struct schema_name forwardeds[] = { { "none", FORWARDED_NONE },
						 { "x_forwarded_for", FORWARDED_X },
						 { "forwarded", FORWARDED_RFC7239 },
						 { 0 } };
static const struct schema_name passive_actions[] = { { "down", false },
						      { "fast_check", true },
						      { 0 } };
static const struct schema_name marked_downs[] = { { "keep", false }, { "close", true }, { 0 } };
static const struct schema_name plains[] = { { "refuse", false }, { "accept", true }, { 0 } };
static const struct schema_name unknowns[] = { { "forward", false }, { "reject", true }, { 0 } };
static const struct schema_name cookie_modes[] = { { "insert", STICK_COOKIE_INSERT },
						   { "learn", STICK_COOKIE_LEARN },
						   { 0 } };
static const struct schema_name same_sites[] = { { "unset", SAME_SITE_UNSET },
						 { "lax", SAME_SITE_LAX },
						 { "strict", SAME_SITE_STRICT },
						 { "none", SAME_SITE_NONE },
						 { 0 } };

/* clang-format off */
static const struct schema_row top_rows[] = {
	{ "global", T_MAP, .sub = S_GLOBAL, .offset = IN(config, global),
	  .doc = "the process as a whole" },
	{ "defaults", T_ANY, .doc = "any key of a frontend or a backend, for those that do not set it; mappings like `timeouts` are merged key by key" },
	{ "frontends", T_ANY, .sub = S_FRONTEND, .flags = F_REQUIRED,
	  .doc = "where clients come in: a mapping from names to frontends" },
	{ "backends", T_ANY, .sub = S_BACKEND,
	  .doc = "pools of servers: a mapping from names to backends" },
};

static const struct schema_row global_rows[] = {
	{ "node", T_TEXT, .offset = IN(global_conf, node), .def = "the host's name", .flags = F_DEF_SAID | F_FILLED,
	  .doc = "this node's name in a pair" },
	{ "threads", T_THREADS, .min = 1, .max = 64, .offset = IN(global_conf, threads), .def = "auto",
	  .flags = F_DEF_SAID | F_RESTART, .doc = "threads that carry traffic; `auto` = the CPUs that the process may use" },
	{ "max_connections", T_COUNT, .min = 1, .max = 100000000, .offset = IN(global_conf, max_connections), .def = "auto",
	  .word = "auto", .doc = "client connections of the whole process; `auto` follows the limit of open files" },
	{ "user", T_TEXT, .offset = IN(global_conf, user), .flags = F_RESTART,
	  .doc = "user to become after binding" },
	{ "group", T_TEXT, .offset = IN(global_conf, group), .flags = F_RESTART,
	  .doc = "group to become after binding" },
	{ "chroot", T_TEXT, .offset = IN(global_conf, chroot), .flags = F_RESTART | F_PATH,
	  .doc = "directory to be locked into after binding" },
	{ "pid_file", T_TEXT, .offset = IN(global_conf, pid_file), .flags = F_PATH,
	  .doc = "file that holds the process id" },
	{ "shutdown_grace", T_DURATION, .min = 0, .max = DAY, .offset = IN(global_conf, shutdown_grace_ms), .def = "30s",
	  .doc = "after SIGTERM: how long traffic may take to end before it is closed" },
	{ "upgrade_grace", T_DURATION, .min = 0, .max = DAY, .offset = IN(global_conf, upgrade_grace_ms), .def = "10m",
	  .doc = "SIGUSR2: how long the old process stays for its WebSockets; in the second half they are ended evenly" },
	{ "upgrade_timeout", T_DURATION, .min = SEC(1), .max = SEC(600), .offset = IN(global_conf, upgrade_timeout_ms), .def = "30s",
	  .doc = "SIGUSR2: how long the new program may take to be ready before the old one gives it up" },
	{ "log", T_LOGS, .sub = S_LOG, .def = "stderr",
	  .doc = "where log lines go: a target, a mapping, or a list of up to 4 of them" },
	{ "stats", T_MAP, .sub = S_STATS, .doc = "ways to look inside and to command" },
	{ "mirror", T_MIRROR, .sub = S_MIRROR, .offset = IN(global_conf, mirror),
	  .doc = "shares the session tables with another node through Redis; absent: tables live in this process alone" },
	{ "state_file", T_TEXT, .offset = IN(global_conf, state_file), .flags = F_PATH,
	  .doc = "file that keeps the session tables over a restart: written at the stop and by `save state`, read at the start" },
	{ "splice", T_BOOL, .offset = IN(global_conf, has_splice), .def = "true",
	  .doc = "bulk goes from socket to socket within the kernel; `false` copies it" },
	{ "limits", T_MAP, .sub = S_LIMITS, .doc = "bounds of what a peer may send" },
};

static const struct schema_row log_rows[] = {
	{ "target", T_LOG_TARGET, .offset = IN(log_conf, target), .def = "stderr",
	  .doc = "`stderr`, `stdout`, `syslog`, `none`, `file:/path`, `unix:/dev/log` or `udp:host:port`" },
	{ "format", T_ENUM, .names = log_formats, .offset = IN(log_conf, format), .def = "text",
	  .doc = "form of the lines" },
	{ "level", T_ENUM, .names = log_levels, .offset = IN(log_conf, level), .def = "info",
	  .doc = "what is said at least; requests are `info`" },
	{ "syslog", T_ENUM, .names = log_syslogs, .offset = IN(log_conf, syslog), .def = "auto",
	  .doc = "header of syslog messages; `auto`: `rfc3164` for the format haproxy and for systemd-journald, which reads no other" },
	{ "facility", T_ENUM, .names = log_facilities, .offset = IN(log_conf, facility), .def = "local0",
	  .doc = "facility of syslog messages: `kern` ... `local7`" },
	{ "tag", T_LOG_TAG, .offset = IN(log_conf, tag), .def = "limpet",
	  .doc = "what syslog headers call this program" },
	{ "requests", T_BOOL, .offset = IN(log_conf, has_requests), .def = "true",
	  .doc = "request lines go there" },
	{ "events", T_BOOL, .offset = IN(log_conf, has_events), .def = "true",
	  .doc = "messages and events go there" },
};

static const struct schema_row stats_rows[] = {
	{ "socket", T_STATS_SOCKETS, .sub = S_STATS_SOCKET, .offset = IN(global_conf, stats_sockets),
	  .doc = "stats socket: an address, a mapping, or a list of them" },
	{ "http", T_STATS_HTTP, .sub = S_STATS_HTTP, .offset = IN(global_conf, stats_http),
	  .doc = "the dashboard (`/`), its API, `/metrics` and `/healthz`: an address or a mapping" },
};

static const struct schema_row stats_http_rows[] = {
	{ "address", T_ADDRESS, .offset = IN(stats_http_conf, text), .flags = F_REQUIRED,
	  .doc = "`127.0.0.1:port` or `unix:/path`" },
	{ "username", T_TEXT, .offset = IN(stats_http_conf, username), .flags = F_FILLED,
	  .doc = "asked for by all but `/metrics`, `/healthz` and `/readyz`; absent: everybody reads and nobody changes anything" },
	{ "password", T_TEXT, .offset = IN(stats_http_conf, password), .flags = F_SECRET | F_FILLED,
	  .doc = "of that user" },
	{ "password_file", T_TEXT, .offset = IN(stats_http_conf, password_file), .flags = F_PATH,
	  .doc = "file whose first line is the password" },
	{ "admin", T_BOOL, .offset = IN(stats_http_conf, is_admin), .def = "true",
	  .doc = "with credentials: servers may be drained, taken out and put back; without them never" },
	{ "hosts", T_TEXTS, .offset = IN(stats_http_conf, hosts), .flags = F_FILLED,
	  .doc = "names in the browser's address line that are accepted without credentials, beside `localhost`, the node's name and plain IP addresses" },
	{ "mode", T_OCTAL, .min = 0, .max = 0777, .offset = IN(stats_http_conf, unix_mode), .def = "0600",
	  .doc = "permissions of a Unix socket's file" },
};

static const struct schema_row stats_socket_rows[] = {
	{ "address", T_ADDRESS, .offset = IN(stats_socket_conf, text), .flags = F_REQUIRED,
	  .doc = "`unix:/path` or `127.0.0.1:port`" },
	{ "level", T_ENUM, .names = ctl_levels, .offset = IN(stats_socket_conf, level), .def = "auto",
	  .doc = "what its users may do; `auto` = `admin` on a Unix socket, `user` elsewhere" },
	{ "mode", T_OCTAL, .min = 0, .max = 0777, .offset = IN(stats_socket_conf, unix_mode), .def = "0600",
	  .doc = "permissions of a Unix socket's file" },
};

static const struct schema_row mirror_rows[] = {
	{ "redis", T_TEXT, .offset = IN(mirror_conf, redis), .flags = F_REQUIRED | F_FILLED,
	  .doc = "`redis://host:port/db`, `rediss://` (TLS), `unix:/path` or `sentinel://h1:26379,h2:26379/name`" },
	{ "username", T_TEXT, .offset = IN(mirror_conf, username), .doc = "for AUTH" },
	{ "password", T_TEXT, .offset = IN(mirror_conf, password), .flags = F_SECRET, .doc = "for AUTH" },
	{ "password_file", T_TEXT, .offset = IN(mirror_conf, password_file), .flags = F_PATH,
	  .doc = "file whose first line is the password" },
	{ "secret", T_TEXT, .offset = IN(mirror_conf, secret), .flags = F_SECRET,
	  .doc = "key under which session ids are hashed; the same on both nodes" },
	{ "prefix", T_TEXT, .offset = IN(mirror_conf, prefix), .def = "limpet", .flags = F_FILLED,
	  .doc = "name space of the keys that the nodes of one pair share" },
	{ "tls_ca", T_TEXT, .offset = IN(mirror_conf, tls_ca), .flags = F_PATH,
	  .doc = "`rediss`: PEM file of the authorities that Redis' certificate must lead to; absent: the system's" },
	{ "tls_verify", T_BOOL, .offset = IN(mirror_conf, is_tls_verified), .def = "true",
	  .doc = "`rediss`: `false` takes any certificate" },
	{ "tls_sni", T_TEXT, .offset = IN(mirror_conf, tls_sni),
	  .doc = "`rediss`: name to ask for and to verify; absent: the host of `redis`" },
	{ "tls_certificate", T_TEXT, .offset = IN(mirror_conf, tls_certificate), .flags = F_PATH,
	  .doc = "`rediss`: PEM file of the certificate to show" },
	{ "tls_key", T_TEXT, .offset = IN(mirror_conf, tls_key), .flags = F_PATH,
	  .doc = "`rediss`: PEM file of its key; absent: in the same file" },
	{ "mode", T_ENUM, .names = mirror_modes, .offset = IN(mirror_conf, is_sync), .arg = ENUM_IN_BOOL, .def = "async",
	  .doc = "`sync` holds a handshake's response until Redis has the session" },
	{ "read_through", T_DURATION, .min = 0, .max = SEC(5), .offset = IN(mirror_conf, read_through_ms), .def = "20ms",
	  .doc = "longest wait for Redis about a session that this node does not know; `0` = never ask" },
	{ "load_timeout", T_DURATION, .min = 0, .max = SEC(600), .offset = IN(mirror_conf, load_timeout_ms), .def = "15s",
	  .doc = "how long the start may wait for the first load of the tables before it serves without" },
	{ "stream_length", T_COUNT, .min = 1000, .max = 100000000, .offset = IN(mirror_conf, stream_length), .def = "100k",
	  .doc = "changes that Redis keeps, about, for a node that was away; more of them mean a full comparison" },
	{ "resync_rate", T_COUNT, .min = 1000, .max = 100000000, .offset = IN(mirror_conf, resync_rate), .def = "200k",
	  .doc = "entries that a full comparison reads in a second, at most (the first load is not held back)" },
};

static const struct schema_row limits_rows[] = {
	{ "head", T_SIZE, .min = KIB, .max = 64 * KIB, .offset = IN(global_conf, head_size_max), .def = "15k",
	  .doc = "bytes of a request's or response's head" },
	{ "uri", T_SIZE, .min = 256, .max = 32 * KIB, .offset = IN(global_conf, uri_size_max), .def = "8k",
	  .doc = "bytes of a request's target" },
};

#define TIMEOUT(name, most, preset, text) \
	{ #name, T_DURATION, .min = MS(1), .max = most, .offset = IN(timeouts, name##_ms), .def = preset, .doc = text }
static const struct schema_row timeouts_rows[] = {
	TIMEOUT(client_head, SEC(3600), "10s", "from a request's first byte to its whole head"),
	TIMEOUT(keep_alive, DAY, "60s", "idle time between two requests of a client"),
	TIMEOUT(client, DAY, "60s", "a client that owes bytes of a body, or takes none"),
	TIMEOUT(connect, SEC(3600), "5s", "until a server accepts a connection, repeated attempts on a busy socket included"),
	TIMEOUT(server, DAY, "60s", "a server that owes a response, or takes nothing of a body; Engine.IO requests go by their handshake's own figures"),
	TIMEOUT(tunnel, 30 * DAY, "1h", "silence of both sides after an upgrade, and in TCP mode"),
	TIMEOUT(queue, SEC(3600), "30s", "wait for a free slot of a server"),
	TIMEOUT(handshake, SEC(600), "10s", "from an accepted connection to the end of its TLS handshake"),
	TIMEOUT(inspect, SEC(600), "5s", "in TCP mode, wait for the first bytes, when routes look at them"),
};

static const struct schema_row frontend_rows[] = {
	{ "mode", T_ENUM, .names = modes, .offset = IN(frontend, mode), .def = "http", .doc = "what is carried" },
	{ "bind", T_BINDS, .sub = S_BIND, .offset = IN(frontend, binds), .flags = F_REQUIRED,
	  .doc = "addresses to listen on: one or a list, each a string or a mapping" },
	{ "trusted_proxies", T_NETS, .offset = IN(frontend, trusted_proxies),
	  .doc = "networks whose X-Forwarded-For (or Forwarded) is believed" },
	{ "max_connections", T_COUNT, .min = 0, .max = 100000000, .offset = IN(frontend, max_connections), .def = "0",
	  .doc = "client connections of this frontend; `0` = the process's limit alone" },
	{ "max_connections_per_source", T_COUNT, .min = 0, .max = 100000000, .offset = IN(frontend, max_connections_per_source), .def = "0",
	  .doc = "connections at once from one address (of IPv6, one /64), more are closed; `0` = no limit" },
	{ "connection_rate_per_source", T_RATE, .max = 1000000, .offset = IN(frontend, connection_rate_per_source), .def = "0",
	  .doc = "new connections from one address (of IPv6, one /64): `20` (a second), `100/10s` or `0` = no limit; more are closed" },
	{ "http2", T_MAP, .sub = S_HTTP2, .offset = IN(frontend, http2), .doc = "HTTP/2 to clients" },
	{ "log", T_BOOL, .offset = IN(frontend, has_request_log), .def = "true", .doc = "a log line for each request" },
	{ "request_id", T_BOOL, .offset = IN(frontend, has_request_id), .def = "true",
	  .doc = "X-Request-Id is kept, or made when a request has none" },
	{ "timeouts", T_MAP, .sub = S_TIMEOUTS, .offset = IN(frontend, timeouts),
	  .doc = "a backend's own timeouts go before these" },
	{ "routes", T_ROUTES, .sub = S_ROUTE, .offset = IN(frontend, routes), .doc = "a list; the first that matches decides" },
	{ "backend", T_BACKEND, .offset = IN(frontend, backend), .doc = "when no route matches; without one the answer is 503" },
};

static const struct schema_row bind_rows[] = {
	{ "address", T_TEXT, .offset = IN(bind_conf, text), .flags = F_REQUIRED | F_FILLED,
	  .doc = "`:80` (all addresses, IPv4 and IPv6), `127.0.0.1:80`, `[::1]:80` or `unix:/path`" },
	{ "accept_proxy", T_ACCEPT_PROXY, .offset = IN(bind_conf, proxy_nets), .def = "false", .flags = F_DEF_SAID,
	  .doc = "a PROXY header (v1 or v2) is required: `true` = from anyone, a list of networks = from these, connections of others are refused" },
	{ "mode", T_OCTAL, .min = 0, .max = 0777, .offset = IN(bind_conf, unix_mode), .def = "0666",
	  .doc = "permissions of a Unix socket's file" },
	{ "backlog", T_COUNT, .min = 1, .max = 65535, .offset = IN(bind_conf, backlog), .def = "4096",
	  .doc = "connections that wait to be accepted" },
	{ "tls", T_BIND_TLS, .sub = S_BIND_TLS, .offset = IN(bind_conf, tls), .doc = "TLS to clients" },
};

static const struct schema_row bind_tls_rows[] = {
	{ "certificates", T_TEXTS, .offset = IN(tls_bind_conf, certificates), .flags = F_REQUIRED | F_PATH,
	  .doc = "PEM files with chain and key, or directories of them" },
	{ "min_version", T_ENUM, .names = tls_versions, .offset = IN(tls_bind_conf, min_version), .def = "1.2",
	  .doc = "oldest TLS version" },
	{ "alpn", T_TEXTS, .offset = IN(tls_bind_conf, alpn), .flags = F_FILLED, .doc = "protocols offered, best first" },
	{ "client_ca", T_TEXT, .offset = IN(tls_bind_conf, client_ca), .flags = F_PATH,
	  .doc = "PEM file of the authorities of client certificates" },
	{ "client_crl", T_TEXT, .offset = IN(tls_bind_conf, client_crl), .flags = F_PATH,
	  .doc = "PEM file of revocation lists, one of each authority" },
	{ "client_verify", T_ENUM, .names = tls_verifies, .offset = IN(tls_bind_conf, client_verify), .def = "none",
	  .doc = "whether clients show a certificate" },
	{ "client_headers", T_BOOL, .offset = IN(tls_bind_conf, has_client_headers), .def = "true",
	  .doc = "with `client_verify`: X-Client-Cert-Verified, -CN and -Fingerprint tell the servers" },
	{ "ciphers", T_TEXT, .offset = IN(tls_bind_conf, ciphers), .doc = "of TLS 1.2, in OpenSSL's words; without it ECDHE with AES-GCM or ChaCha20 alone" },
	{ "ciphersuites", T_TEXT, .offset = IN(tls_bind_conf, ciphersuites), .doc = "of TLS 1.3, in OpenSSL's words" },
	{ "groups", T_TEXT, .offset = IN(tls_bind_conf, groups), .doc = "of the key exchange, best first, in OpenSSL's words; without it X25519:P-256:P-384" },
	{ "strict_sni", T_BOOL, .offset = IN(tls_bind_conf, is_sni_strict), .def = "false",
	  .doc = "a name without certificate is refused (unrecognized_name) instead of getting the first certificate" },
	{ "plain", T_ENUM, .names = plains, .offset = IN(tls_bind_conf, is_plain_accepted), .arg = ENUM_IN_BOOL, .def = "refuse",
	  .doc = "clear text on the same port: `refuse`, or `accept` to serve it as well (routes tell them apart by `protocol`)" },
	{ "tickets", T_BOOL, .offset = IN(tls_bind_conf, has_tickets), .def = "true", .doc = "sessions are resumed by tickets" },
	{ "ticket_keys", T_TEXT, .offset = IN(tls_bind_conf, ticket_keys), .flags = F_PATH,
	  .doc = "file of ticket keys that nodes share: lines of 48 or 80 bytes in base64, the last but one encrypts; without it they come from the mirror's secret, or are made up" },
	{ "session_cache", T_COUNT, .min = 0, .max = 10000000, .offset = IN(tls_bind_conf, session_cache), .def = "20k",
	  .doc = "sessions kept for clients of TLS 1.2 without tickets" },
	{ "session_timeout", T_DURATION, .min = SEC(1), .max = 7 * DAY, .offset = IN(tls_bind_conf, session_ms), .def = "12h",
	  .doc = "how long a session may be resumed" },
	{ "watch", T_BOOL, .offset = IN(tls_bind_conf, is_watched), .def = "true", .doc = "certificate files that change are taken without a reload" },
	{ "ocsp_refresh", T_BOOL, .offset = IN(tls_bind_conf, has_ocsp_refresh), .def = "false",
	  .doc = "asks the certificates' OCSP responders and staples their answers; a file `PEM.ocsp` is stapled either way" },
	{ "hsts", T_HSTS, .sub = S_HSTS, .offset = IN(tls_bind_conf, hsts),
	  .doc = "Strict-Transport-Security in responses: a duration, or a mapping" },
};

static const struct schema_row hsts_rows[] = {
	{ "max_age", T_DURATION, .min = 0, .max = 3650 * DAY, .offset = IN(hsts_conf, max_age_ms), .def = "0", .doc = "how long browsers use TLS alone; `0` = no such field" },
	{ "include_subdomains", T_BOOL, .offset = IN(hsts_conf, has_subdomains), .def = "false", .doc = "for all names below, too" },
	{ "preload", T_BOOL, .offset = IN(hsts_conf, is_preloaded), .def = "false", .doc = "consents to the browsers' built-in lists" },
};

static const struct schema_row http2_rows[] = {
	{ "cleartext", T_BOOL, .offset = IN(http2_conf, is_cleartext), .def = "false", .doc = "HTTP/2 without TLS by prior knowledge (h2c) on binds without `tls`" },
	{ "max_streams", T_COUNT, .min = 1, .max = 10000, .offset = IN(http2_conf, max_streams), .def = "100", .doc = "requests at once on one connection" },
	{ "window", T_SIZE, .min = 65535, .max = 16 * 1024 * KIB, .offset = IN(http2_conf, window), .def = "64k", .doc = "bytes of a request's body that a client may send ahead of its server" },
	{ "max_resets", T_COUNT, .min = 1, .max = 1000000, .offset = IN(http2_conf, max_resets), .def = "200", .doc = "requests that a client may cancel within 10 s before its connection is closed" },
};

static const struct schema_row route_rows[] = {
	{ "name", T_TEXT, .offset = IN(route, name), .def = "route-N", .flags = F_DEF_SAID | F_FILLED,
	  .doc = "what logs call it" },
	{ "match", T_MATCH, .sub = S_MATCH, .offset = IN(route, match), .doc = "conditions, all of which must hold; without one the route always applies" },
	{ "backend", T_BACKEND, .offset = IN(route, backend), .doc = "who serves it; exactly one of `backend`, `respond`, `redirect` and `reject`" },
	{ "respond", T_RESPOND, .sub = S_RESPOND, .offset = IN(route, respond), .doc = "a fixed response: a status or a mapping" },
	{ "redirect", T_REDIRECT, .sub = S_REDIRECT, .offset = IN(route, redirect), .doc = "sends the client elsewhere: a target or a mapping" },
	{ "reject", T_BOOL, .offset = IN(route, is_rejected), .flags = F_FILLED, .doc = "`true` closes the connection without an answer, with a reset" },
	{ "set_headers", T_SET_HEADERS, .offset = IN(route, request_edits), .doc = "fields of the request to set: a mapping" },
	{ "remove_headers", T_REMOVE_HEADERS, .offset = IN(route, request_edits), .doc = "fields of the request to remove: a list" },
	{ "set_response_headers", T_SET_HEADERS, .offset = IN(route, response_edits), .doc = "fields of the response to set" },
	{ "remove_response_headers", T_REMOVE_HEADERS, .offset = IN(route, response_edits), .doc = "fields of the response to remove" },
};

static const struct schema_row match_rows[] = {
	{ "host", T_PATTERNS, .arg = MATCH_HOST, .doc = "host name without port, case ignored; `*.example.com` is any name under it" },
	{ "path", T_PATTERNS, .arg = MATCH_PATH, .doc = "the whole path" },
	{ "path_prefix", T_PATTERNS, .arg = MATCH_PATH_PREFIX, .doc = "leading segments: `/a` matches `/a` and `/a/b`, not `/ab`; `/a/` does not match `/a`" },
	{ "path_regex", T_PATTERNS, .arg = MATCH_PATH_REGEX, .doc = "a Perl-compatible pattern, found anywhere in the path unless anchored" },
	{ "header", T_NAMED_PATTERNS, .arg = MATCH_HEADER, .doc = "mapping from field names to values" },
	{ "query", T_NAMED_PATTERNS, .arg = MATCH_QUERY, .doc = "mapping from query keys to values, both decoded" },
	{ "cookie", T_NAMED_PATTERNS, .arg = MATCH_COOKIE, .doc = "mapping from cookie names to values" },
	{ "method", T_PATTERNS, .arg = MATCH_METHOD, .doc = "the method, in upper case" },
	{ "source", T_PATTERNS, .arg = MATCH_SOURCE, .doc = "networks of the client's address" },
	{ "sni", T_PATTERNS, .arg = MATCH_SNI, .doc = "server name of the TLS handshake, as `host`; in TCP mode read from a ClientHello that is passed on" },
	{ "alpn", T_PATTERNS, .arg = MATCH_ALPN, .doc = "protocol of the TLS handshake (`h2`, `http/1.1`); in TCP mode any that the client offers" },
	{ "protocol", T_PATTERNS, .arg = MATCH_PROTOCOL, .doc = "in TCP mode what the first bytes look like: `tls`, `http`, `h2c`, `ssh`, `other`, or `none` when none came within `timeouts.inspect`; in HTTP mode `tls` or `http` (clear text)" },
	{ "client_cn", T_PATTERNS, .arg = MATCH_CLIENT_CN, .doc = "common name of a verified client certificate" },
	{ "client_fingerprint", T_PATTERNS, .arg = MATCH_CLIENT_FINGERPRINT, .doc = "SHA-256 of a verified client certificate: 64 hexadecimal digits, with or without colons" },
};

static const struct schema_row respond_rows[] = {
	{ "status", T_COUNT, .min = 200, .max = 599, .offset = IN(respond_conf, status), .flags = F_REQUIRED, .doc = "status of the response" },
	{ "body", T_TEXT, .offset = IN(respond_conf, body), .doc = "body; without one the reason of the status" },
	{ "content_type", T_TEXT, .offset = IN(respond_conf, content_type), .def = "text/plain; charset=utf-8", .flags = F_FILLED, .doc = "type of the body" },
};

static const struct schema_row redirect_rows[] = {
	{ "to", T_TEXT, .offset = IN(redirect_conf, to), .doc = "path or absolute URI; without one, the same path and query" },
	{ "status", T_COUNT, .min = 301, .max = 308, .offset = IN(redirect_conf, status), .def = "302", .doc = "301, 302, 303, 307 or 308" },
	{ "scheme", T_TEXT, .offset = IN(redirect_conf, scheme), .doc = "`http` or `https`; without one, as it came" },
	{ "host", T_TEXT, .offset = IN(redirect_conf, host), .doc = "host; without one, as it came" },
	{ "port", T_COUNT, .min = 0, .max = 65535, .offset = IN(redirect_conf, port), .def = "0", .doc = "port; `0` = as it came, but none when `scheme` is another one than that of the request" },
};

static const struct schema_row backend_rows[] = {
	{ "mode", T_ENUM, .names = modes, .offset = IN(backend, mode), .def = "http", .doc = "what is carried" },
	{ "stick", T_STICKS, .sub = S_ENGINEIO, .offset = IN(backend, sticks),
	  .doc = "one rule or a list, asked in this order: `engineio`, `cookie`, `ip`, each a word or a mapping; `none` = no rule" },
	{ "balance", T_BALANCE, .sub = S_HASH, .offset = IN(backend, balance), .def = "least_sessions with engineio, else round_robin", .flags = F_DEF_SAID,
	  .doc = "`round_robin`, `least_conn`, `least_sessions`, `random` (the better of two), `first`, or `{hash: ip | uri | {header: NAME} | {query: KEY} | {cookie: NAME}}`" },
	{ "send_proxy", T_ENUM, .names = proxy_modes, .offset = IN(backend, send_proxy), .def = "none", .doc = "PROXY header towards the servers" },
	{ "forwarded", T_ENUM, .names = forwardeds, .offset = IN(backend, forwarded), .def = "x_forwarded_for", .doc = "how the client's address is told in the request" },
	{ "health_check", T_HEALTH, .sub = S_HEALTH, .offset = IN(backend, health), .def = "none", .flags = F_DEF_SAID,
	  .doc = "`none`, `tcp`, `tls` (a handshake), a path like `/healthz`, or a mapping" },
	{ "passive_check", T_PASSIVE, .sub = S_PASSIVE, .offset = IN(backend, passive), .doc = "failures seen in traffic; `false` = off" },
	{ "agent_check", T_AGENT, .sub = S_AGENT, .offset = IN(backend, agent), .doc = "a program beside the server that says how it is, as HAProxy's agents do: a port or a mapping" },
	{ "on_marked_down", T_ENUM, .names = marked_downs, .offset = IN(backend, is_closed_on_down), .arg = ENUM_IN_BOOL, .def = "keep",
	  .doc = "`close` ends the requests and tunnels of a server at once when a check, an agent or traffic takes it down" },
	{ "max_connections_per_server", T_COUNT, .min = 0, .max = 1000000, .offset = IN(backend, max_connections_per_server), .def = "0",
	  .doc = "requests and tunnels at one server at a time, more wait in the queue; `0` = no limit" },
	{ "reuse", T_BOOL, .offset = IN(backend, has_reuse), .def = "true",
	  .doc = "server connections are kept for further requests; `false` opens one for each request" },
	{ "queue_max", T_COUNT, .min = 0, .max = 10000000, .offset = IN(backend, queue_max), .def = "0", .doc = "requests that may wait; `0` = no limit of its own" },
	{ "slow_start", T_DURATION, .min = 0, .max = SEC(3600), .offset = IN(backend, slow_start_ms), .def = "0", .doc = "time in which a server that came up reaches its weight" },
	{ "drain_grace", T_DURATION, .min = 0, .max = DAY, .offset = IN(backend, drain_grace_ms), .def = "0", .doc = "how long sessions of a draining server go on; `0` = until they end" },
	{ "drain_over", T_DURATION, .min = 0, .max = DAY, .offset = IN(backend, drain_over_ms), .def = "30s", .doc = "time over which they are then ended, at an even pace; also those of a worker whose socket has vanished" },
	{ "retries", T_COUNT, .min = 0, .max = 10, .offset = IN(backend, retries), .def = "2", .doc = "further attempts, other servers included, while no byte can have reached a server" },
	{ "timeouts", T_SERVER_TIMEOUTS, .sub = S_TIMEOUTS, .offset = IN(backend, timeouts), .def = "the frontend's", .flags = F_DEF_SAID, .doc = "those set here go before the frontend's" },
	{ "tls", T_CLIENT_TLS, .sub = S_CLIENT_TLS, .offset = IN(backend, tls), .doc = "TLS to the servers: `true` or a mapping" },
	{ "set_headers", T_SET_HEADERS, .offset = IN(backend, request_edits), .doc = "fields of the request to set: a mapping" },
	{ "remove_headers", T_REMOVE_HEADERS, .offset = IN(backend, request_edits), .doc = "fields of the request to remove: a list" },
	{ "set_response_headers", T_SET_HEADERS, .offset = IN(backend, response_edits), .doc = "fields of the response to set" },
	{ "remove_response_headers", T_REMOVE_HEADERS, .offset = IN(backend, response_edits), .doc = "fields of the response to remove" },
	{ "hosts", T_HOSTS, .sub = S_HOST, .offset = IN(backend, hosts), .flags = F_REQUIRED, .doc = "mapping from names to hosts, each an address or a mapping" },
};

static const struct schema_row hash_rows[] = {
	{ "header", T_TEXT, .flags = F_FILLED, .offset = IN(hash_said, names[HASH_HEADER]), .arg = HASH_HEADER, .doc = "field whose value is hashed" },
	{ "query", T_TEXT, .flags = F_FILLED, .offset = IN(hash_said, names[HASH_QUERY]), .arg = HASH_QUERY, .doc = "query key whose value is hashed" },
	{ "cookie", T_TEXT, .flags = F_FILLED, .offset = IN(hash_said, names[HASH_COOKIE]), .arg = HASH_COOKIE, .doc = "cookie whose value is hashed" },
};

#define TABLE_ROWS \
	{ "max_entries", T_COUNT, .min = 1, .max = 100000000, .offset = IN(stick_rule, max_entries), .def = "1m", .doc = "entries of the table; the oldest makes room" }, \
	{ "mirror", T_BOOL, .offset = IN(stick_rule, is_mirrored), .def = "true", .doc = "`false` keeps the table on this node" }
static const struct schema_row engineio_rows[] = {
	{ "path", T_TEXT, .offset = IN(stick_rule, path), .def = "/socket.io/", .flags = F_PATH, .doc = "prefix of the path of Engine.IO requests" },
	{ "idle", T_DURATION, .min = MS(100), .max = 30 * DAY, .offset = IN(stick_rule, idle_ms), .def = "auto", .word = "auto",
	  .doc = "life of a silent session; `auto` = pingInterval + pingTimeout as its handshake said" },
	{ "unknown", T_ENUM, .names = unknowns, .offset = IN(stick_rule, is_unknown_rejected), .arg = ENUM_IN_BOOL, .def = "forward",
	  .doc = "a session id that is not known: `forward` asks the next rule, `reject` answers 400" },
	TABLE_ROWS,
};

static const struct schema_row cookie_rows[] = {
	{ "name", T_TEXT, .offset = IN(stick_rule, cookie_name), .def = "LIMPET", .flags = F_FILLED, .doc = "name of the cookie" },
	{ "mode", T_ENUM, .names = cookie_modes, .offset = IN(stick_rule, kind), .def = "insert",
	  .doc = "`insert`: a cookie of our own that tells nothing of the server; `learn`: the application's own cookie, kept in a table" },
	{ "secret", T_TEXT, .offset = IN(stick_rule, secret), .flags = F_SECRET | F_FILLED | F_DEF_SAID, .def = "a random one", .doc = "insert: key of the value; the same on every node" },
	{ "http_only", T_BOOL, .offset = IN(stick_rule, is_http_only), .def = "true", .doc = "insert: attribute HttpOnly" },
	{ "secure", T_BOOL, .offset = IN(stick_rule, is_secure), .def = "false", .doc = "insert: attribute Secure" },
	{ "same_site", T_ENUM, .names = same_sites, .offset = IN(stick_rule, same_site), .def = "unset", .doc = "insert: attribute SameSite" },
	{ "domain", T_TEXT, .offset = IN(stick_rule, domain), .doc = "insert: attribute Domain" },
	{ "path", T_TEXT, .offset = IN(stick_rule, cookie_path), .def = "/", .flags = F_PATH, .doc = "insert: attribute Path" },
	{ "max_age", T_SECONDS, .min = 1, .max = 10 * 365 * DAY / 1000, .offset = IN(stick_rule, max_age_s), .def = "none", .word = "none", .word_value = -1,
	  .doc = "insert: attribute Max-Age; `none` = until the browser is closed" },
	{ "idle", T_DURATION, .min = SEC(1), .max = 365 * DAY, .offset = IN(stick_rule, learn_idle_ms), .def = "30m", .doc = "learn: life of an entry that is not used" },
	TABLE_ROWS,
};

static const struct schema_row ip_rows[] = {
	{ "prefix_v4", T_BYTE, .min = 1, .max = 32, .offset = IN(stick_rule, prefix_v4), .def = "32", .doc = "bits of an IPv4 address that count" },
	{ "prefix_v6", T_BYTE, .min = 1, .max = 128, .offset = IN(stick_rule, prefix_v6), .def = "64", .doc = "bits of an IPv6 address that count" },
	{ "remember", T_DURATION, .min = SEC(1), .max = 365 * DAY, .offset = IN(stick_rule, remember_ms), .def = "none", .word = "none",
	  .doc = "keeps the choice in a table, for this long after its last use; `none` = the hash alone" },
	TABLE_ROWS,
};

static const struct schema_row host_rows[] = {
	{ "address", T_TEXT, .offset = IN(host_conf, address), .flags = F_FILLED,
	  .doc = "`10.0.0.1:3000`, `name:3000`, `unix:/path`, `unix:/dir/*.sock` (watched), or without port when `workers` has them" },
	{ "weight", T_COUNT, .min = 0, .max = 256, .offset = IN(host_conf, weight), .def = "100", .doc = "share of new sessions; `0` = only its own sessions" },
	{ "backup", T_BOOL, .offset = IN(host_conf, is_backup), .def = "false", .doc = "serves only when no other host can" },
	{ "send_proxy", T_ENUM, .names = proxy_modes, .offset = IN(host_conf, send_proxy), .def = "the backend's", .flags = F_DEF_SAID, .doc = "PROXY header towards its workers" },
	{ "max_connections", T_COUNT, .min = 0, .max = 1000000, .offset = IN(host_conf, max_connections), .def = "0", .doc = "of each worker; `0` = the backend's `max_connections_per_server`" },
	{ "agent_port", T_COUNT, .min = 0, .max = 65535, .offset = IN(host_conf, agent_port), .def = "0", .doc = "port of its agent; `0` = the backend's `agent_check.port`" },
	{ "workers", T_WORKERS, .sub = S_WORKER, .offset = IN(host_conf, workers),
	  .doc = "one or a list of `3001`, `3001-3004`, `unix:/path`, `unix:/dir/*.sock` (alone), or a mapping" },
};

static const struct schema_row worker_rows[] = {
	{ "name", T_TEXT, .offset = IN(worker_conf, name), .flags = F_FILLED | F_DEF_SAID, .def = "the port, or the file's stem", .doc = "its name on the host" },
	{ "port", T_COUNT, .min = 1, .max = 65535, .offset = IN(worker_said, port), .doc = "its port on the host's address" },
	{ "address", T_TEXT, .offset = IN(worker_said, address), .flags = F_FILLED, .doc = "an address of its own, instead of `port`" },
	{ "weight", T_COUNT, .min = 0, .max = 256, .offset = IN(worker_conf, weight), .def = "100", .doc = "per cent of the host's weight" },
	{ "max_connections", T_COUNT, .min = 0, .max = 1000000, .offset = IN(worker_conf, max_connections), .def = "0", .doc = "`0` = the host's" },
};

static const struct schema_row health_rows[] = {
	{ "http", T_TEXT, .offset = IN(health_conf, path), .flags = F_PATH, .doc = "path to ask for" },
	{ "tcp", T_BOOL, .offset = IN(health_said, is_tcp), .doc = "`true` = a connection is enough, or what `send` and `expect` say" },
	{ "method", T_TEXT, .offset = IN(health_conf, method), .def = "GET", .flags = F_FILLED, .doc = "method of the request" },
	{ "host", T_TEXT, .offset = IN(health_conf, host), .def = "the server's address", .flags = F_DEF_SAID, .doc = "Host of the request" },
	{ "headers", T_SET_HEADERS, .offset = IN(health_conf, headers), .doc = "further fields of the request: a mapping" },
	{ "status", T_STATUSES, .offset = IN(health_conf, statuses), .def = "200-399", .doc = "statuses that are healthy" },
	{ "body", T_CHECK_MATCH, .offset = IN(health_conf, body), .arg = ALWAYS_REGEX, .doc = "a Perl-compatible pattern that the first 16 KiB of the body must hold" },
	{ "send", T_CHECK_BYTES, .offset = IN(health_conf, send_written), .doc = "tcp: bytes to send once connected; `hex:` and hexadecimal digits for any bytes" },
	{ "expect", T_CHECK_MATCH, .offset = IN(health_conf, expect), .doc = "tcp: what the answer must hold within its first 16 KiB; a text, `hex:` and digits, or `~` and a Perl-compatible pattern" },
	{ "tls", T_CHECK_TLS, .sub = S_CLIENT_TLS, .offset = IN(health_conf, tls), .def = "auto", .flags = F_DEF_SAID, .doc = "TLS for checks: `auto` = as traffic, `true`, `false`, or a mapping as the backend's `tls`" },
	{ "address", T_CHECK_IP, .offset = IN(health_conf, address), .doc = "IP address or host name to check; without one, the server's" },
	{ "port", T_COUNT, .min = 0, .max = 65535, .offset = IN(health_conf, port), .def = "0", .doc = "port to check, of a server on a Unix socket at 127.0.0.1; `0` = the server's own" },
	{ "interval", T_DURATION, .min = MS(50), .max = DAY, .offset = IN(health_conf, interval_ms), .def = "2s", .doc = "time between two checks" },
	{ "fast_interval", T_DURATION, .min = MS(50), .max = DAY, .offset = IN(health_conf, fast_interval_ms), .def = "same", .word = "same", .doc = "while a server is on its way up or down; `same` = `interval`" },
	{ "down_interval", T_DURATION, .min = MS(50), .max = DAY, .offset = IN(health_conf, down_interval_ms), .def = "same", .word = "same", .doc = "while it is down; `same` = `interval`" },
	{ "spread", T_COUNT, .min = 0, .max = 50, .offset = IN(health_conf, spread_pct), .def = "5", .doc = "per cent by which an interval is longer or shorter, at random, so that checks do not run in step" },
	{ "timeout", T_DURATION, .min = MS(10), .max = SEC(600), .offset = IN(health_conf, timeout_ms), .def = "2s", .doc = "longest time of one check" },
	{ "fall", T_COUNT, .min = 1, .max = 100, .offset = IN(health_conf, fall), .def = "3", .doc = "failures in a row that take a server down" },
	{ "rise", T_COUNT, .min = 1, .max = 100, .offset = IN(health_conf, rise), .def = "2", .doc = "successes in a row that bring it up" },
	{ "send_proxy", T_BOOL, .offset = IN(health_conf, has_send_proxy), .def = "true", .doc = "open with a PROXY LOCAL header where traffic has one" },
};

static const struct schema_row passive_rows[] = {
	{ "failures", T_COUNT, .min = 0, .max = 10000, .offset = IN(passive_conf, failures), .def = "5", .doc = "failed connections, time-outs and 5xx within `window` that are too many; `0` = off" },
	{ "window", T_DURATION, .min = MS(100), .max = SEC(3600), .offset = IN(passive_conf, window_ms), .def = "10s", .doc = "time in which they are counted" },
	{ "action", T_ENUM, .names = passive_actions, .offset = IN(passive_conf, is_fast_check), .arg = ENUM_IN_BOOL, .def = "down",
	  .doc = "when they are too many: `down` takes the server out, `fast_check` checks it at once and then each `fast_interval` until a check succeeds" },
};

static const struct schema_row agent_rows[] = {
	{ "port", T_COUNT, .min = 0, .max = 65535, .offset = IN(agent_conf, port), .def = "0", .doc = "port of the agent; `0` = only where a host has an `agent_port`" },
	{ "address", T_CHECK_IP, .offset = IN(agent_conf, address), .doc = "IP address or host name of the agent; without one the server's, or 127.0.0.1 for a Unix socket" },
	{ "send", T_CHECK_BYTES, .offset = IN(agent_conf, send_written), .doc = "bytes to send once connected; `hex:` and hexadecimal digits for any bytes" },
	{ "interval", T_DURATION, .min = MS(50), .max = DAY, .offset = IN(agent_conf, interval_ms), .def = "2s", .doc = "time between two questions" },
	{ "timeout", T_DURATION, .min = MS(10), .max = SEC(600), .offset = IN(agent_conf, timeout_ms), .def = "2s", .doc = "longest wait for the agent's line" },
};

static const struct schema_row client_tls_rows[] = {
	{ "verify", T_BOOL, .offset = IN(tls_client_conf, is_verified), .def = "true", .doc = "the server's certificate must be valid" },
	{ "ca", T_TEXT, .offset = IN(tls_client_conf, ca), .flags = F_PATH, .doc = "PEM file of authorities; without one the system's" },
	{ "sni", T_TEXT, .offset = IN(tls_client_conf, sni), .doc = "name to ask for, which the certificate must have" },
	{ "certificate", T_TEXT, .offset = IN(tls_client_conf, certificate), .flags = F_PATH, .doc = "PEM file to show to servers" },
	{ "key", T_TEXT, .offset = IN(tls_client_conf, key), .flags = F_PATH, .doc = "PEM file of its key" },
	{ "min_version", T_ENUM, .names = tls_versions, .offset = IN(tls_client_conf, min_version), .def = "1.2", .doc = "oldest TLS version" },
	{ "alpn", T_TEXTS, .offset = IN(tls_client_conf, alpn), .flags = F_FILLED, .doc = "protocols offered, best first" },
	{ "verify_name", T_TEXT, .offset = IN(tls_client_conf, verify_name), .doc = "name that the certificate must have; without one `sni`, else the host's own name or address" },
	{ "ciphers", T_TEXT, .offset = IN(tls_client_conf, ciphers), .doc = "of TLS 1.2, in OpenSSL's words" },
	{ "ciphersuites", T_TEXT, .offset = IN(tls_client_conf, ciphersuites), .doc = "of TLS 1.3, in OpenSSL's words" },
	{ "resumption", T_BOOL, .offset = IN(tls_client_conf, has_resumption), .def = "true", .doc = "sessions are resumed" },
};

const struct schema_section_row schema_sections[S_NONE] = {
	[S_TOP] = { "the file", "The file", ROWS(top_rows), sizeof(struct config), -1,
		    "Keys that begin with `x-` are ignored here: a place for anchors." },
	[S_GLOBAL] = { "'global'", "`global`", ROWS(global_rows), sizeof(struct global_conf), -1, "" },
	[S_LOG] = { "'log'", "`global.log`", ROWS(log_rows), sizeof(struct log_conf), IN(log_conf, pos), "" },
	[S_STATS] = { "'stats'", "`global.stats`", ROWS(stats_rows), 0, -1, "" },
	[S_STATS_SOCKET] = { "'socket'", "`global.stats.socket`", ROWS(stats_socket_rows), sizeof(struct stats_socket_conf), IN(stats_socket_conf, pos), "" },
	[S_STATS_HTTP] = { "'http'", "`global.stats.http`", ROWS(stats_http_rows), sizeof(struct stats_http_conf), IN(stats_http_conf, pos), "" },
	[S_MIRROR] = { "'mirror'", "`global.mirror`", ROWS(mirror_rows), sizeof(struct mirror_conf), IN(mirror_conf, pos), "" },
	[S_LIMITS] = { "'limits'", "`global.limits`", ROWS(limits_rows), 0, -1, "" },
	[S_FRONTEND] = { "a frontend", "`frontends.NAME`", ROWS(frontend_rows), sizeof(struct frontend), IN(frontend, pos), "" },
	[S_TIMEOUTS] = { "'timeouts'", "`timeouts`", ROWS(timeouts_rows), sizeof(struct timeouts), -1,
			 "In a frontend or a backend. The defaults are the frontend's." },
	[S_BIND] = { "'bind'", "`frontends.NAME.bind`", ROWS(bind_rows), sizeof(struct bind_conf), IN(bind_conf, pos), "" },
	[S_BIND_TLS] = { "'tls'", "`frontends.NAME.bind.tls`", ROWS(bind_tls_rows), sizeof(struct tls_bind_conf), IN(tls_bind_conf, pos), "" },
	[S_HSTS] = { "'hsts'", "`frontends.NAME.bind.tls.hsts`", ROWS(hsts_rows), sizeof(struct hsts_conf), -1, "" },
	[S_HTTP2] = { "'http2'", "`frontends.NAME.http2`", ROWS(http2_rows), sizeof(struct http2_conf), -1, "" },
	[S_ROUTE] = { "a route", "`frontends.NAME.routes`", ROWS(route_rows), sizeof(struct route), IN(route, pos), "" },
	[S_MATCH] = { "'match'", "`frontends.NAME.routes.match`", ROWS(match_rows), 0, -1,
		      "Each value is a pattern or a list of patterns. A list holds when any of its plain patterns matches, or it has none, and none of its negated ones (`!pattern`) does. "
		      "`*` alone means \"present\", so `!*` means \"absent\". In `header`, `query` and `cookie` a pattern `~regex` is Perl-compatible; when a name comes several times, any of its values may match. "
		      "Paths are matched in their normalised form: percent-decoded, without `.`, `..` and double slashes." },
	[S_RESPOND] = { "'respond'", "`frontends.NAME.routes.respond`", ROWS(respond_rows), sizeof(struct respond_conf), -1, "" },
	[S_REDIRECT] = { "'redirect'", "`frontends.NAME.routes.redirect`", ROWS(redirect_rows), sizeof(struct redirect_conf), -1, "" },
	[S_BACKEND] = { "a backend", "`backends.NAME`", ROWS(backend_rows), sizeof(struct backend), IN(backend, pos), "" },
	[S_HASH] = { "'hash'", "`backends.NAME.balance.hash`", ROWS(hash_rows), 0, -1, "Or one of the words `ip` and `uri`." },
	[S_ENGINEIO] = { "'engineio'", "`backends.NAME.stick.engineio`", ROWS(engineio_rows), sizeof(struct stick_rule), IN(stick_rule, pos), "" },
	[S_COOKIE] = { "'cookie'", "`backends.NAME.stick.cookie`", ROWS(cookie_rows), sizeof(struct stick_rule), IN(stick_rule, pos), "" },
	[S_IP] = { "'ip'", "`backends.NAME.stick.ip`", ROWS(ip_rows), sizeof(struct stick_rule), IN(stick_rule, pos), "" },
	[S_HOST] = { "a host", "`backends.NAME.hosts.NAME`", ROWS(host_rows), sizeof(struct host_conf), IN(host_conf, pos), "" },
	[S_WORKER] = { "'workers'", "`backends.NAME.hosts.NAME.workers`", ROWS(worker_rows), sizeof(struct worker_said), -1, "" },
	[S_HEALTH] = { "'health_check'", "`backends.NAME.health_check`", ROWS(health_rows), sizeof(struct health_said), -1, "" },
	[S_PASSIVE] = { "'passive_check'", "`backends.NAME.passive_check`", ROWS(passive_rows), sizeof(struct passive_conf), -1, "" },
	[S_AGENT] = { "'agent_check'", "`backends.NAME.agent_check`", ROWS(agent_rows), sizeof(struct agent_conf), -1, "Or a port. Its words: `up`, `down`, `failed`, `stopped` (a reason may follow `#`), `ready`, `drain`, `maint`, `75%` of the weight." },
	[S_CLIENT_TLS] = { "'tls'", "`backends.NAME.tls`", ROWS(client_tls_rows), sizeof(struct tls_client_conf), IN(tls_client_conf, pos), "" },
};
/* clang-format on */

const struct schema_row *schema_find(enum schema_section section, struct str key)
{
	const struct schema_section_row *s = &schema_sections[section];

	for (size_t i = 0; i < s->rows_n; i++)
		if (str_eq(str_of(s->rows[i].key), key))
			return &s->rows[i];
	return NULL;
}
