/* SPDX-License-Identifier: MIT */
/*
 * wire: whatever Redis holds, what is read is written again byte by byte, and views lie inside.
 * The input is lines: a value, a key, an id, or, when there are 14, the fields of a change.
 */
#include "config.h"

#include "mirror/wire.h"

#include <stdlib.h>

#define must(cond) bug_on(!(cond))

static bool lies_in(struct str part, struct str whole)
{
	return part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

static void check_value(struct str text)
{
	struct wire_value value;
	char out[WIRE_VALUE_MAX];
	size_t n;

	if (!wire_value_read(text, &value))
		return;
	must(lies_in(value.server, text));
	n = wire_value_write(out, &value);
	must(str_eq((struct str){ out, n }, text));
}

static void check_key(struct str text)
{
	struct table_key key = { 0 };
	struct wire_key read;
	struct str table;
	char out[WIRE_KEY_MAX];
	size_t n;

	if (!wire_key_read(text, STR("p"), &table, &read))
		return;
	must(lies_in(table, text) && read.size >= 1 && read.size <= TABLE_KEY_SIZE);
	key.len = (uint8_t)read.size;
	memcpy(key.bytes, read.bytes, read.size);
	n = wire_key_write(out, STR("p"), table, &key);
	must(str_eq((struct str){ out, n }, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	struct str rest = { copy, size }, fields[WIRE_FIELDS_N];
	struct wire_change change;
	size_t n = 0;
	uint64_t ms;

	memcpy(copy, data, size);
	while (n < WIRE_FIELDS_N && rest.len) {
		ptrdiff_t at = str_find_char(rest, '\n');
		struct str line = { rest.p, at < 0 ? rest.len : (size_t)at };

		fields[n++] = line;
		check_value(line);
		check_key(line);
		(void)wire_id_ms(line, &ms);
		rest.p += line.len + (at >= 0);
		rest.len -= line.len + (at >= 0);
	}
	if (wire_change_read(fields, n, &change)) {
		must(change.number && change.left_ms >= 1 && change.value.version);
		must(lies_in(change.node, fields[3]) && lies_in(change.table, fields[5]));
		must(wire_change_letter(change.change) == fields[9].p[0]);
	}
	free(copy);
	return 0;
}
