/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/ocsp_ask.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "health/exchange.h"
#include "net/resolve.h"

struct ocsp_ask {
	struct exchange exchange;
	struct loop *loop;
	struct resolve *resolve; /* (own) under way */
	struct sock_addr addrs[RESOLVE_ADDRS_MAX];
	size_t addrs_n, at;
	struct health_conf conf;
	struct header_edit edits[3];
	struct status_range ok;
	char *url, *request; /* (own) */
	char *answer;        /* (own) NULL = none */
	size_t answer_len;
	ocsp_answer_fn *fn;
	void *arg;
	char why[128];
	struct grave grave;
};

bool ocsp_url_parse(struct str text, struct ocsp_url *url)
{
	struct str rest, port = STR("");
	uint64_t number = 80;
	ptrdiff_t at;

	if (!str_istarts(text, STR("http://")) || text.len > OCSP_URL_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.p[i] <= 0x20 || (unsigned char)text.p[i] >= 0x7f)
			return false;
	rest = str_sub(text.p + 7, text.p + text.len);
	at = str_find_char(rest, '/');
	url->authority = at < 0 ? rest : (struct str){ rest.p, (size_t)at };
	url->path = at < 0 ? STR("/") : str_sub(rest.p + at, rest.p + rest.len);
	url->host = url->authority;
	if (url->host.len && url->host.p[0] == '[') {
		at = str_find_char(url->host, ']');
		if (at < 0)
			return false;
		port = str_sub(url->host.p + at + 1, url->host.p + url->host.len);
		url->host = str_sub(url->host.p + 1, url->host.p + at);
		if (port.len && port.p[0] != ':')
			return false;
	} else if ((at = str_find_char(url->host, ':')) >= 0) {
		port = str_sub(url->host.p + at, url->host.p + url->host.len);
		url->host.len = (size_t)at;
	}
	if (port.len && (str_to_u64(str_sub(port.p + 1, port.p + port.len), 65535, &number) != 0 ||
			 number == 0))
		return false;
	url->port = (uint16_t)number;
	return url->host.len && url->host.len <= RESOLVE_NAME_MAX &&
	       str_find_char(url->host, '@') < 0;
}

static void ask_free(struct grave *grave)
{
	struct ocsp_ask *ask = container_of(grave, struct ocsp_ask, grave);

	free(ask->url);
	free(ask->request);
	free(ask->answer);
	free(ask);
}

void ocsp_ask_cancel(struct ocsp_ask *ask)
{
	if (!ask)
		return;
	resolve_forget(ask->resolve);
	exchange_fini(&ask->exchange);
	loop_bury(ask->loop, &ask->grave, ask_free);
}

static void end(struct ocsp_ask *ask)
{
	struct str answer = { ask->answer, ask->answer_len };

	ask->fn(ask->arg, answer, ask->why);
	ocsp_ask_cancel(ask);
}

static bool on_body(struct exchange *exchange, struct str body)
{
	struct ocsp_ask *ask = container_of(exchange, struct ocsp_ask, exchange);

	ask->answer = xrealloc(NULL, body.len + 1);
	memcpy(ask->answer, body.p, body.len);
	ask->answer_len = body.len;
	return true;
}

static void try_next(struct ocsp_ask *ask)
{
	ask->exchange.addr = &ask->addrs[ask->at++];
	exchange_start(&ask->exchange);
}

static void on_done(struct exchange *exchange, enum verdict verdict, const char *code,
		    const char *text)
{
	struct ocsp_ask *ask = container_of(exchange, struct ocsp_ask, exchange);

	(void)code;
	if (verdict == VERDICT_OK) {
		end(ask);
		return;
	}
	snprintf(ask->why, sizeof(ask->why), "%s", text);
	/* A connection that failed says nothing of the other addresses. */
	if (!exchange->http_status && ask->at < ask->addrs_n)
		try_next(ask);
	else
		end(ask);
}

static void on_resolved(void *arg, const struct sock_addr *addrs, size_t n, const char *why)
{
	struct ocsp_ask *ask = arg;

	ask->resolve = NULL;
	snprintf(ask->why, sizeof(ask->why), "%s", why);
	if (!n) {
		end(ask);
		return;
	}
	memcpy(ask->addrs, addrs, n * sizeof(*addrs));
	ask->addrs_n = n;
	try_next(ask);
}

struct ocsp_ask *ocsp_ask_start(struct loop *loop, struct str url, struct str request,
				ocsp_answer_fn *fn, void *arg)
{
	struct ocsp_url parts;
	struct ocsp_ask *ask;

	if (!ocsp_url_parse(url, &parts))
		return NULL;
	ask = xcalloc(1, sizeof(*ask));
	ask->loop = loop;
	ask->fn = fn;
	ask->arg = arg;
	ask->url = xstrndup(url);
	(void)!ocsp_url_parse((struct str){ ask->url, url.len }, &parts);
	ask->request = xrealloc(NULL, request.len + 1);
	memcpy(ask->request, request.p, request.len);
	ask->edits[0] =
		(struct header_edit){ STR("Content-Type"), STR("application/ocsp-request") };
	ask->edits[1] = (struct header_edit){ STR("User-Agent"), STR("limpet") };
	ask->edits[2] = (struct header_edit){ STR("Accept"), STR("application/ocsp-response") };
	ask->ok = (struct status_range){ 200, 200 };
	ask->conf = (struct health_conf){
		.method = STR("POST"),
		.path = parts.path,
		.host = parts.authority,
		.headers = { ask->edits, ARRAY_N(ask->edits) },
		.statuses = &ask->ok,
		.statuses_n = 1,
	};
	exchange_init(&ask->exchange, loop);
	ask->exchange.kind = EXCHANGE_HTTP;
	ask->exchange.timeout_ms = OCSP_ASK_TIMEOUT_MS;
	ask->exchange.conf = &ask->conf;
	ask->exchange.send = (struct str){ ask->request, request.len };
	ask->exchange.on_done = on_done;
	ask->exchange.on_body = on_body;
	ask->resolve = resolve_start(loop, parts.host, parts.port, on_resolved, ask);
	return ask;
}
