/* SPDX-License-Identifier: MIT */
/* log_rig - a directory with a log file in it, for the tests of base/log. */
#ifndef LOG_RIG_H
#define LOG_RIG_H

#include "base/log.h"

extern char log_dir[], *log_file_path, *log_file_target; /* the target is "file:PATH" */

/* Fixtures: of the group, and after each test that writes the file. */
int log_rig_start(void **state);
int log_rig_end(void **state);
int log_rig_forget_file(void **state);

int try_log(const char *target, enum log_style style, const char **why);
void open_log(const char *target, enum log_style style); /* fails the test */
char *slurp(const char *path); /* (own) what is in the file, NUL-terminated */
unsigned count_lines(const char *text);

#endif
