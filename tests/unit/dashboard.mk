# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_dashboard
tests_unit_test_dashboard_SOURCES = tests/unit/test_dashboard.c
tests_unit_test_dashboard_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_config_http
tests_unit_test_config_http_SOURCES = tests/unit/test_config_http.c
tests_unit_test_config_http_LDADD = $(LDADD) $(CMOCKA_LIBS)
