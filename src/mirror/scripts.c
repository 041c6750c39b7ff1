/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/scripts.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#define SHA_DIGITS 40

/*
 * replicate_commands(): before Redis 7 a script that writes after PTTL, or XADD with an id of
 * Redis' own, must be replicated by its effects; from 7 on all are.
 *
 * A value that is not ours (another type, another form) is as good as none: else its key would be
 * lost for good.  Versions are 16 hex digits, so that they compare as texts.
 *
 * The same version again, which a lost answer or a comparison leads to, counts as a refresh: a
 * longer lifetime stands and is told (longer by an eighth at least, when nobody has asked for a
 * refresh), else nothing happens.  A refresh of what is newer than Redis' copy (a replica that was
 * behind has become the master) writes it.
 */
static const char change_text[] =
	"if redis.replicate_commands then redis.replicate_commands() end\n"
	"local k, s, q = KEYS[1], KEYS[2], KEYS[3]\n"
	"local change, version, value, left = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])\n"
	"local cur = redis.pcall('GET', k)\n"
	"local state, at\n"
	"if type(cur) == 'string' then\n"
	"  state, at = string.match(cur, '^1 ([ldt]) (%x+) ')\n"
	"  if at and #at ~= 16 then at = nil end\n"
	"end\n"
	"if not at then\n"
	"  if change == 'r' then return {2} end\n"
	"elseif at == version then\n"
	"  local has = redis.call('PTTL', k)\n"
	"  if change ~= 'r' then has = has * 1.125 end\n"
	"  if has >= left then return {1, 0} end\n"
	"  change = 'r'\n"
	"elseif (change == 'a' and state == 'l') or at > version then\n"
	"  return {0, cur, redis.call('PTTL', k)}\n"
	"end\n"
	"redis.call('SET', k, value, 'PX', left)\n"
	"local n = redis.call('INCR', q)\n"
	"redis.call('XADD', s, 'MAXLEN', '~', ARGV[5], '*', 'q', n, 'n', ARGV[6], 't', ARGV[7],\n"
	"  'k', ARGV[8], 'c', change, 'p', left, 'v', value)\n"
	"return {1, n}\n";

static const char read_text[] = "local out = {}\n"
				"for i = 1, #KEYS do\n"
				"  local v = redis.pcall('GET', KEYS[i])\n"
				"  if type(v) ~= 'string' then v = '' end\n"
				"  out[2 * i - 1] = v\n"
				"  out[2 * i] = v == '' and -2 or redis.call('PTTL', KEYS[i])\n"
				"end\n"
				"return out\n";

static struct script {
	const char *text; /* (const) */
	size_t length;
	char sha[SHA_DIGITS + 1]; /* "" = not worked out yet */
	bool is_known;
} scripts[SCRIPTS_N] = {
	[SCRIPT_CHANGE] = { .text = change_text, .length = sizeof(change_text) - 1 },
	[SCRIPT_READ] = { .text = read_text, .length = sizeof(read_text) - 1 },
};

static void work_out_sha(struct script *script)
{
	unsigned char sha[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int ok = EVP_Digest(script->text, script->length, sha, &n, EVP_sha1(), NULL);

	bug_on(ok != 1 || n != SHA_DIGITS / 2);
	for (unsigned i = 0; i < n; i++)
		snprintf(script->sha + 2 * (size_t)i, 3, "%02x", sha[i]);
}

int script_call(enum script_id id, struct redis *redis, redis_reply_fn *fn, void *arg,
		size_t keys_n, size_t n, const struct str *words)
{
	struct script *script = &scripts[id];
	const char *texts[SCRIPT_WORDS_MAX + 3];
	size_t sizes[SCRIPT_WORDS_MAX + 3];
	char keys[8];

	bug_on(n > SCRIPT_WORDS_MAX || keys_n > n);
	if (!script->sha[0])
		work_out_sha(script);
	texts[0] = script->is_known ? "EVALSHA" : "EVAL";
	sizes[0] = strlen(texts[0]);
	texts[1] = script->is_known ? script->sha : script->text;
	sizes[1] = script->is_known ? SHA_DIGITS : script->length;
	texts[2] = keys;
	sizes[2] = (size_t)snprintf(keys, sizeof(keys), "%zu", keys_n);
	for (size_t i = 0; i < n; i++) {
		texts[i + 3] = words[i].p;
		sizes[i + 3] = words[i].len;
	}
	return redis_command(redis, fn, arg, n + 3, texts, sizes);
}

bool script_is_missing(enum script_id id, const redisReply *reply)
{
	if (!reply)
		return false;
	if (reply->type != REDIS_REPLY_ERROR) {
		scripts[id].is_known = true;
		return false;
	}
	if (strncmp(reply->str, "NOSCRIPT", 8) != 0)
		return false;
	scripts[id].is_known = false;
	return true;
}

bool script_is_known(enum script_id id)
{
	return scripts[id].is_known;
}

void scripts_forget(void)
{
	for (unsigned i = 0; i < SCRIPTS_N; i++)
		scripts[i].is_known = false;
}
