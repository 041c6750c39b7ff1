/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "log_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

char log_dir[] = "/tmp/limpet-log-XXXXXX";
char *log_file_path, *log_file_target;

int log_rig_start(void **state)
{
	(void)state;
	if (!mkdtemp(log_dir))
		return -1;
	log_file_path = xasprintf("%s/log", log_dir);
	log_file_target = xasprintf("file:%s", log_file_path);
	return 0;
}

int log_rig_end(void **state)
{
	char *command = xasprintf("rm -rf -- %s", log_dir);
	int rc = system(command);

	(void)state;
	free(command);
	free(log_file_path);
	free(log_file_target);
	return rc;
}

int log_rig_forget_file(void **state)
{
	(void)state;
	log_close();
	unlink(log_file_path);
	return 0;
}

int try_log(const char *target, enum log_style style, const char **why)
{
	struct log_target at = { .target = str_of(target),
				 .style = style,
				 .level = LOG_LEVEL_INFO,
				 .facility = 16,
				 .has_requests = true,
				 .has_events = true };
	unsigned bad;

	return log_open(&at, 1, &bad, why);
}

void open_log(const char *target, enum log_style style)
{
	const char *why = "";

	if (try_log(target, style, &why) != 0)
		fail_msg("%s: %s", target, why);
}

char *slurp(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = xcalloc(1, 8 << 20);

	if (file) {
		size_t n = fread(text, 1, (8 << 20) - 1, file);

		text[n] = '\0';
		fclose(file);
	}
	return text;
}

unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}
