/* SPDX-License-Identifier: MIT */
/*
 * uri and cookie: what comes out lies inside what came in, is no longer than promised, and has the
 * form promised.
 */
#include "config.h"

#include "proto/cookie.h"
#include "proto/uri.h"

#include <errno.h>
#include <stdlib.h>

#define must(cond) bug_on(!(cond))

static bool lies_in(struct str part, struct str whole)
{
	return part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

static void check_params(struct str in, char *out)
{
	struct str rest = in, key, value, found;
	size_t total = 0;

	while (uri_next_param(&rest, &key, &value)) {
		must(lies_in(key, in) && lies_in(value, in));
		must(key.len + value.len > 0 || value.p);
		must(str_find_char(key, '&') < 0 && str_find_char(key, '=') < 0);
		must(!value.p || str_find_char(value, '&') < 0);
		total += key.len + value.len;
		/* A key is what it decodes to, and nothing longer. */
		ptrdiff_t n = uri_decode(key, out, key.len, true);
		must(n >= 0 && (size_t)n <= key.len);
		must(uri_key_is(key, (struct str){ out, (size_t)n }));
		must(uri_find_param(in, (struct str){ out, (size_t)n }, true, &found));
		if (n > 0) {
			must(!uri_key_is(key, (struct str){ out, (size_t)n - 1 }));
			must(uri_decode(key, out, (size_t)n - 1, true) == -ENOSPC);
		}
	}
	must(total <= in.len);
}

static void check_path(struct str in, char *out, char *again)
{
	struct str normal = uri_normalize_path(in, out, in.len);

	if (in.len == 0 || (in.p[0] != '/' && !str_eq(in, STR("*")))) {
		must(!normal.p);
		return;
	}
	must(normal.p && normal.len <= in.len);
	if (str_eq(normal, STR("*")))
		return;
	must(normal.p[0] == '/');
	must(str_find(normal, STR("//")) < 0);
	must(str_find(normal, STR("/./")) < 0 && str_find(normal, STR("/../")) < 0);
	must(!str_ends(normal, STR("/.")) && !str_ends(normal, STR("/..")));
	must(str_eq(normal, in) == (normal.p == in.p));
	/* Without a %25 nothing is decoded twice. */
	if (str_find(in, STR("%25")) < 0 && str_find(normal, STR("%")) < 0)
		must(str_eq(uri_normalize_path(normal, again, normal.len), normal));
}

static void check_cookies(struct str in, char *out)
{
	struct str rest = in, name, value, found;
	size_t kept_n = 0, left_n = 0, n;

	while (cookie_next(&rest, &name, &value)) {
		must(lies_in(name, in) && lies_in(value, in));
		must(cookie_find(in, name, &found));
		kept_n += !str_eq(name, STR("a"));
	}
	n = cookie_without(in, STR("a"), out, in.len);
	must(n <= in.len);
	rest = (struct str){ out, n };
	while (cookie_next(&rest, &name, &value)) {
		must(!str_eq(name, STR("a")));
		left_n++;
	}
	must(left_n == kept_n && (n == 0) == (left_n == 0));
	if (set_cookie_parse(in, &name, &value, NULL))
		must(name.len > 0 && lies_in(name, in) && lies_in(value, in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	char *out = malloc(size + 1), *again = malloc(size + 1);

	check_params(in, out);
	check_path(in, out, again);
	check_cookies(in, out);
	free(out);
	free(again);
	return 0;
}
