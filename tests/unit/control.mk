# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_control_line tests/unit/test_control_docs tests/unit/test_control_value
UNIT_TESTS += tests/unit/test_metrics
tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_metrics_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_control_line_SOURCES = tests/unit/test_control_line.c
tests_unit_test_control_line_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_control_docs_SOURCES = tests/unit/test_control_docs.c
tests_unit_test_control_docs_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_control_value_SOURCES = tests/unit/test_control_value.c
tests_unit_test_control_value_LDADD = $(LDADD) $(CMOCKA_LIBS)
