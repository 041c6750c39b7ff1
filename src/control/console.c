/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/console.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "model/server.h"
#include "session/traffic.h"

#define STEPS_PER_TURN 16
#define LINGER_MS      SEC(1)

static const char why_line[] = "The line is too long.";
static const char why_payload[] = "The payload is too long.";

static struct list consoles = { &consoles, &consoles };

/* Whether console_run() has more to do at once. */
enum go { GO_ON, GO_WAIT };

static void console_free(struct grave *grave)
{
	free(container_of(grave, struct console, grave));
}

static void end_command(struct console *console)
{
	if (console->run.state_free && console->run.state)
		console->run.state_free(console->run.state);
	console->run = (struct run){ .console = console };
	console->is_running = false;
	free(console->payload);
	console->payload = NULL;
	console->payload_len = 0;
}

static void end_line(struct console *console)
{
	free(console->line);
	console->line = NULL;
	console->rest = (struct line){ 0 };
}

void console_close(struct console *console)
{
	check_magic(console, CONSOLE_MAGIC);
	if (console->state == CONSOLE_CLOSED)
		return;
	console->state = CONSOLE_CLOSED;
	end_command(console);
	end_line(console);
	conn_close(&console->conn);
	timer_fini(&console_loop()->wheel, &console->timer);
	timer_fini(&console_loop()->wheel, &console->again);
	buf_release(&console->in);
	buf_release(&console->out);
	list_remove(&console->link);
	control_socket_release(console->socket);
	loop_bury(console_loop(), &console->grave, console_free);
}

void consoles_close(void)
{
	while (!list_is_empty(&consoles))
		console_close(list_entry(consoles.next, struct console, link));
}

static void put(struct console *console, const char *text)
{
	buf_append_str(&console->out, str_of(text));
}

static void put_timed_prompt(struct console *console)
{
	int64_t s = (clock_unix_ms() - process_state.started_unix_ms) / 1000;
	char text[64];

	snprintf(text, sizeof(text), "\n[%lld:%02d:%02d:%02d]> ", (long long)(s / 86400),
		 (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60));
	put(console, text);
}

/* What stands after every answer. */
static void put_end_of_answer(struct console *console)
{
	if (console->mode == MODE_PROMPT)
		put(console, "\n> ");
	else if (console->mode == MODE_PROMPT_TIMED)
		put_timed_prompt(console);
	else
		put(console, "\n");
}

static void put_payload_prompt(struct console *console)
{
	if (console->mode == MODE_PROMPT || console->mode == MODE_PROMPT_TIMED)
		put(console, "+ ");
}

/* Says why and ends the connection. */
static enum go give_up(struct console *console, const char *why)
{
	run_error(&console->run, "%s", why);
	put(console, "\n");
	console->state = CONSOLE_FLUSH;
	return GO_ON;
}

/*
 * A whole line at the front of console->in: its length without the newline, or -1.  *GO tells what
 * to do then.
 */
static ptrdiff_t read_line(struct console *console, size_t max, enum go *go, const char *too_long)
{
	for (;;) {
		ptrdiff_t at = str_find_char(buf_str(&console->in), '\n');
		size_t have = buf_length(&console->in);
		enum io io;

		*go = GO_ON;
		if (at >= 0 && (size_t)at < max)
			return at;
		if (at >= 0 || have >= max) {
			*go = give_up(console, too_long);
			return -1;
		}
		buf_reserve(&console->in, max - have);
		io = conn_recv(&console->conn, &console->in, max - have);
		if (!buf_length(&console->in))
			buf_release(&console->in);
		if (io == IO_OK)
			continue;
		if (io == IO_AGAIN)
			*go = GO_WAIT;
		else
			console->state = CONSOLE_FLUSH;
		return -1;
	}
}

static enum go on_line(struct console *console)
{
	enum go go;
	ptrdiff_t len = read_line(console, CONSOLE_LINE_MAX, &go, why_line);

	if (len < 0)
		return go;
	console->line = xstrndup((struct str){ buf_bytes(&console->in), (size_t)len });
	console->rest = line_of(console->line, (size_t)len);
	buf_consume(&console->in, (size_t)len + 1);
	console->state = CONSOLE_RUN;
	return GO_ON;
}

static enum go on_payload(struct console *console)
{
	size_t max = CONSOLE_PAYLOAD_MAX - console->payload_len;
	enum go go;
	ptrdiff_t len = read_line(console, max < CONSOLE_LINE_MAX ? max : CONSOLE_LINE_MAX, &go,
				  why_payload);
	struct str line;

	if (len < 0)
		return go;
	line = (struct str){ buf_bytes(&console->in), (size_t)len };
	if (line.len && line.p[line.len - 1] == '\r')
		line.len--;
	if (str_eq(line, console->words.pattern)) {
		console->run.payload = (struct str){ console->payload, console->payload_len };
		console->state = CONSOLE_RUN;
	} else {
		console->payload = xrealloc(console->payload, console->payload_len + line.len + 2);
		memcpy(console->payload + console->payload_len, line.p, line.len);
		console->payload_len += line.len;
		console->payload[console->payload_len++] = '\n';
		console->payload[console->payload_len] = '\0';
		put_payload_prompt(console);
	}
	buf_consume(&console->in, (size_t)len + 1);
	return GO_ON;
}

/* The next command of the line is in console->words: it begins. */
static void begin_command(struct console *console)
{
	struct run *run = &console->run;
	unsigned taken = 0;

	run->command = command_find(&console->words, &taken);
	run->args = console->words.words + taken;
	run->args_n = console->words.n - taken;
	console->is_running = true;
}

/* One step of the command under way; true when it has ended. */
static bool step_command(struct console *console)
{
	struct run *run = &console->run;

	if (console->words.is_too_many) {
		run_error(run, "Too many arguments. Commands must have at most %d arguments.",
			  LINE_WORDS_MAX);
		return true;
	}
	if (!console->words.n)
		return true;
	if (run->command->level > console->level) {
		run_error(run, "Permission denied");
		return true;
	}
	switch (run->command->fn(run)) {
	case RUN_DONE:
		return true;
	case RUN_MORE:
		return false;
	case RUN_WAIT:
		break;
	}
	console->state = CONSOLE_WAIT;
	return false;
}

static enum go on_run(struct console *console)
{
	if (!console->is_running) {
		if (!line_next(&console->rest, &console->words)) {
			end_line(console);
			console->state = console->mode == MODE_ONCE ? CONSOLE_FLUSH : CONSOLE_LINE;
			return GO_ON;
		}
		begin_command(console);
		if (console->words.has_payload) {
			console->payload = xcalloc(1, 1);
			put_payload_prompt(console);
			console->state = CONSOLE_PAYLOAD;
			return GO_ON;
		}
	}
	if (!step_command(console))
		return GO_ON;
	end_command(console);
	if (console->is_quit) {
		console->state = CONSOLE_FLUSH;
		return GO_ON;
	}
	put_end_of_answer(console);
	return GO_ON;
}

/* Reads what the peer still sends, so that our close does not become a reset of what it reads. */
static enum go on_linger(struct console *console)
{
	enum io io;

	for (int i = 0; i < STEPS_PER_TURN; i++) {
		buf_reserve(&console->in, BUF_SIZE);
		io = conn_recv(&console->conn, &console->in, BUF_SIZE);
		buf_release(&console->in);
		if (io == IO_AGAIN)
			return GO_WAIT;
		if (io != IO_OK)
			break;
	}
	console_close(console);
	return GO_WAIT;
}

static enum go on_flush(struct console *console)
{
	if (buf_length(&console->out))
		return GO_WAIT;
	buf_release(&console->in);
	conn_shutdown(&console->conn);
	console->state = CONSOLE_LINGER;
	loop_timer_in(console_loop(), &console->timer, LINGER_MS);
	return GO_ON;
}

static enum go console_step(struct console *console)
{
	switch (console->state) {
	case CONSOLE_LINE:
		return on_line(console);
	case CONSOLE_PAYLOAD:
		return on_payload(console);
	case CONSOLE_RUN:
		return on_run(console);
	case CONSOLE_FLUSH:
		return on_flush(console);
	case CONSOLE_LINGER:
		return on_linger(console);
	case CONSOLE_WAIT:
	case CONSOLE_CLOSED:
		break;
	}
	return GO_WAIT;
}

static void console_run(struct console *console)
{
	for (int steps = 0;; steps++) {
		if (console->state == CONSOLE_CLOSED)
			return;
		if (conn_send_buf(&console->conn, &console->out) == IO_FAIL) {
			console_close(console);
			return;
		}
		if (buf_length(&console->out) >= RUN_PIECE)
			return;
		if (steps >= STEPS_PER_TURN) {
			loop_timer_in(console_loop(), &console->again, 1);
			return;
		}
		if (console_step(console) == GO_WAIT)
			return;
	}
}

static void keep_alive(struct console *console)
{
	if (console->state != CONSOLE_LINGER && console->state != CONSOLE_CLOSED)
		loop_timer_in(console_loop(), &console->timer, console->idle_ms);
}

static void on_event(struct conn *conn, enum conn_ev ev)
{
	struct console *console = container_of(conn, struct console, conn);

	(void)ev;
	if (conn->is_broken && console->state == CONSOLE_WAIT) {
		console_close(console); /* nobody is there to take the answer */
		return;
	}
	keep_alive(console);
	console_run(console);
}

static void on_idle(struct timer *timer)
{
	struct console *console = container_of(timer, struct console, timer);

	/* The peer waits for us then, not we for it. */
	if (console->state == CONSOLE_WAIT)
		keep_alive(console);
	else
		console_close(console);
}

static void on_again(struct timer *timer)
{
	struct console *console = container_of(timer, struct console, again);

	keep_alive(console);
	console_run(console);
}

void run_wake(struct console *console)
{
	check_magic(console, CONSOLE_MAGIC);
	if (console->state != CONSOLE_WAIT)
		return;
	console->state = CONSOLE_RUN;
	keep_alive(console);
	console_run(console);
}

struct console *console_open(struct control_socket *socket, int fd)
{
	struct console *console = xcalloc(1, sizeof(*console));

	console->magic = CONSOLE_MAGIC;
	console->socket = socket;
	socket->consoles_n++;
	console->level = socket->level;
	console->idle_ms = CONSOLE_IDLE_MS;
	console->run.console = console;
	list_push_back(&consoles, &console->link);
	timer_init(&console->timer, on_idle);
	timer_init(&console->again, on_again);
	conn_init(&console->conn, fd, on_event);
	if (conn_watch(console_loop(), &console->conn) != 0) {
		console_close(console);
		return console;
	}
	loop_timer_in(console_loop(), &console->timer, console->idle_ms);
	console_run(console);
	return console;
}
