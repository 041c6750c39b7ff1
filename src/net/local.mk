# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/net/addr.h src/net/addr.c \
	include/net/conn.h src/net/conn.c \
	include/net/listener.h src/net/listener.c \
	include/net/pipe.h src/net/pipe.c \
	include/net/redis_url.h src/net/redis_url.c \
	include/net/resolve.h src/net/resolve.c \
	include/net/tls.h include/net/tls_internal.h src/net/tls.c src/net/tls_bio.c \
	include/net/tls_server.h \
	include/net/tls_client.h src/net/tls_client.c \
	include/net/tls_mistake.h src/net/tls_mistake.c \
	include/net/tls_cert.h src/net/tls_cert.c \
	include/net/tls_cert_facts.h src/net/tls_cert_facts.c \
	include/net/tls_names.h src/net/tls_names.c \
	include/net/tls_entry.h include/net/tls_store.h src/net/tls_store.c \
	src/net/tls_store_change.c src/net/tls_store_files.c src/net/tls_store_revert.c \
	include/net/tls_ocsp.h src/net/tls_ocsp.c \
	include/net/tls_tickets.h src/net/tls_tickets.c \
	include/net/tls_server_ctx.h src/net/tls_server_ctx.c src/net/tls_server.c
