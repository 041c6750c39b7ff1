/* SPDX-License-Identifier: MIT */
/* beat_value_read: parts lie in the text, backends ascend, and what was written is read again. */
#include "config.h"

#include "base/bug.h"
#include "mirror/beat.h"

#define must(cond) bug_on(!(cond))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct str part, struct str whole)
{
	return part.len && part.p >= whole.p && part.p + part.len <= whole.p + whole.len;
}

static void check_again(const struct beat_value *value)
{
	static char out[BEAT_VALUE_SIZE], differences[160];
	static struct beat_value again;
	size_t len = beat_value_write(out, value);

	must(len < BEAT_VALUE_SIZE);
	must(beat_value_read((struct str){ out, len }, &again));
	must(again.boot == value->boot && again.beat == value->beat);
	must(again.state == value->state && again.is_stopping == value->is_stopping);
	must(again.backends_n == value->backends_n || again.has_more);
	must(memcmp(again.base, value->base, sizeof(again.base)) == 0);
	must(memcmp(again.counts, value->counts, sizeof(again.counts)) == 0);
	again.servers++;
	must(fingerprint_differences(value, &again, differences, sizeof(differences)) <
	     sizeof(differences));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	static struct beat_value value;

	if (!beat_value_read(text, &value))
		return 0;
	must(size <= BEAT_VALUE_SIZE && value.backends_n <= BEAT_BACKENDS_MAX);
	must(lies_in(value.version, text) && beat_is_node_name(value.version));
	must(value.state < MIRROR_STATES_N);
	for (uint32_t i = 0; i < value.backends_n; i++)
		must(lies_in(value.backends[i].name, text) &&
		     beat_is_node_name(value.backends[i].name));
	check_again(&value);
	return 0;
}
