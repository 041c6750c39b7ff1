/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/startup_log.h"

#include "base/buf.h"
#include "control/commands.h"

#define LOG_MAX 65536u

static char text[LOG_MAX];
static size_t text_len;
static unsigned warnings_n, left_out_n;

void startup_log_begin(void)
{
	text_len = 0;
	warnings_n = left_out_n = 0;
}

void startup_log_add(const char *message, bool is_error)
{
	size_t len = strlen(message);

	warnings_n += !is_error;
	if (!len)
		return;
	if (len >= LOG_MAX - text_len) {
		left_out_n++;
		return;
	}
	memcpy(text + text_len, message, len);
	text_len += len;
	text[text_len++] = '\n';
}

unsigned startup_log_warnings(void)
{
	return warnings_n;
}

enum run_step command_show_startup_logs(struct run *run)
{
	run_text(run, (struct str){ text, text_len });
	if (left_out_n)
		run_print(run, "%u more\n", left_out_n);
	return RUN_DONE;
}
