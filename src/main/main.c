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
#include "main/wiring.h"
#include "session/traffic.h"

enum mode { MODE_RUN, MODE_CHECK, MODE_PRINT };

/* The stop, step by step. */
static struct {
	struct loop_fd signals;
	struct timer poll;
	int64_t deadline_ms;
	bool is_draining;
	const char *file;
} app;

static int64_t boot_began_ms; /* monotonic */

#define POLL_MS 20

static void usage(FILE *out)
{
	fputs("usage: limpet -f FILE [-c | -p]\n"
	      "       limpet -V | -h\n"
	      "  -f FILE  configuration (YAML); runs in the foreground\n"
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

static struct config *load(const char *file)
{
	struct config_messages messages = { 0 };
	struct config *config = config_load(file, &messages);

	startup_log_begin();

	if (config && runtime_check(config, &messages)) {
		config_unref(config);
		config = NULL;
	}
	for (size_t i = 0; i < messages.n; i++) {
		fprintf(stderr, "%s\n", messages.texts[i]);
		startup_log_add(messages.texts[i], messages.are_errors[i]);
	}
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

static void stop_now(void)
{
	timer_stop(&app.poll);
	loop_stop(&control_loop);
}

static void on_poll(struct timer *timer)
{
	if (runtime_is_idle() || clock_ms() >= app.deadline_ms) {
		if (!runtime_is_idle())
			log_warn("shutdown_grace is over: closing what is left");
		stop_now();
		return;
	}
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
	app.deadline_ms = clock_ms() + runtime_config()->global.shutdown_grace_ms;
	log_info("stopping: no new connections, the others may end");
	process_notify("STOPPING=1");
	runtime_drain();
	loop_timer_in(&control_loop, &app.poll, POLL_MS);
}

static void on_hup(void)
{
	char *report = NULL;

	process_notify("RELOADING=1");
	if (runtime_reload(app.file, &report) != 0)
		process_notify("STATUS=the last reload failed; see the log");
	free(report);
	process_notify("READY=1");
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
			log_warn("SIGUSR2: handing over to a new binary is not built into this "
				 "version yet");
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
	uint32_t possible = process_connections_for(fd_limit);

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
			(unsigned long long)process_state.max_connections * 2 + 200,
			(unsigned long long)fd_limit, possible);
		return -EMFILE;
	}
	return 0;
}

static int fail(const char *what, int rc)
{
	fprintf(stderr, "limpet: %s: %s\n", what, strerror(-rc));
	return 1;
}

/* Sockets, privileges, threads.  0, or the exit status after a message. */
static int start(struct config *config)
{
	const struct global_conf *global = &config->global;
	const struct log_conf *log = NULL;
	const char *why = NULL;
	char *text = NULL;
	int rc;

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
	/* First, so that whoever can connect to a frontend can ask the stats socket. */
	rc = control_init(&control_loop, config, &why);
	if (rc != 0)
		return fail(why ? why : "stats socket", rc);
	rc = runtime_start(config, &text);
	if (rc != 0) {
		fprintf(stderr, "%s\n", text);
		free(text);
		control_fini();
		return 1;
	}
	rc = process_write_pid_file(global->pid_file);
	if (rc != 0)
		return fail("cannot write the pid file", rc);
	rc = process_drop_privileges(global, &why);
	if (rc != 0)
		return fail(why, rc);
	rc = config_log_open(global, &log, &why);
	if (rc != 0) {
		fprintf(stderr, "%s:%u:%u: log target %.*s: ", app.file, log->pos.line,
			log->pos.column, STR_ARG(log->target));
		return fail(why ? why : "cannot be opened", rc);
	}
	rc = runtime_start_threads();
	return rc == 0 ? 0 : fail("cannot start a thread", rc);
}

static int run(struct config *config)
{
	int status = start(config);

	if (status != 0)
		return status;
	process_state.boot_ms = clock_now_us() / 1000 - boot_began_ms;
	log_info("limpet %s runs: %u threads, %u connections at most", PACKAGE_VERSION,
		 config->global.threads, process_state.max_connections);
	process_notify("READY=1");
	timer_init(&app.poll, on_poll);
	loop_run(&control_loop);
	control_fini();
	runtime_stop();
	process_remove_pid_file(config->global.pid_file);
	log_info("stopped");
	log_close();
	close(app.signals.fd);
	loop_fini(&control_loop);
	return 0;
}

int main(int argc, char **argv)
{
	enum mode mode = MODE_RUN;
	struct config *config;
	int option, status = 0;

	boot_began_ms = clock_now_us() / 1000;
	while ((option = getopt(argc, argv, "f:cpVh")) != -1) {
		switch (option) {
		case 'f':
			app.file = optarg;
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
	config = load(app.file);
	if (!config)
		return 1;
	if (mode == MODE_PRINT)
		status = print_config(config);
	else if (mode == MODE_RUN)
		status = run(config);
	config_unref(config);
	return status;
}
