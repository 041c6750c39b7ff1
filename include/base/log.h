/* SPDX-License-Identifier: MIT */
/*
 * log - messages of the program, and the lines of requests, to one target.
 *
 * log_error() ... log_debug() format one line and hand it to the sink; log_line() hands over a line
 * that is complete.  Before log_open() lines go to stderr at once.  After it, a line is copied into
 * the calling thread's buffer, which a writer thread empties: the caller never blocks, and when the
 * target is too slow whole lines are dropped and counted (log_dropped()).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_N };
enum log_style { LOG_STYLE_TEXT, LOG_STYLE_JSON };

/* Written at start and by reload; every access is a relaxed atomic one. */
extern enum log_level log_threshold;
#define log_wants(level) (__atomic_load_n(&log_threshold, __ATOMIC_RELAXED) >= (level))

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)                                                                              \
	(log_wants(LOG_LEVEL_WARN) ? log_message(LOG_LEVEL_WARN, __VA_ARGS__) : (void)0)
#define log_info(...)                                                                              \
	(log_wants(LOG_LEVEL_INFO) ? log_message(LOG_LEVEL_INFO, __VA_ARGS__) : (void)0)
#define log_debug(...)                                                                             \
	(log_wants(LOG_LEVEL_DEBUG) ? log_message(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)

void log_message(enum log_level level, const char *fmt, ...) printf_like(2, 3);
/*
 * One complete line of LEVEL, without time stamp or newline added: LINE ends in '\n'.  It is
 * dropped (not counted) when LEVEL is not wanted.  At most LOG_LINE_MAX bytes; the rest is cut off.
 */
#define LOG_LINE_MAX 32768
void log_line(enum log_level level, struct str line);

/*
 * TARGET: stderr, stdout, none, file:/path, syslog, unix:/dev/log, udp:host:port.  0 or negative
 * errno with *WHY.  May be called again (reload).  Starts the writer thread at the first call.
 */
int log_open(struct str target, enum log_style style, enum log_level level,
	     const char **why) must_check;
void log_reopen(void); /* SIGUSR1: opens the file again */
void log_close(void);  /* writes what is left (bounded wait), ends the writer */
uint64_t log_dropped(void);

/* "2026-11-22T13:24:05.123Z" of a wall-clock instant; OUT has LOG_TIME_SIZE bytes. */
#define LOG_TIME_SIZE 32
size_t log_time_text(int64_t unix_ms, char out[LOG_TIME_SIZE]);
/* Appends S as the inside of a JSON string, escaped; never more than SIZE bytes; length written. */
size_t log_json_escape(struct str s, char *out, size_t size);

#endif
