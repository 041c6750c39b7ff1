/* SPDX-License-Identifier: MIT */
/*
 * show tls-keys, set ssl tls-key.  Where HAProxy prints the keys themselves stand their names,
 * which are on the wire in the clear: no secret leaves by a stats socket.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/commands.h"
#include "control/ssl_args.h"
#include "net/tls_tickets.h"

struct sets {
	struct run *run;
	struct str name; /* "" = all, in short; "*" = all */
	unsigned n;
	uint64_t id; /* of "#3"; UINT64_MAX = NAME is a file's */
};

/* "#3", or "3". */
static uint64_t read_id(struct str name)
{
	uint64_t id;

	if (name.len && name.p[0] == '#')
		name = str_sub(name.p + 1, name.p + name.len);
	return str_to_u64(name, UINT32_MAX, &id) == 0 ? id : UINT64_MAX;
}

static void print_keys(struct run *run, const struct tls_tickets_about *about)
{
	for (size_t i = 0; i < about->keys_n; i++) {
		const struct tls_ticket_key *key = &about->keys[i];
		char name[2 * TLS_TICKET_NAME + 1];

		for (size_t k = 0; k < TLS_TICKET_NAME; k++)
			snprintf(name + 2 * k, 3, "%02x", key->bytes[k]);
		run_print(run, "%u.%zu %s %zu%s\n", about->id, i, name, key->size,
			  key->is_encrypting ? " encrypts" : "");
	}
}

static void print_set(void *arg, const struct tls_tickets_about *about)
{
	struct sets *sets = arg;

	if (!sets->name.len) {
		run_print(sets->run, "%u (%s)\n", about->id, about->name);
		return;
	}
	if (!str_eq(sets->name, STR("*")) && sets->id != about->id &&
	    !str_eq(sets->name, str_of(about->name)))
		return;
	if (!sets->n++)
		run_text(sets->run, STR("# id name size\n"));
	run_print(sets->run, "# %u (%s)\n", about->id, about->name);
	print_keys(sets->run, about);
}

enum run_step command_show_tls_keys(struct run *run)
{
	struct sets sets = { .run = run, .name = run_arg(run, 0) };

	sets.id = read_id(sets.name);
	if (!sets.name.len)
		run_text(run, STR("# id (file)\n"));
	tls_tickets_each(print_set, &sets);
	if (sets.name.len && !sets.n && !str_eq(sets.name, STR("*")))
		return run_error(run, "'show tls-keys' unable to locate referenced filename");
	return RUN_DONE;
}

static int check_key(struct run *run, struct str key)
{
	size_t size = 0;
	unsigned char *bytes = ssl_decode(key, &size);

	if (!bytes) {
		run_error(run, "'set ssl tls-key' received invalid base64 encoded TLS key.");
		return -EINVAL;
	}
	explicit_bzero(bytes, size);
	free(bytes);
	if (size == 48 || size == TLS_TICKET_KEY_MAX)
		return 0;
	run_error(run, "'set ssl tls-key' received a key of wrong size.");
	return -EINVAL;
}

enum run_step command_set_ssl_tls_key(struct run *run)
{
	struct str name = run_arg(run, 0), key = run_arg(run, 1);
	uint64_t id = read_id(name);
	int rc;

	if (!name.len || !key.len)
		return run_error(run, "'set ssl tls-key' expects a filename and the new TLS key in "
				      "base64 encoding.");
	if (check_key(run, key) != 0)
		return RUN_DONE;
	rc = id == UINT64_MAX ? tls_tickets_push_by_name(name, key)
			      : tls_tickets_push((unsigned)id, key);
	switch (rc) {
	case 0:
		return run_message(run, SEVERITY_INFO, "TLS ticket key updated!");
	case -ENOENT:
		return run_error(run, "'set ssl tls-key' unable to locate referenced filename");
	case -EPERM:
		return run_error(run, "'set ssl tls-key': these keys do not come from a file.");
	default:
		return run_error(run, "'set ssl tls-key': there is a key of that name already.");
	}
}
