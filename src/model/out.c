/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/out.h"

#include <stdio.h>
#include <stdlib.h>

void out_init(struct out *out)
{
	*out = (struct out){ .size = 4096 };
	out->p = xmalloc(out->size);
	out->p[0] = '\0';
}

void out_fini(struct out *out)
{
	free(out->p);
	*out = (struct out){ 0 };
}

static void out_reserve(struct out *out, size_t more)
{
	while (out->size - out->len <= more) {
		out->size *= 2;
		out->p = xrealloc(out->p, out->size);
	}
}

void out_text(struct out *out, struct str text)
{
	out_reserve(out, text.len);
	if (text.len)
		memcpy(out->p + out->len, text.p, text.len);
	out->len += text.len;
	out->p[out->len] = '\0';
}

void out_format(struct out *out, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	bug_on(n < 0);
	out_reserve(out, (size_t)n);
	vsnprintf(out->p + out->len, (size_t)n + 1, fmt, again);
	va_end(again);
	out->len += (size_t)n;
}

/* No reader of YAML takes it for anything but text. */
static bool is_safe_plain(struct str text)
{
	static const char *const words[] = { "null", "true", "false", "yes", "no",
					     "on",   "off",  "y",     "n" };

	for (size_t i = 0; i < ARRAY_N(words); i++)
		if (str_ieq(text, str_of(words[i])))
			return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];
		bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/';
		bool is_more = (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';

		if (!is_letter && (i == 0 || !is_more))
			return false;
	}
	return text.len > 0;
}

void out_scalar(struct out *out, struct str text)
{
	if (is_safe_plain(text)) {
		out_text(out, text);
		return;
	}
	out_text(out, STR("\""));
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '"' || c == '\\')
			out_format(out, "\\%c", c);
		else if (c == '$')
			out_text(out, STR("$$"));
		else if (c < 0x20 || c == 0x7f)
			out_format(out, "\\x%02x", c);
		else
			out_text(out, (struct str){ text.p + i, 1 });
	}
	out_text(out, STR("\""));
}
