# SPDX-License-Identifier: MIT
BENCHES += bench/bench_table bench/bench_lb
bench_bench_table_SOURCES = bench/bench_table.c
bench_bench_lb_SOURCES = bench/bench_lb.c
