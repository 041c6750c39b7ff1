# FUZZERS += tests/fuzz/fuzz_x
# tests_fuzz_fuzz_x_SOURCES = tests/fuzz/fuzz_x.c
# tests_fuzz_fuzz_x_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
