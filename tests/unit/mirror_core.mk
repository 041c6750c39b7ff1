# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_wire
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c
tests_unit_test_wire_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_push
tests_unit_test_push_SOURCES = tests/unit/test_push.c
tests_unit_test_push_LDADD = $(LDADD) $(CMOCKA_LIBS)
