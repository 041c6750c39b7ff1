# SPDX-License-Identifier: MIT
# Integration tests: python3, TAP.  tests/it/README.md.
IT_TESTS = \
	tests/it/a_boot.py \
	tests/it/a_examples.py \
	tests/it/a_reload.py \
	tests/it/b_big.py \
	tests/it/b_bulk.py \
	tests/it/b_chaos.py \
	tests/it/b_costs.py \
	tests/it/b_ends.py \
	tests/it/b_fields.py \
	tests/it/b_keepalive.py \
	tests/it/b_limits.py \
	tests/it/b_relay.py \
	tests/it/b_retry.py \
	tests/it/b_routes.py \
	tests/it/b_websocket.py \
	tests/it/d_balance.py \
	tests/it/d_slow_start.py \
	tests/it/e_cookie.py \
	tests/it/e_drain.py \
	tests/it/e_ends.py \
	tests/it/e_pace.py \
	tests/it/e_share.py \
	tests/it/e_sid.py \
	tests/it/f_agent.py \
	tests/it/f_checks.py \
	tests/it/f_workers.py \
	tests/it/g_proxy.py \
	tests/it/h_chaos.py \
	tests/it/h_reload.py \
	tests/it/h_service.py \
	tests/it/h_state.py \
	tests/it/h_upgrade.py \
	tests/it/h_upgrade_fails.py \
	tests/it/k_commands.py \
	tests/it/k_control.py \
	tests/it/k_ha.py \
	tests/it/k_haproxy.py \
	tests/it/k_limpetctl.py \
	tests/it/k_tools.py \
	tests/it/k_trace.py \
	tests/it/k_server_add.py \
	tests/it/k_servers.py \
	tests/it/l_errors.py \
	tests/it/l_haproxy.py \
	tests/it/l_http.py \
	tests/it/l_log.py \
	tests/it/l_metrics.py \
	tests/it/l_stats.py \
	tests/it/l_syslog.py \
	tests/it/m_chaos.py \
	tests/it/m_control.py \
	tests/it/m_faults.py \
	tests/it/m_mirror.py \
	tests/it/n_http2.py \
	tests/it/n_http2_hostile.py \
	tests/it/n_http2_tls.py \
	tests/it/n_http2_ws.py \
	tests/it/p_limits.py \
	tests/it/p_real.py \
	tests/it/p_operation.py \
	tests/it/p_server.py \
	tests/it/p_tcp.py \
	tests/it/p_tls.py \
	tests/it/s_request.py \
	tests/it/s_response.py \
	tests/it/t_servers.py \
	tests/it/t_clients.py \
	tests/it/t_control.py \
	tests/it/t_client_certs.py \
	tests/it/t_handshakes.py \
	tests/it/t_resume.py \
	tests/it/t_scan.py \
	tests/it/t_ocsp.py \
	tests/it/t_watch.py
IT_LIB = \
	tests/it/lib/__init__.py \
	tests/it/lib/case.py tests/it/lib/care.py tests/it/lib/certs.py \
	tests/it/lib/checks.py tests/it/lib/engine.py tests/it/lib/farm.py tests/it/lib/h2.py \
	tests/it/lib/limpet.py tests/it/lib/load.py tests/it/lib/tls.py tests/it/lib/upgrade.py \
	tests/it/lib/msg.py \
	tests/it/lib/peer.py tests/it/lib/raw.py \
	tests/it/lib/servers.py \
	tests/it/lib/faults.py tests/it/lib/haproxy.py tests/it/lib/redis.py tests/it/lib/terminal.py
TESTS += $(IT_TESTS)
EXTRA_DIST += $(IT_TESTS) $(IT_LIB) tests/it/README.md
