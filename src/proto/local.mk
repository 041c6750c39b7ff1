# SPDX-License-Identifier: MIT
# One line per module.  Keep sorted.
liblimpet_a_SOURCES += include/proto/parse.h
liblimpet_a_SOURCES += \
	include/proto/http1.h include/proto/http1_why.def include/proto/http1_fields.def \
	include/proto/http1_internal.h include/proto/http1_scan.h \
	src/proto/http1_chunked.c src/proto/http1_fields.c \
	src/proto/http1_head.c src/proto/http1_names.c
liblimpet_a_SOURCES += \
	include/proto/client_hello.h src/proto/client_hello.c \
	include/proto/cookie.h src/proto/cookie.c \
	include/proto/engineio.h src/proto/engineio.c \
	src/proto/engineio_packets.c src/proto/engineio_scan.c \
	include/proto/proxy.h include/proto/proxy_tlv.h \
	src/proto/proxy.c src/proto/proxy_write.c \
	include/proto/uri.h src/proto/uri.c \
	include/proto/websocket.h src/proto/websocket.c
