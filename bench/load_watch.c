/* SPDX-License-Identifier: MIT */
/*
 * load_watch - clocks: processor time of the proxy, how long anybody waited for a processor, and
 * latencies.
 *
 * Processor time is that of the process clock, which the kernel keeps in nanoseconds and brings up
 * to date when it is read, unlike what /proc says.  The proxy's descendants count (workers).
 */
#include "config.h"

#include "load.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void die(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(2);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

uint64_t number_parse(const char *text, uint64_t max)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (end == text || *end != '\0' || n > max)
		die(text, "not a number, or too large");
	return n;
}

void address_parse(const char *text, struct address *a)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	const char *colon = strrchr(text, ':');
	char host[64];

	memset(a, 0, sizeof(*a));
	if (strncmp(text, "unix:", 5) == 0) {
		un->sun_family = AF_UNIX;
		if (strlen(text + 5) >= sizeof(un->sun_path))
			die(text, "path too long");
		memcpy(un->sun_path, text + 5, strlen(text + 5));
		a->length = sizeof(*un);
		return;
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		die(text, "not an address");
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)number_parse(colon + 1, 65535));
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		die(text, "not an IPv4 address");
	a->length = sizeof(*in);
}

/* 32 slots for each power of two: a figure is off by 3 % at most. */
static unsigned hist_slot(uint64_t ns)
{
	unsigned bits;

	if (ns < 32)
		return (unsigned)ns;
	bits = 63u - (unsigned)__builtin_clzll(ns);
	return (bits - 5) * 32 + (unsigned)(ns >> (bits - 5));
}

void hist_add(struct hist *h, uint64_t ns)
{
	unsigned slot = hist_slot(ns);

	h->slots[slot < HIST_N ? slot : HIST_N - 1]++;
	h->n++;
	if (ns > h->max)
		h->max = ns;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t seen = 0;
	double want = q * (double)h->n;

	for (unsigned i = 0; i < HIST_N; i++) {
		unsigned up = i < 64 ? 0 : i / 32 - 1;
		uint64_t top = (((uint64_t)i - 32 * up) << up) + ((1ull << up) - 1);

		seen += h->slots[i];
		if (h->n != 0 && (double)seen >= want)
			return top < h->max ? top : h->max;
	}
	return 0;
}

static void read_file(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n = 0;

	if (f != NULL) {
		n = fread(text, 1, size - 1, f);
		fclose(f);
	}
	text[n] = '\0';
}

/* The PIDs in PATH, a file of words; those below them too. */
static void watch_children(int pid)
{
	char path[320], text[4096];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (tasks == NULL)
		die(path, strerror(errno));
	while ((entry = readdir(tasks)) != NULL) {
		char *at = text, *end;
		long child;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/children", pid, entry->d_name);
		read_file(path, text, sizeof(text));
		while ((child = strtol(at, &end, 10)) > 0 && end != at) {
			watch_pids((int)child);
			at = end;
		}
	}
	closedir(tasks);
}

void watch_pids(int root)
{
	if (opt.pids_n == PIDS_MAX)
		die("-P", "too many processes");
	opt.pids[opt.pids_n++] = root;
	watch_children(root);
}

static uint64_t waited(int pid)
{
	char path[320], text[128];
	struct dirent *entry;
	uint64_t sum = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (tasks == NULL)
		return 0;
	while ((entry = readdir(tasks)) != NULL) {
		uint64_t ran, wait;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		read_file(path, text, sizeof(text));
		if (sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &wait) == 2)
			sum += wait;
	}
	closedir(tasks);
	return sum;
}

void watch_read(struct watch *w)
{
	uint64_t steal = 0;
	char text[512];

	w->cpu = w->wait = 0;
	for (unsigned i = 0; i < opt.pids_n; i++) {
		struct timespec t;
		clockid_t id;

		if (clock_getcpuclockid(opt.pids[i], &id) != 0 || clock_gettime(id, &t) != 0)
			die("-P", "a process of the proxy has gone");
		w->cpu += (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
		w->wait += waited(opt.pids[i]);
	}
	w->self_wait = waited(getpid());
	read_file("/proc/stat", text, sizeof(text));
	sscanf(text, "cpu %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &steal);
	w->steal = steal * (SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
	w->at = now_ns();
}
