# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/health/check.h src/health/check.c \
	include/health/dir_scan.h src/health/dir_scan.c \
	include/health/discovery.h src/health/discovery.c \
	include/health/health.h src/health/health.c
