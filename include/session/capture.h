/* SPDX-License-Identifier: MIT */
/*
 * capture - the last bad request of each frontend and the last bad response of each backend, byte
 * by byte, for "show errors".
 *
 * One buffer of CAPTURE_SIZE bytes for each proxy and direction, made at its first bad message.
 * Threads: a traffic thread fills it under the capture's own mutex, which it tries and does not
 * wait for: when somebody is there already the message is counted and not kept.  The reader copies
 * it out under that mutex.  Nothing of this is on the way of a good message.
 *
 * The bytes are as they came: they may hold passwords, cookies and session ids.
 */
#ifndef SESSION_CAPTURE_H
#define SESSION_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"

#define CAPTURE_SIZE 16384u
#define CAPTURE_HEAD SIZE_MAX /* as error_at: a head, whose bad byte capture_error_at() finds */

struct frontend_state;
struct backend_state;
struct server;

/* What is known of a bad message; names live for ever. */
struct capture_facts {
	struct frontend_state *frontend;
	struct backend_state *backend; /* NULL: none was chosen */
	struct server *server;         /* likewise */
	struct ip_addr source;         /* the client */
	const char *why;               /* constant */
	uint32_t uri_size_max, head_size_max;
	uint64_t offset; /* bytes of the body that came before; 0 for a head */
	size_t error_at; /* in the buffer, or CAPTURE_HEAD */
};

struct capture {
	struct capture_facts facts;
	bool is_response;
	uint64_t event; /* counts all events of the process, from 0 */
	int64_t unix_ms;
	size_t length; /* bytes that stood in the buffer; kept are CAPTURE_SIZE of them at most */
	char bytes[CAPTURE_SIZE];
};

/* Traffic threads: BYTES is what stands in the buffer.  Does not block. */
void capture_request(const struct capture_facts *facts, struct str bytes);
void capture_response(const struct capture_facts *facts, struct str bytes);

uint64_t capture_events(void); /* since the start, or the last capture_clear() */
/*
 * Copies the capture of the proxy with the lowest id above AFTER that has one in this direction:
 * its id, or 0 when there is none.  Any thread.
 */
uint32_t capture_next(bool is_response, uint32_t after, struct capture *out);
/* The first byte that shows the mistake. */
size_t capture_error_at(const struct capture *capture);
void capture_clear(void);

#endif
