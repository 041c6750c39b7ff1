/* SPDX-License-Identifier: MIT */
/* access_log_line - a line of bounded size being written.  Used by access_log*.c alone. */
#ifndef SESSION_ACCESS_LOG_LINE_H
#define SESSION_ACCESS_LOG_LINE_H

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "session/access_log.h"

/* What does not fit is cut. */
struct line {
	char *p, *end;
};

static inline void put_bytes(struct line *line, const char *p, size_t n)
{
	size_t room = (size_t)(line->end - line->p);

	if (n > room)
		n = room;
	if (n)
		memcpy(line->p, p, n);
	line->p += n;
}

static inline void put_str(struct line *line, struct str s)
{
	put_bytes(line, s.p, s.len);
}

static inline void put_text(struct line *line, const char *text)
{
	put_bytes(line, text, strlen(text));
}

static inline void put_number(struct line *line, int64_t n)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%lld", (long long)n);

	put_bytes(line, text, (size_t)len);
}

static inline const char *version_text(const struct log_facts *facts)
{
	return facts->minor == LOG_HTTP_2 ? "HTTP/2.0" : facts->minor ? "HTTP/1.1" : "HTTP/1.0";
}

/* "1/2/3" */
static inline void put_numbers(struct line *line, const int64_t *numbers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (i)
			put_bytes(line, "/", 1);
		put_number(line, numbers[i]);
	}
}

#endif
