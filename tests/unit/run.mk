# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_body tests/unit/test_session
tests_unit_test_body_SOURCES = tests/unit/test_body.c
tests_unit_test_body_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_session_SOURCES = tests/unit/session_rig.h tests/unit/session_rig.c \
	tests/unit/test_session.c
tests_unit_test_session_LDADD = $(LDADD) $(CMOCKA_LIBS)
