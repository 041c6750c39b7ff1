/* SPDX-License-Identifier: MIT */
/* Commands that change the console itself, and those that ask about it. */
#include "config.h"

#include <errno.h>

#include "base/log.h"
#include "control/commands.h"
#include "control/console.h"

enum run_step command_prompt(struct run *run)
{
	static const struct {
		const char *name;
		enum console_mode mode;
	} modes[] = {
		{ "i", MODE_INTERACTIVE },
		{ "n", MODE_ONCE },
		{ "p", MODE_PROMPT },
		{ "timed", MODE_PROMPT_TIMED },
	};
	struct console *console = run->console;

	if (!run->args_n) {
		console->mode = console->mode == MODE_ONCE || console->mode == MODE_INTERACTIVE
					? MODE_PROMPT
					: MODE_ONCE;
		return RUN_DONE;
	}
	for (size_t i = 0; i < ARRAY_N(modes); i++)
		if (str_eq(run->args[0], str_of(modes[i].name))) {
			console->mode = modes[i].mode;
			return RUN_DONE;
		}
	return run_error(run, "'prompt' expects 'i', 'n', 'p' or 'timed'.");
}

enum run_step command_quit(struct run *run)
{
	run->console->is_quit = true;
	return RUN_DONE;
}

static enum run_step lower(struct run *run, enum ctl_level level)
{
	if (run->console->level > level)
		run->console->level = level;
	return RUN_DONE;
}

enum run_step command_operator(struct run *run)
{
	if (run->console->level < CTL_OPERATOR)
		return run_error(run, "Permission denied");
	return lower(run, CTL_OPERATOR);
}

enum run_step command_user(struct run *run)
{
	return lower(run, CTL_USER);
}

enum run_step command_show_cli_level(struct run *run)
{
	return run_message(run, SEVERITY_INFO, "%s", level_name(run->console->level));
}

enum run_step command_show_cli_sockets(struct run *run)
{
	run_text(run, STR("# socket lvl processes\n"));
	list_for_each(at, control_sockets()) {
		const struct control_socket *socket = list_entry(at, struct control_socket, link);

		if (sock_addr_is_unix(&socket->addr) && socket->addr.un.sun_path[0])
			run_print(run, "unix@%s", socket->addr.un.sun_path);
		else
			run_text(run, str_of(socket->text));
		run_print(run, " %s all\n", level_name(socket->level));
	}
	return RUN_DONE;
}

enum run_step command_set_severity_output(struct run *run)
{
	static const char *const names[] = { "none", "number", "string" };

	for (unsigned i = 0; i < ARRAY_N(names); i++)
		if (str_eq(run_arg(run, 0), str_of(names[i]))) {
			run->console->severity = (enum severity_output)i;
			return RUN_DONE;
		}
	return run_error(run, "one of 'none', 'number', 'string' is a required argument");
}

/* Seconds, or with one of the units us ms s m h d. */
static int read_delay(struct str text, int64_t *ms)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {
		{ "us", 1 },
		{ "ms", 1000 },
		{ "s", 1000000 },
		{ "m", 60 * 1000000 },
		{ "h", 3600 * (int64_t)1000000 },
		{ "d", 86400 * (int64_t)1000000 },
	};
	size_t digits = 0;
	int64_t unit_us = 1000000;
	uint64_t n;

	while (digits < text.len && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (str_to_u64((struct str){ text.p, digits }, INT32_MAX, &n) != 0)
		return -EINVAL;
	if (digits < text.len) {
		struct str name = { text.p + digits, text.len - digits };
		size_t i = 0;

		while (i < ARRAY_N(units) && !str_eq(name, str_of(units[i].name)))
			i++;
		if (i == ARRAY_N(units))
			return -EINVAL;
		unit_us = units[i].us;
	}
	*ms = (int64_t)n * unit_us / 1000;
	return 0;
}

enum run_step command_set_timeout(struct run *run)
{
	int64_t ms;

	if (!str_eq(run_arg(run, 0), STR("cli")))
		return run_error(run, "'set timeout' only supports 'cli'.");
	if (run->args_n < 2)
		return run_error(run, "Expects an integer value.");
	if (read_delay(run->args[1], &ms) != 0 || ms > SEC(86400 * 24) || ms < 1)
		return run_error(run, "Invalid timeout value.");
	run->console->idle_ms = ms;
	return RUN_DONE;
}

enum run_step command_set_log_level(struct run *run)
{
	static const char *const names[LOG_LEVEL_N] = { "error", "warn", "info", "debug" };

	for (unsigned i = 0; i < LOG_LEVEL_N; i++)
		if (str_eq(run_arg(run, 0), str_of(names[i]))) {
			__atomic_store_n(&log_threshold, (enum log_level)i, __ATOMIC_RELAXED);
			return RUN_DONE;
		}
	return run_error(run, "'set log level' expects 'error', 'warn', 'info' or 'debug'.");
}
