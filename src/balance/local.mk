# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/balance/table.h include/balance/table_shard.h \
	include/balance/table_inner.h include/balance/table_share.h include/balance/version.h \
	include/balance/sessions.h \
	src/balance/table.c src/balance/table_shard.c src/balance/table_walk.c \
	src/balance/table_key.c src/balance/table_mark.c src/balance/table_share.c \
	src/balance/table_merge.c src/balance/merge.c src/balance/version.c \
	include/balance/lb.h include/balance/strategies.h src/balance/lb.c \
	src/balance/round_robin.c src/balance/least.c src/balance/random.c \
	src/balance/first.c src/balance/hash.c src/balance/rendezvous.c src/balance/maglev.c \
	include/balance/stick.h src/balance/stick.c src/balance/stick_cookie.c
liblimpet_a_SOURCES += include/balance/stick_hint.h src/balance/stick_hint.c
liblimpet_a_SOURCES += include/balance/stick_hold.h src/balance/stick_hold.c
liblimpet_a_SOURCES += include/balance/table_copy.h src/balance/table_copy.c
liblimpet_a_SOURCES += include/balance/share.h src/balance/share.c
liblimpet_a_SOURCES += include/balance/table_mem.h src/balance/table_mem.c src/balance/table_sane.c
