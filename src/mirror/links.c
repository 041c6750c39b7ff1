/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/links.h"

#include <stdio.h>
#include <string.h>

#define RUN_ID_SIZE 64

static struct {
	struct links_options options;
	struct redis *commands, *stream; /* (own) NULL = closed */
	bool is_commands_up, is_ready, is_stream_up;
	char run_id[RUN_ID_SIZE]; /* "" = not known */
} links;

static void on_info(void *arg, const redisReply *reply);

static void on_commands_up(void *arg)
{
	const char *words[] = { "INFO", "server" };
	const size_t sizes[] = { 4, 6 };

	(void)arg;
	links.is_commands_up = true;
	if (redis_command(links.commands, on_info, NULL, 2, words, sizes) != 0)
		redis_drop(links.commands, "no room for the first command");
}

/* The value in the line "run_id:VALUE". */
static void find_run_id(struct str info, char run_id[RUN_ID_SIZE])
{
	ptrdiff_t at = str_find(info, STR("run_id:"));
	size_t n = 0;

	run_id[0] = '\0';
	if (at < 0)
		return;
	info.p += at + 7;
	info.len -= (size_t)at + 7;
	while (n < info.len && n < RUN_ID_SIZE - 1 && (unsigned char)info.p[n] > ' ') {
		run_id[n] = info.p[n];
		n++;
	}
	run_id[n] = '\0';
}

static void on_info(void *arg, const redisReply *reply)
{
	char run_id[RUN_ID_SIZE] = "";
	bool is_other;

	(void)arg;
	if (!reply || !links.commands)
		return;
	/* Who may not ask gets no answer; then the stream alone tells. */
	if (reply->type == REDIS_REPLY_STRING)
		find_run_id((struct str){ reply->str, reply->len }, run_id);
	is_other = run_id[0] && links.run_id[0] && strcmp(run_id, links.run_id) != 0;
	if (run_id[0])
		snprintf(links.run_id, sizeof(links.run_id), "%s", run_id);
	if (is_other && links.stream && links.is_stream_up)
		redis_drop(links.stream, "another Redis is the master now");
	links.is_ready = true;
	links.options.on_ready(is_other);
}

static void on_commands_down(void *arg, const char *why)
{
	bool was_up = links.is_commands_up;

	(void)arg;
	links.is_commands_up = links.is_ready = false;
	links.options.on_lost(why, was_up);
}

static void on_stream_up(void *arg)
{
	(void)arg;
	links.is_stream_up = true;
	links.options.on_stream(links.stream);
}

static void on_stream_down(void *arg, const char *why)
{
	bool was_up = links.is_stream_up;

	(void)arg;
	links.is_stream_up = false;
	if (was_up)
		links.options.on_stream(NULL);
	links.options.on_lost(why, was_up);
}

void links_init(const struct links_options *options)
{
	links.options = *options;
}

void links_open(const struct redis_options *options)
{
	static const struct redis_events commands = { .on_up = on_commands_up,
						      .on_down = on_commands_down };
	static const struct redis_events stream = { .on_up = on_stream_up,
						    .on_down = on_stream_down };
	struct redis_options named = *options;

	links_close();
	named.name = "commands";
	links.commands = redis_new(links.options.loop, &named, &commands);
	named.name = "stream";
	links.stream = redis_new(links.options.loop, &named, &stream);
}

void links_close(void)
{
	struct redis *commands = links.commands, *stream = links.stream;

	links.is_commands_up = links.is_ready = links.is_stream_up = false;
	links.commands = links.stream = NULL;
	redis_free(commands);
	redis_free(stream);
}

void links_forget(void)
{
	links.run_id[0] = '\0';
}

struct redis *links_commands(void)
{
	return links.is_ready ? links.commands : NULL;
}

const char *links_where(void)
{
	return links.commands ? redis_where(links.commands) : "";
}
