/* SPDX-License-Identifier: MIT */
/* Commands that change the console itself, and those that ask about it. */
#include "config.h"

#include "base/log.h"
#include "control/commands.h"
#include "control/console.h"
#include "control/delay.h"

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

enum run_step command_set_timeout(struct run *run)
{
	int64_t ms;

	if (!str_eq(run_arg(run, 0), STR("cli")))
		return run_error(run, "'set timeout' only supports 'cli'.");
	if (run->args_n < 2)
		return run_error(run, "Expects an integer value.");
	if (delay_parse(run->args[1], 1000000, &ms) != 0 || ms > SEC(86400 * 24) || ms < 1)
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
