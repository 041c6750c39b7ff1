/* SPDX-License-Identifier: MIT */
/*
 * metrics_family - one family of metrics: its name, what it is of, and how a sample is written.
 *
 * Families that are not rows of model/counters.def stand in metrics_families[].
 */
#ifndef CONTROL_METRICS_FAMILY_H
#define CONTROL_METRICS_FAMILY_H

#include "balance/table.h"
#include "control/metrics.h"
#include "loop/loop.h"
#include "model/server.h"

enum metrics_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* What a family has a sample, or a few, of. */
enum metrics_each {
	EACH_PROCESS,
	EACH_THREAD,
	EACH_FRONTEND,
	EACH_BACKEND,
	EACH_HOST,
	EACH_SERVER,
	EACH_TABLE,
	EACH_N
};

/* The object whose samples are being written; which fields are set depends on the family's EACH. */
struct metrics_object {
	struct frontend_state *frontend;
	struct backend_state *backend;      /* hosts, servers and tables too */
	struct srvset *set;                 /* backends, hosts and servers; NULL = none yet */
	const struct srvset_member *member; /* servers; of a host the first one */
	struct table *table;
	int rule;          /* enum stick_kind of the table */
	struct loop *loop; /* threads */
	unsigned thread;   /* THREADS_MAX = the control thread */
};

struct metrics {
	struct buf *out;
	enum metrics_format format;
	const struct metrics_family *family;
	struct metrics_object object;
};

struct metrics_family {
	const char *name; /* without the suffix of counters */
	enum metrics_type type;
	enum metrics_each each;
	const char *unit;   /* "seconds", "bytes"; NULL = none.  The name ends in it. */
	const char *labels; /* beyond the object's: for the reference; "" = none */
	const char *help;
	void (*write)(struct metrics *metrics, int arg); /* the samples of metrics->object */
	int arg;
};

extern const struct metrics_family metrics_families[];
extern const unsigned metrics_families_n;

/* Labels of the objects: "backend, host" and so on. */
const char *metrics_labels(enum metrics_each each);

#define METRICS_NAME_MAX 96
/*
 * The family that row WHICH of model/counters.def comes out in; NAME (METRICS_NAME_MAX bytes) holds
 * its name.  False: in that of an earlier row, as one more value of a label.
 */
bool metrics_counter_family(int which, struct metrics_family *family, char *name);

/*
 * A sample: EXTRA are labels beyond the object's as they go on the wire, "" = none.  SUFFIX follows
 * the name; _total is added to counters.
 */
void metrics_number(struct metrics *metrics, const char *extra, uint64_t value);
/* The same in seconds, from microseconds. */
void metrics_seconds(struct metrics *metrics, const char *extra, uint64_t us);
/*
 * A histogram: COUNTS of its N bounds in microseconds and of what is above them all, not cumulated;
 * SUM_US of all observations.
 */
struct metrics_histogram {
	const uint32_t *bounds_us;
	unsigned bounds_n;
	const uint64_t *counts; /* bounds_n + 1 */
	uint64_t sum_us;
};
void metrics_histogram(struct metrics *metrics, const char *extra,
		       const struct metrics_histogram *histogram);
/* TEXT as a label's value. */
void metrics_escape(struct buf *out, struct str text);

#endif
