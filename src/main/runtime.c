/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/runtime.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "balance/lb.h"
#include "balance/stick.h"
#include "balance/table_copy.h"
#include "base/log.h"
#include "base/thread.h"
#include "control/control.h"
#include "control/startup_log.h"
#include "health/discovery.h"
#include "health/health.h"
#include "main/certificates.h"
#include "main/runtime_binds.h"
#include "main/runtime_sets.h"
#include "main/state_keep.h"
#include "main/upgrade.h"
#include "mirror/mirror.h"
#include "net/pipe.h"
#include "session/client.h"

struct loop control_loop;

static struct config *current;
static struct config *started; /* (ref) what the process was started with */
static struct traffic *traffics;
static pthread_t *threads;
static unsigned traffics_n;
static bool is_running;
static struct binds held; /* what runtime_listen() is to watch */

struct publish_mail {
	struct mail mail;
	struct traffic *traffic;
	struct config *config; /* (ref) */
	struct opened *opened; /* (own) copies: fds[0] is this thread's, or -1 */
	size_t opened_n;
};

struct config *runtime_config(void)
{
	return current;
}

/* Ties the snapshot to the run-time objects. */
static void link_states(struct config *config)
{
	for (size_t i = 0; i < config->frontends_n; i++)
		config->frontends[i].state = frontend_state_get(config->frontends[i].name);
	for (size_t i = 0; i < config->backends_n; i++) {
		config->backends[i].state = backend_state_get(config->backends[i].name);
		config->backends[i].state->is_cut_on_down = config->backends[i].is_closed_on_down;
		stick_prepare(&config->backends[i]);
	}
	for (struct frontend_state *at = frontend_state_first(); at; at = at->next)
		at->is_gone = !config_frontend(config, str_of(at->name));
	for (struct backend_state *at = backend_state_first(); at; at = at->next) {
		at->is_gone = !config_backend(config, str_of(at->name));
		if (at->is_gone)
			runtime_drop_set(at);
	}
}

int runtime_start(struct config *config, bool is_held, char **why)
{
	struct binds binds = { .threads_n = config->global.threads, .is_held = is_held };
	int rc;

	traffics_n = config->global.threads;
	rc = binds_open(config, NULL, &binds, why);
	if (rc != 0)
		return rc;
	config->serial = 1;
	current = config_ref(config);
	started = config_ref(config);
	pipes_allow(config->global.has_splice);
	link_states(config);
	traffics = xcalloc(traffics_n, sizeof(*traffics));
	for (unsigned t = 0; t < traffics_n; t++) {
		rc = traffic_init(&traffics[t], t);
		bug_on(rc != 0);
	}
	health_init(&control_loop);
	discovery_init(&control_loop, runtime_rebuild_sets);
	discovery_apply(config);
	runtime_build_sets(config, false);
	for (unsigned t = 0; t < traffics_n; t++) {
		traffic_set_config(&traffics[t], config);
		for (size_t i = 0; i < binds.n && rc == 0 && !is_held; i++)
			if (binds.rows[i].fds[t] >= 0)
				rc = traffic_listen(&traffics[t], binds.rows[i].bind,
						    binds.rows[i].fds[t]);
	}
	if (is_held)
		held = binds;
	else
		binds_free(&binds);
	if (rc != 0)
		*why = xasprintf("cannot watch a listening socket: %s", strerror(-rc));
	else
		health_apply(config);
	return rc;
}

static void *thread_main(void *arg)
{
	struct traffic *traffic = arg;
	char name[16];

	thread_index = traffic->index;
	snprintf(name, sizeof(name), "traffic-%u", traffic->index);
	pthread_setname_np(pthread_self(), name);
	loop_run(&traffic->loop);
	traffic_quit(traffic);
	return NULL;
}

static void on_config_gone(struct mail *mail)
{
	config_free(container_of(mail, struct config, gone));
}

/* A large one is some thousand pages: no request shall wait until they are gone. */
static bool pass_config_on(struct config *config)
{
	if (thread_index >= traffics_n)
		return false;
	loop_post(&control_loop, &config->gone, on_config_gone);
	return true;
}

int runtime_start_threads(void)
{
	thread_index = traffics_n;
	config_gone_hook = pass_config_on;
	threads = xcalloc(traffics_n, sizeof(*threads));
	for (unsigned t = 0; t < traffics_n; t++) {
		int rc = pthread_create(&threads[t], NULL, thread_main, &traffics[t]);

		if (rc != 0)
			return -rc;
	}
	is_running = true;
	certificates_apply(current);
	return 0;
}

static void on_publish(struct mail *mail)
{
	struct publish_mail *publish = container_of(mail, struct publish_mail, mail);

	traffic_set_config(publish->traffic, publish->config);
	for (size_t i = 0; i < publish->opened_n; i++)
		if (publish->opened[i].fds[0] >= 0 &&
		    traffic_listen(publish->traffic, publish->opened[i].bind,
				   publish->opened[i].fds[0]) != 0)
			log_error("a listening socket could not be watched on thread %u",
				  publish->traffic->index);
	config_unref(publish->config);
	free(publish->opened);
	free(publish);
}

static void publish(struct config *config, const struct binds *binds)
{
	for (unsigned t = 0; t < traffics_n; t++) {
		struct publish_mail *mail = xcalloc(1, sizeof(*mail));

		mail->traffic = &traffics[t];
		mail->config = config_ref(config);
		mail->opened = xcalloc(binds->n, sizeof(*mail->opened));
		mail->opened_n = binds->n;
		for (size_t i = 0; i < binds->n; i++) {
			mail->opened[i] = binds->rows[i];
			mail->opened[i].fds[0] = binds->rows[i].fds[t];
		}
		loop_post(&traffics[t].loop, &mail->mail, on_publish);
	}
}

static char *join_messages(const struct config_messages *messages, const char *last)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < messages->n; i++) {
		char *longer = xasprintf("%s%s\n", text, messages->texts[i]);

		free(text);
		text = longer;
	}
	char *all = xasprintf("%s%s", text, last);

	free(text);
	return all;
}

void runtime_listen(void)
{
	if (!held.is_held)
		return;
	binds_listen(&held);
	publish(current, &held);
	binds_free(&held);
}

static void put_in_force(struct config *config, const struct binds *binds)
{
	struct config *old = current;
	const struct log_conf *log;
	const char *why = NULL;

	config->serial = old->serial + 1;
	current = config_ref(config);
	pipes_allow(config->global.has_splice);
	link_states(config);
	mirror_apply(config); /* before peers are told of digest keys */
	table_copy_refresh();
	discovery_apply(config);
	runtime_build_sets(config, false);
	publish(config, binds);
	for (size_t i = 0; i < config->backends_n; i++)
		queue_wake_all(config->backends[i].state);
	health_apply(config);
	control_apply(config);
	if (config_log_open(&config->global, &log, &why) != 0)
		log_error("log target %.*s: %s; the old ones stay", STR_ARG(log->target),
			  why ? why : "cannot be opened");
	binds_tell(config, old);
	config_unref(old);
	certificates_apply(config);
}

/* Secrets that were made up: with others every client would lose its server. */
static void keep_secrets(struct config *config, const struct config *old)
{
	for (size_t i = 0; i < config->backends_n; i++) {
		struct stick_rule *rule = stick_random_rule(&config->backends[i]);
		struct backend *was = config_backend(old, config->backends[i].name);
		const struct stick_rule *old_rule = was ? stick_random_rule(was) : NULL;

		if (rule && old_rule)
			rule->secret = arena_str(&config->arena, old_rule->secret);
	}
}

static void add_warning(struct config_messages *messages, const struct config *config,
			const char *text)
{
	messages->texts =
		xrealloc_array(messages->texts, messages->n + 1, sizeof(*messages->texts));
	messages->are_errors = xrealloc_array(messages->are_errors, messages->n + 1,
					      sizeof(*messages->are_errors));
	messages->texts[messages->n] = xasprintf("%s:1:1: warning: %s", config->file, text);
	messages->are_errors[messages->n++] = false;
}

static void warn_restart_keys(const struct config *config, struct config_messages *messages)
{
	const char *keys[16];
	size_t n = config_restart_keys(started, config, keys, ARRAY_N(keys));

	for (size_t i = 0; i < n && i < ARRAY_N(keys); i++) {
		char *text = xasprintf("'global.%s' changes with a restart only", keys[i]);

		add_warning(messages, config, text);
		free(text);
	}
}

static void tell_messages(const struct config_messages *messages, const char *why)
{
	startup_log_begin();
	for (size_t i = 0; i < messages->n; i++) {
		startup_log_add(messages->texts[i], messages->are_errors[i]);
		if (messages->are_errors[i])
			log_error("%s", messages->texts[i]);
		else
			log_warn("%s", messages->texts[i]);
	}
	if (!why)
		return;
	log_error("%s", why);
	startup_log_add(why, true);
}

static int load_again(const char *file, char **report)
{
	struct config_messages messages = { 0 };
	struct config *config = config_load(file, &messages);
	struct binds binds = { .threads_n = traffics_n };
	char *why = NULL;
	int rc = config ? 0 : -EINVAL;

	if (rc == 0)
		rc = binds_open(config, current, &binds, &why);
	if (rc == 0)
		warn_restart_keys(config, &messages);
	tell_messages(&messages, why);
	process_state.has_reload_failed = rc != 0;
	if (rc == 0) {
		keep_secrets(config, current);
		put_in_force(config, &binds);
		process_state.config_read_unix_ms = clock_unix_ms();
		count(&process_state.counters, process_reloads);
		log_event(LOG_LEVEL_INFO, "reload",
			  LOG_FIELDS({ "result", "ok", 0 }, { "file", file, 0 },
				     { "serial", NULL, (int64_t)config->serial }),
			  "configuration %s loaded again", file);
		*report = join_messages(&messages, "Reloaded.\n");
	} else {
		count(&process_state.counters, process_reloads_failed);
		log_event(LOG_LEVEL_ERROR, "reload",
			  LOG_FIELDS({ "result", "failed", 0 }, { "file", file, 0 },
				     { "errors", NULL, (int64_t)messages.errors_n + !!why }),
			  "reload of %s failed; the running configuration is unchanged", file);
		*report = join_messages(&messages,
					why ? why : "Reload failed: nothing has changed.\n");
	}
	free(why);
	binds_free(&binds);
	config_messages_fini(&messages);
	config_unref(config);
	return rc;
}

/* A reload that cannot be now. */
static int refuse_reload(const char *why, char **report)
{
	log_event(LOG_LEVEL_WARN, "reload",
		  LOG_FIELDS({ "result", "refused", 0 }, { "reason", why, 0 }),
		  "reload refused: %s", why);
	*report = xasprintf("Reload refused: %s.\n", why);
	return -EBUSY;
}

int runtime_reload(const char *file, char **report)
{
	const char *forbidden = upgrade_forbids_reload();

	if (forbidden)
		return refuse_reload(forbidden, report);
	runtime_listen(); /* what is held belongs to the configuration that goes */
	return load_again(file, report);
}

void runtime_rebuild_sets(void)
{
	runtime_build_sets(current, true);
	health_apply(current);
}

struct traffic_mail {
	struct mail mail;
	struct traffic *traffic;
};

static void on_drain(struct mail *mail)
{
	struct traffic_mail *at = container_of(mail, struct traffic_mail, mail);

	traffic_drain(at->traffic);
	free(at);
}

void runtime_drain(void)
{
	for (unsigned t = 0; t < traffics_n; t++) {
		struct traffic_mail *mail = xcalloc(1, sizeof(*mail));

		mail->traffic = &traffics[t];
		loop_post(&traffics[t].loop, &mail->mail, on_drain);
	}
}

bool runtime_is_idle(void)
{
	uint32_t clients_n = 0;

	for (unsigned t = 0; t < traffics_n; t++)
		clients_n += atomic_load(&traffics[t].clients_n);
	return clients_n == 0;
}

void runtime_stop(void)
{
	for (unsigned t = 0; t < traffics_n; t++)
		loop_stop(&traffics[t].loop);
	for (unsigned t = 0; is_running && t < traffics_n; t++)
		pthread_join(threads[t], NULL);
	state_keep_end();
	certificates_fini();
	discovery_fini();
	health_fini();
	/* They may have posted to each other until the last one ended. */
	for (unsigned t = 0; t < traffics_n; t++)
		traffic_fini(&traffics[t]);
	loop_turn(&control_loop, 0); /* what the threads have posted last */
	free(threads);
	free(traffics);
	traffics_n = 0;
	runtime_free_sets();
	stick_fini();
	config_unref(current);
	config_unref(started);
}
