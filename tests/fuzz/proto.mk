# SPDX-License-Identifier: MIT
FUZZERS += tests/fuzz/fuzz_uri
tests_fuzz_fuzz_uri_SOURCES = tests/fuzz/fuzz_uri.c
tests_fuzz_fuzz_uri_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZERS += tests/fuzz/fuzz_engineio
tests_fuzz_fuzz_engineio_SOURCES = tests/fuzz/fuzz_engineio.c
tests_fuzz_fuzz_engineio_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZERS += tests/fuzz/fuzz_websocket
tests_fuzz_fuzz_websocket_SOURCES = tests/fuzz/fuzz_websocket.c
tests_fuzz_fuzz_websocket_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZERS += tests/fuzz/fuzz_proxy
tests_fuzz_fuzz_proxy_SOURCES = tests/fuzz/fuzz_proxy.c
tests_fuzz_fuzz_proxy_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/corpus/engineio
EXTRA_DIST += tests/fuzz/corpus/proxy
EXTRA_DIST += tests/fuzz/corpus/uri
EXTRA_DIST += tests/fuzz/corpus/websocket
