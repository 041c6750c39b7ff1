/* SPDX-License-Identifier: MIT */
/* Finds, starts and reaps the program that is to take over. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "main/upgrade.h"

extern char **environ;

/* Descriptors of the new process. */
#define CHILD_CONTROL_FD 3
#define CHILD_TABLES_FD  4

static const char *absolute(const char *path)
{
	char *directory, *joined;

	if (path[0] == '/')
		return xstrdup(path);
	directory = getcwd(NULL, 0);
	if (!directory)
		return NULL;
	joined = xasprintf("%s/%s", directory, path);
	free(directory);
	return joined;
}

static const char *in_path(const char *name)
{
	struct str rest = str_of(getenv("PATH"));

	while (rest.len) {
		ptrdiff_t colon = str_find_char(rest, ':');
		size_t n = colon < 0 ? rest.len : (size_t)colon;
		char *path = xasprintf("%.*s/%s", (int)n, rest.p, name);

		if (path[0] == '/' && access(path, X_OK) == 0)
			return path;
		free(path);
		n += colon >= 0;
		rest.p += n;
		rest.len -= n;
	}
	return NULL;
}

const char *upgrade_find_binary(const char *argv0)
{
	char path[PATH_MAX];
	const char *found;
	ssize_t n;

	/* Links in the path stay: they may lead to another release by then. */
	if (strchr(argv0, '/'))
		return absolute(argv0);
	found = in_path(argv0);
	if (found)
		return found;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n <= 0)
		return NULL;
	path[n] = '\0';
	return xstrdup(path);
}

static bool is_variable(const char *text, const char *name)
{
	size_t n = strlen(name);

	return strncmp(text, name, n) == 0 && text[n] == '=';
}

/* Ours, without what tells of this process; (own), the texts are the environment's but the first.
 */
static char **make_environment(void)
{
	size_t n = 0, to = 0;
	char **list;

	while (environ[n])
		n++;
	list = xcalloc(n + 2, sizeof(*list));
	list[to++] = xasprintf("%s=%d,%d", UPGRADE_ENV, CHILD_CONTROL_FD, CHILD_TABLES_FD);
	for (size_t i = 0; i < n; i++)
		if (!is_variable(environ[i], UPGRADE_ENV) &&
		    !is_variable(environ[i], "WATCHDOG_PID") &&
		    !is_variable(environ[i], "LISTEN_PID"))
			list[to++] = environ[i];
	return list;
}

/* dup2() onto 3 and 4 must not hit the other one of the two. */
static int out_of_the_way(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 16);

	return high < 0 ? -errno : high;
}

static int spawn(pid_t *pid, const char *binary, char **argv, int control_fd, int tables_fd)
{
	char **environment = make_environment();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int rc;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, control_fd, CHILD_CONTROL_FD);
	posix_spawn_file_actions_adddup2(&actions, tables_fd, CHILD_TABLES_FD);
	rc = posix_spawn(pid, binary, &actions, &attributes, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	free(environment[0]);
	free(environment);
	return -rc;
}

pid_t upgrade_spawn(const char *binary, char **argv, int control_fd, int tables_fd)
{
	int control = out_of_the_way(control_fd), tables = out_of_the_way(tables_fd);
	pid_t pid = 0;
	int rc = control < 0 ? control : tables;

	if (rc >= 0)
		rc = spawn(&pid, binary, argv, control, tables);
	if (control >= 0)
		close(control);
	if (tables >= 0)
		close(tables);
	return rc < 0 ? rc : pid;
}

bool upgrade_reap(pid_t pid, bool is_last_try, char *how, size_t how_size)
{
	int status = 0;
	pid_t got = waitpid(pid, &status, WNOHANG);

	if (got == 0 && !is_last_try)
		return false;
	if (got == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		snprintf(how, how_size, "it was ended");
	} else if (WIFEXITED(status)) {
		snprintf(how, how_size, "it exited with status %d", WEXITSTATUS(status));
	} else {
		snprintf(how, how_size, "it died of signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	}
	return true;
}
