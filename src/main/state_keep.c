/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/state_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "balance/stick.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "health/health.h"
#include "main/runtime.h"
#include "main/runtime_sets.h"
#include "main/state_file.h"
#include "main/upgrade.h"

/* One save; there is one at a time. */
struct save {
	struct mail mail; /* home, when it is over */
	char *file;       /* (own) */
	struct state_content content;
	struct state_result result;
	int64_t took_ms;
	int rc;
	control_saved_fn *done; /* may be NULL */
	void *arg;
};

static struct save *under_way; /* (own) */
static pthread_t saver;        /* of under_way */
static bool has_secrets;       /* the load has brought some */

/*
 * Saving.
 */
static struct save *save_new(void)
{
	struct config *config = runtime_config();
	struct save *save = xcalloc(1, sizeof(*save));
	struct state_secret *secrets = xcalloc(config->backends_n, sizeof(*secrets));
	size_t n = 0;

	for (size_t i = 0; i < config->backends_n; i++) {
		struct stick_rule *rule = stick_random_rule(&config->backends[i]);

		if (rule)
			secrets[n++] =
				(struct state_secret){ config->backends[i].name, rule->secret };
	}
	save->file = xstrndup(config->global.state_file);
	clock_update();
	state_content_init(&save->content, secrets, n, clock_unix_ms());
	free(secrets);
	return save;
}

static void save_run(struct save *save)
{
	int64_t began_us = clock_now_us();

	save->rc = state_file_write(save->file, &save->content, &save->result);
	save->took_ms = (clock_now_us() - began_us) / 1000;
}

/* Tells, and frees it. */
static void save_end(struct save *save)
{
	const struct state_result *result = &save->result;
	char *text;

	if (save->rc == 0) {
		text = xasprintf("%" PRIu64 " entries of session tables saved to %s: %" PRIu64
				 " bytes in %" PRId64 " ms",
				 result->entries, save->file, result->size_bytes, save->took_ms);
		log_event(LOG_LEVEL_INFO, "state_saved",
			  LOG_FIELDS({ "file", save->file, 0 },
				     { "entries", NULL, (int64_t)result->entries },
				     { "bytes", NULL, (int64_t)result->size_bytes },
				     { "ms", NULL, save->took_ms }),
			  "%s", text);
	} else {
		text = xasprintf("session tables not saved: %s", result->why);
		log_event(LOG_LEVEL_ERROR, "state_not_saved",
			  LOG_FIELDS({ "file", save->file, 0 }, { "reason", result->why, 0 }), "%s",
			  text);
	}
	if (save->done)
		save->done(save->arg, save->rc == 0, text);
	free(text);
	state_content_fini(&save->content);
	free(save->file);
	free(save);
}

static void on_saved(struct mail *mail)
{
	struct save *save = container_of(mail, struct save, mail);

	pthread_join(saver, NULL);
	under_way = NULL;
	save_end(save);
}

static void *saver_main(void *arg)
{
	struct save *save = arg;

	pthread_setname_np(pthread_self(), "state-saver");
	save_run(save);
	loop_post(&control_loop, &save->mail, on_saved);
	return NULL;
}

int state_keep_save(control_saved_fn *done, void *arg, char **why)
{
	struct save *save;
	int rc;

	if (!runtime_config()->global.state_file.len) {
		*why = xstrdup("the configuration has no global.state_file");
		return -ENOENT;
	}
	if (upgrade_is_handed_over()) {
		*why = xstrdup("this process has handed over to a new one: ask that");
		return -EBUSY;
	}
	if (under_way) {
		*why = xstrdup("a save is under way");
		return -EBUSY;
	}
	save = save_new();
	save->done = done;
	save->arg = arg;
	rc = -pthread_create(&saver, NULL, saver_main, save);
	if (rc == 0) {
		under_way = save;
		return 0;
	}
	*why = xasprintf("no thread can be started: %s", strerror(-rc));
	state_content_fini(&save->content);
	free(save->file);
	free(save);
	return rc;
}

void state_keep_end(void)
{
	struct save *save;

	while (under_way) /* the mail of its end */
		loop_turn(&control_loop, 20);
	if (!runtime_config()->global.state_file.len || upgrade_is_handed_over())
		return;
	save = save_new();
	save_run(save);
	save_end(save);
}

/*
 * Loading.
 */
static void take_secret(const struct state_secret *secret)
{
	struct config *config = runtime_config();
	struct backend *backend = config_backend(config, secret->backend);
	struct stick_rule *rule = backend ? stick_random_rule(backend) : NULL;

	if (!rule)
		return;
	rule->secret = arena_str(&config->arena, secret->text);
	has_secrets = true;
}

/*
 * Entries of before were hashed with the first one.  Where nothing else decides which it is, it
 * goes on, for any number of restarts.
 */
static void take_key(const struct siphash_key *key, uint32_t i)
{
	if (i == 0 && !runtime_config()->global.mirror)
		table_digest_begin(key);
	table_digest_also(key); /* no effect when it is the current one now */
}

static void load(const char *file)
{
	static const struct state_found on = { take_key, take_secret };
	int64_t began_us = clock_now_us(), took_ms;
	struct state_result result;
	int rc;

	clock_update();
	rc = state_file_read(file, clock_unix_ms(), &on, &result);
	took_ms = (clock_now_us() - began_us) / 1000;
	clock_update();
	if (rc == -ENOENT) {
		log_info("no state file %s yet: session tables are empty", file);
		return;
	}
	if (rc != 0) {
		log_event(LOG_LEVEL_ERROR, "state_refused",
			  LOG_FIELDS({ "file", file, 0 }, { "reason", result.why, 0 }),
			  "state file %s is refused, session tables are empty: %s", file,
			  result.why);
		return;
	}
	log_event(LOG_LEVEL_INFO, "state_loaded",
		  LOG_FIELDS({ "file", file, 0 }, { "entries", NULL, (int64_t)result.entries },
			     { "expired", NULL, (int64_t)result.expired },
			     { "skipped", NULL, (int64_t)result.skipped },
			     { "age_ms", NULL, result.age_ms }, { "ms", NULL, took_ms }),
		  "%" PRIu64 " entries of session tables loaded from %s in %" PRId64
		  " ms; it was saved %" PRId64 " s ago, since when %" PRIu64 " expired; %" PRIu64
		  " of unknown servers or tables were skipped",
		  result.entries, file, took_ms, result.age_ms / 1000, result.expired,
		  result.skipped);
}

/* Told now: at the stop it would be too late. */
static void warn_unwritable(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *directory =
		!slash ? xstrdup(".") : xstrndup((struct str){ file, (size_t)(slash - file) + 1 });

	if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
		log_warn("state file %s cannot be written at the stop: %s: %s", file, directory,
			 strerror(errno));
	free(directory);
}

void state_keep_begin(void)
{
	struct config *config = runtime_config();
	char *file = xstrndup(config->global.state_file);

	if (*file) {
		warn_unwritable(file);
		if (!upgrade_new_is_on())
			load(file);
	}
	/* The cookies that servers go by are made of them. */
	if (has_secrets) {
		runtime_build_sets(config, false);
		health_apply(config);
	}
	free(file);
}
