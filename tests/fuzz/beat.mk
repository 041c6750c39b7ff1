# SPDX-License-Identifier: MIT
FUZZERS += tests/fuzz/fuzz_beat
tests_fuzz_fuzz_beat_SOURCES = tests/fuzz/fuzz_beat.c
tests_fuzz_fuzz_beat_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/corpus/beat
