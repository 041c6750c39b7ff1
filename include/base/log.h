/* SPDX-License-Identifier: MIT */
/*
 * log - messages and events of the program, and the lines of requests, to up to four targets.
 *
 * log_error() ... log_debug() format one message and hand it over; log_event() adds a name and
 * fields, which the JSON form shows; log_line() hands over a line that is complete.  Before
 * log_open() messages go to stderr at once.  After it, a record is copied into the calling thread's
 * ring, which a writer thread empties: the caller never blocks, and when a target is away or too
 * slow whole lines are dropped, counted (log_dropped()) and told of when it is back.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_N };
/*
 * The header of syslog messages.  AUTO: RFC 3164 for LOG_STYLE_HAPROXY and for the socket of
 * systemd-journald, which reads no other; else RFC 5424.
 */
enum log_syslog { LOG_SYSLOG_AUTO, LOG_SYSLOG_5424, LOG_SYSLOG_3164 };
enum log_style { LOG_STYLE_TEXT, LOG_STYLE_JSON, LOG_STYLE_HAPROXY, LOG_STYLE_N };

/* Written at start and by reload; every access is a relaxed atomic one. */
extern enum log_level log_threshold;
#define log_wants(level) (__atomic_load_n(&log_threshold, __ATOMIC_RELAXED) >= (level))
/* Bit STYLE is set when a target wants request lines of that style. */
extern unsigned log_line_styles;
#define log_wants_line(style)                                                                      \
	(log_wants(LOG_LEVEL_INFO) &&                                                              \
	 (__atomic_load_n(&log_line_styles, __ATOMIC_RELAXED) & 1u << (style)))
#define log_wants_lines()                                                                          \
	(log_wants(LOG_LEVEL_INFO) && __atomic_load_n(&log_line_styles, __ATOMIC_RELAXED))

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)                                                                              \
	(log_wants(LOG_LEVEL_WARN) ? log_message(LOG_LEVEL_WARN, __VA_ARGS__) : (void)0)
#define log_info(...)                                                                              \
	(log_wants(LOG_LEVEL_INFO) ? log_message(LOG_LEVEL_INFO, __VA_ARGS__) : (void)0)
#define log_debug(...)                                                                             \
	(log_wants(LOG_LEVEL_DEBUG) ? log_message(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)

void log_message(enum log_level level, const char *fmt, ...) printf_like(2, 3);

/* TEXT, or NUMBER when TEXT is NULL.  KEY: letters, digits and '_'. */
struct log_field {
	const char *key; /* NULL ends the list */
	const char *text;
	int64_t number;
};
#define LOG_FIELDS(...)                                                                            \
	(const struct log_field[])                                                                 \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, NULL, 0                                                              \
		}                                                                                  \
	}
/*
 * Something happened that programs may want to follow: the message, and EVENT (a name of at most 32
 * letters, digits and '_', listed in limpet.yaml(5)) with FIELDS, as LOG_FIELDS() makes them, or
 * NULL.  What does not fit into 4 KiB with the message is left out.
 */
void log_event(enum log_level level, const char *event, const struct log_field *fields,
	       const char *fmt, ...) printf_like(4, 5);

/*
 * One complete line of a request in STYLE, without header or newline added: LINE may end in '\n'.
 * It goes to the targets that want lines of that style, at LOG_LEVEL_INFO.  At most LOG_LINE_MAX
 * bytes; the rest is cut off.
 */
#define LOG_LINE_MAX 32768
void log_line(enum log_style style, struct str line);

#define LOG_TARGETS_MAX 4
struct log_target {
	struct str target; /* stderr, stdout, none, file:/path, syslog, unix:/dev/log,
			      udp:host:port */
	enum log_style style;
	enum log_level level;
	enum log_syslog syslog;
	uint8_t facility; /* 0..23: of syslog */
	struct str tag;   /* the program's name in headers; "" = limpet */
	bool has_requests, has_events;
};

/*
 * Puts N targets in force, all or none: 0, or negative errno with *WHY and the number of the bad
 * one in *BAD.  May be called again (reload).  Starts the writer thread at the first call.
 */
int log_open(const struct log_target *targets, unsigned n, unsigned *bad,
	     const char **why) must_check;
void log_reopen(void); /* SIGUSR1: opens files again */
void log_close(void);  /* writes what is left (bounded wait), ends the writer */
uint64_t log_dropped(void);

#define LOG_TAG_MAX 48           /* RFC 5424 6: APP-NAME */
bool log_is_tag(struct str tag); /* 1 to LOG_TAG_MAX printable ASCII characters, no '[', ':' */

/* "2026-11-22T13:24:05.123Z" of a wall-clock instant; OUT has LOG_TIME_SIZE bytes. */
#define LOG_TIME_SIZE 32
size_t log_time_text(int64_t unix_ms, char out[LOG_TIME_SIZE]);
/* The same in local time, as HAProxy writes it: "22/Nov/2026:14:24:05.123". */
size_t log_time_clf(int64_t unix_ms, char out[LOG_TIME_SIZE]);
/* And as RFC 3164 4.1.2 has it: "Nov 22 14:24:05". */
size_t log_time_bsd(int64_t unix_ms, char out[LOG_TIME_SIZE]);
/* Appends S as the inside of a JSON string, escaped; never more than SIZE bytes; length written. */
size_t log_json_escape(struct str s, char *out, size_t size);

#endif
