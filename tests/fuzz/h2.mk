# SPDX-License-Identifier: MIT
FUZZERS += tests/fuzz/fuzz_h2
tests_fuzz_fuzz_h2_SOURCES = tests/fuzz/fuzz_h2.c tests/unit/session_rig.h tests/unit/session_rig.c
tests_fuzz_fuzz_h2_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_fuzz_fuzz_h2_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/corpus/h2
