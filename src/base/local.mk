# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/base/buf.h src/base/buf.c \
	include/base/bug.h src/base/bug.c \
	include/base/clock.h src/base/clock.c \
	include/base/fds.h src/base/fds.c \
	include/base/list.h \
	include/base/log.h src/base/log.c \
	include/base/log_ring.h src/base/log_ring.c \
	include/base/log_sink.h src/base/log_sink.c src/base/log_text.c src/base/log_time.c \
	include/base/mem.h src/base/mem.c \
	include/base/pack.h include/base/siphash.h src/base/siphash.c \
	include/base/str.h src/base/str.c \
	include/base/sys.h include/base/thread.h
# model: regular expressions of routes
liblimpet_a_SOURCES += include/base/regex.h src/base/regex.c
