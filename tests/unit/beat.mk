# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_beat_value
tests_unit_test_beat_value_SOURCES = tests/unit/test_beat_value.c
tests_unit_test_beat_value_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_beat_ledger
tests_unit_test_beat_ledger_SOURCES = tests/unit/test_beat_ledger.c
tests_unit_test_beat_ledger_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_beat
tests_unit_test_beat_SOURCES = tests/unit/test_beat.c tests/unit/beat_rig.h
tests_unit_test_beat_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_beat_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=redis_command,--wrap=mirror_status,--wrap=log_event
