# SPDX-License-Identifier: MIT
EXTRA_DIST += tests/unit/balance_fixture.h tests/unit/stick_fixture.h \
	tests/unit/table_share_fixture.h

UNIT_TESTS += tests/unit/test_siphash
tests_unit_test_siphash_SOURCES = tests/unit/test_siphash.c
tests_unit_test_siphash_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_lb
tests_unit_test_lb_SOURCES = tests/unit/test_lb.c
tests_unit_test_lb_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_table
tests_unit_test_table_SOURCES = tests/unit/test_table.c
tests_unit_test_table_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_rendezvous
tests_unit_test_rendezvous_SOURCES = tests/unit/test_rendezvous.c
tests_unit_test_rendezvous_LDADD = $(LDADD) $(CMOCKA_LIBS) -lm

UNIT_TESTS += tests/unit/test_maglev
tests_unit_test_maglev_SOURCES = tests/unit/test_maglev.c
tests_unit_test_maglev_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_stick
tests_unit_test_stick_SOURCES = tests/unit/test_stick.c
tests_unit_test_stick_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_stick_cookie
tests_unit_test_stick_cookie_SOURCES = tests/unit/test_stick_cookie.c
tests_unit_test_stick_cookie_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_table_model
tests_unit_test_table_model_SOURCES = tests/unit/test_table_model.c
tests_unit_test_table_model_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_table_copy
tests_unit_test_table_copy_SOURCES = tests/unit/test_table_copy.c
tests_unit_test_table_copy_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_share
tests_unit_test_share_SOURCES = tests/unit/test_share.c
tests_unit_test_share_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_version
tests_unit_test_version_SOURCES = tests/unit/test_version.c
tests_unit_test_version_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_merge
tests_unit_test_merge_SOURCES = tests/unit/test_merge.c
tests_unit_test_merge_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_table_share
tests_unit_test_table_share_SOURCES = tests/unit/test_table_share.c
tests_unit_test_table_share_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_table_merge
tests_unit_test_table_merge_SOURCES = tests/unit/test_table_merge.c
tests_unit_test_table_merge_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_stick_hint
tests_unit_test_stick_hint_SOURCES = tests/unit/test_stick_hint.c
tests_unit_test_stick_hint_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_table_mem
tests_unit_test_table_mem_SOURCES = tests/unit/test_table_mem.c
tests_unit_test_table_mem_LDADD = $(LDADD) $(CMOCKA_LIBS)
