/* SPDX-License-Identifier: MIT */
/*
 * log_sink - where log lines go, and what they look like there.  Used by log*.c alone.
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
#define LOG_FORMATTED_MAX(n) ((size_t)(n)*6 + 1024)

enum log_record_kind {
	LOG_RECORD_MESSAGE, /* TEXT is the message */
	LOG_RECORD_EVENT,   /* message NUL event NUL { key NUL ('s' | 'n') value NUL }* */
	LOG_RECORD_LINE,    /* a complete line of STYLE */
};

struct log_record {
	enum log_level level;
	enum log_record_kind kind;
	enum log_style style; /* of a line */
	int64_t unix_ms;
	struct str text;
};

enum log_header {
	LOG_HEADER_NONE,  /* a stream: the line begins as its style says, a newline ends it */
	LOG_HEADER_LOCAL, /* a datagram to this host's syslog daemon */
	LOG_HEADER_NET,   /* one that crosses the network */
};

/*
 * What stands before the text.  In datagrams RFC 5424's header, or, when is_bsd, that of RFC 3164,
 * in which the host's name is left out towards the local daemon, as syslog(3) does, because its
 * readers take it for the tag.  In streams nothing, or a message's own time stamp; in style haproxy
 * what a syslog daemon would have written.
 */
struct log_form {
	enum log_style style;
	enum log_header header;
	bool is_bsd; /* RFC 3164; in streams too */
	uint8_t facility;
	pid_t pid;
	uint32_t sequence; /* of RFC 5424 messages sent: 7.3.1 */
	char tag[LOG_TAG_MAX + 1];
	char host[256]; /* RFC 5424 6: HOSTNAME */
};

/* OUT has LOG_FORMATTED_MAX(record->text.len) bytes; the length written.  Counts form->sequence. */
size_t log_format(struct log_form *form, const struct log_record *record, char *out);

enum sink_kind { SINK_NONE, SINK_STREAM, SINK_DATAGRAM };

struct sink {
	enum sink_kind kind;
	struct log_form form;
	enum log_level level;
	bool has_requests, has_events;
	int fd;                       /* -1 = none, or lost */
	bool is_fd_own;               /* false: stderr, stdout */
	bool is_regular;              /* a file: write() does not wait for a reader */
	bool is_torn;                 /* the last line was cut off */
	char *path;                   /* (own) of a file; NULL = not one that is opened again */
	struct sockaddr_storage addr; /* of a datagram sink */
	unsigned addr_size;
	int64_t connected_at_ms; /* last try */

	/* The writer's. */
	bool is_stuck;        /* it has not taken anything for too long */
	uint64_t lost_untold; /* lines */
	int64_t told_at_ms;
	unsigned lines_n;
	size_t batch_size;
	uint32_t *lengths; /* (own) */
	char *batch;       /* (own) */
};

/* (own): sink_free().  NULL with *ERROR (negative errno) and *WHY. */
struct sink *sink_open(const struct log_target *target, int *error, const char **why) must_check;
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
