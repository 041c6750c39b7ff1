# SPDX-License-Identifier: MIT
BENCHES =
include bench/micro.mk
include bench/compare.mk
EXTRA_PROGRAMS += $(BENCHES)
EXTRA_DIST += bench/limpet.sh bench/health_cost.py bench/mirror.py
# What 1,000 servers checked each second cost; fails above 5 % of a core.
.PHONY: bench-health
bench-health: limpet
	$(top_srcdir)/bench/health_cost.py ./limpet --against haproxy
# The mirror: loading, changes in a second, what it costs a request.
.PHONY: bench-mirror
bench-mirror: limpet
	$(top_srcdir)/bench/mirror.py ./limpet
