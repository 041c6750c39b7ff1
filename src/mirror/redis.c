/* SPDX-License-Identifier: MIT */
/*
 * Always true:
 *   1. A command is in the ring from redis_queue() until its fn has been called, and no longer.
 *   2. No callback is called from within redis_command().
 *   3. After a callback the link may be lost, connected anew (a sentinel's answer leads on to the
 *      master) or freed; who reads on looks at `epoch` first, which each disconnect moves.
 */
#include "config.h"

#include "mirror/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mirror/redis_internal.h"

static void on_timer(struct timer *timer);

static struct str keep(struct redis *redis, struct str text)
{
	return text.p ? arena_str(&redis->arena, text) : STR("");
}

static struct str keep_decoded(struct redis *redis, struct str text)
{
	char *out = arena_alloc(&redis->arena, text.len + 1);
	size_t size = redis_url_decode(text, out);

	out[size] = '\0';
	return (struct str){ out, size };
}

static void keep_options(struct redis *redis, const struct redis_options *options)
{
	const char *why;

	redis->options = *options;
	redis->options.name = keep(redis, str_of(options->name)).p;
	redis->options.url = keep(redis, options->url);
	redis->options.tls_ca = keep(redis, options->tls_ca);
	redis->options.tls_certificate = keep(redis, options->tls_certificate);
	redis->options.tls_key = keep(redis, options->tls_key);
	redis->options.tls_sni = keep(redis, options->tls_sni);
	bug_on(!redis_url_parse(redis->options.url, &redis->url, &why));
	redis->username = options->username.len ? keep(redis, options->username)
						: keep_decoded(redis, redis->url.username);
	redis->password = options->password.len ? keep(redis, options->password)
						: keep_decoded(redis, redis->url.password);
	redis->options.username = redis->options.password = STR("");
}

struct redis *redis_new(struct loop *loop, const struct redis_options *options,
			const struct redis_events *events)
{
	struct redis *redis = xcalloc(1, sizeof(*redis));
	char why[TLS_WHY_SIZE];

	redis->magic = REDIS_MAGIC;
	redis->loop = loop;
	redis->events = *events;
	arena_init(&redis->arena, 1024);
	keep_options(redis, options);
	redis->waiting = xcalloc(REDIS_COMMANDS_MAX, sizeof(*redis->waiting));
	redis->conn.fd = redis->conn.lf.fd = -1;
	timer_init(&redis->timer, on_timer);
	redis_set_timer(redis, 1);
	if (redis->url.scheme == REDIS_TLS) /* now: there may be a chroot later; a try tells why */
		(void)redis_has_tls_ctx(redis, redis->url.hosts[0].host, why);
	return redis;
}

static void free_grave(struct grave *grave)
{
	struct redis *redis = container_of(grave, struct redis, grave);

	redis_answers_close(&redis->answers);
	tls_client_ctx_unref(redis->tls_ctx);
	arena_fini(&redis->arena);
	free(redis->waiting);
	redis->magic = 0;
	free(redis);
}

/* NULL for all that wait. */
static void drain(struct redis *redis)
{
	while (redis->waiting_n) {
		struct redis_command *command = &redis->waiting[redis->waiting_at];

		redis->waiting_at = (redis->waiting_at + 1) % REDIS_COMMANDS_MAX;
		redis->waiting_n--;
		command->fn(command->arg, NULL);
	}
}

void redis_free(struct redis *redis)
{
	if (!redis)
		return;
	check_magic(redis, REDIS_MAGIC);
	if (redis->state == LINK_GONE)
		return;
	redis_resolve_forget(redis);
	redis_disconnect(redis);
	redis->state = LINK_GONE;
	timer_fini(&redis->loop->wheel, &redis->timer);
	loop_bury(redis->loop, &redis->grave, free_grave);
	drain(redis);
}

bool redis_is_up(const struct redis *redis)
{
	return redis->state == LINK_UP;
}

const char *redis_where(const struct redis *redis)
{
	return redis->state == LINK_UP ? redis->where : "";
}

void redis_stats(const struct redis *redis, struct redis_stats *stats)
{
	*stats = redis->stats;
	stats->waiting = redis->waiting_n;
}

size_t redis_room(const struct redis *redis)
{
	if (redis->state != LINK_UP || buf_length(&redis->out) >= REDIS_OUT_MAX)
		return 0;
	return REDIS_COMMANDS_MAX - redis->waiting_n;
}

void redis_set_timer(struct redis *redis, int64_t in_ms)
{
	if (in_ms > 0)
		loop_timer_in(redis->loop, &redis->timer, in_ms);
	else
		timer_stop(&redis->timer);
}

/* The time runs for the oldest alone, from when it became the oldest. */
static void await_oldest(struct redis *redis)
{
	if (redis->state == LINK_UP)
		redis_set_timer(redis,
				redis->waiting_n ? redis->waiting[redis->waiting_at].limit_ms : 0);
}

static void flush(struct soon *soon)
{
	redis_send(container_of(soon, struct redis, flush));
}

static bool is_queued(struct redis *redis, redis_reply_fn *fn, void *arg, const char *bytes,
		      size_t size)
{
	struct redis_command *command;

	if (redis->waiting_n == REDIS_COMMANDS_MAX ||
	    size > REDIS_OUT_MAX - buf_length(&redis->out))
		return false;
	buf_append(&redis->out, bytes, size);
	command = &redis->waiting[(redis->waiting_at + redis->waiting_n) % REDIS_COMMANDS_MAX];
	*command = (struct redis_command){ fn, arg, redis->options.answer_ms };
	if (redis->waiting_n++ == 0)
		await_oldest(redis);
	redis->stats.commands++;
	loop_soon(redis->loop, &redis->flush, flush);
	return true;
}

static bool format_and_queue(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n,
			     const char **words, const size_t *sizes)
{
	char *bytes = NULL;
	int size = redisFormatCommandArgv(&bytes, (int)n, words, sizes);
	bool ok;

	bug_on(size <= 0);
	ok = is_queued(redis, fn, arg, bytes, (size_t)size);
	redisFreeCommand(bytes);
	return ok;
}

void redis_queue(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n, const char **words,
		 const size_t *sizes)
{
	bug_on(!format_and_queue(redis, fn, arg, n, words, sizes));
}

int redis_command(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n, const char **words,
		  const size_t *sizes)
{
	size_t size = 0;

	check_magic(redis, REDIS_MAGIC);
	bug_on(n == 0 || n > INT32_MAX);
	if (redis->state != LINK_UP)
		return -ENOTCONN;
	for (size_t i = 0; i < n && size <= REDIS_OUT_MAX; i++)
		size += sizes ? sizes[i] : strlen(words[i]);
	if (size > REDIS_OUT_MAX)
		return -ENOBUFS;
	return format_and_queue(redis, fn, arg, n, words, sizes) ? 0 : -ENOBUFS;
}

void redis_answer_in(struct redis *redis, int64_t in_ms)
{
	if (!redis->waiting_n)
		return;
	redis->waiting[(redis->waiting_at + redis->waiting_n - 1) % REDIS_COMMANDS_MAX].limit_ms =
		in_ms;
	if (redis->waiting_n == 1)
		await_oldest(redis);
}

void redis_take_reply(struct redis *redis, redisReply *reply)
{
	struct redis_command command;

	if (!redis->waiting_n) {
		if (reply->type == REDIS_REPLY_ERROR)
			snprintf(redis->why, sizeof(redis->why), "redis says: %.*s",
				 (int)(reply->len < 160 ? reply->len : 160), reply->str);
		redis_lose(redis, reply->type == REDIS_REPLY_ERROR ? redis->why
								   : "an answer to no command");
	} else if (reply->type == REDIS_REPLY_ERROR && redis_is_loss(redis, reply)) {
		redis_lose(redis, redis->why);
	} else {
		command = redis->waiting[redis->waiting_at];
		redis->waiting_at = (redis->waiting_at + 1) % REDIS_COMMANDS_MAX;
		redis->waiting_n--;
		await_oldest(redis);
		command.fn(command.arg, reply);
	}
	freeReplyObject(reply);
}

void redis_is_ready(struct redis *redis)
{
	redis->state = LINK_UP;
	redis->stats.connects++;
	redis->up_at_ms = clock_ms();
	redis_set_timer(redis, 0);
	if (redis->events.on_up)
		redis->events.on_up(redis->events.arg);
}

static int64_t backoff_ms(unsigned failures)
{
	/* The microseconds at hand differ from node to node: jitter needs no better. */
	uint64_t random = (uint64_t)clock_now_us() * 0x9e3779b97f4a7c15u >> 33;
	int64_t most_ms = BACKOFF_LAST_MS;
	int64_t in_ms;

	if (failures <= 6)
		most_ms = (int64_t)BACKOFF_FIRST_MS << (failures - 1);
	if (most_ms > BACKOFF_LAST_MS)
		most_ms = BACKOFF_LAST_MS;
	in_ms = most_ms / 2 + (int64_t)(random % (uint64_t)(most_ms / 2 + 1));
	return in_ms < BACKOFF_FIRST_MS ? BACKOFF_FIRST_MS : in_ms;
}

void redis_lose(struct redis *redis, const char *why)
{
	bool was_up = redis->state == LINK_UP;
	bool is_at_once;
	char kept[REDIS_WHY_SIZE];

	if (redis->state == LINK_AWAY || redis->state == LINK_GONE)
		return;
	snprintf(kept, sizeof(kept), "%s", why);
	if (redis->is_sentinel && redis_next_sentinel(redis))
		return;
	for (char *c = kept; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '.';
	redis_disconnect(redis);
	redis->state = LINK_AWAY;
	if (was_up) {
		redis->stats.losses++;
		if (clock_ms() - redis->up_at_ms >= REDIS_STEADY_MS)
			redis->failures = 0;
	} else {
		redis->moved.name[0] = '\0'; /* if it was that: the configured one again */
		redis->sentinel_at++;
	}
	is_at_once = was_up && redis->failures == 0;
	redis->failures++;
	redis_set_timer(redis, is_at_once ? 1 : backoff_ms(redis->failures));
	drain(redis);
	if (redis->state != LINK_GONE && redis->events.on_down)
		redis->events.on_down(redis->events.arg, kept);
}

void redis_drop(struct redis *redis, const char *why)
{
	check_magic(redis, REDIS_MAGIC);
	redis_lose(redis, why);
}

static void on_timer(struct timer *timer)
{
	struct redis *redis = container_of(timer, struct redis, timer);

	switch (redis->state) {
	case LINK_AWAY:
		redis_try(redis);
		break;
	case LINK_RESOLVING:
	case LINK_CONNECTING:
	case LINK_TLS:
	case LINK_GREETING:
		redis_deadline(redis);
		break;
	case LINK_UP:
		redis_lose(redis, "no answer in time");
		break;
	case LINK_GONE:
		break;
	}
}
