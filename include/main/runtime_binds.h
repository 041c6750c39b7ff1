/* SPDX-License-Identifier: MIT */
/* runtime_binds - part of runtime: listening sockets, opened or taken over: see runtime_binds.c. */
#ifndef MAIN_RUNTIME_BINDS_H
#define MAIN_RUNTIME_BINDS_H

#include <stdbool.h>

#include "base/bug.h"
#include "base/thread.h"
#include "model/config.h"

/* Listening sockets of one bind: fds[t] is for thread t; -1 = none in this row. */
struct opened {
	const struct bind_conf *bind;
	int fds[THREADS_MAX];
};

struct binds {
	struct opened *rows; /* (own) a bind has several when more were taken over than threads */
	size_t n;
	unsigned threads_n;
	bool is_held; /* bound alone; nobody can connect until binds_listen() */
};

/*
 * Sockets of the binds that CONFIG has and OLD (NULL = none) has not, for binds->threads_n threads.
 * 0, or negative errno and *WHY (own) with nothing left open.
 */
int binds_open(const struct config *config, const struct config *old, struct binds *binds,
	       char **why) must_check;
/* What was opened with is_held listens from now on. */
void binds_listen(struct binds *binds);
/* A reload: log lines of listeners that came and went. */
void binds_tell(const struct config *config, const struct config *old);
/* Frees the rows; the sockets are somebody else's by now. */
void binds_free(struct binds *binds);

/* FD, taken over, listens on the bind called TEXT: binds_open() uses it.  For an upgrade. */
void binds_inherit(struct str text, int fd);
/* Closes what no bind has asked for; how many. */
size_t binds_forget_inherited(void);

#endif
