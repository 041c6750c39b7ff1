/* SPDX-License-Identifier: MIT */
/* redis_url: parts lie in the text, figures within their limits, a refusal has a reason. */
#include "config.h"

#include "base/bug.h"
#include "net/redis_url.h"

#define must(cond) bug_on(!(cond))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct str part, struct str whole)
{
	return part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

static void check_secret(struct str secret, struct str whole)
{
	char out[REDIS_SECRET_MAX];
	size_t n;

	must(lies_in(secret, whole) && secret.len <= REDIS_SECRET_MAX);
	n = redis_url_decode(secret, out);
	must(n <= secret.len);
	for (size_t i = 0; i < n; i++)
		must(out[i] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct redis_url url;
	const char *why = NULL;

	if (!redis_url_parse(text, &url, &why)) {
		must(why && why[0]);
		return 0;
	}
	check_secret(url.username, text);
	check_secret(url.password, text);
	must(lies_in(url.path, text) && lies_in(url.master, text) && url.db <= REDIS_DB_MAX);
	must((url.scheme == REDIS_UNIX) == (url.path.len > 0));
	must((url.scheme == REDIS_SENTINEL) == (url.master.len > 0));
	must((url.scheme == REDIS_UNIX) == (url.hosts_n == 0));
	must(url.hosts_n <= 1 || url.scheme == REDIS_SENTINEL);
	for (size_t i = 0; i < url.hosts_n; i++)
		must(lies_in(url.hosts[i].host, text) && redis_is_host(url.hosts[i].host) &&
		     url.hosts[i].port > 0);
	return 0;
}
