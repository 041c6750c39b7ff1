/* SPDX-License-Identifier: MIT */
/*
 * What we ask ourselves before a connection is up goes through the same ring as everybody's
 * commands: SENTINEL get-master-addr-by-name to a sentinel; AUTH, SELECT, ROLE (where a sentinel
 * has sent us) and PING to a Redis, in one send.  PING is there because a Redis that loads its
 * data, or wants a password, says so to the first command that it hears.
 */
#include "config.h"

#include <stdio.h>

#include "mirror/redis_internal.h"

#define SAYS_MAX 160

static struct str reply_str(const redisReply *reply)
{
	return (struct str){ reply->str, (size_t)reply->len };
}

static bool is_error(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR;
}

static const char *redis_says(struct redis *redis, struct str text)
{
	if (text.len > SAYS_MAX)
		text.len = SAYS_MAX;
	snprintf(redis->why, sizeof(redis->why), "redis says: %.*s", STR_ARG(text));
	return redis->why;
}

/* HOST:PORT as MOVED has it: IPv6 without brackets, "" or "?" = the host that we ask. */
static bool read_node(const struct redis *redis, struct str text, struct redis_host *node)
{
	const char *colon = text.len ? memrchr(text.p, ':', text.len) : NULL;
	struct str host;
	uint64_t port;

	if (!colon || str_to_u64(str_sub(colon + 1, text.p + text.len), 65535, &port) != 0 || !port)
		return false;
	host = str_sub(text.p, colon);
	if (!host.len || str_eq(host, STR("?")))
		host = str_of(redis->peer.name);
	if (!redis_is_host(host))
		return false;
	*node = (struct redis_host){ .port = (uint16_t)port };
	memcpy(node->name, host.p, host.len);
	return true;
}

static void note_moved(struct redis *redis, struct str text)
{
	struct redis_host node;
	ptrdiff_t space = str_find_char(text, ' '); /* behind the slot */

	if (space >= 0 && read_node(redis, str_sub(text.p + space + 1, text.p + text.len), &node))
		redis->moved = node;
}

bool redis_is_loss(struct redis *redis, const redisReply *reply)
{
	static const struct str losses[] = {
		STR_INIT("READONLY "),    STR_INIT("LOADING "), STR_INIT("MASTERDOWN "),
		STR_INIT("CLUSTERDOWN "), STR_INIT("NOAUTH "),  STR_INIT("MOVED "),
		STR_INIT("ASK "),
	};
	/* Before Redis 7 what stops a script stands within the script's error. */
	static const struct str in_scripts[] = { STR_INIT("-READONLY "), STR_INIT("-LOADING "),
						 STR_INIT("-MASTERDOWN ") };
	struct str text = reply_str(reply);
	bool ok = false;

	for (size_t i = 0; i < ARRAY_N(losses); i++)
		ok |= str_starts(text, losses[i]);
	if (str_starts(text, STR("ERR Error running script")))
		for (size_t i = 0; i < ARRAY_N(in_scripts); i++)
			ok |= str_find(text, in_scripts[i]) >= 0;
	if (!ok)
		return false;
	redis_says(redis, text);
	if (str_starts(text, STR("MOVED ")))
		note_moved(redis, str_sub(text.p + 6, text.p + text.len));
	return true;
}

/* What a Redis without AUTH answers repeats the words of the command. */
static void on_auth(void *arg, const redisReply *reply)
{
	struct redis *redis = arg;
	struct str text;
	ptrdiff_t end;

	if (!reply || !is_error(reply))
		return;
	text = reply_str(reply);
	end = str_find(text, STR(" with args"));
	if (end >= 0)
		text.len = (size_t)end;
	if (str_find(text, redis->password) >= 0)
		text = STR("the password is refused");
	redis_lose(redis, redis_says(redis, text));
}

static void on_select(void *arg, const redisReply *reply)
{
	struct redis *redis = arg;

	if (reply && is_error(reply))
		redis_lose(redis, redis_says(redis, reply_str(reply)));
}

static void on_role(void *arg, const redisReply *reply)
{
	struct redis *redis = arg;
	const redisReply *role;

	if (!reply)
		return;
	if (is_error(reply)) {
		redis_lose(redis, redis_says(redis, reply_str(reply)));
		return;
	}
	role = reply->type == REDIS_REPLY_ARRAY && reply->elements ? reply->element[0] : NULL;
	if (!role || role->type != REDIS_REPLY_STRING || !str_eq(reply_str(role), STR("master")))
		redis_lose(redis, "not the master that the sentinel says it is");
}

/* Who may not PING hears that from a Redis that lives. */
static void on_ping(void *arg, const redisReply *reply)
{
	struct redis *redis = arg;

	if (!reply)
		return;
	if (is_error(reply) && !str_starts(reply_str(reply), STR("NOPERM ")))
		redis_lose(redis, redis_says(redis, reply_str(reply)));
	else
		redis_is_ready(redis);
}

static void on_master(void *arg, const redisReply *reply)
{
	struct redis *redis = arg;
	const redisReply *host, *port;
	uint64_t number;

	if (!reply)
		return;
	if (is_error(reply)) {
		redis_lose(redis, redis_says(redis, reply_str(reply)));
		return;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2) {
		redis_lose(redis, reply->type == REDIS_REPLY_NIL
					  ? "the sentinel knows no master of that name"
					  : "no answer of a sentinel");
		return;
	}
	host = reply->element[0];
	port = reply->element[1];
	if (host->type != REDIS_REPLY_STRING || port->type != REDIS_REPLY_STRING ||
	    !redis_is_host(reply_str(host)) || str_to_u64(reply_str(port), 65535, &number) != 0 ||
	    !number)
		redis_lose(redis, "no answer of a sentinel");
	else
		redis_go_to(redis, reply_str(host), (uint16_t)number, false);
}

static void ask(struct redis *redis, redis_reply_fn *fn, size_t n, const struct str *words)
{
	const char *texts[3];
	size_t sizes[3];

	bug_on(n > ARRAY_N(texts));
	for (size_t i = 0; i < n; i++) {
		texts[i] = words[i].p;
		sizes[i] = words[i].len;
	}
	redis_queue(redis, fn, redis, n, texts, sizes);
}

#define ASK(redis, fn, ...)                                                                        \
	ask(redis, fn, ARRAY_N(((const struct str[]){ __VA_ARGS__ })),                             \
	    (const struct str[]){ __VA_ARGS__ })

void redis_greet(struct redis *redis)
{
	char db[16];

	if (redis->is_sentinel) {
		ASK(redis, on_master, STR("SENTINEL"), STR("get-master-addr-by-name"),
		    redis->url.master);
		return;
	}
	if (redis->password.len && redis->username.len)
		ASK(redis, on_auth, STR("AUTH"), redis->username, redis->password);
	else if (redis->password.len)
		ASK(redis, on_auth, STR("AUTH"), redis->password);
	if (redis->url.db) {
		snprintf(db, sizeof(db), "%u", redis->url.db);
		ASK(redis, on_select, STR("SELECT"), str_of(db));
	}
	if (redis->url.scheme == REDIS_SENTINEL)
		ASK(redis, on_role, STR("ROLE"));
	ASK(redis, on_ping, STR("PING"));
}

bool redis_next_sentinel(struct redis *redis)
{
	const struct redis_url *url = &redis->url;
	size_t at;

	if (redis->sentinels_asked >= url->hosts_n)
		return false;
	redis->sentinels_asked++;
	redis->sentinel_at++;
	at = redis->sentinel_at % url->hosts_n;
	redis_go_to(redis, url->hosts[at].host, url->hosts[at].port, true);
	return true;
}
