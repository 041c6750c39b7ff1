# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/health/agent.h src/health/agent.c \
	include/health/agent_words.h src/health/agent_words.c \
	include/health/check.h include/health/flags.h \
	include/health/dir_scan.h src/health/dir_scan.c \
	include/health/discovery.h src/health/discovery.c \
	include/health/exchange.h src/health/exchange.c src/health/exchange_http.c \
	include/health/health.h src/health/health.c src/health/check_list.c \
	include/health/ocsp_ask.h src/health/ocsp_ask.c \
	include/health/ocsp_refresh.h src/health/ocsp_refresh.c \
	src/health/passive.c src/health/switches.c
