# SPDX-License-Identifier: MIT
BENCHES += bench/bench_http1
bench_bench_http1_SOURCES = bench/bench_http1.c
