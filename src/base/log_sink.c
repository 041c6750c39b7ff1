/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define WAIT_MS      50
#define RECONNECT_MS 1000
#define FILE_MODE    0640
/* A pipe that polls writable takes so much without blocking (PIPE_BUF); we may not make stderr
 * non-blocking, as others share it. */
#define PIPE_PIECE 4096

static void form_init(struct log_form *form, const struct log_target *target)
{
	struct str tag = target->tag.len ? target->tag : STR("limpet");

	*form = (struct log_form){
		.style = target->style,
		.facility = target->facility,
		.pid = getpid(),
		.is_bsd = target->style == LOG_STYLE_HAPROXY,
	};
	memcpy(form->tag, tag.p, tag.len < LOG_TAG_MAX ? tag.len : LOG_TAG_MAX);
	if (gethostname(form->host, sizeof(form->host) - 1) != 0 || !form->host[0])
		form->host[0] = '-';
	for (char *c = form->host; *c; c++)
		if (*c <= ' ' || *c > '~')
			*c = '_';
}

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		      FILE_MODE);

	return fd < 0 ? -errno : fd;
}

static void use_fd(struct sink *sink, int fd, bool is_own)
{
	struct stat st;

	sink->kind = SINK_STREAM;
	sink->fd = fd;
	sink->is_fd_own = is_own;
	sink->is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int use_file(struct sink *sink, struct str path, const char **why)
{
	int fd;

	if (path.len == 0 || memchr(path.p, '\0', path.len)) {
		*why = "log file without a path";
		return -EINVAL;
	}
	sink->path = xstrndup(path);
	fd = open_file(sink->path);
	if (fd < 0) {
		*why = "cannot open the log file";
		return fd;
	}
	use_fd(sink, fd, true);
	return 0;
}

static int connect_datagram(struct sink *sink)
{
	int fd = socket(sink->addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	sink->connected_at_ms = clock_now_us() / 1000;
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sink->addr, sink->addr_size) != 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	sink->fd = fd;
	sink->is_fd_own = true;
	return 0;
}

static int use_unix(struct sink *sink, struct str path, const char **why)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&sink->addr;

	if (path.len == 0 || path.len >= sizeof(un->sun_path)) {
		*why = "bad path of the log socket";
		return -EINVAL;
	}
	sink->kind = SINK_DATAGRAM;
	sink->form.header = LOG_HEADER_LOCAL;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.p, path.len);
	sink->addr_size = (unsigned)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
	/* A syslog daemon that starts after us is found later. */
	(void)connect_datagram(sink);
	return 0;
}

static int use_udp(struct sink *sink, struct str target, const char **why)
{
	const char *colon = target.len ? memrchr(target.p, ':', target.len) : NULL;
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found;
	struct str host;
	char *host_text, *port_text;
	int rc;

	*why = "log target wants udp:host:port";
	if (!colon || colon == target.p || colon + 1 == target.p + target.len)
		return -EINVAL;
	host = str_sub(target.p, colon);
	if (host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
		host = (struct str){ host.p + 1, host.len - 2 };
	host_text = xstrndup(host);
	port_text = xstrndup(str_sub(colon + 1, target.p + target.len));
	rc = getaddrinfo(host_text, port_text, &hints, &found);
	free(host_text);
	free(port_text);
	if (rc != 0) {
		*why = "cannot resolve the log host";
		return -EHOSTUNREACH;
	}
	sink->kind = SINK_DATAGRAM;
	sink->form.header = LOG_HEADER_NET;
	memcpy(&sink->addr, found->ai_addr, found->ai_addrlen);
	sink->addr_size = found->ai_addrlen;
	freeaddrinfo(found);
	(void)connect_datagram(sink); /* no route now may be one later */
	return 0;
}

static int use_target(struct sink *sink, struct str target, const char **why)
{
	static const struct str file = STR_INIT("file:"), unix_ = STR_INIT("unix:"),
				udp = STR_INIT("udp:");
	const char *end = target.p + target.len;

	if (str_eq(target, STR("none")))
		return 0;
	if (str_eq(target, STR("stderr")) || str_eq(target, STR("stdout"))) {
		use_fd(sink, target.p[3] == 'e' ? STDERR_FILENO : STDOUT_FILENO, false);
		return 0;
	}
	if (str_eq(target, STR("syslog")))
		return use_unix(sink, STR("/dev/log"), why);
	if (str_starts(target, file))
		return use_file(sink, str_sub(target.p + file.len, end), why);
	if (str_starts(target, unix_))
		return use_unix(sink, str_sub(target.p + unix_.len, end), why);
	if (str_starts(target, udp))
		return use_udp(sink, str_sub(target.p + udp.len, end), why);
	*why = "unknown log target: stderr, stdout, none, syslog, file:/path, unix:/path or "
	       "udp:host:port";
	return -EINVAL;
}

/* It shows an RFC 5424 header as a part of the message. */
static bool is_journald(const struct sink *sink)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&sink->addr;
	char path[PATH_MAX];

	return sink->kind == SINK_DATAGRAM && un->sun_family == AF_UNIX &&
	       realpath(un->sun_path, path) && strcmp(path, "/run/systemd/journal/dev-log") == 0;
}

struct sink *sink_open(const struct log_target *target, int *error, const char **why)
{
	struct sink *sink = xcalloc(1, sizeof(*sink));

	sink->fd = -1;
	sink->level = target->level;
	sink->has_requests = target->has_requests;
	sink->has_events = target->has_events;
	form_init(&sink->form, target);
	*error = use_target(sink, target->target, why);
	if (sink->kind == SINK_DATAGRAM && target->syslog != LOG_SYSLOG_AUTO)
		sink->form.is_bsd = target->syslog == LOG_SYSLOG_3164;
	else if (is_journald(sink))
		sink->form.is_bsd = true;
	if (*error == 0)
		return sink;
	sink_free(sink);
	return NULL;
}

static void drop_fd(struct sink *sink)
{
	if (sink->fd >= 0 && sink->is_fd_own)
		close(sink->fd);
	sink->fd = -1;
}

void sink_free(struct sink *sink)
{
	if (!sink)
		return;
	drop_fd(sink);
	free(sink->path);
	free(sink->lengths);
	free(sink->batch);
	free(sink);
}

int sink_reopen(struct sink *sink)
{
	int fd;

	if (!sink->path)
		return 0;
	fd = open_file(sink->path);
	if (fd < 0)
		return fd;
	drop_fd(sink);
	use_fd(sink, fd, true);
	sink->is_torn = false;
	return 0;
}

static bool wait_writable(int fd, bool (*must_go_on)(void))
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	while (must_go_on())
		if (poll(&pfd, 1, WAIT_MS) > 0)
			return true;
	return false;
}

/* The bytes that went. */
static size_t write_stream(struct sink *sink, const char *bytes, size_t size,
			   bool (*must_go_on)(void))
{
	size_t done = 0;

	while (done < size) {
		ssize_t n;

		if (!sink->is_regular) {
			struct pollfd pfd = { .fd = sink->fd, .events = POLLOUT };

			if (poll(&pfd, 1, 0) <= 0 && !wait_writable(sink->fd, must_go_on))
				break;
		}
		n = write(sink->fd, bytes + done, size - done);
		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EINTR && errno != EAGAIN)
			break; /* disk full, reader gone: these lines are lost, later ones may not
				  be */
	}
	return done;
}

/*
 * The lines, from the first, that are written in one go: all to a file; to a pipe as many as it
 * takes at once, or the beginning of one that is longer (*PIECE is not its end).
 */
static unsigned lines_of_piece(const struct sink *sink, const uint32_t *lengths, unsigned n,
			       size_t *piece)
{
	unsigned taken = 0;

	*piece = 0;
	while (taken < n && (sink->is_regular || !taken || *piece + lengths[taken] <= PIPE_PIECE))
		*piece += lengths[taken++];
	return taken;
}

/* A line longer than a pipe takes at once goes by pieces. */
static size_t write_piece(struct sink *sink, const char *bytes, size_t size,
			  bool (*must_go_on)(void))
{
	size_t done = 0;

	if (sink->is_regular)
		return write_stream(sink, bytes, size, must_go_on);
	while (done < size) {
		size_t piece = size - done < PIPE_PIECE ? size - done : PIPE_PIECE;
		size_t sent = write_stream(sink, bytes + done, piece, must_go_on);

		done += sent;
		if (sent < piece)
			break;
	}
	return done;
}

static unsigned write_lines(struct sink *sink, const char *bytes, const uint32_t *lengths,
			    unsigned n, bool (*must_go_on)(void))
{
	unsigned at = 0;

	/* The rest of a line that was cut off is not to be had any more. */
	if (sink->is_torn && write_stream(sink, "\n", 1, must_go_on) != 1)
		return n;
	sink->is_torn = false;
	while (at < n) {
		size_t piece, done, seen = 0;
		unsigned end = at + lines_of_piece(sink, lengths + at, n - at, &piece);

		done = write_piece(sink, bytes, piece, must_go_on);
		bytes += piece;
		for (; at < end && seen + lengths[at] <= done; at++)
			seen += lengths[at];
		if (at < end) {
			sink->is_torn = seen < done;
			return n - at;
		}
	}
	return 0;
}

static bool send_datagram(struct sink *sink, const char *bytes, size_t size,
			  bool (*must_go_on)(void))
{
	for (int tries = 0; tries < 3;) {
		if (sink->fd < 0 && (clock_now_us() / 1000 - sink->connected_at_ms < RECONNECT_MS ||
				     connect_datagram(sink) != 0))
			return false;
		if (send(sink->fd, bytes, size, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN) {
			if (!wait_writable(sink->fd, must_go_on))
				return false;
		} else if (errno == EMSGSIZE && size > 1024) {
			size = size > 2048 ? 2048 : 1024; /* RFC 5424 6.1: what all must take */
			tries++;
		} else if (errno != EINTR) {
			/* UDP: an earlier datagram's ICMP error.  Unix: the daemon was restarted.
			 */
			if (sink->addr.ss_family == AF_UNIX) {
				drop_fd(sink);
				sink->connected_at_ms -= tries ? 0 : RECONNECT_MS;
			}
			tries++;
		}
	}
	return false;
}

unsigned sink_write(struct sink *sink, const char *bytes, const uint32_t *lengths, unsigned n,
		    bool (*must_go_on)(void))
{
	unsigned lost = 0;

	switch (sink->kind) {
	case SINK_NONE:
		return 0;
	case SINK_STREAM:
		return sink->fd < 0 ? n : write_lines(sink, bytes, lengths, n, must_go_on);
	case SINK_DATAGRAM:
		for (unsigned i = 0; i < n; bytes += lengths[i++])
			lost += !send_datagram(sink, bytes, lengths[i], must_go_on);
		return lost;
	}
	return n;
}
