# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_body tests/unit/test_body_splice tests/unit/test_forwarded tests/unit/test_head_write \
	tests/unit/test_session
tests_unit_test_body_SOURCES = tests/unit/test_body.c tests/unit/conn_pair.h
tests_unit_test_body_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_body_splice_SOURCES = tests/unit/test_body_splice.c tests/unit/conn_pair.h
tests_unit_test_body_splice_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_forwarded_SOURCES = tests/unit/test_forwarded.c
tests_unit_test_forwarded_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_head_write_SOURCES = tests/unit/session_rig.h tests/unit/session_rig.c \
	tests/unit/test_head_write.c
tests_unit_test_head_write_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_session_SOURCES = tests/unit/session_rig.h tests/unit/session_rig.c \
	tests/unit/test_session.c
tests_unit_test_session_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_session_share
tests_unit_test_session_share_SOURCES = tests/unit/session_rig.h tests/unit/session_rig.c \
	tests/unit/test_session_share.c
tests_unit_test_session_share_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_access_log tests/unit/test_capture
tests_unit_test_access_log_SOURCES = tests/unit/test_access_log.c
tests_unit_test_access_log_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_capture_SOURCES = tests/unit/test_capture.c
tests_unit_test_capture_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_source_table
tests_unit_test_source_table_SOURCES = tests/unit/test_source_table.c
tests_unit_test_source_table_LDADD = $(LDADD) $(CMOCKA_LIBS)
