/* SPDX-License-Identifier: MIT */
/* show errors, clear errors: the last bad request of each frontend and response of each backend. */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/stat.h"
#include "model/server.h"
#include "session/capture.h"

#define LINE_WIDTH 79 /* columns of a dumped line, without what hands it on */

enum show_part { PART_REQUESTS, PART_RESPONSES, PART_END };

/* Where a "show errors" stands. */
struct show {
	enum show_part part;
	bool wants_requests, wants_responses;
	uint32_t only; /* id of a proxy; 0 = all */
	uint32_t at;   /* id of the proxy that is shown, or was last */
	bool is_in_dump;
	size_t position, line_at; /* next byte; where its line began */
	struct capture capture;
};

static uint32_t find_proxy(struct str name)
{
	uint64_t id;

	for (struct frontend_state *f = frontend_state_first(); f; f = f->next)
		if (str_eq(name, str_of(f->name)))
			return f->id;
	for (struct backend_state *b = backend_state_first(); b; b = b->next)
		if (str_eq(name, str_of(b->name)))
			return b->id;
	if (name.len && name.p[0] == '#')
		name = str_sub(name.p + 1, name.p + name.len);
	return str_to_u64(name, UINT32_MAX, &id) == 0 ? (uint32_t)id : 0;
}

static bool read_direction(struct str word, struct show *show)
{
	if (!str_eq(word, STR("request")) && !str_eq(word, STR("response")))
		return false;
	show->wants_requests = str_eq(word, STR("request"));
	show->wants_responses = !show->wants_requests;
	return true;
}

/* False: an error was told. */
static bool read_arguments(struct run *run, struct show *show)
{
	show->wants_requests = show->wants_responses = true;
	if (run->args_n == 0 || (run->args_n == 1 && read_direction(run->args[0], show)))
		return true;
	show->only = find_proxy(run->args[0]);
	if (!show->only) {
		run_error(run, "No such proxy.");
		return false;
	}
	if (run->args_n == 1 || read_direction(run->args[1], show))
		return true;
	run_error(run, "Expects 'request' or 'response'.");
	return false;
}

static void print_date(struct run *run, const char *before, int64_t unix_ms, const char *after)
{
	char date[LOG_TIME_SIZE];

	log_time_clf(unix_ms, date);
	run_print(run, "%s[%s]%s", before, date, after);
}

static bool is_wanted(const struct show *show)
{
	const struct capture_facts *facts = &show->capture.facts;

	return !show->only || facts->frontend->id == show->only ||
	       (facts->backend && facts->backend->id == show->only);
}

/* The next capture that is wanted; false: there is none. */
static bool next_capture(struct show *show)
{
	for (; show->part < PART_END; show->part++, show->at = 0) {
		bool is_response = show->part == PART_RESPONSES;

		if (!(is_response ? show->wants_responses : show->wants_requests))
			continue;
		while ((show->at = capture_next(is_response, show->at, &show->capture)) != 0)
			if (is_wanted(show))
				return true;
	}
	return false;
}

static void print_places(struct run *run, const struct capture *capture)
{
	const struct capture_facts *facts = &capture->facts;
	struct server *server = facts->server;
	char source[ADDR_TEXT_SIZE];

	print_date(run, " \n", capture->unix_ms, "");
	if (capture->is_response) {
		run_print(run, " backend %s (#%u): invalid response\n", facts->backend->name,
			  facts->backend->id);
		run_print(run, "  frontend %s (#%u)", facts->frontend->name, facts->frontend->id);
	} else {
		run_print(run, " frontend %s (#%u): invalid request\n", facts->frontend->name,
			  facts->frontend->id);
		run_print(run, "  backend %s (#%d)",
			  facts->backend ? facts->backend->name : "<NONE>",
			  facts->backend ? (int)facts->backend->id : -1);
	}
	run_print(run, ", server %s (#%d), event #%llu, src %s\n", server ? server->name : "<NONE>",
		  server ? (int)stat_sid(server) : -1, (unsigned long long)capture->event,
		  ip_addr_text(&facts->source, source).p);
}

static void print_facts(struct run *run, const struct capture *capture)
{
	size_t room = capture->length < CAPTURE_SIZE ? CAPTURE_SIZE - capture->length : 0;

	print_places(run, capture);
	run_print(run,
		  "  buffer starts at %llu (including 0 out), %zu free,\n"
		  "  len %zu, wraps at %u, error at position %zu\n"
		  "  HTTP/1 parser: %s, %s :\n  \n",
		  (unsigned long long)capture->facts.offset, room, capture->length, CAPTURE_SIZE,
		  capture_error_at(capture),
		  capture->facts.error_at == CAPTURE_HEAD ? "head" : "body", capture->facts.why);
}

/* One byte as it is shown; its length. */
static unsigned escape(unsigned char c, char out[5])
{
	static const char letters[] = "\tt\nn\rr\033e\\\\"; /* pairs: byte, letter */

	for (const char *pair = letters; *pair; pair += 2) {
		if (c != (unsigned char)pair[0])
			continue;
		out[0] = '\\';
		out[1] = pair[1];
		return 2;
	}
	if (c >= ' ' && c < 0x7f) {
		out[0] = (char)c;
		return 1;
	}
	return (unsigned)snprintf(out, 5, "\\x%02X", c);
}

/* A line of the dump: up to a line's end of the message, or as far as the width goes. */
static void print_line(struct run *run, struct show *show, size_t kept)
{
	char text[LINE_WIDTH + 8];
	int n = snprintf(text, sizeof(text), "  %05zu%c ", show->position,
			 show->position == show->line_at ? ' ' : '+');
	size_t length = n > 0 ? (size_t)n : 0;

	while (show->position < kept) {
		unsigned char c = (unsigned char)show->capture.bytes[show->position];
		char shown[5];
		unsigned size = escape(c, shown);

		if (length + size > LINE_WIDTH)
			break;
		memcpy(text + length, shown, size);
		length += size;
		show->position++;
		if (c == '\n') {
			show->line_at = show->position;
			break;
		}
	}
	run_print(run, "%.*s\n", (int)length, text);
}

static bool dump(struct run *run, struct show *show)
{
	size_t kept = show->capture.length < CAPTURE_SIZE ? show->capture.length : CAPTURE_SIZE;

	while (show->position < kept && !run_is_full(run))
		print_line(run, show, kept);
	return show->position == kept;
}

enum run_step command_show_errors(struct run *run)
{
	struct show *show = run->state;

	if (!show) {
		char total[32];

		show = run->state = xcalloc(1, sizeof(*show));
		run->state_free = free;
		if (!read_arguments(run, show))
			return RUN_DONE;
		snprintf(total, sizeof(total), " : %llu\n", (unsigned long long)capture_events());
		print_date(run, "Total events captured on ", clock_unix_ms(), total);
	}
	while (!run_is_full(run)) {
		if (!show->is_in_dump) {
			if (!next_capture(show))
				return RUN_DONE;
			print_facts(run, &show->capture);
			show->position = show->line_at = 0;
		}
		show->is_in_dump = !dump(run, show);
	}
	return RUN_MORE;
}

enum run_step command_clear_errors(struct run *run unused_arg)
{
	capture_clear();
	return RUN_DONE;
}
