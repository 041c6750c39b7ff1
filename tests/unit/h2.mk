# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_h2_head
tests_unit_test_h2_head_SOURCES = tests/unit/test_h2_head.c
tests_unit_test_h2_head_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_h2_mem
tests_unit_test_h2_mem_SOURCES = tests/unit/test_h2_mem.c
tests_unit_test_h2_mem_LDADD = $(LDADD) $(CMOCKA_LIBS)
