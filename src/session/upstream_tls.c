/* SPDX-License-Identifier: MIT */
/*
 * upstream_tls - TLS to a server, between its connect() and the request.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "net/tls.h"
#include "session/srvpool.h"
#include "session/txn.h"
#include "session/upstream.h"

#define TEXTS_MAX 64

int upstream_tls_begin(struct upstream *upstream, const struct srvset_member *member)
{
	struct srvpool *pool = srvpool_of(upstream->traffic, upstream->server);
	bool has_resumption =
		upstream->txn->backend->tls && upstream->txn->backend->tls->has_resumption;
	int rc;

	/* Its process is another one, which cannot read the tickets of the one before. */
	if (pool->tls_generation != upstream->generation) {
		tls_resume_fini(&pool->tls_resume);
		pool->tls_generation = upstream->generation;
	}
	rc = tls_connect(&upstream->conn, member->tls, has_resumption ? &pool->tls_resume : NULL);
	if (rc == 0)
		tls_send_before(&upstream->conn, &upstream->out);
	return rc;
}

enum io upstream_tls_run(struct upstream *upstream)
{
	struct conn *conn = &upstream->conn;
	struct server *server = upstream->server;
	struct tls_about about;
	enum io io = tls_handshake(conn);

	switch (io) {
	case IO_AGAIN:
		break;
	case IO_OK:
		count(&server->counters, server_tls_handshakes);
		if (tls_about(conn, &about) && about.is_resumed)
			count(&server->counters, server_tls_resumed);
		break;
	case IO_EOF:
		conn->error = ECONNRESET;
		count(&server->counters, server_tls_errors);
		break;
	case IO_FAIL:
		count(&server->counters, server_tls_errors);
		break;
	}
	return io;
}

/* TEXT as a constant of the thread: there are few, and logs need them when the conn is gone. */
static const char *kept_text(const char *text)
{
	static __thread char texts[TEXTS_MAX][TLS_WHY_SIZE + 8];
	char with_prefix[TLS_WHY_SIZE + 8];

	snprintf(with_prefix, sizeof(with_prefix), "TLS: %s", text);
	for (unsigned i = 0; i < TEXTS_MAX; i++) {
		if (!texts[i][0])
			memcpy(texts[i], with_prefix, sizeof(with_prefix));
		if (strcmp(texts[i], with_prefix) == 0)
			return texts[i];
	}
	return "TLS: handshake failed";
}

const char *upstream_failure_text(struct upstream *upstream, int error)
{
	struct tls_about about;

	if (!upstream || !tls_about(&upstream->conn, &about) || upstream->conn.is_connecting ||
	    about.is_established)
		return conn_error_text(error);
	if (about.why)
		return kept_text(about.why);
	if (error == ETIMEDOUT)
		return "TLS: handshake timed out";
	if (upstream->conn.is_eof)
		return "TLS: closed within the handshake";
	if (error == ECONNRESET || error == EPIPE)
		return "TLS: reset within the handshake";
	return conn_error_text(error);
}
