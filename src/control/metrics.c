/* SPDX-License-Identifier: MIT */
/*
 * Families come one after another, each whole, as the format wants it; within a family its objects.
 *
 * at[0] counts the families that are done, at[1] the objects of the family under way: frontends and
 * backends by their place in the registry, servers by number, tables by backend and kind.  Hosts
 * have at[2], the host's place in its set, and at[3], where in the set its members are looked for.
 * Only frontends, backends and servers in use are written: those that a reload has taken out
 * vanish.
 */
#include "config.h"

#include "control/metrics.h"

#include <stdio.h>

#include "balance/stick.h"
#include "control/metrics_family.h"
#include "session/traffic.h"

const char *metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

const char *metrics_labels(enum metrics_each each)
{
	static const char *const labels[EACH_N] = {
		[EACH_PROCESS] = "",
		[EACH_THREAD] = "thread",
		[EACH_FRONTEND] = "frontend",
		[EACH_BACKEND] = "backend",
		[EACH_HOST] = "backend, host",
		[EACH_SERVER] = "backend, host, worker, server",
		[EACH_TABLE] = "backend, rule",
	};

	return labels[each];
}

/*
 * Objects: true when AT names one that is to be written.
 */
static bool find_frontend(struct metrics_object *object, uint64_t i)
{
	struct frontend_state *frontend = frontend_state_first();

	while (frontend && i--)
		frontend = frontend->next;
	object->frontend = frontend;
	return frontend && !atomic_load(&frontend->is_gone);
}

static bool find_backend(struct metrics_object *object, uint64_t i)
{
	struct backend_state *backend = backend_state_first();

	while (backend && i--)
		backend = backend->next;
	object->backend = backend;
	object->set = backend ? srvset_of(backend) : NULL;
	return backend && !atomic_load(&backend->is_gone);
}

static bool find_server(struct metrics_object *object, uint64_t i)
{
	struct server *server = server_by_number((uint32_t)i);

	object->backend = server->backend;
	object->set = srvset_of(server->backend);
	object->member = object->set ? srvset_find(object->set, server) : NULL;
	return object->member && !atomic_load(&server->backend->is_gone);
}

static bool find_table(struct metrics_object *object, uint64_t i)
{
	bool is_used = find_backend(object, i / STICK_N);

	object->rule = (int)(i % STICK_N);
	object->table = object->backend ? object->backend->tables[object->rule] : NULL;
	return is_used && object->table;
}

static bool find_thread(struct metrics_object *object, uint64_t i)
{
	struct traffic *traffic = traffic_by_index((unsigned)i);

	object->thread = traffic ? (unsigned)i : THREADS_MAX;
	object->loop = traffic ? &traffic->loop : console_loop();
	return object->loop != NULL; /* no console, no loop: tests */
}

/* The host's first member: members of a host stand together, or nearly so. */
static bool find_host(struct metrics_object *object, uint64_t at[4])
{
	const struct srvset *set;

	if (!find_backend(object, at[1]) || !object->set || at[2] >= object->set->hosts_n)
		return false;
	set = object->set;
	for (uint32_t n = 0; n < set->members_n; n++) {
		uint32_t i = (uint32_t)((at[3] + n) % set->members_n);

		if (set->members[i].host != at[2])
			continue;
		object->member = &set->members[i];
		at[3] = i;
		return true;
	}
	return false;
}

static uint64_t backends_n(void)
{
	uint64_t n = 0;

	for (struct backend_state *at = backend_state_first(); at; at = at->next)
		n++;
	return n;
}

static uint64_t objects_n(enum metrics_each each)
{
	uint64_t n = 0;

	switch (each) {
	case EACH_PROCESS:
		return 1;
	case EACH_THREAD:
		while (traffic_by_index((unsigned)n))
			n++;
		return n + 1;
	case EACH_FRONTEND:
		for (struct frontend_state *at = frontend_state_first(); at; at = at->next)
			n++;
		return n;
	case EACH_BACKEND:
	case EACH_HOST:
		return backends_n();
	case EACH_SERVER:
		return servers_n();
	case EACH_TABLE:
		return backends_n() * STICK_N;
	case EACH_N:
		break;
	}
	return 0;
}

static bool find_object(struct metrics_object *object, enum metrics_each each, uint64_t at[4])
{
	*object = (struct metrics_object){ 0 };
	switch (each) {
	case EACH_PROCESS:
		return true;
	case EACH_THREAD:
		return find_thread(object, at[1]);
	case EACH_FRONTEND:
		return find_frontend(object, at[1]);
	case EACH_BACKEND:
		return find_backend(object, at[1]);
	case EACH_HOST:
		return find_host(object, at);
	case EACH_SERVER:
		return find_server(object, at[1]);
	case EACH_TABLE:
		return find_table(object, at[1]);
	case EACH_N:
		break;
	}
	return false;
}

static void next_object(const struct metrics *metrics, uint64_t at[4])
{
	const struct srvset *set = metrics->object.set;

	if (metrics->family->each == EACH_HOST && set && ++at[2] < set->hosts_n)
		return;
	at[1]++;
	at[2] = at[3] = 0;
}

/*
 * Text.
 */
static void escape(struct buf *out, struct str text, bool has_quotes)
{
	const char *from = text.p, *end = text.p + text.len;

	for (const char *c = from; c < end; c++) {
		const char *as = *c == '\\'                ? "\\\\"
				 : *c == '\n'              ? "\\n"
				 : *c == '"' && has_quotes ? "\\\""
							   : NULL;

		if (!as)
			continue;
		buf_append(out, from, (size_t)(c - from));
		buf_append(out, as, 2);
		from = c + 1;
	}
	buf_append(out, from, (size_t)(end - from));
}

void metrics_escape(struct buf *out, struct str text)
{
	escape(out, text, true);
}

static void put(struct buf *out, const char *text)
{
	buf_append_str(out, str_of(text));
}

static void put_label(struct buf *out, const char **comma, const char *name, const char *value)
{
	put(out, *comma);
	put(out, name);
	put(out, "=\"");
	metrics_escape(out, str_of(value));
	put(out, "\"");
	*comma = ",";
}

static void put_labels(struct buf *out, const struct metrics_object *object, enum metrics_each each,
		       const char *extra)
{
	const struct server *server = object->member ? object->member->server : NULL;
	const char *comma = "{";
	char thread[16] = "control";

	if (object->loop) {
		if (object->thread < THREADS_MAX)
			snprintf(thread, sizeof(thread), "%u", object->thread);
		put_label(out, &comma, "thread", thread);
	}
	if (object->frontend)
		put_label(out, &comma, "frontend", object->frontend->name);
	if (object->backend)
		put_label(out, &comma, "backend", object->backend->name);
	if (object->table)
		put_label(out, &comma, "rule", stick_kind_name((enum stick_kind)object->rule));
	if (server)
		put_label(out, &comma, "host", server->host_name);
	if (server && each == EACH_SERVER) {
		put_label(out, &comma, "worker", server->worker_name);
		put_label(out, &comma, "server", server->name);
	}
	if (extra[0]) {
		put(out, comma);
		put(out, extra);
		comma = ",";
	}
	put(out, comma[0] == '{' ? " " : "} ");
}

static void put_name(struct metrics *metrics, const char *suffix, const char *extra)
{
	put(metrics->out, metrics->family->name);
	put(metrics->out, metrics->family->type == METRIC_COUNTER ? "_total" : suffix);
	put_labels(metrics->out, &metrics->object, metrics->family->each, extra);
}

static void put_number(struct metrics *metrics, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)value);
	put(metrics->out, text);
}

void metrics_number(struct metrics *metrics, const char *extra, uint64_t value)
{
	put_name(metrics, "", extra);
	put_number(metrics, value);
}

/* Without the zeros at the end; HAS_POINT: whole numbers as "1.0". */
static void seconds_text(char text[32], uint64_t us, bool has_point)
{
	char *end = text + snprintf(text, 32, "%llu.%06llu", (unsigned long long)(us / 1000000),
				    (unsigned long long)(us % 1000000));

	while (end[-1] == '0')
		*--end = '\0';
	if (end[-1] == '.')
		snprintf(end - 1, 3, "%s", has_point ? ".0" : "");
}

void metrics_seconds(struct metrics *metrics, const char *extra, uint64_t us)
{
	char text[32];

	seconds_text(text, us, false);
	put_name(metrics, "", extra);
	put(metrics->out, text);
	put(metrics->out, "\n");
}

void metrics_histogram(struct metrics *metrics, const char *extra,
		       const struct metrics_histogram *histogram)
{
	bool is_open = metrics->format == METRICS_OPENMETRICS;
	char labels[128], bound[32], sum[32];
	uint64_t count = 0;

	for (unsigned i = 0; i <= histogram->bounds_n; i++) {
		count += histogram->counts[i];
		if (i < histogram->bounds_n)
			seconds_text(bound, histogram->bounds_us[i], is_open);
		else
			snprintf(bound, sizeof(bound), "+Inf");
		snprintf(labels, sizeof(labels), "%s%sle=\"%s\"", extra, extra[0] ? "," : "",
			 bound);
		put_name(metrics, "_bucket", labels);
		put_number(metrics, count);
	}
	seconds_text(sum, histogram->sum_us, false);
	put_name(metrics, "_sum", extra);
	put(metrics->out, sum);
	put(metrics->out, "\n");
	put_name(metrics, "_count", extra);
	put_number(metrics, count);
}

static void put_comment(struct metrics *metrics, const char *keyword)
{
	const struct metrics_family *family = metrics->family;
	bool is_open = metrics->format == METRICS_OPENMETRICS;

	put(metrics->out, "# ");
	put(metrics->out, keyword);
	put(metrics->out, " ");
	put(metrics->out, family->name);
	/* OpenMetrics gives the suffix to the samples alone. */
	put(metrics->out, !is_open && family->type == METRIC_COUNTER ? "_total " : " ");
}

static void put_head(struct metrics *metrics)
{
	static const char *const types[] = { "counter\n", "gauge\n", "histogram\n" };
	const struct metrics_family *family = metrics->family;
	bool is_open = metrics->format == METRICS_OPENMETRICS;

	put_comment(metrics, "HELP");
	escape(metrics->out, str_of(family->help), is_open);
	put(metrics->out, "\n");
	put_comment(metrics, "TYPE");
	put(metrics->out, types[family->type]);
	if (!is_open || !family->unit)
		return;
	put_comment(metrics, "UNIT");
	put(metrics->out, family->unit);
	put(metrics->out, "\n");
}

/* Family I: those of the counters come last.  False: there is nothing to write for it. */
static bool find_family(uint64_t i, struct metrics_family *family, char *name)
{
	if (i >= metrics_families_n)
		return metrics_counter_family((int)(i - metrics_families_n), family, name);
	*family = metrics_families[i];
	return true;
}

enum run_step metrics_write(struct buf *out, uint64_t at[4], enum metrics_format format)
{
	char name[METRICS_NAME_MAX];
	struct metrics_family family;
	struct metrics metrics = { .out = out, .format = format, .family = &family };
	size_t full = buf_length(out) + RUN_PIECE;

	for (; at[0] < metrics_families_n + COUNTERS_ALL_N; at[0]++) {
		if (!find_family(at[0], &family, name))
			continue;
		if (at[1] == 0 && at[2] == 0)
			put_head(&metrics);
		for (uint64_t n = objects_n(family.each); at[1] < n;) {
			if (find_object(&metrics.object, family.each, at))
				family.write(&metrics, family.arg);
			next_object(&metrics, at);
			if (buf_length(out) >= full)
				return RUN_MORE;
		}
		at[1] = at[2] = at[3] = 0;
	}
	if (format == METRICS_OPENMETRICS)
		put(out, "# EOF\n");
	return RUN_DONE;
}
