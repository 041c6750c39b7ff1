# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_state_file
tests_unit_test_state_file_SOURCES = tests/unit/test_state_file.c
tests_unit_test_state_file_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_file_watch
tests_unit_test_file_watch_SOURCES = tests/unit/test_file_watch.c
tests_unit_test_file_watch_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_certificate_age
tests_unit_test_certificate_age_SOURCES = tests/unit/test_certificate_age.c
tests_unit_test_certificate_age_LDADD = $(LDADD) $(CMOCKA_LIBS)
