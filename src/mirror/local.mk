# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/mirror/mirror.h \
	include/mirror/redis.h include/mirror/redis_internal.h src/mirror/redis.c \
	include/mirror/redis_answers.h src/mirror/redis_answers.c \
	src/mirror/redis_handshake.c src/mirror/redis_link.c src/mirror/redis_resolve.c \
	include/mirror/wire.h src/mirror/wire.c \
	include/mirror/scripts.h src/mirror/scripts.c
liblimpet_a_SOURCES += include/mirror/ask.h src/mirror/ask.c
liblimpet_a_SOURCES += include/mirror/beat.h include/mirror/beat_internal.h \
	src/mirror/beat.c src/mirror/beat_ledger.c src/mirror/beat_peers.c src/mirror/beat_value.c \
	src/mirror/fingerprint.c
liblimpet_a_SOURCES += \
	include/mirror/follow.h src/mirror/follow.c include/mirror/intake.h src/mirror/intake.c \
	include/mirror/links.h src/mirror/links.c src/mirror/mirror.c \
	include/mirror/push.h src/mirror/push.c include/mirror/resync.h src/mirror/resync.c \
	include/mirror/settings.h src/mirror/settings.c include/mirror/tables.h src/mirror/tables.c \
	include/mirror/wait.h src/mirror/wait.c
