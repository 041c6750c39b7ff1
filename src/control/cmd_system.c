/* SPDX-License-Identifier: MIT */
/* show env, show libs, show fd, show proc, show schema, echo: the process and its surroundings. */
#include "config.h"

#include <dirent.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/control.h"
#include "model/schema.h"
#include "session/traffic.h"

extern char **environ;

enum run_step command_echo(struct run *run)
{
	for (unsigned i = 0; i < run->args_n; i++)
		run_print(run, "%s%.*s", i ? " " : "", STR_ARG(run->args[i]));
	if (run->args_n)
		run_text(run, STR("\n"));
	return RUN_DONE;
}

/* Its value may be a key or a password, as ${NAME} puts them into the configuration. */
static bool is_secret(struct str name)
{
	static const char *const parts[] = { "KEY", "SECRET", "PASS", "TOKEN", "CREDENTIAL" };

	for (size_t i = 0; i < ARRAY_N(parts); i++) {
		struct str part = str_of(parts[i]), rest = name;

		for (; rest.len >= part.len; rest.p++, rest.len--)
			if (str_istarts(rest, part))
				return true;
	}
	return false;
}

static void print_variable(struct run *run, const char *text)
{
	struct str name = { text, strcspn(text, "=") };
	char line[512];

	if (is_secret(name)) {
		run_print(run, "%.*s=***\n", STR_ARG(name));
		return;
	}
	snprintf(line, sizeof(line), "%s", text);
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '.';
	run_print(run, "%s\n", line);
}

enum run_step command_show_env(struct run *run)
{
	struct str want = run_arg(run, 0);
	bool is_found = false;

	for (char **at = environ; at && *at; at++) {
		if (want.len && !str_eq(want, (struct str){ *at, strcspn(*at, "=") }))
			continue;
		print_variable(run, *at);
		is_found = true;
	}
	return is_found || !want.len ? RUN_DONE : run_error(run, "Variable not found");
}

static int print_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t from = UINTPTR_MAX, to = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		if (at < from)
			from = at;
		if (at + info->dlpi_phdr[i].p_memsz > to)
			to = at + info->dlpi_phdr[i].p_memsz;
	}
	if (from < to)
		run_print(arg, "0x%012llx-0x%012llx (0x%07llx) %s\n", (unsigned long long)from,
			  (unsigned long long)to - 1, (unsigned long long)(to - from),
			  info->dlpi_name[0] ? info->dlpi_name : "limpet");
	return 0;
}

enum run_step command_show_libs(struct run *run)
{
	dl_iterate_phdr(print_library, run);
	return RUN_DONE;
}

static void close_directory(void *directory)
{
	closedir(directory);
}

enum run_step command_show_fd(struct run *run)
{
	struct dirent *entry;

	if (!run->state) {
		run->state = opendir("/proc/self/fd");
		run->state_free = close_directory;
		if (!run->state)
			return run_error(run, "/proc is not there.");
	}
	while ((entry = readdir(run->state))) {
		char path[64], target[256];
		ssize_t len;

		if (entry->d_name[0] == '.' ||
		    (run->args_n && !str_eq(run->args[0], str_of(entry->d_name))))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%.20s", entry->d_name);
		len = readlink(path, target, sizeof(target));
		if (len > 0)
			run_print(run, "%7s : %.*s\n", entry->d_name, (int)len, target);
		if (run_is_full(run))
			return RUN_MORE;
	}
	return RUN_DONE;
}

/* As HAProxy: 3 days are "3d00h00m00s". */
static const char *uptime_text(int64_t started_unix_ms, char out[32])
{
	long long s = (clock_unix_ms() - started_unix_ms) / 1000;

	snprintf(out, 32, "%lldd%02dh%02dm%02ds", s / 86400, (int)(s / 3600 % 24),
		 (int)(s / 60 % 60), (int)(s % 60));
	return out;
}

/* As HAProxy's master tells of its workers; ours is one process over all reloads. */
enum run_step command_show_proc(struct run *run)
{
	const struct control_old *old;
	char uptime[32];

	run_print(run,
		  "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
		  "# workers\n%-15d %-15s %-15llu %-15s %s\n# old workers\n",
		  (int)getpid(), "worker", (unsigned long long)(control_config()->serial - 1),
		  uptime_text(process_state.started_unix_ms, uptime), PACKAGE_VERSION);
	/* Behind HAProxy's columns: connections and WebSockets left, and for how long at most. */
	for (size_t i = 0; control_old_hook && (old = control_old_hook(i)); i++)
		run_print(run,
			  "%-15d %-15s %-15llu %-15s %-15s connections=%u websockets=%u "
			  "ends_in=%llds\n",
			  old->pid, "worker", (unsigned long long)old->reloads,
			  uptime_text(old->started_unix_ms, uptime), old->version, old->connections,
			  old->tunnels, (long long)old->left_ms / 1000);
	run_text(run, STR("# programs\n"));
	return RUN_DONE;
}

/* The shape of what "show info json" and "show stat json" print. */
static const char json_schema[] =
	"{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"oneOf\":["
	"{\"title\":\"Info\",\"type\":\"array\",\"items\":{\"$ref\":\"#/definitions/info\"}},"
	"{\"title\":\"Stat\",\"type\":\"array\",\"items\":{\"type\":\"array\","
	"\"items\":{\"$ref\":\"#/definitions/stat\"}}}],"
	"\"definitions\":{"
	"\"field\":{\"type\":\"object\",\"properties\":{\"pos\":{\"type\":\"integer\",\"minimum\":"
	"0},"
	"\"name\":{\"type\":\"string\"}},\"required\":[\"pos\",\"name\"]},"
	"\"tags\":{\"type\":\"object\",\"properties\":{"
	"\"origin\":{\"enum\":[\"Metric\",\"Status\",\"Key\",\"Config\",\"Product\"]},"
	"\"nature\":{\"enum\":[\"Gauge\",\"Limit\",\"Min\",\"Max\",\"Rate\",\"Counter\","
	"\"Duration\",\"Age\",\"Avg\",\"Name\",\"Output\"]},"
	"\"scope\":{\"enum\":[\"Process\",\"Service\"]}},"
	"\"required\":[\"origin\",\"nature\",\"scope\"]},"
	"\"value\":{\"type\":\"object\",\"properties\":{"
	"\"type\":{\"enum\":[\"u32\",\"u64\",\"s32\",\"str\"]},"
	"\"value\":{\"type\":[\"integer\",\"string\"]}},\"required\":[\"type\",\"value\"]},"
	"\"info\":{\"type\":\"object\",\"properties\":{\"field\":{\"$ref\":\"#/definitions/"
	"field\"},"
	"\"processNum\":{\"type\":\"integer\",\"minimum\":1},"
	"\"tags\":{\"$ref\":\"#/definitions/tags\"},\"value\":{\"$ref\":\"#/definitions/value\"}},"
	"\"required\":[\"field\",\"processNum\",\"tags\",\"value\"]},"
	"\"stat\":{\"allOf\":[{\"$ref\":\"#/definitions/info\"},{\"properties\":{"
	"\"objType\":{\"enum\":[\"Frontend\",\"Backend\",\"Server\"]},"
	"\"proxyId\":{\"type\":\"integer\",\"minimum\":0},"
	"\"id\":{\"type\":\"integer\",\"minimum\":0}},"
	"\"required\":[\"objType\",\"proxyId\",\"id\"]}]}}}\n";

/*
 * The configuration's keys, a line each: type, default, whether a change needs a restart, meaning.
 * at[0] counts sections.
 */
enum run_step command_show_schema(struct run *run)
{
	if (str_eq(run_arg(run, 0), STR("json"))) {
		run_text(run, (struct str){ json_schema, sizeof(json_schema) - 1 });
		return RUN_DONE;
	}
	for (; run->at[0] < S_NONE; run->at[0]++) {
		const struct schema_section_row *section = &schema_sections[run->at[0]];

		if (run_is_full(run))
			return RUN_MORE;
		run_print(run, "%s\n", section->path);
		for (size_t i = 0; i < section->rows_n; i++) {
			const struct schema_row *row = &section->rows[i];

			run_print(run, "  %s: %s", row->key, schema_types[row->type].name);
			if (row->def)
				run_print(run, " [%s]", row->def);
			run_print(run, "%s%s%s\n", row->flags & F_RESTART ? " (restart)" : "",
				  row->doc && row->doc[0] ? ", " : "", row->doc ? row->doc : "");
		}
	}
	return RUN_DONE;
}
