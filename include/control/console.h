/* SPDX-License-Identifier: MIT */
/*
 * console - one connection to a stats socket.
 *
 *   LINE -> (PAYLOAD) -> RUN <-> WAIT -> LINE ...          interactive
 *                                     \-> FLUSH -> LINGER -> CLOSED   after one line, else
 *
 * Bounded: a line by CONSOLE_LINE_MAX, a payload by CONSOLE_PAYLOAD_MAX, the answer that a reader
 * does not take by about twice RUN_PIECE, silence by the idle time, and connections per socket by
 * CONSOLES_MAX (more wait in the socket's backlog).
 */
#ifndef CONTROL_CONSOLE_H
#define CONTROL_CONSOLE_H

#include "base/buf.h"
#include "base/list.h"
#include "control/command.h"
#include "net/conn.h"
#include "net/listener.h"

#define CONSOLE_LINE_MAX    16384u
#define CONSOLE_PAYLOAD_MAX 131072u
#define CONSOLE_IDLE_MS     SEC(10)
#define CONSOLES_MAX        10

enum console_state {
	CONSOLE_LINE,    /* waiting for a line */
	CONSOLE_PAYLOAD, /* waiting for the rest of the payload */
	CONSOLE_RUN,     /* a command runs, or the next one of the line is about to */
	CONSOLE_WAIT,    /* the command waits for run_wake() */
	CONSOLE_FLUSH,   /* over but for what the reader has not taken yet */
	CONSOLE_LINGER,  /* our side is shut; waiting for the peer to close */
	CONSOLE_CLOSED,  /* in the graveyard */
};

enum console_mode { MODE_ONCE, MODE_INTERACTIVE, MODE_PROMPT, MODE_PROMPT_TIMED };
enum severity_output { SEVERITY_OUTPUT_NONE, SEVERITY_OUTPUT_NUMBER, SEVERITY_OUTPUT_STRING };

/* A listening socket; lives until it is closed and its last console is. */
struct control_socket {
	struct acceptor acceptor;
	struct list link;
	struct sock_addr addr;
	char *text; /* (own) as configured */
	enum ctl_level level;
	mode_t unix_mode;
	unsigned consoles_n;
	bool is_closed;
	struct grave grave;
};

struct console {
	unsigned magic;
	enum console_state state;
	struct conn conn;
	struct timer timer; /* idle */
	struct timer again; /* goes on with a long answer after the others */
	struct list link;
	struct control_socket *socket; /* (ref) counted in consoles_n */
	struct buf in, out;
	enum ctl_level level; /* may only go down */
	enum console_mode mode;
	enum severity_output severity;
	int64_t idle_ms;
	char *line;              /* (own) the line under way */
	struct line rest;        /* of it */
	struct line_words words; /* of the command under way: views into line */
	char *payload;           /* (own) */
	size_t payload_len;
	struct run run;
	bool is_running; /* run->command is under way */
	bool is_quit;    /* no answer for this one, and the end */
	struct grave grave;
};
#define CONSOLE_MAGIC 0x434f4e53u

/* FD is taken over.  (view) for tests; it may be closed already. */
struct console *console_open(struct control_socket *socket, int fd);
void console_close(struct console *console); /* idempotent */
void consoles_close(void);                   /* all */

/* control.c's: the open sockets; a console of SOCKET has closed. */
struct list *control_sockets(void);
void control_socket_release(struct control_socket *socket);

#endif
