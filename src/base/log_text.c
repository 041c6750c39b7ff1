/* SPDX-License-Identifier: MIT */
/* log_text - what log lines look like: escaping and headers. */
#include "config.h"

#include "base/log_sink.h"

#include <stdio.h>
#include <string.h>

static const char *const level_names[LOG_LEVEL_N] = { "error", "warn", "info", "debug" };
static const uint8_t syslog_severities[LOG_LEVEL_N] = { 3, 4, 6, 7 };
static const char hex[] = "0123456789abcdef";

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

bool log_is_tag(struct str tag)
{
	if (!tag.len || tag.len > LOG_TAG_MAX)
		return false;
	for (size_t i = 0; i < tag.len; i++)
		if (tag.p[i] <= ' ' || tag.p[i] > '~' || tag.p[i] == '[' || tag.p[i] == ':')
			return false;
	return true;
}

/* The piece of TEXT up to the next NUL, which is taken off; empty when there is no more. */
static struct str next_piece(struct str *text)
{
	const char *nul = text->len ? memchr(text->p, '\0', text->len) : NULL;
	const char *end = text->p + text->len;
	struct str piece = nul ? str_sub(text->p, nul) : *text;

	*text = nul ? str_sub(nul + 1, end) : (struct str){ end, 0 };
	return piece;
}

/* What a message record is made of: LOG_RECORD_EVENT's form. */
struct message {
	struct str text, event, fields;
};

static struct message message_of(const struct log_record *record)
{
	struct message message = { .fields = record->text };

	if (record->kind != LOG_RECORD_EVENT)
		return (struct message){ .text = record->text };
	message.text = next_piece(&message.fields);
	message.event = next_piece(&message.fields);
	return message;
}

/* Bounded text; LOG_FORMATTED_MAX() leaves room for all. */
struct place {
	char *p, *end;
};

static void put(struct place *at, struct str s)
{
	size_t room = (size_t)(at->end - at->p);
	size_t n = s.len < room ? s.len : room;

	memcpy(at->p, s.p, n);
	at->p += n;
}

static void put_json(struct place *at, struct str s)
{
	at->p += log_json_escape(s, at->p, (size_t)(at->end - at->p));
}

static void put_json_field(struct place *at, struct str key, struct str value, bool is_number)
{
	put(at, STR(",\""));
	put(at, key);
	put(at, is_number ? STR("\":") : STR("\":\""));
	if (is_number)
		put(at, value);
	else
		put_json(at, value);
	put(at, is_number ? STR("") : STR("\""));
}

static void put_json_message(struct place *at, const struct message *message,
			     const struct log_record *record)
{
	char when[LOG_TIME_SIZE];
	struct str rest = message->fields;

	put(at, STR("{\"time\":\""));
	put(at, (struct str){ when, log_time_text(record->unix_ms, when) });
	put(at, STR("\""));
	put_json_field(at, STR("level"), str_of(level_names[record->level]), false);
	if (message->event.len)
		put_json_field(at, STR("event"), message->event, false);
	while (rest.len) {
		struct str key = next_piece(&rest), value = next_piece(&rest);

		if (!value.len)
			break;
		put_json_field(at, key, str_sub(value.p + 1, value.p + value.len),
			       value.p[0] == 'n');
	}
	put_json_field(at, STR("message"), message->text, false);
	put(at, STR("}"));
}

static void put_message(struct place *at, const struct log_form *form,
			const struct log_record *record)
{
	struct message message = message_of(record);
	char when[LOG_TIME_SIZE];

	if (form->style == LOG_STYLE_JSON) {
		put_json_message(at, &message, record);
		return;
	}
	if (form->style == LOG_STYLE_TEXT && form->header == LOG_HEADER_NONE) {
		log_time_text(record->unix_ms, when);
		at->p += snprintf(at->p, (size_t)(at->end - at->p), "%s %s[%d] %s: ", when,
				  form->tag, (int)form->pid, level_names[record->level]);
	}
	at->p += text_escape(message.text, at->p);
}

static const char *message_id(const struct log_record *record, char id[33])
{
	struct message message;

	if (record->kind == LOG_RECORD_LINE)
		return "request";
	message = message_of(record);
	if (!message.event.len || message.event.len > 32)
		return "-";
	memcpy(id, message.event.p, message.event.len);
	id[message.event.len] = '\0';
	return id;
}

static void put_header(struct place *at, struct log_form *form, const struct log_record *record)
{
	unsigned priority = form->facility * 8u + syslog_severities[record->level];
	size_t room = (size_t)(at->end - at->p);
	char when[LOG_TIME_SIZE], id[33];

	if (form->is_bsd) { /* RFC 3164 4.1 */
		bool has_host = form->header != LOG_HEADER_LOCAL;

		if (form->header != LOG_HEADER_NONE)
			at->p += snprintf(at->p, room, "<%u>", priority);
		log_time_bsd(record->unix_ms, when);
		at->p += snprintf(at->p, room - 8, "%s %s%s%s[%d]: ", when,
				  has_host ? form->host : "", has_host ? " " : "", form->tag,
				  (int)form->pid);
	} else if (form->header != LOG_HEADER_NONE) { /* RFC 5424 6 */
		form->sequence = form->sequence == INT32_MAX ? 1 : form->sequence + 1;
		log_time_text(record->unix_ms, when);
		at->p += snprintf(at->p, room, "<%u>1 %s %s %s %d %s [meta sequenceId=\"%u\"] ",
				  priority, when, form->host, form->tag, (int)form->pid,
				  message_id(record, id), form->sequence);
	}
}

size_t log_format(struct log_form *form, const struct log_record *record, char *out)
{
	struct place at = { out, out + LOG_FORMATTED_MAX(record->text.len) - 1 };
	struct str line = record->text;

	put_header(&at, form, record);
	if (record->kind == LOG_RECORD_LINE) {
		while (line.len && line.p[line.len - 1] == '\n')
			line.len--;
		put(&at, line);
	} else {
		put_message(&at, form, record);
	}
	if (form->header == LOG_HEADER_NONE)
		*at.p++ = '\n';
	return (size_t)(at.p - out);
}
