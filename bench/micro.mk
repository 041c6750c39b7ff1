# SPDX-License-Identifier: MIT
# Micro benchmarks: of a second each in "make bench", at their full size in "make bench-micro".
MICRO = bench/bench_http1 bench/bench_table bench/bench_lb bench/bench_timer bench/bench_buf
BENCHES += $(MICRO)
bench_bench_http1_SOURCES = bench/bench_http1.c bench/micro.h
bench_bench_table_SOURCES = bench/bench_table.c bench/micro.h
bench_bench_lb_SOURCES = bench/bench_lb.c bench/micro.h
bench_bench_timer_SOURCES = bench/bench_timer.c bench/micro.h
bench_bench_buf_SOURCES = bench/bench_buf.c bench/micro.h
.PHONY: bench-micro
bench-micro: $(MICRO)
	@for each in $(MICRO); do ./$$each full || exit 1; done
# What clients wait at half load, and what they feel of reloads, bursts, bulk and so on: ten minutes.
EXTRA_PROGRAMS += bench/probe
bench_probe_SOURCES = bench/probe.c
bench_probe_LDADD =
EXTRA_DIST += bench/latency.py
.PHONY: bench-latency
bench-latency: limpet$(EXEEXT) bench/probe
	$(top_srcdir)/bench/latency.py ./limpet --probe bench/probe
