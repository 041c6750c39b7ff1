/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/beat_internal.h"

uint64_t beat_add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void beat_ledger_count(struct beat_ledger *ledger, const uint64_t counters[BEAT_COUNTS_N])
{
	for (int i = 0; i < BEAT_COUNTS_N; i++) {
		uint64_t now = counters[i], before = ledger->read[i];

		ledger->counts[i] = beat_add(ledger->counts[i], now >= before ? now - before : now);
		ledger->read[i] = now;
	}
}

static void take_former(struct beat_ledger *ledger, const struct beat_value *field)
{
	for (int i = 0; i < BEAT_COUNTS_N; i++) {
		uint64_t total = beat_add(field->base[i], field->counts[i]);

		if (total <= ledger->former[i])
			continue;
		ledger->base[i] = beat_add(ledger->base[i], total - ledger->former[i]);
		ledger->former[i] = total;
	}
}

void beat_ledger_meet(struct beat_ledger *ledger, const struct beat_value *field)
{
	bool is_first = !ledger->is_open;

	ledger->is_open = true;
	if (!field)
		return;
	if (is_first && field->boot == ledger->boot) {
		memcpy(ledger->base, field->base, sizeof(ledger->base));
		memcpy(ledger->floor, field->counts, sizeof(ledger->floor));
	} else if (is_first) {
		ledger->former_boot = field->boot;
		take_former(ledger, field);
	} else if (ledger->former_boot && field->boot == ledger->former_boot &&
		   field->boot != ledger->boot) {
		take_former(ledger, field);
	}
}

void beat_ledger_tell(const struct beat_ledger *ledger, struct beat_value *value)
{
	for (int i = 0; i < BEAT_COUNTS_N; i++) {
		value->base[i] = ledger->base[i];
		value->counts[i] =
			ledger->counts[i] > ledger->floor[i] ? ledger->counts[i] : ledger->floor[i];
	}
}
