/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets: one for each thread on each bind.
 *
 * What a process that hands over has open is taken as it is, all of it, so that no connection that
 * waits in a socket's queue is lost: with fewer threads than before a thread has several, with more
 * some open another one, or, when they may not (SO_REUSEPORT asks for the same user), share one.
 */
#include "config.h"

#include "main/runtime_binds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/server.h"
#include "net/listener.h"
#include "session/traffic.h"

static struct inherited {
	char *text; /* (own) */
	int fd;     /* (own) -1 = taken */
} * inherited;
static size_t inherited_n;

void binds_inherit(struct str text, int fd)
{
	inherited = xrealloc_array(inherited, inherited_n + 1, sizeof(*inherited));
	inherited[inherited_n++] = (struct inherited){ xstrndup(text), fd };
}

size_t binds_forget_inherited(void)
{
	size_t n = 0;

	for (size_t i = 0; i < inherited_n; i++) {
		if (inherited[i].fd >= 0) {
			log_info("the listening socket on %s was handed over, and is in the "
				 "configuration no more",
				 inherited[i].text);
			close(inherited[i].fd);
			n++;
		}
		free(inherited[i].text);
	}
	free(inherited);
	inherited = NULL;
	inherited_n = 0;
	return n;
}

static int take_inherited(struct str text)
{
	for (size_t i = 0; i < inherited_n; i++)
		if (inherited[i].fd >= 0 && str_eq(str_of(inherited[i].text), text)) {
			int fd = inherited[i].fd;

			inherited[i].fd = -1;
			return fd;
		}
	return -1;
}

/* Of whichever frontend: a listening socket goes with its text. */
static bool has_bind(const struct config *config, struct str text)
{
	for (size_t i = 0; config && i < config->frontends_n; i++)
		for (size_t j = 0; j < config->frontends[i].binds_n; j++)
			if (str_eq(config->frontends[i].binds[j].text, text))
				return true;
	return false;
}

/* Of CONFIG those that OTHER has not. */
static void tell_others(const struct config *config, const struct config *other, const char *to,
			const char *text)
{
	for (size_t i = 0; i < config->frontends_n; i++) {
		const struct frontend *frontend = &config->frontends[i];

		for (size_t j = 0; j < frontend->binds_n; j++) {
			char *address;

			if (has_bind(other, frontend->binds[j].text))
				continue;
			address = xstrndup(frontend->binds[j].text);
			log_event(LOG_LEVEL_INFO, "listener",
				  LOG_FIELDS({ "frontend", frontend->state->name, 0 },
					     { "address", address, 0 }, { "to", to, 0 }),
				  "frontend %s listens on %s%s", frontend->state->name, address,
				  text);
			free(address);
		}
	}
}

void binds_tell(const struct config *config, const struct config *old)
{
	tell_others(config, old, "open", "");
	tell_others(old, config, "closed", " no more");
}

void binds_free(struct binds *binds)
{
	free(binds->rows);
	*binds = (struct binds){ 0 };
}

static void close_all(struct binds *binds)
{
	for (size_t i = 0; i < binds->n; i++)
		for (unsigned t = 0; t < THREADS_MAX; t++)
			if (binds->rows[i].fds[t] >= 0)
				close(binds->rows[i].fds[t]);
	binds_free(binds);
}

static struct opened *add_row(struct binds *binds, const struct bind_conf *bind)
{
	struct opened *row;

	binds->rows = xrealloc_array(binds->rows, binds->n + 1, sizeof(*binds->rows));
	row = &binds->rows[binds->n++];
	row->bind = bind;
	for (unsigned t = 0; t < THREADS_MAX; t++)
		row->fds[t] = -1;
	return row;
}

/* What the configuration may say otherwise than the one that opened it. */
static void tune(int fd, const struct bind_conf *bind, int defer_accept_s)
{
	(void)listen(fd, (int)bind->backlog);
	listener_defer_accept(fd, defer_accept_s);
}

/* How many were there. */
static unsigned inherit(const struct bind_conf *bind, int defer_accept_s, struct binds *binds)
{
	unsigned threads_n = binds->threads_n;
	struct opened *row = NULL;
	unsigned n = 0;
	int fd;

	while ((fd = take_inherited(bind->text)) >= 0) {
		if (n % threads_n == 0)
			row = add_row(binds, bind);
		tune(fd, bind, defer_accept_s);
		row->fds[n++ % threads_n] = fd;
	}
	return n;
}

static int open_one(const struct bind_conf *bind, const struct opened *row, int defer_accept_s,
		    bool is_held)
{
	struct listen_options options = {
		.backlog = (int)bind->backlog,
		.unix_mode = bind->unix_mode,
		.is_reuse_port = true,
		.defer_accept_s = defer_accept_s,
		.is_held = is_held,
	};
	int fd = -EADDRINUSE;

	if (row->fds[0] < 0 || !sock_addr_is_unix(&bind->addr))
		fd = listener_open(&bind->addr, &options);
	return fd;
}

/* One socket for each thread; a Unix socket is bound once and duplicated. */
static int open_bind(const struct frontend *frontend, const struct bind_conf *bind,
		     struct binds *binds)
{
	int defer_accept_s = traffic_defer_accept_s(frontend, bind);
	unsigned threads_n = binds->threads_n, have = inherit(bind, defer_accept_s, binds);
	struct opened *row =
		have ? &binds->rows[binds->n - (have - 1) / threads_n - 1] : add_row(binds, bind);

	for (unsigned t = have; t < threads_n; t++) {
		int fd = open_one(bind, row, defer_accept_s, binds->is_held);

		if (fd < 0 && row->fds[0] >= 0 && (have || sock_addr_is_unix(&bind->addr))) {
			fd = fcntl(row->fds[0], F_DUPFD_CLOEXEC, 0);
			fd = fd < 0 ? -errno : fd;
		}
		if (fd < 0)
			return fd;
		row->fds[t] = fd;
	}
	return 0;
}

int binds_open(const struct config *config, const struct config *old, struct binds *binds,
	       char **why)
{
	for (size_t i = 0; i < config->frontends_n; i++) {
		const struct frontend *frontend = &config->frontends[i];

		for (size_t j = 0; j < frontend->binds_n; j++) {
			const struct bind_conf *bind = &frontend->binds[j];
			int rc = has_bind(old, bind->text) ? 0 : open_bind(frontend, bind, binds);

			if (rc == 0)
				continue;
			*why = xasprintf("%s:%u:%u: cannot listen on '%.*s': %s%s", config->file,
					 bind->pos.line, bind->pos.column, STR_ARG(bind->text),
					 strerror(-rc),
					 rc == -EACCES ? " (CAP_NET_BIND_SERVICE is needed)" : "");
			close_all(binds);
			return rc;
		}
	}
	return 0;
}

void binds_listen(struct binds *binds)
{
	for (size_t i = 0; i < binds->n; i++)
		for (unsigned t = 0; t < binds->threads_n; t++) {
			const struct opened *row = &binds->rows[i];

			if (row->fds[t] >= 0 && listen(row->fds[t], (int)row->bind->backlog) != 0)
				log_error("cannot listen on '%.*s': %s", STR_ARG(row->bind->text),
					  strerror(errno));
		}
	binds->is_held = false;
}
