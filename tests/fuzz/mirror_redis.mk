# SPDX-License-Identifier: MIT
FUZZERS += tests/fuzz/fuzz_redis_url
tests_fuzz_fuzz_redis_url_SOURCES = tests/fuzz/fuzz_redis_url.c
tests_fuzz_fuzz_redis_url_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/corpus/redis_url

FUZZERS += tests/fuzz/fuzz_redis_answers
tests_fuzz_fuzz_redis_answers_SOURCES = tests/fuzz/fuzz_redis_answers.c
tests_fuzz_fuzz_redis_answers_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/corpus/redis_answers
