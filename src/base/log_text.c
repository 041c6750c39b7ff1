/* SPDX-License-Identifier: MIT */
/* log_text - what log lines look like: escaping, time stamps, headers. */
#include "config.h"

#include "base/log_sink.h"

#include <stdio.h>
#include <string.h>

static const char *const level_names[LOG_LEVEL_N] = { "error", "warn", "info", "debug" };
static const uint8_t syslog_severities[LOG_LEVEL_N] = { 3, 4, 6, 7 };
#define SYSLOG_FACILITY_DAEMON 3
static const char hex[] = "0123456789abcdef";

static void put_digits(char *out, unsigned value, unsigned n)
{
	while (n-- > 0) {
		out[n] = (char)('0' + value % 10);
		value /= 10;
	}
}

/* Not gmtime_r(): in glibc that takes a lock which all threads share. */
size_t log_time_text(int64_t unix_ms, char out[LOG_TIME_SIZE])
{
	static const char form[] = "0000-00-00T00:00:00.000Z";
	const int64_t last_ms = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */
	int64_t ms = unix_ms < 0 ? 0 : unix_ms > last_ms ? last_ms : unix_ms;
	unsigned in_day = (unsigned)(ms / 1000 % 86400);
	/* Days since 0000-03-01, in eras of 400 years (146097 days): leap days come last. */
	unsigned days = (unsigned)(ms / 86400000) + 719468;
	unsigned in_era = days % 146097;
	unsigned year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned month = (5 * in_year + 2) / 153; /* 0 = March */
	unsigned day = in_year - (153 * month + 2) / 5 + 1;

	month = month < 10 ? month + 3 : month - 9;
	memcpy(out, form, sizeof(form));
	put_digits(out, year_of_era + days / 146097 * 400 + (month <= 2), 4);
	put_digits(out + 5, month, 2);
	put_digits(out + 8, day, 2);
	put_digits(out + 11, in_day / 3600, 2);
	put_digits(out + 14, in_day / 60 % 60, 2);
	put_digits(out + 17, in_day % 60, 2);
	put_digits(out + 20, (unsigned)(ms % 1000), 3);
	return sizeof(form) - 1;
}

/* Bytes of the UTF-8 character at P (RFC 3629); 0 when it is none, or a control of one of the C
 * sets. */
static unsigned utf8_size(const unsigned char *p, size_t left)
{
	unsigned size = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0x20 || p[0] == 0x7f || p[0] > 0xf4 || size == 0 || size > left)
		return 0;
	for (unsigned i = 1; i < size; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ||
	    (p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	return size;
}

/* One escaped byte in JSON; its length. */
static unsigned json_escape_byte(unsigned char c, char out[6])
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: byte, letter */

	for (const char *pair = letters; *pair; pair += 2) {
		if (c != (unsigned char)pair[0])
			continue;
		out[0] = '\\';
		out[1] = pair[1];
		return 2;
	}
	memcpy(out, "\\u00", 4);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return 6;
}

size_t log_json_escape(struct str s, char *out, size_t size)
{
	size_t length = 0;

	for (size_t i = 0; i < s.len;) {
		const unsigned char *p = (const unsigned char *)s.p + i;
		unsigned taken = utf8_size(p, s.len - i);
		char escaped[6];
		unsigned n = taken;
		const char *from = (const char *)p;

		if (taken == 0 || *p == '"' || *p == '\\') {
			n = json_escape_byte(*p, escaped);
			from = escaped;
			taken = 1;
		}
		if (n > size - length)
			break;
		memcpy(out + length, from, n);
		length += n;
		i += taken;
	}
	return length;
}

/* Keeps a message on one line, and terminals from obeying it: "\x1b". */
static size_t text_escape(struct str s, char *out)
{
	size_t length = 0;

	for (size_t i = 0; i < s.len;) {
		const unsigned char *p = (const unsigned char *)s.p + i;
		unsigned taken = utf8_size(p, s.len - i);

		if (taken) {
			memcpy(out + length, p, taken);
			length += taken;
			i += taken;
			continue;
		}
		memcpy(out + length, "\\x", 2);
		out[length + 2] = hex[*p >> 4];
		out[length + 3] = hex[*p & 15];
		length += 4;
		i++;
	}
	return length;
}

static size_t format_message(const struct log_form *form, const struct log_record *record,
			     char *out)
{
	char when[LOG_TIME_SIZE];
	size_t size = LOG_FORMATTED_MAX(record->text.len);
	size_t length = 0;

	log_time_text(record->unix_ms, when);
	if (form->style == LOG_STYLE_JSON) {
		length = (size_t)snprintf(out, size,
					  "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"", when,
					  level_names[record->level]);
		length += log_json_escape(record->text, out + length, size - length);
		memcpy(out + length, "\"}", 2);
		return length + 2;
	}
	if (!form->is_syslog)
		length = (size_t)snprintf(out, size, "%s limpet[%d] %s: ", when, (int)form->pid,
					  level_names[record->level]);
	return length + text_escape(record->text, out + length);
}

size_t log_format(const struct log_form *form, const struct log_record *record, char *out)
{
	size_t length = 0;

	if (form->is_syslog) { /* RFC 5424 6 */
		char when[LOG_TIME_SIZE];

		log_time_text(record->unix_ms, when);
		length = (size_t)snprintf(out, LOG_FORMATTED_MAX(0), "<%u>1 %s %s limpet %d - - ",
					  SYSLOG_FACILITY_DAEMON * 8u +
						  syslog_severities[record->level],
					  when, form->host, (int)form->pid);
	}
	if (record->is_message) {
		length += format_message(form, record, out + length);
	} else {
		memcpy(out + length, record->text.p, record->text.len);
		length += record->text.len;
		while (length && out[length - 1] == '\n')
			length--;
	}
	if (!form->is_syslog)
		out[length++] = '\n';
	return length;
}
