# SPDX-License-Identifier: MIT
sbin_PROGRAMS += limpet
limpet_SOURCES = src/main/main.c
liblimpet_a_SOURCES += \
	include/main/changes.h src/main/changes.c \
	include/main/process.h src/main/process.c \
	include/main/runtime.h src/main/runtime.c \
	include/main/runtime_sets.h src/main/runtime_sets.c \
	include/main/wiring.h src/main/wiring.c
