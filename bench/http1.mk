# SPDX-License-Identifier: MIT
EXTRA_PROGRAMS += bench/bench_http1
bench_bench_http1_SOURCES = bench/bench_http1.c
