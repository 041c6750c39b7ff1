/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "control/console.h"
#include "model/server.h"

void run_text(struct run *run, struct str text)
{
	buf_append_str(&run->console->out, text);
}

static void print_va(struct run *run, const char *fmt, va_list args)
{
	struct buf *out = &run->console->out;
	va_list again;
	int len;

	va_copy(again, args);
	buf_reserve(out, 256);
	len = vsnprintf(buf_tail(out), buf_room(out), fmt, args);
	bug_on(len < 0);
	if ((size_t)len >= buf_room(out)) {
		buf_reserve(out, (size_t)len + 1);
		len = vsnprintf(buf_tail(out), buf_room(out), fmt, again);
	}
	va_end(again);
	buf_fill(out, (size_t)len);
}

void run_print(struct run *run, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_va(run, fmt, args);
	va_end(args);
}

bool run_is_full(const struct run *run)
{
	return buf_length(&run->console->out) >= RUN_PIECE;
}

static const char *severity_name(enum severity severity)
{
	switch (severity) {
	case SEVERITY_ERR:
		return "err";
	case SEVERITY_WARNING:
		return "warning";
	case SEVERITY_NOTICE:
		return "notice";
	case SEVERITY_INFO:
		return "info";
	}
	return "info";
}

enum run_step run_message(struct run *run, enum severity severity, const char *fmt, ...)
{
	va_list args;

	if (run->console->severity == SEVERITY_OUTPUT_NUMBER)
		run_print(run, "[%d]: ", (int)severity);
	else if (run->console->severity == SEVERITY_OUTPUT_STRING)
		run_print(run, "[%s]: ", severity_name(severity));
	va_start(args, fmt);
	print_va(run, fmt, args);
	va_end(args);
	run_text(run, STR("\n"));
	return RUN_DONE;
}

enum ctl_level run_level(const struct run *run)
{
	return run->console->level;
}

const char *level_name(enum ctl_level level)
{
	switch (level) {
	case CTL_USER:
		return "user";
	case CTL_OPERATOR:
		return "operator";
	case CTL_ADMIN:
		return "admin";
	}
	return "user";
}

struct backend *run_backend(struct str name)
{
	const struct config *config = control_config();
	struct backend *backend = config_backend(config, name);
	uint64_t id;

	if (backend)
		return backend;
	if (name.len && name.p[0] == '#')
		name = (struct str){ name.p + 1, name.len - 1 };
	if (str_to_u64(name, UINT32_MAX, &id) != 0)
		return NULL;
	for (size_t i = 0; i < config->backends_n; i++)
		if (config->backends[i].state->id == id)
			return &config->backends[i];
	return NULL;
}

struct srvset_member *run_server(struct run *run, struct str name)
{
	ptrdiff_t slash = str_find_char(name, '/');
	struct backend *backend;
	struct srvset *set;
	struct str server;

	if (slash <= 0 || (size_t)slash + 1 == name.len) {
		run_error(run, "Require 'backend/server'.");
		return NULL;
	}
	backend = run_backend((struct str){ name.p, (size_t)slash });
	if (!backend) {
		run_error(run, "No such backend.");
		return NULL;
	}
	set = srvset_of(backend->state);
	server = (struct str){ name.p + slash + 1, name.len - (size_t)slash - 1 };
	for (uint32_t i = 0; set && i < set->members_n; i++)
		if (str_eq(str_of(set->members[i].server->name), server))
			return &set->members[i];
	run_error(run, "No such server.");
	return NULL;
}
