# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_tls
tests_unit_test_tls_SOURCES = tests/unit/test_tls.c tests/unit/tls_wire.c tests/unit/tls_wire.h
tests_unit_test_tls_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_tls_send
tests_unit_test_tls_send_SOURCES = tests/unit/test_tls_send.c tests/unit/tls_wire.c tests/unit/tls_wire.h
tests_unit_test_tls_send_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_server_tls
tests_unit_test_server_tls_SOURCES = tests/unit/test_server_tls.c
tests_unit_test_server_tls_LDADD = $(LDADD) $(CMOCKA_LIBS)
