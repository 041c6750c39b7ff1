/* SPDX-License-Identifier: MIT */
/* The exposition of a few objects that stand still: whole, in pieces, escaped. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/metrics_family.h"
#include "control/metrics_reference.h"
#include "session/traffic.h"

#define SERVERS 40

/* One backend; hosts that do not stand together; a frontend with a name that no file could give. */
static int make_objects(void **state)
{
	struct srvset_spec specs[SERVERS];
	char workers[SERVERS][16], hosts[SERVERS][16];
	struct backend_state *backend = backend_state_get(STR("chat"));

	(void)state;
	clock_set_ms(1000);
	for (int i = 0; i < SERVERS; i++) {
		snprintf(workers[i], sizeof(workers[i]), "%d", 3000 + i);
		/* Hosts do not stand together: h0, h1, h2, h3, h0 ... */
		snprintf(hosts[i], sizeof(hosts[i]), "h%d", i % 4);
		specs[i] = (struct srvset_spec){ .host = str_of(hosts[i]),
						 .worker = str_of(workers[i]),
						 .weight = 100 };
	}
	assert_null(srvset_publish(backend, srvset_build(backend, specs, SERVERS)));
	frontend_state_get(STR("a \"b\"\\\n"));
	return 0;
}

static int free_objects(void **state)
{
	(void)state;
	srvset_free(srvset_publish(backend_state_get(STR("chat")), NULL));
	return 0;
}

/* The whole answer, (own); *PIECES: how many calls it took. */
static char *whole(enum metrics_format format, unsigned *pieces)
{
	struct buf out = { 0 };
	uint64_t at[4] = { 0 };
	char *text;

	*pieces = 1;
	while (metrics_write(&out, at, format) == RUN_MORE)
		++*pieces;
	text = xstrndup(buf_str(&out));
	buf_release(&out);
	return text;
}

static unsigned times_in(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		n++;
	return n;
}

static void every_server_and_host_comes_once(void **state)
{
	unsigned pieces;
	char *text = whole(METRICS_PROMETHEUS, &pieces);

	(void)state;
	assert_true(pieces > 1);
	assert_int_equal(times_in(text, "limpet_server_requests_total{backend=\"chat\""), SERVERS);
	assert_int_equal(times_in(text, "\nlimpet_host_up{"), 4);
	assert_non_null(strstr(text, "\nlimpet_host_workers{backend=\"chat\",host=\"h3\"} 10\n"));
	assert_int_equal(times_in(text, "\n\n"), 0);
	free(text);
}

static void pieces_of_any_size_make_the_same_text(void **state)
{
	unsigned pieces;
	char *text = whole(METRICS_PROMETHEUS, &pieces);
	struct buf out = { 0 };
	uint64_t at[4] = { 0 };
	enum run_step step;
	char *process = strstr(text, "# HELP limpet_frontend_"), *again;

	(void)state;
	/* The reader takes all of each piece; the pieces stay near their size. */
	struct buf all = { 0 };

	do {
		step = metrics_write(&out, at, METRICS_PROMETHEUS);
		assert_true(buf_length(&out) < RUN_PIECE + 4096);
		buf_append_str(&all, buf_str(&out));
		buf_release(&out);
	} while (step == RUN_MORE);
	again = xstrndup(buf_str(&all));
	buf_release(&all);
	/* The process's own numbers move. */
	assert_non_null(process);
	assert_string_equal(strstr(again, "# HELP limpet_frontend_"), process);
	free(again);
	free(text);
}

static void label_values_are_escaped(void **state)
{
	unsigned pieces;
	char *text = whole(METRICS_PROMETHEUS, &pieces);

	(void)state;
	assert_non_null(strstr(
		text, "\nlimpet_frontend_requests_total{frontend=\"a \\\"b\\\"\\\\\\n\"} 0\n"));
	free(text);
}

static void every_row_has_a_family_or_is_in_one(void **state)
{
	unsigned pieces;
	char *text = whole(METRICS_OPENMETRICS, &pieces);

	(void)state;
	for (int i = 0; i < COUNTERS_ALL_N; i++) {
		struct metrics_family family;
		char name[METRICS_NAME_MAX], *want;

		if (!metrics_counter_family(i, &family, name))
			continue;
		want = xasprintf("# TYPE %s %s\n", name,
				 counter_rows[i].is_gauge ? "gauge" : "counter");
		if (times_in(text, want) != 1)
			fail_msg("row %s: %s", counter_rows[i].name, want);
		free(want);
	}
	assert_string_equal(text + strlen(text) - 7, "\n# EOF\n");
	free(text);
}

static void what_is_counted_comes_out(void **state)
{
	struct backend_state *backend = backend_state_get(STR("chat"));
	struct server *server = server_get(backend, STR("h1"), STR("3001"));
	unsigned pieces;
	char *text;

	(void)state;
	count_add(&server->counters, server_responses_2xx, 7);
	count_add(&server->counters, server_queue_us, 1500000);
	count_down(&server->counters, server_polls_now); /* seen half: not below 0 */
	histogram_add(backend->times, TIME_FIRST_BYTE, TIMES_N, 700);
	histogram_add(backend->times, TIME_FIRST_BYTE, TIMES_N, 40000000);
	text = whole(METRICS_PROMETHEUS, &pieces);
#define LABELS "{backend=\"chat\",host=\"h1\",worker=\"3001\",server=\"h1/3001\""
	assert_non_null(strstr(text, "limpet_server_responses_total" LABELS ",code=\"2xx\"} 7\n"));
	assert_non_null(strstr(text, "limpet_server_queue_seconds_total" LABELS "} 1.5\n"));
	assert_non_null(strstr(text, "limpet_server_polls_now" LABELS "} 0\n"));
#undef LABELS
#define FIRST "limpet_backend_first_byte_seconds_"
#define KIND  "{backend=\"chat\",kind=\"request\""
	assert_non_null(strstr(text, FIRST "bucket" KIND ",le=\"0.0005\"} 0\n"));
	assert_non_null(strstr(text, FIRST "bucket" KIND ",le=\"0.001\"} 1\n"));
	assert_non_null(strstr(text, FIRST "bucket" KIND ",le=\"30\"} 1\n"));
	assert_non_null(strstr(text, FIRST "bucket" KIND ",le=\"+Inf\"} 2\n"));
	assert_non_null(strstr(text, FIRST "sum" KIND "} 40.0007\n"));
	assert_non_null(strstr(text, FIRST "count" KIND "} 2\n"));
#undef FIRST
#undef KIND
	free(text);
}

static void who_has_left_the_configuration_is_not_shown(void **state)
{
	struct backend_state *gone = backend_state_get(STR("gone"));
	unsigned pieces;
	char *text;

	(void)state;
	atomic_store(&gone->is_gone, true);
	server_get(backend_state_get(STR("chat")), STR("h9"), STR("1")); /* in no set */
	text = whole(METRICS_PROMETHEUS, &pieces);
	assert_null(strstr(text, "backend=\"gone\""));
	assert_null(strstr(text, "host=\"h9\""));
	free(text);
}

static void the_reference_is_not_stale(void **state)
{
	const char *top = getenv("top_srcdir");
	char *path = xasprintf("%s/doc/metrics.md", top ? top : ".");
	char *made = metrics_reference(), *text = xcalloc(1, 1 << 20);
	FILE *file = fopen(path, "r");

	(void)state;
	if (!file)
		fail_msg("%s is missing: make gen-metrics-doc", path);
	(void)!fread(text, 1, (1 << 20) - 1, file);
	fclose(file);
	if (strcmp(text, made) != 0)
		fail_msg("doc/metrics.md is stale: make gen-metrics-doc");
	free(text);
	free(made);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_server_and_host_comes_once),
		cmocka_unit_test(pieces_of_any_size_make_the_same_text),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(every_row_has_a_family_or_is_in_one),
		cmocka_unit_test(what_is_counted_comes_out),
		cmocka_unit_test(who_has_left_the_configuration_is_not_shown),
		cmocka_unit_test(the_reference_is_not_stale),
	};

	return cmocka_run_group_tests(tests, make_objects, free_objects);
}
