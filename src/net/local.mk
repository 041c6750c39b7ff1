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
	include/net/tls_client.h src/net/tls_client.c
