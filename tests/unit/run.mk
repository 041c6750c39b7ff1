# SPDX-License-Identifier: MIT
# UNIT_TESTS += tests/unit/test_x
# tests_unit_test_x_SOURCES = tests/unit/test_x.c
# tests_unit_test_x_LDADD = $(LDADD) $(CMOCKA_LIBS)
