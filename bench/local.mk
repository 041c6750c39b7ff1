# SPDX-License-Identifier: MIT
BENCHES =
include bench/http1.mk
include bench/balance.mk
EXTRA_PROGRAMS += $(BENCHES)
EXTRA_DIST += bench/limpet.sh
