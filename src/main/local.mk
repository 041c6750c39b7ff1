# SPDX-License-Identifier: MIT
sbin_PROGRAMS += limpet
limpet_SOURCES = src/main/main.c
liblimpet_a_SOURCES += \
	include/main/certificates.h src/main/certificates.c src/main/certificate_age.c \
	include/main/changes.h src/main/changes.c \
	include/main/file_watch.h src/main/file_watch.c \
	include/main/process.h src/main/process.c \
	include/main/runtime.h src/main/runtime.c \
	include/main/runtime_binds.h src/main/runtime_binds.c \
	include/main/upgrade.h include/main/upgrade_msg.h src/main/upgrade.c \
	src/main/upgrade_msg.c src/main/upgrade_new.c src/main/upgrade_state.c \
	src/main/upgrade_spawn.c src/main/upgrade_drain.c src/main/runtime_mail.c \
	include/main/runtime_sets.h src/main/runtime_sets.c \
	include/main/state_file.h src/main/state_file.c \
	include/main/state_format.h src/main/state_file_read.c \
	include/main/state_keep.h src/main/state_keep.c \
	include/main/slow_start.h src/main/slow_start.c \
	include/main/wiring.h src/main/wiring.c
