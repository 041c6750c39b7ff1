/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "balance/table.h"
#include "base/log.h"

#define PASSWORD_MAX 1024

/* The first line of FILE, without its end. */
static struct str first_line(struct arena *arena, struct str file)
{
	char line[PASSWORD_MAX];
	char *name = xstrndup(file);
	FILE *f = fopen(name, "re");
	struct str text = STR("");

	if (f && fgets(line, sizeof(line), f))
		text = arena_str(arena, (struct str){ line, strcspn(line, "\r\n") });
	else
		log_error("mirror: password_file %s: %s", name,
			  f && !ferror(f) ? "it is empty" : strerror(errno));
	if (f)
		fclose(f);
	OPENSSL_cleanse(line, sizeof(line));
	free(name);
	return text;
}

static struct str password_of(struct arena *arena, const struct mirror_conf *conf)
{
	return conf->password_file.len ? first_line(arena, conf->password_file) : conf->password;
}

/* Each text with its length before it, so that no two settings look alike. */
static struct str joined(struct arena *arena, const struct str *texts, size_t n)
{
	char *all = arena_printf(arena, "%s", "");

	for (size_t i = 0; i < n; i++)
		all = arena_printf(arena, "%s%zu:%.*s", all, texts[i].len, STR_ARG(texts[i]));
	return str_of(all);
}

void settings_read(struct settings *settings, const struct config *config)
{
	const struct mirror_conf *conf = config->global.mirror;
	struct arena *arena = &settings->arena;

	*settings = (struct settings){
		.stream_length = conf->stream_length,
		.resync_rate = conf->resync_rate,
		.read_through_ms = conf->read_through_ms,
		.load_timeout_ms = conf->load_timeout_ms,
		.is_sync = conf->is_sync,
	};
	arena_init(arena, 4096);
	settings->prefix = arena_str(arena, conf->prefix);
	settings->redis = (struct redis_options){
		.url = arena_str(arena, conf->redis),
		.username = arena_str(arena, conf->username),
		.password = arena_str(arena, password_of(arena, conf)),
		.tls_ca = arena_str(arena, conf->tls_ca),
		.tls_certificate = arena_str(arena, conf->tls_certificate),
		.tls_key = arena_str(arena, conf->tls_key),
		.tls_sni = arena_str(arena, conf->tls_sni),
		.is_tls_unverified = !conf->is_tls_verified,
		.connect_ms = SEC(2),
		.answer_ms = SEC(2),
	};
	const struct str texts[] = {
		settings->redis.url,
		settings->redis.username,
		settings->redis.password,
		settings->redis.tls_ca,
		settings->redis.tls_certificate,
		settings->redis.tls_key,
		settings->redis.tls_sni,
		settings->redis.is_tls_unverified ? STR("") : STR("verified"),
		settings->prefix,
	};
	settings->identity = joined(arena, texts, ARRAY_N(texts));
}

void settings_fini(struct settings *settings)
{
	if (settings->identity.p)
		arena_fini(&settings->arena);
	*settings = (struct settings){ 0 };
}

static struct str secret_of(struct arena *arena, const struct mirror_conf *conf)
{
	struct str password;

	if (conf->secret.len)
		return conf->secret;
	password = password_of(arena, conf);
	return password.len ? password : conf->prefix;
}

/* All nodes of a pair come to the same: SHA-256("limpet tables" SECRET), its first half. */
static void derive(struct str secret, struct siphash_key *key)
{
	static const char salt[] = "limpet tables";
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint64_t halves[2] = { 0 };

	bug_on(!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	       EVP_DigestUpdate(ctx, salt, sizeof(salt) - 1) != 1 ||
	       EVP_DigestUpdate(ctx, secret.p, secret.len) != 1 ||
	       EVP_DigestFinal_ex(ctx, digest, NULL) != 1);
	EVP_MD_CTX_free(ctx);
	/* Little endian, whatever the machine is. */
	for (unsigned i = 0; i < 16; i++)
		halves[i / 8] |= (uint64_t)digest[i] << 8 * (i % 8);
	*key = (struct siphash_key){ halves[0], halves[1] };
	OPENSSL_cleanse(digest, sizeof(digest));
}

void settings_set_digest(const struct config *config)
{
	static bool is_configured; /* the current one is of a configuration */
	struct siphash_key key = *siphash_process_key(), now;
	struct arena arena;

	/* Not our business: it may be that of a state file. */
	if (!config->global.mirror && !is_configured)
		return;
	is_configured = config->global.mirror != NULL;
	arena_init(&arena, 1024);
	if (config->global.mirror)
		derive(secret_of(&arena, config->global.mirror), &key);
	table_digest_current(&now);
	if (key.k0 != now.k0 || key.k1 != now.k1)
		table_digest_set(&key);
	arena_fini(&arena);
}
