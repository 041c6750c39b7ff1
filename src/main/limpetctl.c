/* SPDX-License-Identifier: MIT */
/*
 * limpetctl - asks a running Limpet on its stats socket.
 *
 * One command is one connection: "set severity-output number;COMMAND", the answer, the end.  The
 * number tells whether the command has failed.  Answers come line by line and an empty line ends
 * each; on a terminal those that are tables are collected and printed in aligned columns, the
 * others pass through as they come.
 *
 * Exit status: 0 done, 1 the command failed, 2 wrong usage, or no connection.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "main/ctl_table.h"
#include "net/addr.h"

#define SOCKET_DEFAULT  "/run/limpet/limpet.sock"
#define ANSWER_WAIT_MS  60000
#define WATCH_DEFAULT_S 2

enum { EXIT_DONE, EXIT_COMMAND, EXIT_USAGE };

static struct {
	const char *socket;
	bool is_raw; /* no tables: -r, or not a terminal */
	bool is_json;
	bool has_colours;
	double watch_s; /* 0 = once */
} options;

struct answer {
	unsigned nth;       /* 0: that to set severity-output */
	bool is_begun;      /* its first line has been seen */
	bool is_error;      /* this answer's messages */
	bool is_table;      /* lines are kept in table */
	bool is_after_text; /* something was printed before: an empty line stands between */
	bool has_failed;    /* any has */
	struct lines table;
};

static void complain(const char *text, const char *detail)
{
	fprintf(stderr, "limpetctl: %s%s%s\n", text, detail ? ": " : "", detail ? detail : "");
}

/*
 * Answers.
 */
static void print_line(struct answer *answer, struct str line)
{
	FILE *to = answer->is_error ? stderr : stdout;

	fwrite(line.p, 1, line.len, to);
	putc('\n', to);
}

static void begin_answer(struct answer *answer, struct str *line)
{
	struct str l = *line;

	answer->is_begun = true;
	answer->is_error = false;
	if (l.len > 4 && l.p[0] == '[' && l.p[1] >= '0' && l.p[1] <= '7' && l.p[2] == ']') {
		answer->is_error = l.p[1] <= '3';
		answer->has_failed = answer->has_failed || answer->is_error;
		*line = (struct str){ l.p + 5, l.len - 5 };
	}
	if (answer->nth > 1 && answer->is_after_text && !answer->is_error && !options.is_json)
		putchar('\n');
	answer->is_after_text = true;
	answer->is_table = !answer->is_error &&
			   (options.is_json || (!options.is_raw && table_is_first_line(l)));
}

static void end_answer(struct answer *answer)
{
	if (options.is_json && answer->is_table)
		answer_json(&answer->table);
	else if (answer->table.n > 1)
		table_print(&answer->table, options.has_colours);
	else if (answer->table.n)
		puts(answer->table.all[0]);
	lines_clear(&answer->table);
	answer->is_begun = answer->is_table = false;
	answer->nth++;
}

static void on_line(struct answer *answer, struct str line)
{
	if (!line.len) {
		if (answer->nth)
			end_answer(answer);
		else
			answer->nth++;
		return;
	}
	if (!answer->is_begun)
		begin_answer(answer, &line);
	if (answer->is_table)
		lines_add(&answer->table, line);
	else
		print_line(answer, line);
}

/*
 * The connection.
 */
static int open_socket(void)
{
	const char *text = options.socket;
	struct sock_addr addr;
	char unix_text[ADDR_TEXT_SIZE];
	int fd;

	if (text[0] == '/' || text[0] == '.') {
		snprintf(unix_text, sizeof(unix_text), "unix:%s", text);
		if (strlen(text) + 5 >= sizeof(unix_text))
			unix_text[0] = '\0';
		text = unix_text;
	}
	if (sock_addr_parse(str_of(text), &addr) != 0) {
		complain("not an address or a path of a socket", options.socket);
		return -1;
	}
	fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &addr.sa, addr.size) != 0) {
		fprintf(stderr, "limpetctl: cannot connect to %s: %s%s\n", options.socket,
			strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED
				? " (does Limpet run, and is this its global.stats.socket? see -s)"
				: "");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static bool send_all(int fd, struct str text)
{
	while (text.len) {
		ssize_t n = send(fd, text.p, text.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text.p += n;
		text.len -= (size_t)n;
	}
	return true;
}

/* Waits for FD to have something to read; at most WAIT_MS, -1 = for ever. */
static bool wait_readable(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, wait_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Reads to the end; false when it did not come. */
static bool read_answer(int fd, struct answer *answer, int wait_ms)
{
	char *text = NULL;
	size_t len = 0, size = 0;
	ssize_t n = -1;

	while (wait_readable(fd, wait_ms)) {
		struct str rest;
		ptrdiff_t at;

		if (size - len < 65536) {
			size = size ? size * 2 : 131072;
			text = xrealloc(text, size);
		}
		n = recv(fd, text + len, size - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		rest = (struct str){ text, len };
		while ((at = str_find_char(rest, '\n')) >= 0) {
			on_line(answer, (struct str){ rest.p, (size_t)at });
			rest = (struct str){ rest.p + at + 1, rest.len - (size_t)at - 1 };
		}
		memmove(text, rest.p, rest.len);
		len = rest.len;
		fflush(stdout); /* a trace goes on and on */
	}
	if (len)
		on_line(answer, (struct str){ text, len });
	if (answer->is_begun)
		end_answer(answer);
	free(text);
	return n == 0;
}

/* Its answer may take any time. */
static bool is_slow(const char *command)
{
	return strstr(command, "wait ") || strstr(command, "trace ");
}

static int run_command(const char *command)
{
	struct answer answer = { 0 };
	char *line = xasprintf("set severity-output number;%s\n", command);
	int fd = open_socket();
	int status = EXIT_USAGE;

	if (fd >= 0 && !send_all(fd, str_of(line)))
		complain("cannot send", strerror(errno));
	else if (fd >= 0 && !read_answer(fd, &answer, is_slow(command) ? -1 : ANSWER_WAIT_MS))
		complain("the answer was cut short", NULL);
	else if (fd >= 0)
		status = answer.has_failed ? EXIT_COMMAND : EXIT_DONE;
	if (fd >= 0)
		close(fd);
	free(line);
	fflush(stdout);
	return status;
}

static int watch(const char *command)
{
	struct timespec pause = { .tv_sec = (time_t)options.watch_s };
	int status;

	pause.tv_nsec = (long)((options.watch_s - (double)pause.tv_sec) * 1e9);
	for (;;) {
		if (isatty(STDOUT_FILENO))
			printf("\033[H\033[J%s every %g s: %s\n\n", options.socket, options.watch_s,
			       command);
		status = run_command(command);
		if (status != EXIT_DONE || fflush(stdout) != 0)
			return status;
		nanosleep(&pause, NULL);
	}
}

/* Copies what FD has to TO; false at its end. */
static bool pass_on(int fd, int to, bool is_socket)
{
	char bytes[65536];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n <= 0)
		return false;
	if (is_socket)
		return send_all(to, (struct str){ bytes, (size_t)n });
	return write(to, bytes, (size_t)n) == n;
}

static int interactive(void)
{
	struct pollfd ends[2];
	int fd = open_socket();

	if (fd < 0)
		return EXIT_USAGE;
	if (!send_all(fd, STR("set timeout cli 1d;prompt\n"))) {
		close(fd);
		return EXIT_USAGE;
	}
	ends[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	ends[1] = (struct pollfd){ .fd = fd, .events = POLLIN };
	for (;;) {
		if (poll(ends, 2, -1) < 0 && errno != EINTR)
			break;
		if (ends[1].revents && !pass_on(fd, STDOUT_FILENO, false))
			break;
		if (ends[0].revents && !pass_on(STDIN_FILENO, fd, true))
			break;
	}
	close(fd);
	return EXIT_DONE;
}

/* One command a line from standard input; the worst status. */
static int from_input(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int worst = EXIT_DONE;

	while ((len = getline(&line, &size, stdin)) >= 0) {
		int status;

		if (len && line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (!line[0])
			continue;
		status = run_command(line);
		if (status > worst)
			worst = status;
	}
	free(line);
	return worst;
}

/*
 * Command line.
 */
static void usage(FILE *to)
{
	fputs("usage: limpetctl [-r | -j] [-s SOCKET] [--watch [SECONDS]] [COMMAND...]\n"
	      "  -s, --socket SOCKET   path or host:port of the stats socket; else "
	      "$LIMPET_SOCKET,\n"
	      "                        else " SOCKET_DEFAULT "\n"
	      "  -r, --raw             answers as they are, no aligned tables\n"
	      "  -j, --json            answers as JSON\n"
	      "  -w, --watch [SECONDS] again and again, every 2 seconds\n"
	      "  -V, --version\n"
	      "Without a command: a prompt on a terminal, else one command a line from standard\n"
	      "input. 'limpetctl help' lists the commands.\n"
	      "Exit status: 0 done, 1 the command failed, 2 wrong usage or no connection.\n",
	      to);
}

static char *join(char **words, int n)
{
	char *text = xstrdup("");

	for (int i = 0; i < n; i++) {
		char *longer = xasprintf("%s%s%s", text, i ? " " : "", words[i]);

		free(text);
		text = longer;
	}
	return text;
}

/* The pause that TEXT tells, or the word after the option; false when it is none. */
static bool read_watch(const char *text, int argc, char **argv)
{
	char *end;

	if (!text && optind < argc && argv[optind][0] &&
	    strspn(argv[optind], "0123456789.") == strlen(argv[optind]))
		text = argv[optind++];
	options.watch_s = text ? strtod(text, &end) : WATCH_DEFAULT_S;
	if (!text || (!*end && options.watch_s >= 0.1 && options.watch_s <= 86400))
		return true;
	complain("--watch expects seconds, 0.1 to 86400", text);
	return false;
}

/* Negative: go on; else the exit status. */
static int read_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "raw", no_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "watch", optional_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const char *env = getenv("LIMPET_SOCKET");
	int c;

	options.socket = env && env[0] ? env : SOCKET_DEFAULT;
	options.is_raw = !isatty(STDOUT_FILENO);
	options.has_colours = !options.is_raw && !getenv("NO_COLOR");
	while ((c = getopt_long(argc, argv, "+s:rjw::hV", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			options.socket = optarg;
			break;
		case 'r':
			options.is_raw = true;
			break;
		case 'j':
			options.is_json = true;
			break;
		case 'w':
			if (!read_watch(optarg, argc, argv))
				return EXIT_USAGE;
			break;
		case 'h':
			usage(stdout);
			return EXIT_DONE;
		case 'V':
			puts("limpetctl " PACKAGE_VERSION);
			return EXIT_DONE;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
}

/* "set ssl cert FILE <<": standard input follows as the payload, which an empty line ends. */
static bool wants_payload(const char *command)
{
	return str_ends(str_of(command), STR(" <<"));
}

/* COMMAND (own, taken) with what standard input has, but for empty lines. */
static char *add_payload(char *command)
{
	char *text = xasprintf("%s\n", command), *line = NULL;
	size_t len = strlen(text), size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) >= 0) {
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (!n)
			continue;
		text = xrealloc(text, len + (size_t)n + 2);
		memcpy(text + len, line, (size_t)n);
		len += (size_t)n;
		text[len++] = '\n';
		text[len] = '\0';
	}
	free(line);
	free(command);
	return text;
}

int main(int argc, char **argv)
{
	int status = read_options(argc, argv);
	char *command;

	if (status >= 0)
		return status;
	if (optind == argc && options.watch_s > 0) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (optind == argc)
		return isatty(STDIN_FILENO) ? interactive() : from_input();
	command = join(argv + optind, argc - optind);
	if (strpbrk(command, "\n")) {
		complain("a command is one line", NULL);
		status = EXIT_USAGE;
	} else {
		if (wants_payload(command))
			command = add_payload(command);
		status = options.watch_s > 0 ? watch(command) : run_command(command);
	}
	free(command);
	return status;
}
