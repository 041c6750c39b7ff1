# SPDX-License-Identifier: MIT
# Base, loop and net layers.
UNIT_TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = $(LDADD) $(CMOCKA_LIBS)
