# SPDX-License-Identifier: MIT
# Base, loop and net layers.
UNIT_TESTS += tests/unit/test_addr
tests_unit_test_addr_SOURCES = tests/unit/test_addr.c
tests_unit_test_addr_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_buf
tests_unit_test_buf_SOURCES = tests/unit/test_buf.c
tests_unit_test_buf_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_clock
tests_unit_test_clock_SOURCES = tests/unit/test_clock.c
tests_unit_test_clock_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_pipe
tests_unit_test_pipe_SOURCES = tests/unit/test_pipe.c tests/unit/conn_pair.h
tests_unit_test_pipe_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_conn
tests_unit_test_conn_SOURCES = tests/unit/test_conn.c
tests_unit_test_conn_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c tests/unit/log_rig.c tests/unit/log_rig.h
tests_unit_test_log_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_log_targets
tests_unit_test_log_targets_SOURCES = tests/unit/test_log_targets.c tests/unit/log_rig.c \
	tests/unit/log_rig.h
tests_unit_test_log_targets_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_loop
tests_unit_test_loop_SOURCES = tests/unit/test_loop.c
tests_unit_test_loop_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_mem
tests_unit_test_mem_SOURCES = tests/unit/test_mem.c
tests_unit_test_mem_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_str
tests_unit_test_str_SOURCES = tests/unit/test_str.c
tests_unit_test_str_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_timer
tests_unit_test_timer_SOURCES = tests/unit/test_timer.c
tests_unit_test_timer_LDADD = $(LDADD) $(CMOCKA_LIBS)
