/* SPDX-License-Identifier: MIT */
/*
 * config - what the configuration file said: an immutable snapshot.
 *
 * One struct config is built by config_load(), checked as a whole, and never changes afterwards;
 * threads hold references and the last one frees it.  Everything in it is owned by the snapshot
 * (its arena) but for the `state` pointers, which lead to run-time objects found by name that
 * outlive every snapshot (model/server.h).  They are NULL until the snapshot is put in force.
 *
 * Durations are milliseconds; 0 means "no limit" only where said.  -1 in a backend's timeouts means
 * "not set here": the frontend's value is used (timeout_of()).
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/addr.h"
#include "net/tls_server.h"

struct backend_state;
struct frontend_state;
struct match;
struct names;
struct regex;
struct said;
struct tls_client_ctx;
struct tls_server;

enum traffic_mode { TRAFFIC_HTTP, TRAFFIC_TCP };
enum proxy_mode { PROXY_NONE, PROXY_V1, PROXY_V2 };
enum forwarded_mode { FORWARDED_NONE, FORWARDED_X, FORWARDED_RFC7239 };

struct timeouts {
	int64_t client_head_ms; /* from the first byte (or accept) to the whole head */
	int64_t keep_alive_ms;  /* idle between two requests of a client */
	int64_t client_ms;      /* client silent while it owes body bytes or takes none */
	int64_t connect_ms;   /* server accepts the connection; retries of a busy socket included */
	int64_t server_ms;    /* server silent while it owes a response or takes none of the body */
	int64_t tunnel_ms;    /* both sides silent after an upgrade, and TCP mode */
	int64_t queue_ms;     /* wait for a slot of max_connections_per_server */
	int64_t handshake_ms; /* TLS, from accept (or PROXY header) to established */
	int64_t inspect_ms;   /* TCP mode: wait for the first bytes that routes look at */
};

/* Where in the file a thing was said, for messages. */
struct config_pos {
	const char *file;
	uint32_t line, column; /* from 1; 0 = nowhere (a default) */
};

struct str_list {
	struct str *items;
	size_t n;
};

enum tls_version { TLS_V1_2, TLS_V1_3 };

struct hsts_conf {
	int64_t max_age_ms; /* 0 = no Strict-Transport-Security */
	bool has_subdomains, is_preloaded;
};

/* TLS to clients. */
struct tls_bind_conf {
	struct config_pos pos;
	struct str_list certificates; /* PEM files, or directories of them */
	enum tls_version min_version;
	struct str_list alpn;             /* empty = h2, http/1.1; of mode tcp none */
	struct str client_ca, client_crl; /* "" = none */
	enum tls_verify client_verify;
	bool has_client_headers;                  /* tells servers of client certificates */
	struct str ciphers, ciphersuites, groups; /* "" = ours */
	bool is_sni_strict;
	bool is_plain_accepted; /* clear text on the same port is served as well */
	bool has_tickets;
	struct str ticket_keys; /* file; "" = from the mirror's secret, else random */
	uint32_t session_cache;
	int64_t session_ms;
	bool is_watched; /* certificate files that change are taken at once */
	bool has_ocsp_refresh;
	struct hsts_conf hsts;
	struct str hsts_value;     /* the field's value; "" = none */
	struct tls_server *server; /* (ref) what is in force */
};

/* TLS to servers. */
struct tls_client_conf {
	struct config_pos pos;
	bool is_verified;
	struct str ca;               /* "" = the system's */
	struct str sni;              /* "" = none; also the name that the certificate must have */
	struct str certificate, key; /* "" = none */
	enum tls_version min_version;
	struct str_list alpn;
	struct str verify_name;           /* "" = sni, else the host's own name or address */
	struct str ciphers, ciphersuites; /* "" = ours */
	bool has_resumption;
};

struct bind_conf {
	struct config_pos pos;
	struct str text; /* as written, after ${} */
	struct sock_addr addr;
	mode_t unix_mode;          /* of a Unix socket's file */
	bool is_proxy_required;    /* accept_proxy given and not false */
	bool is_proxy_from_any;    /* accept_proxy: true */
	struct ip_net *proxy_nets; /* accept_proxy: [...]; connections from others are refused */
	size_t proxy_nets_n;
	struct tls_bind_conf *tls; /* NULL = plain */
	uint32_t backlog;
};

struct header_edit {
	struct str name, value; /* value.p == NULL: remove */
};

struct header_edits {
	struct header_edit *edits; /* in file order: removals first, then settings */
	size_t n;
};

struct respond_conf {
	unsigned status; /* 0 = not a respond route */
	struct str body, content_type;
};

struct redirect_conf {
	unsigned status;   /* 0 = not a redirect route; 301 302 303 307 308 */
	struct str to;     /* path, or absolute URI; empty = the same path and query */
	struct str scheme; /* "" = as it came */
	struct str host;   /* "" = as it came */
	uint32_t port;     /* 0 = as it came; none when the scheme is another one */
};

struct route {
	struct config_pos pos;
	struct str name;           /* given, or "route-N"; what logs show */
	const struct match *match; /* (own, arena) NULL = always */
	struct backend *backend;   /* NULL for respond, redirect and reject */
	bool is_rejected;          /* reject: closed with a reset, in either mode */
	struct respond_conf respond;
	struct redirect_conf redirect;
	struct header_edits request_edits;  /* remove_headers, set_headers */
	struct header_edits response_edits; /* remove_response_headers, set_response_headers */
};

/* At most N in any WINDOW, as a token bucket of N that fills evenly. */
struct rate_conf {
	uint32_t n; /* 0 = no limit */
	int64_t window_ms;
};

struct http2_conf {
	bool is_cleartext;    /* prior knowledge (RFC 9113 3.3) on binds without TLS */
	uint32_t max_streams; /* at once on one connection */
	uint32_t window;      /* bytes of a request's body under way on a stream */
	uint32_t max_resets;  /* streams that a client may reset in 10 s before it is closed */
};

struct frontend {
	struct config *config; /* (view) that it is in */
	struct config_pos pos;
	struct str name;
	enum traffic_mode mode;
	struct bind_conf *binds;
	size_t binds_n;
	struct ip_net *trusted_proxies;
	size_t trusted_proxies_n;
	uint32_t max_connections;            /* 0 = only the process limit */
	uint32_t max_connections_per_source; /* 0 = no limit */
	struct rate_conf connection_rate_per_source;
	struct http2_conf http2;
	struct timeouts timeouts; /* complete */
	struct route *routes;
	size_t routes_n;
	const struct route_index *route_index; /* model/route_index.h; NULL = few, or no names */
	struct backend *backend; /* (view) default; NULL = 503 when no route matches */
	bool has_request_log;    /* log: false turns request lines off for this frontend */
	bool has_request_id;     /* request_id: keep or make X-Request-Id  [true] */
	bool has_tls_routes;     /* routes look at what a TLS handshake tells */
	struct frontend_state *state;
};

enum balance_kind {
	BALANCE_ROUND_ROBIN,
	BALANCE_LEAST_CONN,
	BALANCE_LEAST_SESSIONS,
	BALANCE_RANDOM,
	BALANCE_FIRST,
	BALANCE_HASH,
	BALANCE_N
};
enum hash_source { HASH_IP, HASH_URI, HASH_HEADER, HASH_QUERY, HASH_COOKIE };

enum stick_kind { STICK_ENGINEIO, STICK_COOKIE_INSERT, STICK_COOKIE_LEARN, STICK_IP, STICK_N };
enum same_site { SAME_SITE_UNSET, SAME_SITE_LAX, SAME_SITE_STRICT, SAME_SITE_NONE };

struct stick_rule {
	struct config_pos pos;
	enum stick_kind kind;
	uint32_t max_entries; /* of the table: engineio, cookie learn, ip with remember */
	bool is_mirrored;     /* mirror: false keeps the table on this node */
	/* engineio */
	struct str path;          /* "/socket.io/" */
	int64_t idle_ms;          /* 0 = auto: pingInterval + pingTimeout of the handshake */
	bool is_unknown_rejected; /* unknown: reject; else forward */
	/* cookie */
	struct str cookie_name;
	struct str secret;     /* insert; always set */
	bool is_secret_random; /* made up for this load: not given in the file */
	bool is_http_only, is_secure;
	enum same_site same_site;
	struct str domain, cookie_path; /* "" = none; "/" */
	int64_t max_age_s;              /* -1 = session cookie */
	int64_t learn_idle_ms;          /* learn: entry's idle time */
	/* ip */
	uint8_t prefix_v4, prefix_v6;
	int64_t remember_ms; /* 0 = hash alone, no table */
};

struct worker_conf {
	struct str name; /* "3001", a socket's stem, or given; "" = the host's single worker */
	struct sock_addr addr;
	struct str dns_name; /* which addr was found by; "" = none, it is given itself */
	uint32_t weight; /* 0..256 per cent of host's... absolute; effective = host weight * worker
			    weight / 100 */
	uint32_t max_connections; /* its own, else the host's; 0 = the backend's */
};

struct host_conf {
	struct config_pos pos;
	struct str name;
	struct str address; /* as written */
	struct str
		glob; /* "/run/chat/(*).sock" pattern without "unix:"; p == NULL = fixed workers */
	struct worker_conf *workers; /* empty when glob */
	size_t workers_n;
	uint32_t weight; /* [100] */
	bool is_backup;
	enum proxy_mode send_proxy; /* resolved against the backend's */
	uint32_t max_connections;   /* for each worker, those of a glob too; 0 = the backend's */
	uint32_t agent_port;        /* of the agents of its workers; 0 = the backend's */
};

enum check_kind { CHECK_NONE, CHECK_TCP, CHECK_HTTP };

struct status_range {
	uint16_t from, to;
};

enum check_tls { CHECK_TLS_OFF, CHECK_TLS_ON, CHECK_TLS_AUTO };

/* What an answer must hold. */
struct text_match {
	struct str written;        /* as in the file; "" = anything will do */
	struct str bytes;          /* held somewhere in it; p == NULL: the pattern */
	const struct regex *regex; /* (view) the snapshot's */
};

struct health_conf {
	enum check_kind kind;
	struct str path, method, host; /* http; host "" = the server's address */
	struct header_edits headers;   /* http: further fields */
	struct status_range *statuses;
	size_t statuses_n;
	struct text_match body;        /* http: of the body's first 16 KiB */
	struct str send_written, send; /* tcp: as in the file; its bytes */
	struct text_match expect;      /* tcp: of the first 16 KiB that come */
	struct str address;            /* as written; "" = the server's */
	struct ip_addr ip;             /* the same; AF_UNSPEC = the server's */
	uint32_t port;                 /* 0 = the server's */
	enum check_tls tls_mode;
	struct tls_client_conf *tls;    /* tls_mode ON; NULL = the defaults */
	struct tls_client_ctx *tls_ctx; /* (ref) of tls_mode ON, without names; NULL = none */
	uint32_t spread_pct;            /* of an interval, more or less */
	int64_t interval_ms, fast_interval_ms, down_interval_ms,
		timeout_ms; /* fast, down: 0 = interval */
	uint32_t fall, rise;
	bool has_send_proxy; /* checks open with a PROXY LOCAL header when traffic has one [true] */
};

struct passive_conf {
	uint32_t failures; /* 0 = off */
	int64_t window_ms;
	bool is_fast_check; /* a check decides; else they take the server down */
};

/* What asks a program beside the server how the server is. */
struct agent_conf {
	uint32_t port;                 /* 0 = none, unless a host has its own */
	struct str address;            /* as written; "" = the server's */
	struct ip_addr ip;             /* the same; AF_UNSPEC = the server's */
	struct str send_written, send; /* as in the file; its bytes; "" = nothing is said */
	int64_t interval_ms, timeout_ms;
};

struct backend {
	struct config_pos pos;
	struct str name;
	uint32_t index; /* in config->backends */
	enum traffic_mode mode;
	enum balance_kind balance;
	enum hash_source hash_source;
	struct str hash_name; /* of the header, query key or cookie */
	struct stick_rule *sticks;
	size_t sticks_n;
	struct host_conf *hosts;
	size_t hosts_n;
	enum proxy_mode send_proxy;
	enum forwarded_mode forwarded;
	struct health_conf health;
	struct passive_conf passive;
	struct agent_conf agent;
	bool is_closed_on_down; /* connections end when a check takes their server down */
	uint32_t max_connections_per_server; /* 0 = no limit */
	bool has_reuse;                      /* false: a server connection serves one request */
	uint32_t queue_max;                  /* requests waiting at most; 0 = no limit of its own */
	int64_t slow_start_ms;
	int64_t drain_grace_ms;
	int64_t drain_over_ms;
	uint32_t retries;
	struct timeouts timeouts; /* -1 = not set here */
	struct tls_client_conf *tls;
	struct tls_client_ctx *tls_ctx; /* (ref) of tls, without names; NULL = plain */
	struct header_edits request_edits, response_edits;
	struct backend_state *state;
};

enum log_format { LOG_TEXT, LOG_JSON, LOG_HAPROXY };

struct log_conf {
	struct config_pos pos;
	struct str target; /* stderr, stdout, syslog, file:/p, unix:/dev/log, udp:h:p, none */
	enum log_format format;
	int level;    /* enum log_level of base/log.h */
	int syslog;   /* enum log_syslog */
	int facility; /* of syslog: 0..23 */
	struct str tag;
	bool has_requests, has_events;
};

enum ctl_level { CTL_USER, CTL_OPERATOR, CTL_ADMIN };

struct stats_socket_conf {
	struct config_pos pos;
	struct sock_addr addr;
	struct str text;
	enum ctl_level level; /* [admin on Unix sockets, user elsewhere] */
	mode_t unix_mode;     /* [0600] */
};

/* The dashboard, its API and the metrics. */
struct stats_http_conf {
	struct config_pos pos;
	struct sock_addr addr;
	struct str text;
	struct str username;                /* "" = no credentials: everybody reads, nobody acts */
	struct str password, password_file; /* as written; at most one of them */
	struct str secret;                  /* the password in force; "" without credentials */
	struct str_list hosts;              /* names by which it may be asked without credentials */
	bool is_admin;                      /* servers may be changed; never without credentials */
	mode_t unix_mode;                   /* [0600] */
};

struct mirror_conf {
	struct config_pos pos;
	struct str redis, username, password, password_file, secret, prefix;
	struct str tls_ca, tls_certificate, tls_key,
		tls_sni; /* rediss: PEM files; "" = the system's */
	bool is_tls_verified;
	bool is_sync;
	int64_t read_through_ms; /* 0 = never ask */
	int64_t load_timeout_ms; /* how long the start waits for the first load */
	uint32_t stream_length;  /* changes that the stream keeps, about */
	uint32_t resync_rate;    /* entries compared in a second, at most */
};

struct global_conf {
	struct str node;
	uint32_t threads;                         /* resolved from auto; 1..64 */
	uint32_t max_connections;                 /* resolved at start when 0 */
	struct str user, group, chroot, pid_file; /* "" = none */
	int64_t shutdown_grace_ms;
	int64_t upgrade_grace_ms, upgrade_timeout_ms;
	struct log_conf *logs; /* 1..4 */
	size_t logs_n;
	struct stats_socket_conf *stats_sockets;
	size_t stats_sockets_n;
	struct stats_http_conf *stats_http; /* NULL = none */
	struct mirror_conf *mirror;         /* NULL = none */
	struct str state_file;              /* tables are saved there at the stop; "" = none */
	uint32_t head_size_max;             /* limits.head [16k - 1k]: bytes of a head */
	uint32_t uri_size_max;              /* limits.uri [8k] */
	bool has_splice;                    /* bulk may go through pipes: net/pipe.h */
};

struct config {
	atomic_uint refs;
	struct mail gone;   /* of config_gone_hook */
	struct arena arena; /* (own) everything below */
	const char *file;
	uint64_t serial; /* 1 for the first, counts reloads */
	struct global_conf global;
	struct frontend *frontends;
	size_t frontends_n;
	struct backend *backends;
	size_t backends_n;
	struct names *backend_names; /* index for config_backend() */
	bool has_client_headers;     /* a bind tells servers of client certificates: fields of those
					names are taken off what clients send, everywhere */
	struct regex **regexes;      /* (own) each; the array is the arena's */
	size_t regexes_n;
	struct said *said; /* where values were said: said.h */
	size_t said_n;
};

/* Messages of a load: errors and warnings, each "file:line:column: text". */
struct config_messages {
	char **texts; /* (own) */
	bool *are_errors;
	size_t n, errors_n;
};

/*
 * Reads, expands and checks FILE.  Returns the snapshot with one reference, or NULL when there was
 * an error; MESSAGES is filled either way (warnings too) and freed with config_messages_fini().
 * Blocks on the file and on name resolution: call it on the control thread or at start.
 */
struct config *config_load(const char *file, struct config_messages *messages) must_check;
/* The same from memory; NAME is what messages call the file.  For tests and the fuzzer. */
struct config *config_load_text(const char *name, struct str text,
				struct config_messages *messages) must_check;
void config_messages_fini(struct config_messages *messages);

struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* NULL is fine */
/*
 * Asked on the thread that gives back the last reference, when it is not NULL.  True: CONFIG is
 * passed on to a thread that has the time to free it, with config_free().  main/ wires it.
 */
typedef bool config_gone_fn(struct config *config);
extern config_gone_fn *config_gone_hook;
void config_free(struct config *config);

struct backend *config_backend(const struct config *config, struct str name);   /* or NULL */
struct frontend *config_frontend(const struct config *config, struct str name); /* or NULL */

/*
 * The configuration in force as YAML that loads to the same again, every default written out; (own)
 * text of *LEN bytes, NUL-terminated.  Without WITH_SECRETS keys and passwords are left out.
 */
char *config_dump(const struct config *config, bool with_secrets, size_t *len) must_check;

/*
 * The same for people, without secrets: each value has a comment that tells its place in the file
 * ("# limpet.yaml:12"), or that it is a default ("# default").  It loads to the same, too.
 */
char *config_dump_marked(const struct config *config, size_t *len) must_check;

/*
 * Names of the keys of `global` that LOADED says otherwise than RUNNING and that a reload cannot
 * change (threads, user, group, chroot): up to MAX constant strings in KEYS; returns how many there
 * are.
 */
size_t config_restart_keys(const struct config *running, const struct config *loaded,
			   const char **keys, size_t max);

/*
 * Puts the log targets of GLOBAL in force: 0, or negative errno with *WHY (constant) and the one
 * that cannot be opened in *WHICH; the old ones stay then.
 */
int config_log_open(const struct global_conf *global, const struct log_conf **which,
		    const char **why) must_check;

/* The timeout in force: the backend's own, else the frontend's. */
#define timeout_of(frontend, backend, which)                                                       \
	((backend) && (backend)->timeouts.which >= 0 ? (backend)->timeouts.which                   \
						     : (frontend)->timeouts.which)

#endif
