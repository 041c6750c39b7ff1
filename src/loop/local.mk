# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/loop/loop.h src/loop/loop.c \
	include/loop/timer.h src/loop/timer.c
