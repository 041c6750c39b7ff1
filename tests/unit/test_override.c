/* SPDX-License-Identifier: MIT */
/*
 * What stays of an operator's changes when the file is read again: a row has what the file said
 * first, what the operator did, what the file says then, and what is in force after it.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "model/override.h"

/* A server as a file has it: "a/1 10.0.0.1:80 100 0", a list of them parted by ','. */
#define SPECS_MAX 8
struct file {
	struct srvset_spec specs[SPECS_MAX];
	char texts[SPECS_MAX][2][16];
	size_t n;
};

struct rig {
	struct backend backend;
	struct host_conf hosts[1];
	char name[24];
	struct srvset *set;
};

static void read_file(struct file *file, const char *text)
{
	file->n = 0;
	while (*text) {
		struct srvset_spec *spec = &file->specs[file->n];
		char(*names)[16] = file->texts[file->n++];
		char addr[32], backup[8] = "";
		int used = 0;

		names[1][0] = '\0';
		*spec = (struct srvset_spec){ .throttle_pct = 100 };
		assert_true(sscanf(text, " %15[a-z]%n", names[0], &used) == 1);
		text += used;
		if (*text == '/') {
			assert_true(sscanf(text, "/%15[a-z0-9]%n", names[1], &used) == 1);
			text += used;
		}
		assert_true(sscanf(text, " %31[^ ] %u %u%n", addr, &spec->initial_weight,
				   &spec->max_connections, &used) == 3);
		text += used;
		if (sscanf(text, " %7[b]%n", backup, &used) == 1)
			text += used;
		spec->host = str_of(names[0]);
		spec->worker = str_of(names[1]);
		spec->user_weight = spec->weight = spec->initial_weight;
		spec->is_backup = backup[0];
		assert_int_equal(sock_addr_parse(str_of(addr), &spec->addr), 0);
		text += strspn(text, ", ");
	}
}

/* What main/ does at each load of the file. */
static void load(struct rig *rig, const char *text)
{
	struct file file;
	struct srvset_spec *specs;
	size_t n;

	read_file(&file, text);
	override_reconcile(&rig->backend, file.specs, file.n);
	n = file.n + override_added_n(rig->backend.state);
	specs = xcalloc(n + 1, sizeof(*specs));
	memcpy(specs, file.specs, file.n * sizeof(*specs));
	n = override_apply(rig->backend.state, specs, file.n);
	srvset_free(rig->set);
	rig->set = srvset_build(rig->backend.state, specs, n);
	free(specs);
}

static const struct srvset_member *member(const struct rig *rig, const char *name)
{
	for (uint32_t i = 0; i < rig->set->members_n; i++)
		if (strcmp(rig->set->members[i].server->name, name) == 0)
			return &rig->set->members[i];
	fail_msg("no server %s", name);
	return NULL;
}

/* "a/1 weight 5; b del; c add 10.0.0.9:80 7" */
static void act(struct rig *rig, const char *text)
{
	while (*text) {
		char name[16], verb[16], value[32] = "";
		unsigned weight = 0;
		int used = 0;
		struct override_values values = { 0 };

		assert_true(sscanf(text, " %15[^ ;] %15[^ ;]%n", name, verb, &used) == 2);
		text += used;
		if (sscanf(text, " %31[^ ;]%n", value, &used) == 1)
			text += used;
		if (strcmp(verb, "weight") == 0) {
			override_weight(member(rig, name), (uint32_t)strtoul(value, NULL, 10));
		} else if (strcmp(verb, "limit") == 0) {
			override_max_connections(member(rig, name),
						 (uint32_t)strtoul(value, NULL, 10));
		} else if (strcmp(verb, "addr") == 0) {
			assert_int_equal(sock_addr_parse(str_of(value), &values.addr), 0);
			override_addr(member(rig, name), &values.addr);
		} else if (strcmp(verb, "del") == 0) {
			override_delete(member(rig, name));
		} else {
			assert_string_equal(verb, "add");
			assert_int_equal(sock_addr_parse(str_of(value), &values.addr), 0);
			assert_true(sscanf(text, " %u%n", &weight, &used) == 1);
			text += used;
			values.weight = weight;
			override_add(server_get(rig->backend.state, str_of(name), STR("")),
				     &values);
		}
		text += strspn(text, "; ");
	}
}

static void in_force(const struct rig *rig, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < rig->set->members_n; i++) {
		const struct srvset_member *at = &rig->set->members[i];
		char addr[ADDR_TEXT_SIZE];

		sock_addr_text(&at->addr, addr);
		len += (size_t)snprintf(out + len, size - len, "%s%s %s %u/%u %u%s", i ? ", " : "",
					at->server->name, addr, at->user_weight, at->initial_weight,
					at->max_connections, at->is_backup ? " b" : "");
	}
}

struct row {
	const char *name;
	const char *file, *acts, *then, *want;
	unsigned left; /* overrides */
};

static const struct row rows[] = {
	{ "nothing changed", "a 10.0.0.1:80 100 0", "", "a 10.0.0.2:80 90 5",
	  "a 10.0.0.2:80 90/90 5", 0 },
	{ "a weight stays while the file says the same", "a 10.0.0.1:80 100 0", "a weight 50",
	  "a 10.0.0.1:80 100 0", "a 10.0.0.1:80 50/100 0", 1 },
	{ "a weight stays when the file changes something else", "a 10.0.0.1:80 100 0",
	  "a weight 50", "a 10.0.0.2:80 100 9 b", "a 10.0.0.2:80 50/100 9 b", 1 },
	{ "a weight goes when the file has another", "a 10.0.0.1:80 100 0", "a weight 50",
	  "a 10.0.0.1:80 80 0", "a 10.0.0.1:80 80/80 0", 0 },
	{ "a weight goes when the file has come to say it", "a 10.0.0.1:80 100 0", "a weight 50",
	  "a 10.0.0.1:80 50 0", "a 10.0.0.1:80 50/50 0", 0 },
	{ "weight 0 is a weight", "a 10.0.0.1:80 100 0", "a weight 0", "a 10.0.0.1:80 100 0",
	  "a 10.0.0.1:80 0/100 0", 1 },
	{ "the file's own weight is no override", "a 10.0.0.1:80 100 0",
	  "a weight 50; a weight 100", "a 10.0.0.1:80 100 0", "a 10.0.0.1:80 100/100 0", 0 },
	{ "a limit stays", "a 10.0.0.1:80 100 7", "a limit 3", "a 10.0.0.1:80 100 7",
	  "a 10.0.0.1:80 100/100 3", 1 },
	{ "no limit is a limit", "a 10.0.0.1:80 100 7", "a limit 0", "a 10.0.0.1:80 100 7",
	  "a 10.0.0.1:80 100/100 0", 1 },
	{ "a limit goes", "a 10.0.0.1:80 100 7", "a limit 3", "a 10.0.0.1:80 100 8",
	  "a 10.0.0.1:80 100/100 8", 0 },
	{ "an address stays", "a 10.0.0.1:80 100 0", "a addr 10.0.0.9:81", "a 10.0.0.1:80 100 0",
	  "a 10.0.0.9:81 100/100 0", 1 },
	{ "an address goes", "a 10.0.0.1:80 100 0", "a addr 10.0.0.9:81", "a 10.0.0.2:80 100 0",
	  "a 10.0.0.2:80 100/100 0", 0 },
	{ "each value for itself", "a 10.0.0.1:80 100 7",
	  "a addr 10.0.0.9:81; a weight 5; a limit 1", "a 10.0.0.1:80 90 7",
	  "a 10.0.0.9:81 90/90 1", 1 },
	{ "each server for itself", "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 0",
	  "a weight 5; b weight 6", "b 10.0.0.2:80 100 0, a 10.0.0.1:80 99 0",
	  "b 10.0.0.2:80 6/100 0, a 10.0.0.1:80 99/99 0", 1 },
	{ "a server that the file leaves out takes its override with it",
	  "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 0", "a weight 5", "b 10.0.0.2:80 100 0",
	  "b 10.0.0.2:80 100/100 0", 0 },
	{ "renamed: the old name's override goes, the new name has none", "a 10.0.0.1:80 100 0",
	  "a weight 5", "b 10.0.0.1:80 100 0", "b 10.0.0.1:80 100/100 0", 0 },
	{ "an added server stays", "a 10.0.0.1:80 100 0", "n add 10.0.0.3:80 7",
	  "a 10.0.0.1:80 90 0", "a 10.0.0.1:80 90/90 0, n 10.0.0.3:80 7/7 0", 1 },
	{ "an added server goes when the file names it", "a 10.0.0.1:80 100 0",
	  "n add 10.0.0.3:80 7", "a 10.0.0.1:80 100 0, n 10.0.0.4:80 100 2",
	  "a 10.0.0.1:80 100/100 0, n 10.0.0.4:80 100/100 2", 0 },
	{ "two added servers come in their order", "a 10.0.0.1:80 100 0",
	  "n add 10.0.0.3:80 7; m add 10.0.0.4:80 8", "a 10.0.0.1:80 100 0",
	  "a 10.0.0.1:80 100/100 0, n 10.0.0.3:80 7/7 0, m 10.0.0.4:80 8/8 0", 2 },
	{ "a deleted server stays away", "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 0", "b del",
	  "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 0", "a 10.0.0.1:80 100/100 0", 1 },
	{ "a deleted server comes back when the file changes it",
	  "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 0", "b del",
	  "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 5",
	  "a 10.0.0.1:80 100/100 0, b 10.0.0.2:80 100/100 5", 0 },
	{ "a deleted server that the file leaves out is forgotten",
	  "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 0", "b del", "a 10.0.0.1:80 100 0",
	  "a 10.0.0.1:80 100/100 0", 0 },
	{ "deleted with a weight of its own, it is the file's that counts",
	  "a 10.0.0.1:80 100 0, b 10.0.0.2:80 100 0", "b weight 5; b del",
	  "a 10.0.0.1:80 100 0, b 10.0.0.2:80 5 0", "a 10.0.0.1:80 100/100 0, b 10.0.0.2:80 5/5 0",
	  0 },
	{ "workers of a host are told apart", "a/1 10.0.0.1:80 100 0, a/2 10.0.0.1:81 100 0",
	  "a/2 weight 5", "a/1 10.0.0.1:80 100 0, a/2 10.0.0.1:81 100 0",
	  "a/1 10.0.0.1:80 100/100 0, a/2 10.0.0.1:81 5/100 0", 1 },
	/* w is a host whose workers are found by their sockets */
	{ "a worker that went keeps its weight for when it is born again",
	  "w/1 unix:/w/1 100 0, w/2 unix:/w/2 100 0", "w/2 weight 5", "w/1 unix:/w/1 100 0",
	  "w/1 unix:/w/1 100/100 0", 1 },
	{ "the weight of a host of sockets that changes in the file counts for its workers",
	  "w/1 unix:/w/1 100 0", "w/1 weight 5", "w/1 unix:/w/1 50 0", "w/1 unix:/w/1 50/50 0", 0 },
};

static void rig_open(struct rig *rig)
{
	static unsigned serial;

	*rig = (struct rig){ 0 };
	snprintf(rig->name, sizeof(rig->name), "backend-%u", serial++);
	rig->hosts[0] = (struct host_conf){ .name = STR("w"), .glob = STR("/w/*") };
	rig->backend = (struct backend){
		.name = str_of(rig->name),
		.state = backend_state_get(str_of(rig->name)),
		.hosts = rig->hosts,
		.hosts_n = 1,
	};
}

static unsigned overrides_of(const struct rig *rig)
{
	const struct override *at;
	unsigned n = 0;

	for (size_t i = 0; (at = override_at(i)); i++) {
		assert_ptr_equal(at->server->override, at);
		n += at->server->backend == rig->backend.state;
	}
	return n;
}

static void rig_close(struct rig *rig)
{
	srvset_free(rig->set);
	override_drop_backend(rig->backend.state);
	assert_int_equal(overrides_of(rig), 0);
}

static void reload_keeps_what_the_file_does_not_contradict(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct rig rig;
		char text[512];

		rig_open(&rig);
		load(&rig, rows[i].file);
		act(&rig, rows[i].acts);
		load(&rig, rows[i].then);
		in_force(&rig, text, sizeof(text));
		if (strcmp(text, rows[i].want) != 0 || overrides_of(&rig) != rows[i].left)
			fail_msg("%s: %s with %u, not %s with %u", rows[i].name, text,
				 overrides_of(&rig), rows[i].want, rows[i].left);
		load(&rig, rows[i].then); /* once more changes nothing */
		in_force(&rig, text, sizeof(text));
		assert_string_equal(text, rows[i].want);
		rig_close(&rig);
	}
}

static void a_worker_born_again_has_its_weight(void **state)
{
	struct rig rig;
	char text[512];

	(void)state;
	rig_open(&rig);
	load(&rig, "w/1 unix:/w/1 100 0");
	act(&rig, "w/1 weight 5");
	load(&rig, "");
	load(&rig, "w/1 unix:/w/1 100 0");
	in_force(&rig, text, sizeof(text));
	assert_string_equal(text, "w/1 unix:/w/1 5/100 0");
	rig.backend.hosts_n = 0; /* the glob goes */
	load(&rig, "");
	assert_int_equal(overrides_of(&rig), 0);
	rig_close(&rig);
}

static void deleted_and_added_again_is_a_change(void **state)
{
	struct rig rig;
	char text[512];

	(void)state;
	rig_open(&rig);
	load(&rig, "a 10.0.0.1:80 100 0");
	act(&rig, "a del");
	load(&rig, "a 10.0.0.1:80 100 0");
	act(&rig, "a add 10.0.0.9:80 100");
	load(&rig, "a 10.0.0.1:80 100 0");
	in_force(&rig, text, sizeof(text));
	assert_string_equal(text, "a 10.0.0.9:80 100/100 0");
	load(&rig, "a 10.0.0.2:80 100 0");
	in_force(&rig, text, sizeof(text));
	assert_string_equal(text, "a 10.0.0.2:80 100/100 0");
	assert_int_equal(overrides_of(&rig), 0);
	rig_close(&rig);
}

static void an_added_server_is_changed_and_deleted(void **state)
{
	struct rig rig;
	char text[512];

	(void)state;
	rig_open(&rig);
	load(&rig, "a 10.0.0.1:80 100 0");
	act(&rig, "n add 10.0.0.3:80 7");
	load(&rig, "a 10.0.0.1:80 100 0");
	act(&rig, "n weight 9; n limit 4; n addr 10.0.0.4:80");
	load(&rig, "a 10.0.0.1:80 100 0");
	in_force(&rig, text, sizeof(text));
	assert_string_equal(text, "a 10.0.0.1:80 100/100 0, n 10.0.0.4:80 9/7 4");
	act(&rig, "n weight 7");
	load(&rig, "a 10.0.0.1:80 100 0");
	act(&rig, "n del");
	load(&rig, "a 10.0.0.1:80 100 0");
	in_force(&rig, text, sizeof(text));
	assert_string_equal(text, "a 10.0.0.1:80 100/100 0");
	assert_int_equal(overrides_of(&rig), 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reload_keeps_what_the_file_does_not_contradict),
		cmocka_unit_test(a_worker_born_again_has_its_weight),
		cmocka_unit_test(deleted_and_added_again_is_a_change),
		cmocka_unit_test(an_added_server_is_changed_and_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
