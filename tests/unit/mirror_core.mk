# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_wire
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c
tests_unit_test_wire_LDADD = $(LDADD) $(CMOCKA_LIBS)
