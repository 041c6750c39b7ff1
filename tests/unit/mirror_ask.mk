# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_ask
tests_unit_test_ask_SOURCES = tests/unit/test_ask.c
tests_unit_test_ask_LDADD = $(LDADD) $(CMOCKA_LIBS)
