/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/http_auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define TOKEN_SIZE_MAX 2048 /* bytes of "user:password", encoded */

struct source {
	struct ip_addr net; /* AF_UNSPEC: all who come by a Unix socket */
	int64_t first_at_ms;
	unsigned wrong; /* 0 = not used */
};

static struct source sources[AUTH_SOURCES_MAX];
static bool has_credentials;
static unsigned char digest[SHA256_DIGEST_LENGTH];

/* Of "user:password" as a whole: a user has no colon, so no other pair gives the same text. */
static void digest_conf(const struct stats_http_conf *conf)
{
	size_t size = conf->username.len + 1 + conf->secret.len;
	char *text = xmalloc(size);

	memcpy(text, conf->username.p, conf->username.len);
	text[conf->username.len] = ':';
	memcpy(text + conf->username.len + 1, conf->secret.p, conf->secret.len);
	SHA256((const unsigned char *)text, size, digest);
	OPENSSL_cleanse(text, size);
	free(text);
}

void auth_forget(void)
{
	memset(sources, 0, sizeof(sources));
}

bool auth_set(const struct stats_http_conf *conf)
{
	unsigned char before[sizeof(digest)];
	bool had = has_credentials;

	memcpy(before, digest, sizeof(before));
	memset(digest, 0, sizeof(digest));
	has_credentials = conf && conf->username.len;
	if (has_credentials)
		digest_conf(conf);
	if (had == has_credentials && CRYPTO_memcmp(before, digest, sizeof(digest)) == 0)
		return false;
	auth_forget();
	return true;
}

bool auth_has_credentials(void)
{
	return has_credentials;
}

static struct source *source_of(const struct ip_addr *peer)
{
	struct ip_addr net = ip_addr_masked(peer, 32, 64);
	int64_t now_ms = clock_ms();
	struct source *oldest = &sources[0];

	for (size_t i = 0; i < ARRAY_N(sources); i++) {
		struct source *source = &sources[i];

		if (source->wrong && now_ms - source->first_at_ms >= AUTH_WINDOW_MS)
			source->wrong = 0;
		if (source->wrong && ip_addr_eq(&source->net, &net))
			return source;
		if (!source->wrong ? oldest->wrong != 0
				   : oldest->wrong && source->first_at_ms < oldest->first_at_ms)
			oldest = source;
	}
	*oldest = (struct source){ .net = net, .first_at_ms = now_ms };
	return oldest;
}

static int base64_value(char c)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(letters, c) : NULL;

	return at ? (int)(at - letters) : -1;
}

/* Strictly RFC 4648 4.  The length in OUT, or -1. */
static ptrdiff_t base64_decode(struct str in, char *out)
{
	size_t length = 0;
	unsigned bits = 0, value = 0;
	size_t padding = 0;

	if (in.len % 4 != 0 || in.len > TOKEN_SIZE_MAX)
		return -1;
	while (in.len && padding < 2 && in.p[in.len - 1] == '=') {
		in.len--;
		padding++;
	}
	for (size_t i = 0; i < in.len; i++) {
		int v = base64_value(in.p[i]);

		if (v < 0)
			return -1;
		value = value << 6 | (unsigned)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[length++] = (char)(value >> bits);
			value &= (1u << bits) - 1;
		}
	}
	return value ? -1 : (ptrdiff_t)length;
}

static bool is_right(struct str authorization)
{
	char plain[TOKEN_SIZE_MAX];
	unsigned char have[sizeof(digest)];
	struct str text;
	ptrdiff_t length;

	if (!str_istarts(authorization, STR("basic ")))
		return false;
	text = str_trim(str_sub(authorization.p + 6, authorization.p + authorization.len));
	length = base64_decode(text, plain);
	if (length < 0)
		return false;
	SHA256((const unsigned char *)plain, (size_t)length, have);
	OPENSSL_cleanse(plain, sizeof(plain));
	return CRYPTO_memcmp(have, digest, sizeof(digest)) == 0;
}

enum auth auth_check(struct str authorization, const struct ip_addr *peer)
{
	struct source *source;

	if (!has_credentials)
		return AUTH_OK;
	if (!authorization.p)
		return AUTH_MISSING;
	source = source_of(peer);
	if (source->wrong >= AUTH_WRONG_MAX)
		return AUTH_LOCKED;
	if (is_right(authorization)) {
		source->wrong = 0;
		return AUTH_OK;
	}
	source->wrong++;
	return AUTH_WRONG;
}

/* Host without the port, and "[::1]" without the brackets. */
static struct str host_of(struct str authority)
{
	ptrdiff_t colon;

	if (authority.len && authority.p[0] == '[') {
		ptrdiff_t end = str_find_char(authority, ']');

		return end < 0 ? STR("") : (struct str){ authority.p + 1, (size_t)end - 1 };
	}
	colon = str_find_char(authority, ':');
	if (colon >= 0)
		authority.len = (size_t)colon;
	if (authority.len && authority.p[authority.len - 1] == '.')
		authority.len--;
	return authority;
}

bool auth_is_host_known(struct str authority, struct str node, const struct str_list *hosts)
{
	struct str host = host_of(authority);
	struct ip_addr ip;

	if (!host.len)
		return false;
	if (ip_addr_parse(host, &ip) == 0 || str_ieq(host, STR("localhost")) ||
	    str_iends(host, STR(".localhost")) || str_ieq(host, node))
		return true;
	for (size_t i = 0; hosts && i < hosts->n; i++)
		if (str_ieq(host, hosts->items[i]))
			return true;
	return false;
}

bool auth_is_same_origin(struct str origin, struct str authority)
{
	ptrdiff_t at = str_find(origin, STR("://"));
	struct str scheme;

	if (at < 0 || !authority.len)
		return false;
	scheme = (struct str){ origin.p, (size_t)at };
	if (!str_ieq(scheme, STR("http")) && !str_ieq(scheme, STR("https")))
		return false;
	return str_ieq(str_sub(origin.p + at + 3, origin.p + origin.len), authority);
}
