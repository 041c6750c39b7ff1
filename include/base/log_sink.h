/* SPDX-License-Identifier: MIT */
/*
 * log_sink - where log lines go, and what they look like there.  Used by log.c alone.
 *
 * A sink belongs to the writer thread once it has been handed over; sink_open() runs on the thread
 * that loads the configuration, so that mistakes are told there.
 */
#ifndef BASE_LOG_SINK_H
#define BASE_LOG_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/str.h"

/* What a text of N bytes may need once it is escaped and has its header. */
#define LOG_FORMATTED_MAX(n) ((size_t)(n)*6 + 512)

struct log_record {
	enum log_level level;
	bool is_message; /* else a complete line, to be passed on as it is */
	int64_t unix_ms;
	struct str text;
};

struct log_form {
	enum log_style style;
	bool is_syslog; /* RFC 5424 header, no newline: one datagram each */
	pid_t pid;
	char host[64]; /* for the RFC 5424 header */
};

/* OUT has LOG_FORMATTED_MAX(record->text.len) bytes; the length written. */
size_t log_format(const struct log_form *form, const struct log_record *record, char *out);

enum sink_kind { SINK_NONE, SINK_STREAM, SINK_DATAGRAM };

struct sink {
	enum sink_kind kind;
	struct log_form form;
	int fd;                       /* -1 = none, or lost */
	bool is_fd_own;               /* false: stderr, stdout */
	bool is_regular;              /* a file: write() does not wait for a reader */
	char *path;                   /* (own) of a file; NULL = not one that is opened again */
	struct sockaddr_storage addr; /* of a datagram sink */
	unsigned addr_size;
	int64_t connected_at_ms; /* last try */
};

/* (own): sink_free().  NULL with *ERROR (negative errno) and *WHY. */
struct sink *sink_open(struct str target, enum log_style style, int *error,
		       const char **why) must_check;
void sink_free(struct sink *sink); /* NULL is fine */
/* Opens a file anew under its name; the old one stays in use when that fails: negative errno. */
int sink_reopen(struct sink *sink) must_check;

/*
 * Writes N lines that stand one after another in BYTES, LENGTHS[i] bytes each.  Waits for a slow
 * target, asking MUST_GO_ON every 50 ms at most.  Returns the number of lines that went nowhere.
 */
unsigned sink_write(struct sink *sink, const char *bytes, const uint32_t *lengths, unsigned n,
		    bool (*must_go_on)(void));

#endif
