/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>

#include "base/bug.h"
#include "net/tls_internal.h"

/* All records of a batch but the last, each with the most that a cipher adds. */
#define CORK_SIZE ((TLS_BATCH_MAX - 1) * (16384 + 320))
/* What may wait besides the records of one send: answers to a peer that does not read them. */
#define WIRE_MAX 16384
/* Of what brings no plain byte.  A record that has come in part is far less, and OpenSSL would
 * work on key updates in one call for as long as the peer keeps the socket full. */
#define SILENT_MAX (96u * 1024)

static __thread char cork[CORK_SIZE];
static __thread size_t cork_n;

/* What waits, what is corked, and BYTES, in one system call; the rest waits. */
static enum io send_all(struct tls *tls, const char *bytes, size_t size)
{
	struct conn *conn = tls->conn;
	struct iovec iov[3];
	size_t left = 0, sent, skip;
	int n = 0;
	uint64_t plain = conn->sent;

	if (buf_length(&tls->wire))
		iov[n++] = (struct iovec){ buf_bytes(&tls->wire), buf_length(&tls->wire) };
	if (cork_n)
		iov[n++] = (struct iovec){ cork, cork_n };
	if (size)
		iov[n++] = (struct iovec){ (void *)(uintptr_t)bytes, size };
	if (!n)
		return IO_OK;
	if (tls->is_unwritable || conn_socket_sendv(conn, iov, n, &sent) == IO_FAIL) {
		tls->is_unwritable = true;
		conn->is_drained = false; /* why it has failed may be there to be read */
		buf_release(&tls->wire);
		cork_n = 0;
		return IO_FAIL;
	}
	tls->wire_sent += sent;
	conn->sent = plain;
	skip = sent;
	if (buf_length(&tls->wire)) {
		size_t gone = skip < buf_length(&tls->wire) ? skip : buf_length(&tls->wire);

		buf_consume(&tls->wire, gone);
		skip -= gone;
		iov[0].iov_len = 0;
	}
	for (int i = 0; i < n; i++) {
		size_t gone = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		buf_append(&tls->wire, (char *)iov[i].iov_base + gone, iov[i].iov_len - gone);
		skip -= gone;
		left += iov[i].iov_len - gone;
	}
	cork_n = 0;
	return left || buf_length(&tls->wire) ? IO_AGAIN : IO_OK;
}

enum io tls_flush(struct tls *tls)
{
	return send_all(tls, NULL, 0);
}

void tls_cork(struct tls *tls)
{
	bug_on(cork_n);
	tls->is_corked = true;
}

enum io tls_uncork(struct tls *tls)
{
	tls->is_corked = false;
	return send_all(tls, NULL, 0);
}

/* A send that fails is told by is_unwritable: OpenSSL goes on reading what the peer said before. */
static int bio_write(BIO *bio, const char *bytes, size_t size, size_t *taken)
{
	struct tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*taken = size;
	if (tls->is_corked && size <= CORK_SIZE - cork_n) {
		memcpy(cork + cork_n, bytes, size);
		cork_n += size;
		return 1;
	}
	if (buf_length(&tls->wire) > WIRE_MAX && !tls->is_sending && tls_flush(tls) == IO_AGAIN &&
	    buf_length(&tls->wire) > WIRE_MAX) {
		*taken = 0;
		BIO_set_retry_write(bio);
		return -1;
	}
	(void)send_all(tls, bytes, size);
	return 1;
}

/* The socket's own recv(), unless it is known to be empty. */
static enum io receive(struct conn *conn, char *to, size_t room, size_t *got)
{
	enum io io;

	if (conn->is_drained) {
		*got = 0;
		conn->can_read = false;
		return IO_AGAIN;
	}
	io = conn_socket_read(conn, to, room, got);
	conn->is_drained = !conn->can_read && (io == IO_OK || io == IO_AGAIN);
	return io;
}

static int bio_read(BIO *bio, char *out, size_t size, size_t *got)
{
	struct tls *tls = BIO_get_data(bio);
	size_t first = buf_length(&tls->first);

	BIO_clear_retry_flags(bio);
	if (first) {
		*got = first < size ? first : size;
		memcpy(out, buf_bytes(&tls->first), *got);
		buf_consume(&tls->first, *got);
		return 1;
	}
	*got = 0;
	if (unlikely(tls->silent > SILENT_MAX)) {
		tls->conn->error = EPROTO;
		tls->conn->is_broken = true;
		return -1;
	}
	switch (receive(tls->conn, out, size > INT32_MAX ? INT32_MAX : size, got)) {
	case IO_OK:
		tls->received += (uint32_t)*got;
		if (tls->is_established)
			tls->silent += (uint32_t)*got;
		return 1;
	case IO_AGAIN:
		BIO_set_retry_read(bio);
		return -1;
	case IO_EOF:
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
		return 0;
	case IO_FAIL:
		break;
	}
	return -1;
}

static long bio_control(BIO *bio, int command, long n, void *arg)
{
	(void)n;
	(void)arg;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void free_bio_method(void)
{
	BIO_meth_free(bio_method);
}

static void make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
	bug_on(!bio_method || !BIO_meth_set_read_ex(bio_method, bio_read) ||
	       !BIO_meth_set_write_ex(bio_method, bio_write) ||
	       !BIO_meth_set_ctrl(bio_method, bio_control));
	(void)atexit(free_bio_method);
}

BIO *tls_bio_new(struct tls *tls)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, make_bio_method);
	bio = BIO_new(bio_method);
	if (!bio)
		return NULL;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	return bio;
}
