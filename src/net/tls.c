/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/tls_internal.h"
#include "net/tls_server.h"

#define RECORD_MAX 16384u
/* Of an established connection, while it reads: two records in one system call. */
#define READ_SIZE 32768u
#define CN_MAX    256

void tls_error_text(char why[TLS_WHY_SIZE], const char *what)
{
	unsigned long error = ERR_get_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	if (error && ERR_SYSTEM_ERROR(error))
		reason = strerror(ERR_GET_REASON(error));
	snprintf(why, TLS_WHY_SIZE, "%s%s%s", what, what[0] && reason ? ": " : "",
		 reason    ? reason
		 : what[0] ? ""
			   : "unknown error");
	ERR_clear_error();
}

/* OpenSSL's own failure; what it has to say about it is on its way to the peer. */
static enum io failed(struct tls *tls)
{
	long verified = SSL_get_verify_result(tls->ssl);
	char why[TLS_WHY_SIZE];

	if (verified != X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE &&
	    !tls->is_established) {
		snprintf(why, sizeof(why), "%s", X509_verify_cert_error_string(verified));
		ERR_clear_error();
	} else {
		tls_error_text(why, "");
	}
	free(tls->why);
	tls->why = xstrdup(why);
	tls->is_failed = true;
	tls->conn->error = EPROTO;
	tls->conn->is_broken = true;
	return IO_FAIL;
}

/* RC is what an SSL_ function gave; errors of OpenSSL that are not ours were cleared before. */
static enum io result(struct tls *tls, int rc)
{
	struct conn *conn = tls->conn;

	switch (SSL_get_error(tls->ssl, rc)) {
	case SSL_ERROR_NONE:
		return IO_OK;
	case SSL_ERROR_WANT_READ:
		return IO_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		conn->can_read = true; /* EPOLLOUT brings us back to what is there to be read */
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		tls->is_truncated = conn->is_eof;
		break;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		tls->is_truncated = true;
		if (conn->is_eof && !conn->is_reset)
			break;
		tls->is_failed = true;
		return IO_FAIL;
	default:
		return failed(tls);
	}
	tls->is_ended = true;
	conn->is_eof = true;
	conn->is_hung_up = true;
	conn->can_read = false;
	return IO_EOF;
}

static int begin(struct conn *conn, SSL *ssl, struct tls *tls)
{
	BIO *bio = ssl ? tls_bio_new(tls) : NULL;

	if (!bio) {
		SSL_free(ssl);
		ERR_clear_error();
		return -ENOMEM;
	}
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, tls);
	SSL_set_read_ahead(ssl, 1);
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	/* Many close without a close_notify; who needs the end told looks at lengths. */
	SSL_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
	tls->ssl = ssl;
	tls->conn = conn;
	tls->wire_sent = conn->sent;
	conn->is_drained = !conn->can_read && !conn->is_eof;
	conn->face = &tls_face;
	conn->tls = tls;
	return 0;
}

int tls_accept(struct conn *conn, struct tls_server *server, struct buf *first)
{
	struct tls *tls = xcalloc(1, sizeof(*tls));
	SSL_CTX *ssl_ctx = tls_server_ssl_ctx(server);
	SSL *ssl = ssl_ctx ? SSL_new(ssl_ctx) : NULL;

	if (begin(conn, ssl, tls) != 0) {
		free(tls);
		return -ENOMEM;
	}
	SSL_set_accept_state(ssl);
	/* TLS 1.3's alone: that of 1.2 is a part of the handshake. */
	if (!(SSL_get_options(ssl) & SSL_OP_NO_TICKET) && SSL_get_num_tickets(ssl))
		tls->owes_ticket = SSL_set_num_tickets(ssl, 0) == 1;
	tls->server = tls_server_ref(server);
	tls->first = *first;
	*first = (struct buf){ 0 };
	return 0;
}

int tls_connect(struct conn *conn, struct tls_client_ctx *ctx, struct tls_resume *resume)
{
	struct tls *tls = xcalloc(1, sizeof(*tls));
	SSL *ssl = tls_client_ssl_new(ctx);

	if (begin(conn, ssl, tls) != 0) {
		free(tls);
		return -ENOMEM;
	}
	SSL_set_connect_state(ssl);
	tls->ctx = tls_client_ctx_ref(ctx);
	tls->resume = resume;
	if (resume)
		tls_resume_offer(resume, ctx, ssl);
	return 0;
}

void tls_send_before(struct conn *conn, struct buf *clear)
{
	buf_append(&conn->tls->wire, buf_bytes(clear), buf_length(clear));
	buf_release(clear);
}

static bool has_pending(const struct tls *tls)
{
	return SSL_has_pending(tls->ssl) || buf_length(&tls->first);
}

enum io tls_handshake(struct conn *conn)
{
	struct tls *tls = conn->tls;
	enum io io, sent;

	if (tls->is_established)
		return IO_OK;
	if (tls->is_ended || tls->is_failed)
		return tls->is_ended ? IO_EOF : IO_FAIL;
	ERR_clear_error();
	tls_cork(tls);
	io = result(tls, SSL_do_handshake(tls->ssl));
	sent = tls_uncork(tls);
	if (io == IO_FAIL || io == IO_EOF)
		return io;
	if (sent == IO_FAIL) {
		tls->is_failed = true;
		return IO_FAIL;
	}
	if (io == IO_OK && sent == IO_OK) {
		tls->is_established = true;
		SSL_set_default_read_buffer_len(tls->ssl, READ_SIZE);
		if (has_pending(tls))
			conn->can_read = true;
		return IO_OK;
	}
	return IO_AGAIN;
}

static void shut_when_flushed(struct tls *tls)
{
	if (tls_flush(tls) == IO_OK && tls->is_shutting) {
		tls->is_shutting = false;
		(void)shutdown(tls->conn->fd, SHUT_WR);
	}
}

static enum io face_recv(struct conn *conn, struct buf *buf, size_t room)
{
	struct tls *tls = conn->tls;
	size_t total = 0, got;
	int rc;
	enum io io;

	if (tls->is_ended)
		return IO_EOF;
	if (tls->is_failed)
		return IO_FAIL;
	if (!room || !tls->is_established)
		return IO_AGAIN;
	if (unlikely(buf_length(&tls->wire)))
		shut_when_flushed(tls);
	ERR_clear_error();
	tls->received = 0;
	do {
		rc = SSL_read_ex(tls->ssl, buf_tail(buf), room - total, &got);
		if (rc <= 0)
			break;
		tls->silent = 0;
		buf_fill(buf, got);
		total += got;
	} while (total < room && tls->received < room + READ_SIZE && SSL_has_pending(tls->ssl));
	if (rc > 0) {
		conn->can_read = !conn->is_drained || SSL_has_pending(tls->ssl);
		return IO_OK;
	}
	io = result(tls, rc);
	if (!total)
		return io;
	if (io != IO_AGAIN)
		conn->can_read = true; /* the next call tells */
	return IO_OK;
}

/* Where a gathering send stands. */
struct cursor {
	const struct iovec *iov;
	int n;
	size_t at; /* in iov[0] */
};

static void skip(struct cursor *cursor, size_t size)
{
	while (size) {
		size_t left = cursor->iov->iov_len - cursor->at;

		if (size < left) {
			cursor->at += size;
			return;
		}
		size -= left;
		cursor->iov++;
		cursor->n--;
		cursor->at = 0;
	}
}

/* The next record's bytes, joined in SCRATCH if they are in several pieces. */
static struct str next_record(struct cursor *cursor, char scratch[RECORD_MAX])
{
	struct str record = { scratch, 0 };

	while (cursor->n && record.len < RECORD_MAX) {
		char *piece = (char *)cursor->iov->iov_base + cursor->at;
		size_t left = cursor->iov->iov_len - cursor->at;
		size_t room = RECORD_MAX - record.len;
		size_t n = left < room ? left : room;

		if (!left) {
			cursor->iov++;
			cursor->n--;
			cursor->at = 0;
			continue;
		}
		if (!record.len && (n == RECORD_MAX || cursor->n == 1)) {
			skip(cursor, n);
			return (struct str){ piece, n };
		}
		memcpy(scratch + record.len, piece, n);
		record.len += n;
		skip(cursor, n);
	}
	return record;
}

/* Several records when the peer has asked for small ones (RFC 6066 4). */
static enum io write_record(struct tls *tls, struct str record)
{
	while (record.len) {
		size_t written;
		int rc = SSL_write_ex(tls->ssl, record.p, record.len, &written);

		if (rc <= 0)
			return result(tls, rc);
		tls->held += (uint32_t)written;
		record = (struct str){ record.p + written, record.len - written };
	}
	return IO_OK;
}

static void say_close_notify(struct tls *tls)
{
	if (!tls->is_established || tls->is_failed || tls->is_unwritable || tls->is_notified)
		return;
	tls->is_notified = true;
	ERR_clear_error();
	(void)SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

/* It costs no system call of its own here, and nobody waits for it (RFC 8446 4.6.1). */
static enum io give_ticket(struct tls *tls)
{
	enum io io;

	tls->owes_ticket = false;
	if (SSL_new_session_ticket(tls->ssl) != 1)
		return IO_OK; /* TLS 1.2 */
	io = result(tls, SSL_do_handshake(tls->ssl));
	(void)SSL_free_buffers(tls->ssl); /* it has taken one to read into as well */
	return io;
}

/* Puts up to a batch of SIZE bytes into records and those on the socket. */
static enum io send_batch(struct tls *tls, struct cursor *cursor, size_t size)
{
	static __thread char scratch[RECORD_MAX];
	bool is_ending = tls->conn->is_ending && size <= (TLS_BATCH_MAX - 1) * RECORD_MAX;
	enum io io = IO_OK;

	tls_cork(tls);
	tls->is_sending = true;
	if (unlikely(tls->owes_ticket))
		io = give_ticket(tls);
	for (unsigned i = 0; i < TLS_BATCH_MAX && size && io == IO_OK; i++) {
		struct str record = next_record(cursor, scratch);

		size -= record.len;
		if ((!size && !is_ending) || i == TLS_BATCH_MAX - 1)
			tls->is_corked = false; /* goes from where it is, behind the corked ones */
		io = write_record(tls, record);
	}
	if (is_ending && io == IO_OK)
		say_close_notify(tls);
	tls->is_sending = false;
	(void)tls_uncork(tls);
	return io;
}

/* Of SIZE bytes that the caller has brought, those that are on the socket since. */
static size_t take_held(struct tls *tls, size_t size)
{
	size_t waiting = buf_length(&tls->wire);
	size_t gone = tls->held > waiting ? tls->held - waiting : 0;

	if (gone > size)
		gone = size;
	if (waiting && gone == size && gone)
		gone--; /* all of it is sent only when nothing waits */
	tls->held -= (uint32_t)gone;
	return gone;
}

static enum io send_failed(struct tls *tls)
{
	if (!tls->conn->error)
		tls->conn->error = EPIPE;
	return IO_FAIL;
}

static enum io face_sendv(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent)
{
	struct tls *tls = conn->tls;
	struct cursor cursor = { iov, iov_n, 0 };
	size_t size = 0;

	for (int i = 0; i < iov_n; i++)
		size += iov[i].iov_len;
	if (tls->is_failed || tls->is_unwritable || conn->fd < 0)
		return send_failed(tls);
	if (!tls->is_established || !conn->can_write)
		return IO_AGAIN;
	if (unlikely(tls_flush(tls) == IO_FAIL))
		return send_failed(tls);
	*sent = take_held(tls, size);
	conn->sent += *sent;
	if (buf_length(&tls->wire))
		return IO_AGAIN;
	skip(&cursor, *sent);
	ERR_clear_error();
	while (*sent < size) {
		enum io io = send_batch(tls, &cursor, size - *sent);
		size_t gone;

		if (io == IO_FAIL || io == IO_EOF || tls->is_unwritable)
			return send_failed(tls);
		gone = take_held(tls, size - *sent);
		*sent += gone;
		conn->sent += gone;
		if (io == IO_AGAIN || buf_length(&tls->wire))
			return IO_AGAIN;
	}
	return IO_OK;
}

static bool is_quiet(struct conn *conn)
{
	struct tls *tls = conn->tls;
	char byte;
	size_t got;
	int rc;

	if (conn->fd < 0 || conn->is_hung_up || conn->is_eof || tls->is_failed ||
	    !tls->is_established)
		return false;
	if (!conn->can_read && !SSL_has_pending(tls->ssl))
		return true;
	/* Tickets and key updates are done with on the way to bytes that would be there. */
	ERR_clear_error();
	rc = SSL_peek_ex(tls->ssl, &byte, 1, &got);
	if (rc > 0) {
		conn->can_read = true;
		return false;
	}
	return result(tls, rc) == IO_AGAIN && !conn->can_read;
}

static void face_shutdown(struct conn *conn)
{
	struct tls *tls = conn->tls;

	say_close_notify(tls);
	tls->is_shutting = true;
	shut_when_flushed(tls);
}

static void face_close(struct conn *conn, bool is_reset)
{
	struct tls *tls = conn->tls;

	if (!is_reset && !conn->is_broken && conn->fd >= 0) {
		say_close_notify(tls);
		(void)tls_flush(tls);
	}
	/* Else OpenSSL would hold the session for damaged, and forget it. */
	if (!tls->why && tls->is_established)
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(tls->ssl);
	ERR_clear_error();
	buf_release(&tls->first);
	buf_release(&tls->wire);
	tls_server_unref(tls->server);
	tls_client_ctx_unref(tls->ctx);
	free(tls->peer);
	free(tls->why);
	free(tls);
	conn->tls = NULL;
}

const struct conn_face tls_face = {
	.recv = face_recv,
	.sendv = face_sendv,
	.is_quiet = is_quiet,
	.shutdown = face_shutdown,
	.close = face_close,
};

bool tls_is_of(const struct conn *conn, const struct tls_client_ctx *ctx)
{
	return conn->face == &tls_face ? conn->tls->ctx == ctx : !ctx;
}

bool tls_has_pending(struct conn *conn)
{
	return conn->face == &tls_face && has_pending(conn->tls);
}

bool tls_is_holding(const struct conn *conn)
{
	return conn->face == &tls_face && conn->tls->held;
}

bool tls_is_truncated(const struct conn *conn)
{
	return conn->face == &tls_face && conn->tls->is_truncated;
}

uint64_t tls_wire_sent(const struct conn *conn)
{
	return conn->face == &tls_face ? conn->tls->wire_sent : conn->sent;
}

const char *tls_failure_text(const struct conn *conn)
{
	if (conn->face == &tls_face && conn->tls->why)
		return conn->tls->why;
	return conn_error_text(conn->error);
}

/* The first common name of the subject, at most CN_MAX bytes of UTF-8. */
static int common_name(X509 *certificate, unsigned char **text)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	int length;

	*text = NULL;
	if (at < 0)
		return 0;
	length = ASN1_STRING_to_UTF8(text,
				     X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	return length < 0 ? 0 : length > CN_MAX ? CN_MAX : length;
}

static struct tls_peer *peer_of(X509 *certificate)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char *text, digest[32];
	int length = common_name(certificate, &text);
	struct tls_peer *peer = xcalloc(1, sizeof(*peer) + (size_t)length);

	for (int i = 0; i < length; i++)
		peer->cn[i] = text[i] < ' ' || text[i] == 0x7f ? '?' : (char)text[i];
	peer->cn_length = (uint16_t)length;
	OPENSSL_free(text);
	if (X509_digest(certificate, EVP_sha256(), digest, NULL) != 1)
		memset(digest, 0, sizeof(digest));
	for (unsigned i = 0; i < sizeof(digest); i++) {
		peer->fingerprint[2 * i] = hex[digest[i] >> 4];
		peer->fingerprint[2 * i + 1] = hex[digest[i] & 15];
	}
	ERR_clear_error();
	return peer;
}

static void about_peer(struct tls *tls, struct tls_about *about)
{
	X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
	long verified;

	if (!certificate)
		return;
	if (!tls->peer)
		tls->peer = peer_of(certificate);
	verified = SSL_get_verify_result(tls->ssl);
	about->has_peer = true;
	about->is_peer_verified =
		verified == X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE;
	if (verified != X509_V_OK)
		about->peer_why = X509_verify_cert_error_string(verified);
	about->peer_cn = (struct str){ tls->peer->cn, tls->peer->cn_length };
	about->peer_fingerprint = (struct str){ tls->peer->fingerprint, 64 };
}

bool tls_about(struct conn *conn, struct tls_about *about)
{
	struct tls *tls = conn->face == &tls_face ? conn->tls : NULL;
	const unsigned char *alpn;
	unsigned alpn_length;
	const char *sni;

	*about = (struct tls_about){ 0 };
	if (!tls)
		return false;
	sni = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
	SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_length);
	about->sni = sni ? str_of(sni) : (struct str){ "", 0 };
	about->alpn = (struct str){ alpn_length ? (const char *)alpn : "", alpn_length };
	about->why = tls->why;
	about->is_established = tls->is_established;
	about->is_truncated = tls->is_truncated;
	about->peer_cn = about->peer_fingerprint = (struct str){ "", 0 };
	if (!tls->is_established)
		return true;
	about->version = SSL_get_version(tls->ssl);
	about->cipher = SSL_get_cipher_name(tls->ssl);
	about->is_resumed = SSL_session_reused(tls->ssl) == 1;
	about_peer(tls, about);
	return true;
}
