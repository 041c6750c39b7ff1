/* SPDX-License-Identifier: MIT */
/*
 * The thread and the loop share one struct: the thread reads the name, writes the addresses and
 * posts the struct back as a mail.  Who asked may have gone before: a lock decides who was first.
 * A thread that finds its question forgotten frees it and does not touch the loop, which may be
 * gone as well.
 */
#include "config.h"

#include "net/resolve.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct resolve {
	struct mail mail;
	struct loop *loop;
	resolve_fn *fn; /* NULL = forgotten; under the lock */
	void *arg;
	char name[RESOLVE_NAME_MAX + 1];
	uint16_t port;
	struct sock_addr addrs[RESOLVE_ADDRS_MAX];
	size_t n;
	char why[128];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void look_up(struct resolve *resolve)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(resolve->name, NULL, &hints, &found);

	for (struct addrinfo *at = found; rc == 0 && at && resolve->n < RESOLVE_ADDRS_MAX;
	     at = at->ai_next) {
		struct sock_addr addr = { .size = at->ai_addrlen };
		struct ip_addr ip;

		if (at->ai_addrlen > sizeof(addr.in6))
			continue;
		memcpy(&addr.sa, at->ai_addr, at->ai_addrlen);
		ip = sock_addr_ip(&addr);
		ip.port = resolve->port;
		if (ip.family != AF_UNSPEC)
			sock_addr_from_ip(&resolve->addrs[resolve->n++], &ip);
	}
	if (!resolve->n)
		snprintf(resolve->why, sizeof(resolve->why), "%.80s: %s", resolve->name,
			 rc ? gai_strerror(rc) : "no address of IPv4 or IPv6");
	if (rc == 0)
		freeaddrinfo(found);
}

static void on_found(struct mail *mail)
{
	struct resolve *resolve = container_of(mail, struct resolve, mail);

	/* Our thread writes fn, nobody else reads it any more. */
	if (resolve->fn)
		resolve->fn(resolve->arg, resolve->addrs, resolve->n, resolve->why);
	free(resolve);
}

static void *resolve_run(void *arg)
{
	struct resolve *resolve = arg;

	look_up(resolve);
	pthread_mutex_lock(&lock);
	if (resolve->fn)
		loop_post(resolve->loop, &resolve->mail, on_found);
	else
		free(resolve);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int start_thread(struct resolve *resolve)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, resolve_run, resolve);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

struct resolve *resolve_start(struct loop *loop, struct str name, uint16_t port, resolve_fn *fn,
			      void *arg)
{
	struct resolve *resolve = xcalloc(1, sizeof(*resolve));
	struct ip_addr ip;

	bug_on(name.len > RESOLVE_NAME_MAX);
	resolve->loop = loop;
	resolve->fn = fn;
	resolve->arg = arg;
	resolve->port = port;
	memcpy(resolve->name, name.p, name.len);
	if (ip_addr_parse(name, &ip) == 0) {
		ip.port = port;
		sock_addr_from_ip(&resolve->addrs[resolve->n++], &ip);
		loop_post(loop, &resolve->mail, on_found);
	} else if (start_thread(resolve) != 0) {
		snprintf(resolve->why, sizeof(resolve->why), "no thread to resolve %.80s",
			 resolve->name);
		loop_post(loop, &resolve->mail, on_found);
	}
	return resolve;
}

void resolve_forget(struct resolve *resolve)
{
	if (!resolve)
		return;
	pthread_mutex_lock(&lock);
	resolve->fn = NULL;
	pthread_mutex_unlock(&lock);
}
