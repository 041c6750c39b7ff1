/* SPDX-License-Identifier: MIT */
/*
 * schema_fns - the readers and printers that schema_types[] names.  Private to src/model.
 */
#ifndef MODEL_SCHEMA_FNS_H
#define MODEL_SCHEMA_FNS_H

#include "model/schema.h"

schema_read_fn read_any, read_bool, read_byte, read_count, read_size, read_duration, read_seconds,
	read_text, read_enum, read_octal, read_nets, read_statuses, read_texts, read_map;
schema_read_fn read_threads, read_logs, read_log_tag, read_log_target, read_stats_sockets,
	read_stats_http, read_address, read_mirror;
schema_read_fn read_binds, read_accept_proxy, read_bind_tls, read_routes, read_match, read_patterns,
	read_named_patterns, read_backend_name, read_respond, read_redirect, read_set_headers,
	read_remove_headers;
schema_read_fn read_balance, read_sticks, read_hosts, read_workers, read_health, read_passive,
	read_server_timeouts, read_client_tls, read_agent, read_check_tls, read_check_bytes,
	read_check_match, read_check_ip, read_hsts, read_rate;

schema_print_fn print_nothing, print_bool, print_byte, print_count, print_size, print_duration,
	print_seconds, print_text, print_enum, print_octal, print_nets, print_statuses, print_texts,
	print_map;
schema_print_fn print_logs, print_stats_sockets, print_stats_http, print_mirror, print_binds,
	print_accept_proxy, print_bind_tls, print_routes, print_match, print_patterns,
	print_named_patterns, print_backend_name, print_respond, print_redirect, print_set_headers,
	print_remove_headers, print_balance, print_sticks, print_hosts, print_workers, print_health,
	print_passive, print_server_timeouts, print_client_tls, print_agent, print_check_tls,
	print_check_bytes, print_check_match, print_check_ip, print_hsts, print_rate;

#endif
