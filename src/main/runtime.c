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
#include "base/log.h"
#include "base/thread.h"
#include "control/control.h"
#include "health/discovery.h"
#include "health/health.h"
#include "main/runtime_sets.h"
#include "net/listener.h"
#include "session/client.h"

struct loop control_loop;

static struct config *current;
static struct traffic *traffics;
static pthread_t *threads;
static unsigned traffics_n;
static bool is_running;

/* Listening sockets of one new bind: one per thread, or one shared for a Unix socket. */
struct opened {
	const struct bind_conf *bind;
	int fds[THREADS_MAX];
};

struct publish_mail {
	struct mail mail;
	struct traffic *traffic;
	struct config *config; /* (ref) */
	struct opened *opened; /* (own) copies: fds[0] is this thread's */
	size_t opened_n;
};

struct config *runtime_config(void)
{
	return current;
}

/* Of whichever frontend: a listening socket goes with its text. */
static bool has_bind(const struct config *config, struct str text)
{
	for (size_t i = 0; config && i < config->frontends_n; i++)
		for (size_t j = 0; j < config->frontends[i].binds_n; j++)
			if (str_eq(config->frontends[i].binds[j].text, text))
				return true;
	return false;
}

static void close_opened(struct opened *opened, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (unsigned t = 0; t < traffics_n; t++)
			if (opened[i].fds[t] >= 0)
				close(opened[i].fds[t]);
	free(opened);
}

/* One socket for each thread; a Unix socket is bound once and duplicated. */
static int open_bind(const struct bind_conf *bind, struct opened *opened)
{
	struct listen_options options = {
		.backlog = (int)bind->backlog,
		.unix_mode = bind->unix_mode,
		.is_reuse_port = true,
		.defer_accept_s = bind->is_proxy_required ? 0 : 3,
	};

	for (unsigned t = 0; t < traffics_n; t++) {
		int fd = t && sock_addr_is_unix(&bind->addr) ? dup(opened->fds[0])
							     : listener_open(&bind->addr, &options);

		opened->fds[t] = fd;
		if (fd < 0)
			return fd == -1 ? -errno : fd;
	}
	return 0;
}

/*
 * Opens the binds that CONFIG has and OLD has not.  0 and *OPENED (own), or negative errno and
 * *WHY.
 */
static int open_binds(const struct config *config, const struct config *old, struct opened **opened,
		      size_t *opened_n, char **why)
{
	struct opened *list = NULL;
	size_t n = 0;

	for (size_t i = 0; i < config->frontends_n; i++) {
		const struct frontend *frontend = &config->frontends[i];

		for (size_t j = 0; j < frontend->binds_n; j++) {
			const struct bind_conf *bind = &frontend->binds[j];
			int rc;

			if (has_bind(old, bind->text))
				continue;
			list = xrealloc_array(list, n + 1, sizeof(*list));
			list[n] = (struct opened){ .bind = bind };
			for (unsigned t = 0; t < THREADS_MAX; t++)
				list[n].fds[t] = -1;
			rc = open_bind(bind, &list[n++]);
			if (rc == 0)
				continue;
			*why = xasprintf("%s:%u:%u: cannot listen on '%.*s': %s", config->file,
					 bind->pos.line, bind->pos.column, STR_ARG(bind->text),
					 strerror(-rc));
			close_opened(list, n);
			return rc;
		}
	}
	*opened = list;
	*opened_n = n;
	return 0;
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

static void add_message(struct config_messages *messages, const struct config *config,
			const struct config_pos *pos, bool is_error, const char *text)
{
	messages->texts =
		xrealloc_array(messages->texts, messages->n + 1, sizeof(*messages->texts));
	messages->are_errors = xrealloc_array(messages->are_errors, messages->n + 1,
					      sizeof(*messages->are_errors));
	messages->texts[messages->n] =
		xasprintf("%s:%u:%u: %s%s", pos->file ? pos->file : config->file, pos->line,
			  pos->column, is_error ? "" : "warning: ", text);
	messages->are_errors[messages->n++] = is_error;
	messages->errors_n += is_error;
}

static void not_built(struct config_messages *messages, const struct config *config,
		      const struct config_pos *pos, const char *what)
{
	char *text = xasprintf("%s is not built into this version yet", what);

	add_message(messages, config, pos, true, text);
	free(text);
}

static void check_frontend(const struct config *config, const struct frontend *frontend,
			   struct config_messages *messages)
{
	if (frontend->mode == TRAFFIC_TCP)
		not_built(messages, config, &frontend->pos, "'mode: tcp'");
	for (size_t i = 0; i < frontend->binds_n; i++)
		if (frontend->binds[i].tls)
			not_built(messages, config, &frontend->binds[i].pos, "'tls' on a bind");
}

static void check_backend(const struct config *config, const struct backend *backend,
			  struct config_messages *messages)
{
	if (backend->mode == TRAFFIC_TCP)
		not_built(messages, config, &backend->pos, "'mode: tcp'");
	if (backend->tls)
		not_built(messages, config, &backend->pos, "'tls' to servers");
}

size_t runtime_check(const struct config *config, struct config_messages *messages)
{
	const struct global_conf *global = &config->global;
	size_t before = messages->errors_n;

	for (size_t i = 0; i < config->frontends_n; i++)
		check_frontend(config, &config->frontends[i], messages);
	for (size_t i = 0; i < config->backends_n; i++)
		check_backend(config, &config->backends[i], messages);
	if (global->mirror)
		not_built(messages, config, &global->mirror->pos, "'global.mirror'");
	return messages->errors_n - before;
}

int runtime_start(struct config *config, char **why)
{
	struct opened *opened;
	size_t opened_n;
	int rc;

	traffics_n = config->global.threads;
	rc = open_binds(config, NULL, &opened, &opened_n, why);
	if (rc != 0)
		return rc;
	current = config_ref(config);
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
		for (size_t i = 0; i < opened_n && rc == 0; i++)
			rc = traffic_listen(&traffics[t], opened[i].bind, opened[i].fds[t]);
	}
	free(opened);
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

int runtime_start_threads(void)
{
	threads = xcalloc(traffics_n, sizeof(*threads));
	for (unsigned t = 0; t < traffics_n; t++) {
		int rc = pthread_create(&threads[t], NULL, thread_main, &traffics[t]);

		if (rc != 0)
			return -rc;
	}
	thread_index = traffics_n;
	is_running = true;
	return 0;
}

static void on_publish(struct mail *mail)
{
	struct publish_mail *publish = container_of(mail, struct publish_mail, mail);

	traffic_set_config(publish->traffic, publish->config);
	for (size_t i = 0; i < publish->opened_n; i++)
		if (traffic_listen(publish->traffic, publish->opened[i].bind,
				   publish->opened[i].fds[0]) != 0)
			log_error("a listening socket could not be watched on thread %u",
				  publish->traffic->index);
	config_unref(publish->config);
	free(publish->opened);
	free(publish);
}

static void publish(struct config *config, const struct opened *opened, size_t opened_n)
{
	for (unsigned t = 0; t < traffics_n; t++) {
		struct publish_mail *mail = xcalloc(1, sizeof(*mail));

		mail->traffic = &traffics[t];
		mail->config = config_ref(config);
		mail->opened = xcalloc(opened_n, sizeof(*opened));
		mail->opened_n = opened_n;
		for (size_t i = 0; i < opened_n; i++) {
			mail->opened[i] = opened[i];
			mail->opened[i].fds[0] = opened[i].fds[t];
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

static void put_in_force(struct config *config, const struct opened *opened, size_t opened_n)
{
	struct config *old = current;
	const struct log_conf *log;
	const char *why = NULL;

	config->serial = old->serial + 1;
	current = config_ref(config);
	link_states(config);
	discovery_apply(config);
	runtime_build_sets(config, false);
	publish(config, opened, opened_n);
	for (size_t i = 0; i < config->backends_n; i++)
		queue_wake_all(config->backends[i].state);
	health_apply(config);
	control_apply(config);
	if (config_log_open(&config->global, &log, &why) != 0)
		log_error("log target %.*s: %s; the old ones stay", STR_ARG(log->target),
			  why ? why : "cannot be opened");
	if (config->global.threads != old->global.threads ||
	    !str_eq(config->global.user, old->global.user) ||
	    !str_eq(config->global.group, old->global.group) ||
	    !str_eq(config->global.chroot, old->global.chroot))
		log_warn("threads, user, group and chroot change with a restart only");
	config_unref(old);
}

int runtime_reload(const char *file, char **report)
{
	struct config_messages messages = { 0 };
	struct config *config = config_load(file, &messages);
	struct opened *opened = NULL;
	size_t opened_n = 0;
	char *why = NULL;
	int rc = config ? 0 : -EINVAL;

	if (config && runtime_check(config, &messages))
		rc = -EINVAL;
	if (rc == 0)
		rc = open_binds(config, current, &opened, &opened_n, &why);
	for (size_t i = 0; i < messages.n; i++) {
		if (messages.are_errors[i])
			log_error("%s", messages.texts[i]);
		else
			log_warn("%s", messages.texts[i]);
	}
	if (why)
		log_error("%s", why);
	if (rc == 0) {
		put_in_force(config, opened, opened_n);
		process_state.config_read_unix_ms = clock_unix_ms();
		process_state.has_reload_failed = false;
		count(&process_state.counters, process_reloads);
		log_info("configuration %s loaded again", file);
		*report = join_messages(&messages, "Reloaded.\n");
	} else {
		process_state.has_reload_failed = true;
		count(&process_state.counters, process_reloads_failed);
		log_error("reload of %s failed; the running configuration is unchanged", file);
		*report = join_messages(&messages,
					why ? why : "Reload failed: nothing has changed.\n");
	}
	free(why);
	free(opened);
	config_messages_fini(&messages);
	config_unref(config);
	return rc;
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
}
