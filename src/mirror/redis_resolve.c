/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo() may take half a minute when a name server is away, and has no non-blocking form.
 * So it runs in a detached thread of its own, which shares one struct with the loop: it reads the
 * name, writes the addresses and posts the struct back as a mail.
 *
 * The link may go before the answer comes.  A lock decides who was first: a thread that finds its
 * lookup forgotten frees it and does not touch the loop, which may be gone as well.  A link has one
 * lookup at most, whatever the number of its tries, so a dead name server costs one thread.
 */
#include "config.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mirror/redis_internal.h"

struct redis_lookup {
	struct mail mail;
	struct redis *redis; /* (view) NULL = forgotten; under lookups_lock */
	struct loop *loop;
	struct redis_host host;
	struct redis_addrs addrs;
};

static pthread_mutex_t lookups_lock = PTHREAD_MUTEX_INITIALIZER;

static void look_up(const struct redis_host *host, struct redis_addrs *addrs)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(host->name, NULL, &hints, &found);

	addrs->n = 0;
	for (struct addrinfo *at = found; rc == 0 && at && addrs->n < REDIS_ADDRS_MAX;
	     at = at->ai_next) {
		struct sock_addr addr = { .size = at->ai_addrlen };
		struct ip_addr ip;

		if (at->ai_addrlen > sizeof(addr.in6))
			continue;
		memcpy(&addr.sa, at->ai_addr, at->ai_addrlen);
		ip = sock_addr_ip(&addr);
		ip.port = host->port;
		if (ip.family != AF_UNSPEC)
			sock_addr_from_ip(&addrs->list[addrs->n++], &ip);
	}
	if (!addrs->n)
		snprintf(addrs->why, sizeof(addrs->why), "%.60s: %s", host->name,
			 rc ? gai_strerror(rc) : "no address of IPv4 or IPv6");
	if (rc == 0)
		freeaddrinfo(found);
}

static void on_found(struct mail *mail)
{
	struct redis_lookup *lookup = container_of(mail, struct redis_lookup, mail);
	struct redis *redis = lookup->redis; /* our thread writes it, nobody else does any more */

	if (redis) {
		redis->lookup = NULL;
		if (redis->state == LINK_RESOLVING) {
			if (strcmp(redis->peer.name, lookup->host.name) == 0 &&
			    redis->peer.port == lookup->host.port)
				redis_resolved(redis, &lookup->addrs);
			else
				redis_resolve(redis);
		}
	}
	free(lookup);
}

static void *lookup_run(void *arg)
{
	struct redis_lookup *lookup = arg;

	look_up(&lookup->host, &lookup->addrs);
	pthread_mutex_lock(&lookups_lock);
	if (lookup->redis)
		loop_post(lookup->loop, &lookup->mail, on_found);
	else
		free(lookup);
	pthread_mutex_unlock(&lookups_lock);
	return NULL;
}

static int start_thread(struct redis_lookup *lookup)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, lookup_run, lookup);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

void redis_resolve(struct redis *redis)
{
	struct redis_lookup *lookup;

	redis->state = LINK_RESOLVING;
	if (redis->lookup)
		return; /* an earlier try's: on_found() goes on */
	lookup = xcalloc(1, sizeof(*lookup));
	lookup->redis = redis;
	lookup->loop = redis->loop;
	lookup->host = redis->peer;
	redis->lookup = lookup;
	if (start_thread(lookup) == 0)
		return;
	snprintf(lookup->addrs.why, sizeof(lookup->addrs.why), "no thread to resolve %.60s",
		 redis->peer.name);
	loop_post(redis->loop, &lookup->mail, on_found);
}

void redis_resolve_forget(struct redis *redis)
{
	if (!redis->lookup)
		return;
	pthread_mutex_lock(&lookups_lock);
	redis->lookup->redis = NULL;
	pthread_mutex_unlock(&lookups_lock);
	redis->lookup = NULL;
}
