/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/names.h"

#include "base/siphash.h"

static void make_slots(struct names *names, size_t slots_n)
{
	names->slots = arena_calloc(names->arena, slots_n, sizeof(*names->slots));
	names->slots_n = slots_n;
}

void names_init(struct names *names, struct arena *arena, size_t expected_n)
{
	size_t slots_n = 16;

	while (slots_n < expected_n * 2)
		slots_n *= 2;
	*names = (struct names){ .arena = arena };
	make_slots(names, slots_n);
}

/* The slot that holds NAME, or the free one where it belongs. */
static struct name_slot *slot_of(const struct names *names, struct str name)
{
	uint64_t hash = siphash13(siphash_process_key(), name.p ? name.p : "", name.len);
	size_t i = (size_t)hash & (names->slots_n - 1);

	while (names->slots[i].name.p && !str_eq(names->slots[i].name, name))
		i = (i + 1) & (names->slots_n - 1);
	return &names->slots[i];
}

static void grow(struct names *names)
{
	struct name_slot *old = names->slots;
	size_t old_n = names->slots_n;

	make_slots(names, old_n * 2);
	for (size_t i = 0; i < old_n; i++)
		if (old[i].name.p)
			*slot_of(names, old[i].name) = old[i];
}

uint32_t names_add(struct names *names, struct str name, uint32_t number)
{
	struct name_slot *slot = slot_of(names, name);

	if (slot->name.p)
		return slot->number;
	if (!name.p)
		name = STR("");
	*slot = (struct name_slot){ name, number };
	if (++names->used * 2 > names->slots_n)
		grow(names);
	return NAME_NONE;
}

uint32_t names_find(const struct names *names, struct str name)
{
	const struct name_slot *slot = names->slots_n ? slot_of(names, name) : NULL;

	return slot && slot->name.p ? slot->number : NAME_NONE;
}
