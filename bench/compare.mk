# SPDX-License-Identifier: MIT
# End to end, beside other proxies: what makes the load, and the relay that parses nothing.
BENCH_PEERS = bench/bench_load bench/bench_floor
check_PROGRAMS += $(BENCH_PEERS)
bench_bench_load_SOURCES = bench/load.h bench/load.c bench/load_client.c bench/load_origin.c \
	bench/load_tls.c bench/load_watch.c
bench_bench_load_LDADD = $(OPENSSL_LIBS)
bench_bench_floor_SOURCES = bench/floor.c
bench_bench_floor_LDADD = $(OPENSSL_LIBS)
COMPARE_FILES = bench/compare.py bench/arena.py bench/stage.py bench/kinds.py bench/peers.py bench/rows.py bench/verdict.py
EXTRA_DIST += $(COMPARE_FILES)
# What could lie unseen: statistics and judgement; the load against the floor.
COMPARE_TESTS = bench/test_compare.py bench/test_load.py
TESTS += $(COMPARE_TESTS)
EXTRA_DIST += $(COMPARE_TESTS)
COMPARE = python3 -B $(top_srcdir)/bench/compare.py --limpet ./limpet$(EXEEXT)
# A few rows, judged; the whole table.  ROWS="ka-1k close" and COMPARE_FLAGS say otherwise.
.PHONY: bench-compare bench-all
bench-compare: $(BENCH_PEERS) limpet$(EXEEXT)
	$(COMPARE) --smoke $(COMPARE_FLAGS) $(ROWS)
bench-all: $(BENCH_PEERS) limpet$(EXEEXT)
	$(COMPARE) $(COMPARE_FLAGS) $(ROWS)
