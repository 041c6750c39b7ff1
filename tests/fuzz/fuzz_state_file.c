/* SPDX-License-Identifier: MIT */
/*
 * state_file: whatever a file says, tables stay sane, and a file that is refused has changed
 * nothing. The first byte of the input tells whether a hash that is right is put behind the rest.
 */
#include "config.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/mem.h"
#include "main/state_file.h"
#include "model/server.h"

#define must(cond) bug_on(!(cond))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct table *table;

static void begin(void)
{
	static const struct srvset_spec specs[] = {
		{ .host = STR_INIT("A"), .weight = 100 },
		{ .host = STR_INIT("B"), .worker = STR_INIT("w"), .weight = 100 },
	};
	struct backend_state *backend = backend_state_get(STR("app"));

	clock_set_ms(SEC(1000));
	backend->tables[STICK_ENGINEIO] = table =
		table_new(&(struct table_options){ .name = "app/engineio", .max_entries = 100 });
	srvset_free(srvset_publish(backend, srvset_build(backend, specs, ARRAY_N(specs))));
}

static uint64_t entries(void)
{
	struct table_stats stats;

	table_stats(table, &stats);
	return stats.entries;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_result result;
	int fd, rc;

	if (!table)
		begin();
	if (!size)
		return 0;
	fd = memfd_create("state", 0);
	must(fd >= 0 && fchmod(fd, 0600) == 0);
	must(write(fd, data + 1, size - 1) == (ssize_t)size - 1);
	if (data[0] & 1) {
		unsigned char hash[SHA256_DIGEST_LENGTH];

		SHA256(data + 1, size - 1, hash);
		must(write(fd, hash, sizeof(hash)) == sizeof(hash));
	}
	rc = state_file_read_fd(fd, 1795380000000ll, &(struct state_found){ 0 }, &result);
	must(rc == 0 || (rc < 0 && result.why[0] && entries() == 0 && result.entries == 0));
	must(entries() <= result.entries && table_is_sane(table));
	table_clear(table);
	close(fd);
	return 0;
}
