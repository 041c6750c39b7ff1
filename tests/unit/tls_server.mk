# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_tls_server
tests_unit_test_tls_server_SOURCES = tests/unit/test_tls_server.c tests/unit/tls_shake.c tests/unit/tls_shake.h
tests_unit_test_tls_server_LDADD = $(LDADD) $(CMOCKA_LIBS)
