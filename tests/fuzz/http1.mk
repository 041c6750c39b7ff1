# SPDX-License-Identifier: MIT
FUZZERS += tests/fuzz/fuzz_http1_request
tests_fuzz_fuzz_http1_request_SOURCES = tests/fuzz/fuzz_http1_request.c tests/fuzz/http1_fuzz.h
tests_fuzz_fuzz_http1_request_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

FUZZERS += tests/fuzz/fuzz_http1_response
tests_fuzz_fuzz_http1_response_SOURCES = tests/fuzz/fuzz_http1_response.c tests/fuzz/http1_fuzz.h
tests_fuzz_fuzz_http1_response_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

FUZZERS += tests/fuzz/fuzz_chunked
tests_fuzz_fuzz_chunked_SOURCES = tests/fuzz/fuzz_chunked.c tests/fuzz/http1_fuzz.h
tests_fuzz_fuzz_chunked_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/corpus/chunked tests/fuzz/corpus/http1_request tests/fuzz/corpus/http1_response
