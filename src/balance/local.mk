# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/balance/table.h include/balance/table_shard.h \
	src/balance/table.c src/balance/table_shard.c
