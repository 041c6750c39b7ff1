# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_tls_server
tests_unit_test_tls_server_SOURCES = tests/unit/test_tls_server.c tests/unit/tls_shake.c tests/unit/tls_shake.h
tests_unit_test_tls_server_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_tls_verify
tests_unit_test_tls_verify_SOURCES = tests/unit/test_tls_verify.c tests/unit/tls_shake.c tests/unit/tls_shake.h
tests_unit_test_tls_verify_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_tls_store
tests_unit_test_tls_store_SOURCES = tests/unit/test_tls_store.c tests/unit/tls_shake.c tests/unit/tls_shake.h
tests_unit_test_tls_store_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_tls_tickets
tests_unit_test_tls_tickets_SOURCES = tests/unit/test_tls_tickets.c tests/unit/tls_shake.c tests/unit/tls_shake.h
tests_unit_test_tls_tickets_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_tls_ocsp
tests_unit_test_tls_ocsp_SOURCES = tests/unit/test_tls_ocsp.c tests/unit/tls_shake.c tests/unit/tls_shake.h
tests_unit_test_tls_ocsp_LDADD = $(LDADD) $(CMOCKA_LIBS)
