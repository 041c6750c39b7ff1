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
#include "net/addr.h"

#define SOCKET_DEFAULT  "/run/limpet/limpet.sock"
#define ANSWER_WAIT_MS  60000
#define WATCH_DEFAULT_S 2
#define COLUMNS_MAX     160

enum { EXIT_DONE, EXIT_COMMAND, EXIT_USAGE };

static struct {
	const char *socket;
	bool is_raw;    /* no tables: -r, or not a terminal */
	double watch_s; /* 0 = once */
} options;

/* Columns of "show stat" that fit on a screen. */
static const char *const stat_columns[] = {
	"pxname",   "svname",   "status",   "weight", "scur",  "smax",         "stot",    "rate",
	"hrsp_2xx", "hrsp_4xx", "hrsp_5xx", "econ",   "eresp", "check_status", "lastchg",
};

/* The lines of an answer that may be a table. */
struct lines {
	char **all; /* (own) */
	size_t n, size;
};

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
 * Tables.
 */
static void lines_add(struct lines *lines, struct str line)
{
	if (lines->n == lines->size) {
		lines->size = lines->size ? lines->size * 2 : 64;
		lines->all = xrealloc_array(lines->all, lines->size, sizeof(*lines->all));
	}
	lines->all[lines->n++] = xstrndup(line);
}

static void lines_clear(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		free(lines->all[i]);
	free(lines->all);
	*lines = (struct lines){ 0 };
}

/* Takes a cell off *REST, and removes its quotes in place; SEPARATOR is ',' or ' '. */
static char *take_cell(char **rest, char separator)
{
	char *cell = *rest, *in = cell, *out = cell;
	bool is_quoted = separator == ',' && *in == '"';

	if (is_quoted)
		in++;
	for (; *in && (is_quoted || *in != separator); in++) {
		if (is_quoted && *in == '"' && *++in != '"') {
			is_quoted = false;
			in--;
			continue;
		}
		*out++ = *in;
	}
	*rest = *in ? in + 1 : in;
	*out = '\0';
	return cell;
}

static size_t split(char *line, char separator, char **cells)
{
	size_t n = 0;

	while (*line && n < COLUMNS_MAX)
		cells[n++] = take_cell(&line, separator);
	return n;
}

static bool is_number(const char *cell)
{
	return !cell[0] || strspn(cell, "0123456789.-") == strlen(cell);
}

struct table {
	char ***rows; /* (own) each of columns_n cells */
	size_t rows_n, columns_n;
	size_t width[COLUMNS_MAX];
	bool is_text[COLUMNS_MAX];
	size_t order[COLUMNS_MAX], shown_n; /* the columns that are shown */
};

static void table_choose(struct table *table)
{
	bool is_stat = table->columns_n && strcmp(table->rows[0][0], "pxname") == 0;

	for (size_t c = 0; !is_stat && c < table->columns_n; c++)
		table->order[table->shown_n++] = c;
	for (size_t i = 0; is_stat && i < ARRAY_N(stat_columns); i++)
		for (size_t c = 0; c < table->columns_n; c++)
			if (strcmp(stat_columns[i], table->rows[0][c]) == 0)
				table->order[table->shown_n++] = c;
}

static void table_measure(struct table *table)
{
	for (size_t c = 0; c < table->columns_n; c++)
		for (size_t r = 0; r < table->rows_n; r++) {
			size_t len = strlen(table->rows[r][c]);

			if (len > table->width[c])
				table->width[c] = len;
			if (r && !is_number(table->rows[r][c]))
				table->is_text[c] = true;
		}
}

static void table_print(const struct table *table)
{
	for (size_t r = 0; r < table->rows_n; r++) {
		if (!r)
			fputs("\033[1m", stdout);
		for (size_t i = 0; i < table->shown_n; i++) {
			size_t c = table->order[i];
			int width = (int)table->width[c];

			printf("%s%*s", i ? "  " : "", table->is_text[c] ? -width : width,
			       table->rows[r][c]);
		}
		fputs(r ? "\n" : "\033[0m\n", stdout);
	}
}

/* Prints LINES in columns; a line that does not fit under the head ends the table. */
static void print_table(struct lines *lines, size_t head)
{
	char separator = strchr(lines->all[head], ',') ? ',' : ' ';
	struct table table = { .rows_n = 0 };
	static char empty[] = "";

	for (size_t i = 0; i < head; i++)
		puts(lines->all[i]);
	table.rows = xcalloc(lines->n, sizeof(*table.rows));
	for (size_t i = head; i < lines->n; i++) {
		char **cells = xcalloc(COLUMNS_MAX, sizeof(*cells));
		size_t n = split(lines->all[i] + (i == head ? 2 : 0), separator, cells);

		if (i == head)
			table.columns_n = n;
		for (size_t c = n; c < table.columns_n; c++)
			cells[c] = empty;
		table.rows[table.rows_n++] = cells;
	}
	table_choose(&table);
	table_measure(&table);
	table_print(&table);
	for (size_t r = 0; r < table.rows_n; r++)
		free(table.rows[r]);
	free(table.rows);
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
	if (answer->nth > 1 && answer->is_after_text && !answer->is_error)
		putchar('\n');
	answer->is_after_text = true;
	answer->is_table =
		!options.is_raw && !answer->is_error &&
		(str_eq(l, STR("1")) || (str_starts(l, STR("# ")) && str_find(l, STR(": ")) < 0));
}

static void end_answer(struct answer *answer)
{
	size_t head = answer->table.n && answer->table.all[0][0] != '#';

	if (answer->table.n > head)
		print_table(&answer->table, head);
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

/* Waits for FD to have something to read. */
static bool wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, ANSWER_WAIT_MS);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Reads to the end; false when it did not come. */
static bool read_answer(int fd, struct answer *answer)
{
	char *text = NULL;
	size_t len = 0, size = 0;
	ssize_t n = -1;

	while (wait_readable(fd)) {
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
	}
	if (len)
		on_line(answer, (struct str){ text, len });
	if (answer->is_begun)
		end_answer(answer);
	free(text);
	return n == 0;
}

static int run_command(const char *command)
{
	struct answer answer = { 0 };
	char *line = xasprintf("set severity-output number;%s\n", command);
	int fd = open_socket();
	int status = EXIT_USAGE;

	if (fd >= 0 && !send_all(fd, str_of(line)))
		complain("cannot send", strerror(errno));
	else if (fd >= 0 && !read_answer(fd, &answer))
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
	fputs("usage: limpetctl [-r] [-s SOCKET] [--watch[=SECONDS]] [COMMAND...]\n"
	      "  -s, --socket SOCKET   path or host:port of the stats socket; else "
	      "$LIMPET_SOCKET,\n"
	      "                        else " SOCKET_DEFAULT "\n"
	      "  -r, --raw             answers as they are, no aligned tables\n"
	      "  -w, --watch[=SECONDS] again and again\n"
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

/* Negative: go on; else the exit status. */
static int read_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' }, { "raw", no_argument, NULL, 'r' },
		{ "watch", optional_argument, NULL, 'w' },  { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },      { 0 },
	};
	const char *env = getenv("LIMPET_SOCKET");
	char *end;
	int c;

	options.socket = env && env[0] ? env : SOCKET_DEFAULT;
	options.is_raw = !isatty(STDOUT_FILENO);
	while ((c = getopt_long(argc, argv, "+s:rw::hV", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			options.socket = optarg;
			break;
		case 'r':
			options.is_raw = true;
			break;
		case 'w':
			options.watch_s = optarg ? strtod(optarg, &end) : WATCH_DEFAULT_S;
			if (optarg &&
			    (*end || !(options.watch_s >= 0.1) || options.watch_s > 86400)) {
				complain("--watch expects seconds, 0.1 to 86400", optarg);
				return EXIT_USAGE;
			}
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
		status = options.watch_s > 0 ? watch(command) : run_command(command);
	}
	free(command);
	return status;
}
