/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/tls_facts.h"

#include "model/match.h"
#include "session/client_tls.h"
#include "session/txn.h"

#define PEER_UNVERIFIED 1 /* in a PROXY header anything but 0 will do */

/* p == NULL stands for "none", as conditions have it. */
static struct str or_none(struct str s)
{
	return s.len ? s : STR_NONE;
}

void tls_facts_match(struct client *client, struct match_facts *facts)
{
	struct tls_about about;

	if (likely(!client->frontend->has_tls_routes))
		return;
	facts->protocol = STR("http");
	if (!client_tls_about(client, &about))
		return;
	facts->protocol = STR("tls");
	facts->sni = or_none(about.sni);
	facts->alpn = or_none(about.alpn);
	facts->is_alpn_list = false;
	if (!about.is_peer_verified)
		return;
	facts->client_cn = or_none(about.peer_cn);
	facts->client_fingerprint = or_none(about.peer_fingerprint);
}

bool tls_facts_is_name(struct str name)
{
	static const struct str ours[] = { STR_INIT("x-client-cert-verified"),
					   STR_INIT("x-client-cert-cn"),
					   STR_INIT("x-client-cert-fingerprint") };

	for (size_t i = 0; i < ARRAY_N(ours); i++) {
		size_t n = 0;

		if (name.len != ours[i].len)
			continue;
		while (n < name.len &&
		       (name.p[n] == '_' ? '-' : ascii_lower((unsigned char)name.p[n])) ==
			       ours[i].p[n])
			n++;
		if (n == name.len)
			return true;
	}
	return false;
}

static bool is_safe(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '%' && c != '"' && c != ',' && c != ';' && c != '\\';
}

static void append_encoded(struct buf *out, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		const char encoded[3] = { '%', hex[c >> 4], hex[c & 15] };

		if (is_safe(c))
			buf_append(out, &s.p[i], 1);
		else
			buf_append(out, encoded, sizeof(encoded));
	}
}

void tls_facts_write(struct txn *txn, struct buf *out)
{
	const struct tls_bind_conf *tls = txn->client->bind->tls;
	struct tls_about about;

	if (likely(!tls || tls->client_verify == TLS_VERIFY_NONE || !tls->has_client_headers))
		return;
	if (!client_tls_about(txn->client, &about) || !about.is_peer_verified) {
		buf_append_str(out, STR("X-Client-Cert-Verified: NONE\r\n"));
		return;
	}
	buf_append_str(out, STR("X-Client-Cert-Verified: SUCCESS\r\n"));
	if (about.peer_cn.len) {
		buf_append_str(out, STR("X-Client-Cert-CN: "));
		append_encoded(out, about.peer_cn);
		buf_append_str(out, STR("\r\n"));
	}
	buf_append_str(out, STR("X-Client-Cert-Fingerprint: "));
	buf_append_str(out, about.peer_fingerprint);
	buf_append_str(out, STR("\r\n"));
}

void tls_facts_proxy(struct txn *txn, struct proxy_header *header)
{
	struct tls_about about;

	if (!client_tls_about(txn->client, &about))
		return;
	header->has_ssl = true;
	header->ssl_client = PROXY_SSL_TLS;
	header->ssl_verify = PEER_UNVERIFIED;
	header->ssl_version = str_of(about.version);
	header->ssl_cipher = str_of(about.cipher);
	if (about.sni.len)
		header->authority = about.sni;
	/* What is spoken behind the header, not what the client speaks with us. */
	if (about.alpn.len)
		header->alpn =
			txn->client->frontend->mode == TRAFFIC_TCP ? about.alpn : STR("http/1.1");
	if (!about.has_peer)
		return;
	header->ssl_client |= PROXY_SSL_CERT_SESS;
	if (!about.is_resumed)
		header->ssl_client |= PROXY_SSL_CERT_CONN;
	if (!about.is_peer_verified)
		return;
	header->ssl_verify = 0;
	header->ssl_cn = or_none(about.peer_cn);
}
