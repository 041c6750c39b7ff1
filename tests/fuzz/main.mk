# SPDX-License-Identifier: MIT
FUZZERS += tests/fuzz/fuzz_state_file
tests_fuzz_fuzz_state_file_SOURCES = tests/fuzz/fuzz_state_file.c
tests_fuzz_fuzz_state_file_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/corpus/state_file
