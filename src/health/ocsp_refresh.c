/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/ocsp_refresh.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "health/ocsp_ask.h"
#include "net/tls_ocsp.h"
#include "net/tls_store.h"

#define ASKS_MAX 8 /* at once: each may take a thread to resolve a name */
#define WAIT_MS  MS(500)

struct refresh {
	struct list link;
	char *path;      /* (own) */
	char sha256[65]; /* of the certificate that the times belong to */
	struct timer timer;
	struct ocsp_ask *ask; /* (own) under way */
	struct ocsp_refresh_state state;
	bool is_kept;
};

static struct {
	struct loop *loop; /* NULL = not in use */
	struct list list;
	void (*on_news)(void);
	unsigned asks_n;
} refreshes;

int64_t ocsp_refresh_in_ms(const struct tls_ocsp_about *staple, unsigned failures,
			   int64_t now_unix_ms)
{
	int64_t left_ms = OCSP_DEFAULT_MS * 2, in_ms;

	if (staple->status != TLS_OCSP_NONE && staple->next_update_unix_s)
		left_ms = staple->next_update_unix_s * 1000 - now_unix_ms;
	if (!failures) {
		if (staple->status == TLS_OCSP_NONE || left_ms <= 0)
			return 0;
		return left_ms / 2 > OCSP_MIN_MS ? left_ms / 2 : OCSP_MIN_MS;
	}
	in_ms = OCSP_MIN_MS;
	while (--failures && in_ms < OCSP_FAILED_MAX_MS)
		in_ms *= 2;
	if (in_ms > OCSP_FAILED_MAX_MS)
		in_ms = OCSP_FAILED_MAX_MS;
	if (left_ms > 0 && in_ms > left_ms / 2)
		in_ms = left_ms / 2 > OCSP_MIN_MS ? left_ms / 2 : OCSP_MIN_MS;
	return in_ms;
}

static struct refresh *find(struct str path)
{
	list_for_each(at, &refreshes.list) {
		struct refresh *refresh = list_entry(at, struct refresh, link);

		if (str_eq(str_of(refresh->path), path))
			return refresh;
	}
	return NULL;
}

static struct tls_cert *cert_of(const struct refresh *refresh)
{
	struct tls_entry *entry = tls_store_find(str_of(refresh->path));

	return entry ? tls_entry_cert(entry) : NULL;
}

/* The same for one path at one time, so that nothing has to be remembered. */
static int64_t spread(const struct refresh *refresh, int64_t in_ms)
{
	uint32_t hash = 2166136261u ^ (uint32_t)refresh->state.asked_n;

	for (const char *p = refresh->path; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	return in_ms - in_ms / 10 * (int64_t)(hash % 100) / 100;
}

static void schedule(struct refresh *refresh)
{
	struct tls_cert *cert = cert_of(refresh);
	struct tls_ocsp_about staple = { .status = TLS_OCSP_NONE };
	int64_t now_ms = clock_unix_ms(), in_ms;

	if (cert)
		(void)tls_cert_staple_about(cert, &staple);
	in_ms = spread(refresh, ocsp_refresh_in_ms(&staple, refresh->state.failures, now_ms));
	refresh->state.next_unix_ms = in_ms ? now_ms + in_ms : 0;
	loop_timer_in(refreshes.loop, &refresh->timer, in_ms);
}

static void failed(struct refresh *refresh, const char *why)
{
	refresh->state.failures++;
	refresh->state.failed_n++;
	snprintf(refresh->state.why, sizeof(refresh->state.why), "%s", why);
	log_event(LOG_LEVEL_WARN, "ocsp",
		  LOG_FIELDS({ "path", refresh->path, 0 }, { "result", "failed", 0 },
			     { "reason", refresh->state.why, 0 },
			     { "failures", NULL, refresh->state.failures }),
		  "certificate %s: its OCSP responder is of no use: %s", refresh->path,
		  refresh->state.why);
}

static void heard(struct refresh *refresh, const struct tls_ocsp_about *about)
{
	const char *status = tls_ocsp_status_text(about->status);

	refresh->state.failures = 0;
	refresh->state.why[0] = '\0';
	log_event(about->status == TLS_OCSP_GOOD ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "ocsp",
		  LOG_FIELDS({ "path", refresh->path, 0 }, { "result", status, 0 },
			     { "next_update_unix_s", NULL, about->next_update_unix_s }),
		  "certificate %s: %s, says its OCSP responder", refresh->path, status);
}

/* NULL, or why DER is of no use. */
static const char *take(struct refresh *refresh, struct str der, char why[TLS_WHY_SIZE])
{
	const struct tls_cert *cert = cert_of(refresh);
	struct tls_ocsp_about about;

	if (!cert)
		return "the certificate is gone";
	if (!tls_ocsp_check(cert, der, &about, why))
		return why;
	if (about.status == TLS_OCSP_UNKNOWN)
		return "it does not know the certificate";
	if (tls_store_set_ocsp(str_of(refresh->path), der, &about, NULL, NULL) != 0)
		return "the response cannot be used";
	heard(refresh, &about);
	return NULL;
}

static void on_answer(void *arg, struct str answer, const char *why)
{
	struct refresh *refresh = arg;
	char text[TLS_WHY_SIZE];

	refresh->ask = NULL;
	refreshes.asks_n--;
	if (answer.p)
		why = take(refresh, answer, text);
	if (why)
		failed(refresh, why);
	schedule(refresh);
	refreshes.on_news();
}

static void ask(struct refresh *refresh, const struct tls_cert *cert)
{
	unsigned char request[TLS_OCSP_REQUEST_MAX];
	char why[TLS_WHY_SIZE] = "its responder's address is not http://";
	size_t size = tls_ocsp_request(cert, request, why);

	refresh->state.asked_n++;
	refresh->state.asked_unix_ms = clock_unix_ms();
	refresh->state.next_unix_ms = 0;
	if (size)
		refresh->ask =
			ocsp_ask_start(refreshes.loop, str_of(tls_cert_about(cert)->responder),
				       (struct str){ (char *)request, size }, on_answer, refresh);
	if (refresh->ask) {
		refreshes.asks_n++;
		return;
	}
	failed(refresh, size ? "its responder's address is not one of HTTP" : why);
	schedule(refresh);
}

static void on_due(struct timer *timer)
{
	struct refresh *refresh = container_of(timer, struct refresh, timer);
	const struct tls_cert *cert = cert_of(refresh);

	if (!cert || refresh->ask)
		return;
	if (refreshes.asks_n >= ASKS_MAX)
		loop_timer_in(refreshes.loop, timer, WAIT_MS);
	else
		ask(refresh, cert);
}

static void forget(struct refresh *refresh)
{
	if (refresh->ask) {
		ocsp_ask_cancel(refresh->ask);
		refreshes.asks_n--;
	}
	list_remove(&refresh->link);
	timer_fini(&refreshes.loop->wheel, &refresh->timer);
	free(refresh->path);
	free(refresh);
}

static struct refresh *add(struct str path)
{
	struct refresh *refresh = xcalloc(1, sizeof(*refresh));

	refresh->path = xstrndup(path);
	timer_init(&refresh->timer, on_due);
	list_push_back(&refreshes.list, &refresh->link);
	return refresh;
}

/* The staple may have been changed under an unchanged certificate: a new time then, too. */
static void follow(void *arg, struct tls_entry *entry)
{
	const struct tls_cert *cert = tls_entry_cert(entry);
	const struct tls_cert_about *about = cert ? tls_cert_about(cert) : NULL;
	struct refresh *refresh;

	(void)arg;
	if (!about || !about->responder || !tls_entry_wants_ocsp(entry))
		return;
	refresh = find(tls_entry_path(entry));
	if (!refresh)
		refresh = add(tls_entry_path(entry));
	refresh->is_kept = true;
	if (strcmp(refresh->sha256, about->sha256) != 0) {
		snprintf(refresh->sha256, sizeof(refresh->sha256), "%s", about->sha256);
		ocsp_ask_cancel(refresh->ask);
		refreshes.asks_n -= refresh->ask != NULL;
		refresh->ask = NULL;
		refresh->state = (struct ocsp_refresh_state){ 0 };
	}
	if (!refresh->ask)
		schedule(refresh);
}

void ocsp_refresh_apply(void)
{
	if (!refreshes.loop)
		return;
	list_for_each(at, &refreshes.list)
		list_entry(at, struct refresh, link)->is_kept = false;
	tls_store_each(follow, NULL);
	list_for_each_safe(at, after, &refreshes.list) {
		struct refresh *refresh = list_entry(at, struct refresh, link);

		if (!refresh->is_kept)
			forget(refresh);
	}
}

void ocsp_refresh_init(struct loop *loop, void (*on_news)(void))
{
	refreshes.on_news = on_news;
	refreshes.loop = loop;
	list_init(&refreshes.list);
}

void ocsp_refresh_fini(void)
{
	if (!refreshes.loop)
		return;
	while (!list_is_empty(&refreshes.list))
		forget(list_entry(refreshes.list.next, struct refresh, link));
	refreshes.loop = NULL;
}

bool ocsp_refresh_state(struct str path, struct ocsp_refresh_state *state)
{
	const struct refresh *refresh = refreshes.loop ? find(path) : NULL;

	if (refresh)
		*state = refresh->state;
	return refresh != NULL;
}
