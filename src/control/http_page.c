/* SPDX-License-Identifier: MIT */
/*
 * The page: one document with its style and its script inside, so that it needs nothing else.  The
 * policy that goes with it lets the browser run just these two, known by their hashes, and talk to
 * nobody but us.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "control/dashboard.h"
#include "control/http_routes.h"

#define HASH_TEXT_SIZE (4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1)

static char style_hash[HASH_TEXT_SIZE], script_hash[HASH_TEXT_SIZE];

static void hash_text(struct str text, char out[HASH_TEXT_SIZE])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text.p, text.len, digest);
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
}

/* at[0]: the part under way; at[1]: how much of it is out. */
static enum run_step write_page(struct http_client *client, struct buf *out)
{
	while (client->at[0] < DASHBOARD_PARTS) {
		struct str part = dashboard_parts[client->at[0]];
		size_t n = part.len - client->at[1];

		if (n > RUN_PIECE)
			n = RUN_PIECE;
		buf_append(out, part.p + client->at[1], n);
		client->at[1] += n;
		if (client->at[1] == part.len) {
			client->at[0]++;
			client->at[1] = 0;
		}
		if (buf_length(out) >= RUN_PIECE)
			return RUN_MORE;
	}
	return RUN_DONE;
}

void http_get_page(struct http_client *client, const struct http_request *request)
{
	char policy[384];

	(void)request;
	if (!style_hash[0]) {
		hash_text(dashboard_parts[DASHBOARD_STYLE], style_hash);
		hash_text(dashboard_parts[DASHBOARD_SCRIPT], script_hash);
	}
	snprintf(policy, sizeof(policy),
		 "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; "
		 "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
		 "frame-ancestors 'none'",
		 style_hash, script_hash);
	http_begin_page(client, policy);
	http_end_pieces(client, "text/html; charset=utf-8", write_page);
}
