/* SPDX-License-Identifier: MIT */
/* Certificates, staples and ticket keys are replaced while handshakes run on other threads. */
#include "config.h"

#include "net/tls_store.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/tls_tickets.h"
#include "tls_shake.h"

#define THREADS 2
#define SWAPS   200

struct worker {
	pthread_t thread;
	SSL_CTX *client;
	struct tls_server *server;
	unsigned failed;
	atomic_uint done;
	atomic_bool has_server;
};

static atomic_bool is_over;

/* One after the other, each with the session of the one before. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct tls_server *server = tls_server_ref(worker->server);
	SSL_SESSION *session = NULL;

	atomic_store(&worker->has_server, true);
	do {
		struct rig_pair pair;
		bool ok;

		rig_pair_init(&pair, worker->client, server, "a.test");
		if (session)
			SSL_set_session(pair.client, session);
		ok = rig_shake(&pair) && (strcmp(rig_shown(&pair), "even") == 0 ||
					  strcmp(rig_shown(&pair), "odd") == 0);
		worker->failed += !ok;
		SSL_SESSION_free(session);
		session = NULL;
		if (ok && (atomic_fetch_add(&worker->done, 1) + 1) % 4) {
			rig_exchange(&pair);
			session = SSL_get1_session(pair.client);
		}
		rig_pair_fini(&pair);
	} while (!atomic_load(&is_over));
	SSL_SESSION_free(session);
	tls_server_unref(server);
	return NULL;
}

static char *pem_of(struct bed *bed, const char *name, enum rig_key kind)
{
	struct rig_cert cert = rig_issue(&(struct rig_cert_options){ .common_name = name,
								     .alts = "DNS:a.test",
								     .kind = kind },
					 &bed->ca);
	char *pem = rig_pem(&cert, &bed->ca, true);

	rig_cert_free(&cert);
	return pem;
}

static void start(struct worker workers[THREADS], struct bed *bed)
{
	atomic_store(&is_over, false);
	for (size_t i = 0; i < THREADS; i++) {
		workers[i].client = bed->client;
		workers[i].server = bed->server;
		workers[i].failed = 0;
		atomic_init(&workers[i].done, 0);
		atomic_init(&workers[i].has_server, false);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
}

/* A server may be let go of when each worker holds it. */
static void wait_for_first(struct worker workers[THREADS])
{
	for (size_t i = 0; i < THREADS; i++)
		while (!atomic_load(&workers[i].has_server))
			sched_yield();
}

static void stop(struct worker workers[THREADS])
{
	atomic_store(&is_over, true);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].failed, 0);
		assert_true(atomic_load(&workers[i].done) > 0);
	}
}

static void certificates_are_swapped_under_handshakes(void **state)
{
	struct bed *bed = *state;
	struct worker workers[THREADS];
	char *pems[2] = { pem_of(bed, "even", RIG_EC), pem_of(bed, "odd", RIG_RSA) };
	struct str path;

	rig_write(&bed->dir, "a", pems[0], strlen(pems[0]));
	bed_name(bed, "a");
	bed_open(bed);
	path = bed->certificates[0];
	start(workers, bed);
	for (size_t i = 0; i < SWAPS; i++) {
		assert_int_equal(tls_store_prepare(path, str_of(pems[i % 2]), rig_tell, &bed->told),
				 0);
		assert_int_equal(tls_store_commit(path, rig_tell, &bed->told), 0);
	}
	stop(workers);
	free(pems[0]);
	free(pems[1]);
}

/* Old ones end on the workers' threads, when those were the last to let go. */
static void servers_are_replaced_under_handshakes(void **state)
{
	struct bed *bed = *state;
	struct worker workers[THREADS];
	char *pem = pem_of(bed, "even", RIG_EC);

	rig_write(&bed->dir, "a", pem, strlen(pem));
	bed_name(bed, "a");
	for (size_t i = 0; i < 10; i++) {
		struct tls_server *old;

		bed_open(bed);
		start(workers, bed);
		old = bed->server;
		bed_open(bed);
		wait_for_first(workers);
		tls_server_unref(old);
		tls_store_sweep();
		stop(workers);
		tls_server_unref(bed->server);
		bed->server = NULL;
	}
	free(pem);
}

static void ignore(unused_arg void *arg, unused_arg const struct tls_tickets_about *about)
{
}

static void keys_of_tickets_turn_under_handshakes(void **state)
{
	struct bed *bed = *state;
	struct worker workers[THREADS];
	char *pem = pem_of(bed, "even", RIG_EC);

	rig_write(&bed->dir, "a", pem, strlen(pem));
	bed_name(bed, "a");
	bed->options.session_cache = 0;
	bed_open(bed);
	start(workers, bed);
	for (int64_t i = 0; i < SWAPS; i++) {
		struct tls_tickets *set;

		/* Each look from another epoch. */
		clock_set_ms(SEC(10000) * i);
		set = tls_tickets_open(STR(""), STR(""), bed->options.session_ms, rig_tell, NULL);
		assert_non_null(set);
		tls_tickets_each(ignore, NULL);
		tls_tickets_unref(set);
	}
	stop(workers);
	free(pem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(certificates_are_swapped_under_handshakes),
		BED_TEST(servers_are_replaced_under_handshakes),
		BED_TEST(keys_of_tickets_turn_under_handshakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
