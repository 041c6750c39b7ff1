# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/session/access_log.h src/session/access_log.c \
	include/session/account.h src/session/account.c \
	include/session/access_log_line.h src/session/access_log_text.c \
	src/session/access_log_haproxy.c \
	include/session/body.h src/session/body.c src/session/body_splice.c \
	include/session/capture.h src/session/capture.c \
	include/session/client.h src/session/client.c src/session/client_head.c \
	include/session/client_tcp.h src/session/client_tcp.c \
	include/session/client_tls.h src/session/client_tls.c \
	include/session/h2.h include/session/h2_internal.h src/session/h2.c \
	include/session/h2_head.h src/session/h2_head.c \
	include/session/h2_limits.h src/session/h2_limits.c \
	include/session/h2_mem.h src/session/h2_mem.c \
	src/session/h2_response.c src/session/h2_session.c src/session/h2_stream.c \
	include/session/source_limit.h src/session/source_limit.c \
	include/session/source_table.h src/session/source_table.c \
	include/session/end_reasons.def \
	include/session/ending.h src/session/ending.c \
	include/session/forwarded.h src/session/forwarded.c \
	include/session/srvpool.h \
	include/session/traffic.h src/session/traffic.c \
	include/session/tls_facts.h src/session/tls_facts.c \
	include/session/trace.h src/session/trace.c \
	include/session/tunnel.h src/session/tunnel.c src/session/tunnel_leave.c \
	include/session/txn.h src/session/txn.c \
	include/session/upstream.h src/session/upstream.c src/session/upstream_tls.c \
	src/session/answer.c \
	src/session/dispatch.c \
	src/session/head_write.c \
	src/session/queue.c \
	src/session/request.c \
	src/session/response.c \
	src/session/route.c \
	src/session/txn_tcp.c
liblimpet_a_SOURCES += include/session/trim.h src/session/trim.c
