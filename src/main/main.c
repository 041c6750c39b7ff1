/* SPDX-License-Identifier: MIT */
/*
 * limpet - command line, start, signals, stop.
 *
 * The main thread is the control thread once the traffic threads run: stats socket, health checks,
 * discovery, reload.  Signals come through a signalfd on its loop.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <openssl/crypto.h>
#include <yaml.h>

#include "base/log.h"
#include "control/control.h"
#include "control/startup_log.h"
#include "main/process.h"
#include "main/runtime.h"
#include "main/runtime_binds.h"
#include "main/state_keep.h"
#include "main/upgrade.h"
#include "main/wiring.h"
#include "mirror/mirror.h"
#include "session/ending.h"
#include "session/traffic.h"

enum mode { MODE_RUN, MODE_CHECK, MODE_PRINT };

/* The stop, step by step. */
static struct {
	struct loop_fd signals;
	struct timer poll;
	int64_t deadline_ms;
	int64_t ending_at_ms; /* 0 = what is left is being ended */
	bool is_draining, is_stopped;
	const char *file;
} app;

static int64_t boot_began_ms; /* monotonic */

#define POLL_MS  20
#define FLUSH_MS SEC(1) /* that Redis may take at the end */

static void usage(FILE *out)
{
	fputs("usage: limpet -f FILE [-b PROGRAM] [-c | -p]\n"
	      "       limpet -V | -h\n"
	      "  -f FILE  configuration (YAML); runs in the foreground\n"
	      "  -b FILE  program that SIGUSR2 starts; by default this one, where it was found\n"
	      "  -c       check the file and exit: 0 when it is good, 1 when not\n"
	      "  -p       print the effective configuration and exit\n"
	      "  -V       version and libraries\n",
	      out);
}

static void print_version(void)
{
	int major, minor, patch;
	char pcre2[64] = "?";

	yaml_get_version(&major, &minor, &patch);
	pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
	printf("limpet %s\nbuilt with %s\n%s\nPCRE2 %s\nlibyaml %d.%d.%d\n", PACKAGE_VERSION,
	       LIMPET_CC, OpenSSL_version(OPENSSL_VERSION), pcre2, major, minor, patch);
}

/* To the process that was to hand over. */
static void tell_mistakes(const struct config_messages *messages)
{
	char text[4096] = "";
	size_t length = 0;

	for (size_t i = 0; i < messages->n && length < sizeof(text) - 1; i++)
		if (messages->are_errors[i])
			length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s",
						   length ? "; " : "", messages->texts[i]);
	upgrade_new_failed(text);
}

static struct config *load(const char *file)
{
	struct config_messages messages = { 0 };
	struct config *config = config_load(file, &messages);

	startup_log_begin();
	for (size_t i = 0; i < messages.n; i++) {
		fprintf(stderr, "%s\n", messages.texts[i]);
		startup_log_add(messages.texts[i], messages.are_errors[i]);
	}
	if (!config)
		tell_mistakes(&messages);
	config_messages_fini(&messages);
	return config;
}

static int print_config(const struct config *config)
{
	size_t length;
	char *text = config_dump(config, false, &length);
	bool is_written = fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0;

	free(text);
	return is_written ? 0 : 1;
}

static void on_flushed(void *arg)
{
	(void)arg;
	loop_stop(&control_loop);
}

static void stop_now(void)
{
	timer_stop(&app.poll);
	if (app.is_stopped)
		loop_stop(&control_loop);
	else
		mirror_flush(FLUSH_MS, on_flushed, NULL);
	app.is_stopped = true;
}

/* Somebody else goes on with the sessions: the other node, or this one when it is back. */
static bool is_mirrored(void)
{
	struct mirror_status status;

	mirror_status(&status);
	return status.state == MIRROR_UP;
}

/* The last part of shutdown_grace: WebSockets are ended evenly, as their clients understand. */
static void end_what_is_left(void)
{
	int64_t over_ms = app.deadline_ms - clock_ms();
	enum ending_how how = is_mirrored() ? ENDING_HANDED_OVER : ENDING_POLITE;

	app.ending_at_ms = 0;
	for (uint32_t i = 0; i < servers_n(); i++)
		ending_post(server_by_number(i), 1000, over_ms - over_ms / 10, how);
}

static void on_poll(struct timer *timer)
{
	if (runtime_is_idle() || clock_ms() >= app.deadline_ms) {
		if (!runtime_is_idle())
			log_event(LOG_LEVEL_WARN, "grace_over", NULL,
				  "shutdown_grace is over: closing what is left");
		stop_now();
		return;
	}
	if (app.ending_at_ms && clock_ms() >= app.ending_at_ms)
		end_what_is_left();
	loop_timer_in(&control_loop, timer, POLL_MS);
}

static void on_term(void)
{
	if (app.is_draining) {
		log_info("stopping at once");
		stop_now();
		return;
	}
	app.is_draining = true;
	control_set_draining(true);
	atomic_store(&process_state.is_stopping, true);
	upgrade_cancel();
	app.deadline_ms = clock_ms() + runtime_config()->global.shutdown_grace_ms;
	app.ending_at_ms = clock_ms() + runtime_config()->global.shutdown_grace_ms / 2;
	log_event(LOG_LEVEL_INFO, "stopping",
		  LOG_FIELDS({ "grace_ms", NULL, runtime_config()->global.shutdown_grace_ms }),
		  "stopping: no new connections, the others may end");
	process_notify("STOPPING=1");
	runtime_drain();
	loop_timer_in(&control_loop, &app.poll, POLL_MS);
}

static void on_hup(void)
{
	char *report = NULL;

	process_notify_reloading();
	if (runtime_reload(app.file, &report) != 0)
		process_notify("READY=1\nSTATUS=serving; the last reload failed, see the log");
	else
		process_notify("READY=1\nSTATUS=serving");
	free(report);
}

static void on_usr2(void)
{
	char *why = NULL;

	(void)!upgrade_start(NULL, NULL, &why); /* the log tells */
	free(why);
}

static void on_signal(struct loop_fd *lf, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(lf->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			on_term();
			break;
		case SIGHUP:
			on_hup();
			break;
		case SIGUSR1:
			log_reopen();
			break;
		case SIGUSR2:
			on_usr2();
			break;
		default:
			break;
		}
	}
}

static int watch_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL); /* the threads inherit it */
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : loop_fd_add(&control_loop, &app.signals, fd, on_signal, EPOLLIN);
}

static int set_limits(struct config *config)
{
	uint64_t fd_limit = process_raise_fd_limit();
	uint64_t needed = process_fds_needed(config);
	uint32_t possible = process_connections_for(fd_limit, needed);

	process_state.max_connections_possible = possible;
	process_state.max_connections = config->global.max_connections;
	if (!process_state.max_connections)
		process_state.max_connections = possible;
	if (process_state.max_connections > possible) {
		fprintf(stderr,
			"%s: global.max_connections %u needs about %llu descriptors and the limit "
			"is %llu: raise it (ulimit -n, LimitNOFILE) or lower max_connections to "
			"%u\n",
			app.file, process_state.max_connections,
			(unsigned long long)process_state.max_connections * 2 +
				(needed > 200 ? needed : 200),
			(unsigned long long)fd_limit, possible);
		upgrade_new_failed(
			"global.max_connections needs more descriptors than it may have");
		return -EMFILE;
	}
	process_make_room_for_fds(config, process_state.max_connections);
	return 0;
}

/* Two of them serve the same ports side by side, each with half of the sessions. */
static void warn_of_other(struct str pid_file)
{
	pid_t other = process_other(pid_file);

	if (other)
		fprintf(stderr, "limpet: warning: %.*s names process %d, a limpet that runs\n",
			STR_ARG(pid_file), (int)other);
}

static int fail(const char *what, int rc)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: %s", what, strerror(-rc));
	fprintf(stderr, "limpet: %s\n", text);
	upgrade_new_failed(text);
	return 1;
}

static void tell_ready(void)
{
	char text[96];

	snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1\nSTATUS=serving", (int)getpid());
	process_notify(text);
	process_watchdog_start(&control_loop, runtime_barrier);
}

/* The process before this one is about to let go. */
static void on_accepting(void)
{
	struct str pid_file = runtime_config()->global.pid_file;
	int rc = process_write_pid_file(&runtime_config()->global);

	if (rc != 0)
		log_warn("pid file %.*s still names the process before: %s", STR_ARG(pid_file),
			 strerror(-rc));
	binds_forget_inherited();
	control_release();
	tell_ready();
	log_info("process %d serves now", (int)getpid());
}

/* The first load of the tables is complete, or has taken too long. */
static void on_loaded(void *arg, bool is_loaded)
{
	(void)arg;
	if (!is_loaded)
		log_event(LOG_LEVEL_WARN, "mirror_load_timeout", NULL,
			  "the tables are not loaded from Redis yet: clients are let in without");
	process_state.is_loading = false;
	runtime_listen();
	tell_ready();
}

/*
 * An upgrade: this process knows what Redis knows before it takes clients from the one before, so
 * that no session which was just born on another node is unknown here.
 */
static void on_loaded_anew(void *arg, bool is_loaded)
{
	int rc = upgrade_new_ready(on_accepting);

	(void)arg;
	(void)is_loaded;
	if (rc == 0)
		return;
	fail("the process before cannot be told", rc);
	loop_stop(&control_loop);
}

static void wait_for_load(const struct global_conf *global)
{
	int64_t load_ms = global->mirror ? global->mirror->load_timeout_ms : 0;
	int64_t half_ms = global->upgrade_timeout_ms / 2; /* that the one before waits for us */

	if (upgrade_new_is_on()) {
		mirror_when_loaded(load_ms < half_ms ? load_ms : half_ms, on_loaded_anew, NULL);
		return;
	}
	process_state.is_loading = true;
	process_notify("STATUS=loading the tables");
	if (global->mirror)
		log_info("clients are let in when the tables are loaded from Redis, or in %lld ms",
			 (long long)load_ms);
	mirror_when_loaded(load_ms, on_loaded, NULL);
}

/* Tables, privileges, log, threads: from here on another start and a take-over differ little. */
static int start_threads(const struct config *config, bool is_new)
{
	const struct global_conf *global = &config->global;
	const struct log_conf *log = NULL;
	const char *why = NULL;
	int rc = is_new ? upgrade_new_tables() : process_write_pid_file(global);

	if (rc != 0)
		return fail(is_new ? "the tables cannot be taken over"
				   : "cannot write the pid file",
			    rc);
	rc = process_drop_privileges(config, is_new, &why);
	if (rc != 0)
		return fail(why, rc);
	rc = config_log_open(global, &log, &why);
	if (rc != 0) {
		fprintf(stderr, "%s:%u:%u: log target %.*s: ", app.file, log->pos.line,
			log->pos.column, STR_ARG(log->target));
		return fail(why ? why : "cannot be opened", rc);
	}
	state_keep_begin();
	rc = runtime_start_threads();
	if (rc != 0)
		return fail("cannot start a thread", rc);
	mirror_apply(config);
	return 0;
}

/* Sockets, privileges, threads.  0, or the exit status after a message. */
static int start(struct config *config)
{
	bool is_new = upgrade_new_is_on();
	const char *why = NULL;
	char *text = NULL;
	int rc;

	process_notify_begin();
	thread_indexes_n = config->global.threads + 1;
	counters_init(&process_state.counters, SCOPE_process);
	process_state.started_unix_ms = clock_unix_ms();
	rc = loop_init(&control_loop);
	if (rc == 0)
		rc = watch_signals();
	if (rc != 0)
		return fail("cannot start", rc);
	if (set_limits(config) != 0)
		return 1;
	wiring_init(app.file);
	rc = is_new ? upgrade_new_states(config) : 0;
	if (rc != 0)
		return fail("the states cannot be taken over", rc);
	if (is_new)
		control_hold();
	else
		warn_of_other(config->global.pid_file);
	/* First, so that whoever can connect to a frontend can ask the stats socket. */
	rc = control_init(&control_loop, config, &why);
	if (rc != 0)
		return fail(why ? why : "stats socket", rc);
	rc = runtime_start(config, is_new || config->global.mirror, &text);
	if (rc != 0) {
		fprintf(stderr, "%s\n", text);
		upgrade_new_failed(text);
		free(text);
		control_fini();
		return 1;
	}
	return start_threads(config, is_new);
}

static int run(struct config *config)
{
	int status = start(config);

	if (status != 0)
		return status;
	process_state.boot_ms = clock_now_us() / 1000 - boot_began_ms;
	log_event(LOG_LEVEL_INFO, "start",
		  LOG_FIELDS({ "version", PACKAGE_VERSION, 0 },
			     { "threads", NULL, config->global.threads },
			     { "max_connections", NULL, process_state.max_connections }),
		  "limpet %s runs: %u threads, %u connections at most", PACKAGE_VERSION,
		  config->global.threads, process_state.max_connections);
	timer_init(&app.poll, on_poll);
	wait_for_load(&config->global);
	loop_run(&control_loop);
	mirror_fini();
	control_fini();
	runtime_stop();
	process_remove_pid_file(config->global.pid_file);
	log_event(LOG_LEVEL_INFO, "stop", NULL, "stopped");
	log_close();
	close(app.signals.fd);
	loop_fini(&control_loop);
	return 0;
}

int main(int argc, char **argv)
{
	enum mode mode = MODE_RUN;
	struct config *config;
	const char *binary = NULL;
	int option, status = 0;

	boot_began_ms = clock_now_us() / 1000;
	while ((option = getopt(argc, argv, "f:b:cpVh")) != -1) {
		switch (option) {
		case 'f':
			app.file = optarg;
			break;
		case 'b':
			binary = optarg;
			break;
		case 'c':
			mode = MODE_CHECK;
			break;
		case 'p':
			mode = MODE_PRINT;
			break;
		case 'V':
			print_version();
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (!app.file || optind != argc) {
		usage(stderr);
		return 2;
	}
	if (mode == MODE_RUN && upgrade_new_begin() < 0)
		return 1;
	config = load(app.file);
	if (!config)
		return 1;
	upgrade_init(binary, argv, stop_now);
	if (mode == MODE_PRINT)
		status = print_config(config);
	else if (mode == MODE_RUN)
		status = run(config);
	config_unref(config);
	return status;
}
