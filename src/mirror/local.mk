# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/mirror/mirror.h \
	include/mirror/redis.h \
	include/mirror/wire.h
liblimpet_a_SOURCES += include/mirror/ask.h src/mirror/ask.c
