/* SPDX-License-Identifier: MIT */
/*
 * log - hands records over (log_ring.c) to the thread that writes them to the targets.
 *
 * is_sleeping is set before the writer looks at the rings for the last time, and a producer looks
 * at it after it has put its record there (both sequentially consistent): no wake-up is lost.
 * After a pass that found something the writer rests LINGER_MS without is_sleeping, so that under
 * load it is never woken and lines go out in batches.
 *
 * A record goes into the batch of each sink that wants it.  With one sink the writer waits for it
 * as long as it takes, and the rings fill meanwhile; among several, one that takes nothing for
 * STUCK_MS is not waited for until it takes something again, so that the others go on.
 */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_ring.h"
#include "base/mem.h"

#define MESSAGE_MAX   4096 /* bytes of a formatted message, before escaping */
#define LINGER_MS     2
#define STUCK_MS      200
#define CLOSE_WAIT_MS 1000
#define DROPS_TOLD_MS 10000 /* at most one note of dropped lines in that time */
#define BATCH_SIZE    (512u * 1024)
#define BATCH_LINES   2048

struct sinks {
	unsigned n;
	struct sink *all[LOG_TARGETS_MAX]; /* (own) */
};

static struct {
	pthread_mutex_t control_lock; /* one log_open(), log_close() at a time */
	atomic_bool is_open;
	pthread_t writer;
	int wake_fd;
	atomic_bool is_sleeping, is_closing, wants_reopen;
	_Atomic int64_t close_by_ms;
	_Atomic(struct sinks *) next_sinks; /* (own) to be put in force by the writer */
	atomic_int opened_level;            /* log_threshold as the targets want it */
	_Atomic uint64_t dropped;
	_Atomic uint64_t ring_dropped; /* of those: for want of room in a ring */
	/* The writer's alone. */
	struct sinks *sinks; /* (own) */
	uint64_t ring_told;
	int64_t told_at_ms;
	bool has_written;
	int64_t patient_until_ms; /* with the sink that is being written to; 0 = no limit */
} log_state = {
	.control_lock = PTHREAD_MUTEX_INITIALIZER,
	.wake_fd = -1,
};

enum log_level log_threshold = LOG_LEVEL_INFO;
unsigned log_line_styles;

static int64_t steady_ms(void)
{
	return clock_now_us() / 1000;
}

static int64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void wake_writer(void)
{
	uint64_t one = 1;
	ssize_t put = write(log_state.wake_fd, &one, sizeof(one));

	(void)put; /* EAGAIN: it is full of wake-ups already */
}

static void write_now(const struct log_record *record)
{
	struct log_form form = { .style = LOG_STYLE_TEXT, .pid = getpid(), .tag = "limpet" };
	char *out = xmalloc(LOG_FORMATTED_MAX(record->text.len));
	size_t length = log_format(&form, record, out);

	if (write(STDERR_FILENO, out, length) < 0)
		atomic_fetch_add(&log_state.dropped, 1);
	free(out);
}

static void hand_over(const struct log_record *record)
{
	if (!atomic_load_explicit(&log_state.is_open, memory_order_acquire)) {
		write_now(record);
		return;
	}
	if (!log_ring_put(record)) {
		atomic_fetch_add_explicit(&log_state.ring_dropped, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&log_state.dropped, 1, memory_order_relaxed);
		return;
	}
	if (atomic_load(&log_state.is_sleeping) && atomic_exchange(&log_state.is_sleeping, false))
		wake_writer();
}

/* FMT into TEXT; its length, cut to SIZE - 1. */
static size_t format(char *text, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(text, size, fmt, ap);

	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

void log_message(enum log_level level, const char *fmt, ...)
{
	struct log_record record = { .level = level, .kind = LOG_RECORD_MESSAGE };
	char text[MESSAGE_MAX];
	int saved = errno;
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	record.text = (struct str){ text, format(text, sizeof(text), fmt, ap) };
	va_end(ap);
	record.unix_ms = wall_ms();
	hand_over(&record);
	errno = saved;
}

/* Adds one field with its NULs; false: no room. */
static bool add_field(char *text, size_t *length, size_t size, const struct log_field *field)
{
	int n = field->text ? snprintf(text + *length, size - *length, "%s%cs%s", field->key, 0,
				       field->text)
			    : snprintf(text + *length, size - *length, "%s%cn%lld", field->key, 0,
				       (long long)field->number);

	if (n < 0 || (size_t)n >= size - *length)
		return false;
	*length += (size_t)n + 1;
	return true;
}

void log_event(enum log_level level, const char *event, const struct log_field *fields,
	       const char *fmt, ...)
{
	struct log_record record = { .level = level, .kind = LOG_RECORD_EVENT };
	char text[2 * MESSAGE_MAX];
	int saved = errno, n;
	size_t length;
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	length = format(text, MESSAGE_MAX, fmt, ap) + 1;
	va_end(ap);
	n = snprintf(text + length, sizeof(text) - length, "%s", event);
	bug_on(n < 0 || n > 32);
	length += (size_t)n + 1;
	for (; fields && fields->key && add_field(text, &length, sizeof(text), fields); fields++)
		;
	record.text = (struct str){ text, length };
	record.unix_ms = wall_ms();
	hand_over(&record);
	errno = saved;
}

void log_line(enum log_style style, struct str line)
{
	struct log_record record = { .level = LOG_LEVEL_INFO,
				     .kind = LOG_RECORD_LINE,
				     .style = style,
				     .unix_ms = clock_unix_ms() };
	int saved = errno;

	if (!log_wants_line(style))
		return;
	if (line.len && line.p[line.len - 1] == '\n')
		line.len--; /* the writer puts it back where the target wants one */
	record.text = line;
	if (line.len > LOG_LINE_MAX)
		record.text.len = LOG_LINE_MAX;
	hand_over(&record);
	errno = saved;
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&log_state.dropped, memory_order_relaxed);
}

/* Below: the writer thread. */

static bool wants(const struct sink *sink, const struct log_record *record)
{
	int threshold = (int)__atomic_load_n(&log_threshold, __ATOMIC_RELAXED);

	/* What "set log level" let through goes to all. */
	if (threshold == atomic_load(&log_state.opened_level) && record->level > sink->level)
		return false;
	if (record->kind == LOG_RECORD_LINE)
		return sink->has_requests && record->style == sink->form.style;
	return sink->has_events;
}

static void batch_add(struct sink *sink, const struct log_record *record)
{
	size_t length = log_format(&sink->form, record, sink->batch + sink->batch_size);

	sink->lengths[sink->lines_n++] = (uint32_t)length;
	sink->batch_size += length;
}

static bool batch_has_room(const struct sink *sink, size_t text_size)
{
	return sink->lines_n < BATCH_LINES &&
	       LOG_FORMATTED_MAX(text_size) <= BATCH_SIZE - sink->batch_size;
}

static bool take_record(const struct log_record *record)
{
	const struct sinks *sinks = log_state.sinks;

	for (unsigned i = 0; i < sinks->n; i++)
		if (!batch_has_room(sinks->all[i], record->text.len))
			return false;
	for (unsigned i = 0; i < sinks->n; i++)
		if (wants(sinks->all[i], record))
			batch_add(sinks->all[i], record);
	log_state.has_written = true;
	return true;
}

/* Asked while the target is slow. */
static bool must_go_on(void)
{
	if (atomic_load(&log_state.is_closing))
		return steady_ms() < atomic_load(&log_state.close_by_ms);
	if (log_state.patient_until_ms && steady_ms() >= log_state.patient_until_ms)
		return false;
	return !atomic_load(&log_state.next_sinks);
}

static unsigned write_sink(struct sink *sink, unsigned sinks_n)
{
	unsigned lost;

	if (!sink->lines_n)
		return 0;
	log_state.patient_until_ms =
		sinks_n < 2 ? 0 : steady_ms() + (sink->is_stuck ? 0 : STUCK_MS);
	lost = sink_write(sink, sink->batch, sink->lengths, sink->lines_n, must_go_on);
	sink->is_stuck = lost == sink->lines_n;
	log_state.patient_until_ms = 0;
	sink->lines_n = 0;
	sink->batch_size = 0;
	return lost;
}

static void drops_message(struct log_record *record, char *text, size_t size, uint64_t n,
			  const char *why)
{
	int length = snprintf(text, size, "%llu log lines dropped: %s", (unsigned long long)n, why);

	*record = (struct log_record){ .level = LOG_LEVEL_WARN,
				       .kind = LOG_RECORD_MESSAGE,
				       .unix_ms = wall_ms(),
				       .text = { text, (size_t)length } };
}

static bool is_told_lately(int64_t told_at_ms)
{
	return told_at_ms && steady_ms() - told_at_ms < DROPS_TOLD_MS;
}

/* A target that is back hears itself what it has missed. */
static void tell_lost(struct sink *sink, unsigned sinks_n)
{
	struct log_record record;
	char text[128];

	if (!sink->lost_untold || is_told_lately(sink->told_at_ms))
		return;
	drops_message(&record, text, sizeof(text), sink->lost_untold,
		      "the log target was away or too slow");
	batch_add(sink, &record);
	if (write_sink(sink, sinks_n))
		return;
	sink->lost_untold = 0;
	sink->told_at_ms = steady_ms();
}

static bool write_batch(void)
{
	const struct sinks *sinks = log_state.sinks;

	log_state.has_written = false;
	log_ring_take(take_record);
	for (unsigned i = 0; i < sinks->n; i++) {
		struct sink *sink = sinks->all[i];
		bool has_lines = sink->lines_n > 0;
		unsigned lost = write_sink(sink, sinks->n);

		sink->lost_untold += lost;
		atomic_fetch_add_explicit(&log_state.dropped, lost, memory_order_relaxed);
		if (has_lines && !lost)
			tell_lost(sink, sinks->n);
	}
	return log_state.has_written;
}

/* Writes what is there now; what comes in meanwhile is not waited for. */
static void write_all(void)
{
	for (int i = 0; i < 64 && write_batch() && must_go_on(); i++)
		;
}

static void tell_drops(void)
{
	uint64_t dropped = atomic_load_explicit(&log_state.ring_dropped, memory_order_relaxed);
	struct log_record record;
	char text[128];

	if (dropped == log_state.ring_told || is_told_lately(log_state.told_at_ms))
		return;
	drops_message(&record, text, sizeof(text), dropped - log_state.ring_told,
		      "the log target is too slow");
	log_ring_put(&record);
	log_state.ring_told = dropped;
	log_state.told_at_ms = steady_ms();
}

static void sinks_free(struct sinks *sinks)
{
	for (unsigned i = 0; sinks && i < sinks->n; i++)
		sink_free(sinks->all[i]);
	free(sinks);
}

static void reopen_files(void)
{
	for (unsigned i = 0; i < log_state.sinks->n; i++) {
		int rc = sink_reopen(log_state.sinks->all[i]);

		if (rc != 0)
			log_error("log file %s not reopened: %s", log_state.sinks->all[i]->path,
				  strerror(-rc));
	}
}

/* A receiver counts messages, and is owed the number of those it missed, over a reload as well. */
static void put_in_force(struct sinks *sinks)
{
	for (unsigned i = 0; i < sinks->n && i < log_state.sinks->n; i++) {
		sinks->all[i]->form.sequence = log_state.sinks->all[i]->form.sequence;
		sinks->all[i]->lost_untold = log_state.sinks->all[i]->lost_untold;
	}
	sinks_free(log_state.sinks);
	log_state.sinks = sinks;
}

static void take_orders(void)
{
	if (atomic_load(&log_state.wants_reopen)) {
		atomic_store(&log_state.wants_reopen, false);
		write_all(); /* they belong to the old files */
		reopen_files();
	}
	if (atomic_load(&log_state.next_sinks)) {
		write_all();
		put_in_force(atomic_exchange(&log_state.next_sinks, NULL));
	}
}

static void sleep_until_woken(void)
{
	struct pollfd pfd = { .fd = log_state.wake_fd, .events = POLLIN };
	uint64_t n;
	ssize_t got;

	atomic_store(&log_state.is_sleeping, true);
	if (!log_ring_has_records() && !atomic_load(&log_state.is_closing) &&
	    !atomic_load(&log_state.wants_reopen) && !atomic_load(&log_state.next_sinks))
		(void)poll(&pfd, 1, -1);
	atomic_store(&log_state.is_sleeping, false);
	got = read(log_state.wake_fd, &n, sizeof(n));
	(void)got;
}

static void *writer_run(void *arg)
{
	struct pollfd pfd = { .fd = log_state.wake_fd, .events = POLLIN };

	while (!atomic_load(&log_state.is_closing)) {
		take_orders();
		if (!write_batch()) {
			tell_drops();
			sleep_until_woken();
		} else {
			(void)poll(&pfd, 1, LINGER_MS);
		}
	}
	take_orders();
	write_all();
	return arg;
}

/* Below: orders from other threads. */

static int start_writer(const char **why)
{
	sigset_t all, before;
	int rc;

	log_state.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (log_state.wake_fd < 0) {
		*why = "no descriptor for the log writer";
		return -errno;
	}
	log_state.ring_told = atomic_load(&log_state.ring_dropped);
	log_state.told_at_ms = 0;
	atomic_store(&log_state.is_closing, false);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&log_state.writer, NULL, writer_run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return 0;
	*why = "cannot start the log writer";
	close(log_state.wake_fd);
	return -rc;
}

static struct sinks *sinks_open(const struct log_target *targets, unsigned n, unsigned *bad,
				int *error, const char **why)
{
	struct sinks *sinks = xcalloc(1, sizeof(*sinks));

	*bad = 0;
	bug_on(n > LOG_TARGETS_MAX);
	for (; sinks->n < n; sinks->n++) {
		struct sink *sink = sink_open(&targets[sinks->n], error, why);

		if (!sink) {
			*bad = sinks->n;
			sinks_free(sinks);
			return NULL;
		}
		sink->batch = xmalloc(BATCH_SIZE);
		sink->lengths = xmalloc(BATCH_LINES * sizeof(*sink->lengths));
		sinks->all[sinks->n] = sink;
	}
	return sinks;
}

static void take_levels(const struct log_target *targets, unsigned n)
{
	enum log_level level = LOG_LEVEL_ERROR;
	unsigned styles = 0;

	for (unsigned i = 0; i < n; i++) {
		if (targets[i].level > level)
			level = targets[i].level;
		if (targets[i].has_requests && !str_eq(targets[i].target, STR("none")))
			styles |= 1u << targets[i].style;
	}
	atomic_store(&log_state.opened_level, (int)level);
	__atomic_store_n(&log_threshold, level, __ATOMIC_RELAXED);
	__atomic_store_n(&log_line_styles, styles, __ATOMIC_RELAXED);
}

int log_open(const struct log_target *targets, unsigned n, unsigned *bad, const char **why)
{
	int rc = 0;
	struct sinks *sinks = sinks_open(targets, n, bad, &rc, why);

	if (!sinks)
		return rc;
	pthread_mutex_lock(&log_state.control_lock);
	if (atomic_load(&log_state.is_open)) {
		sinks_free(atomic_exchange(&log_state.next_sinks, sinks));
		wake_writer();
	} else {
		log_state.sinks = sinks;
		rc = start_writer(why);
		if (rc == 0)
			atomic_store_explicit(&log_state.is_open, true, memory_order_release);
		else
			sinks_free(sinks);
	}
	if (rc == 0)
		take_levels(targets, n);
	pthread_mutex_unlock(&log_state.control_lock);
	return rc;
}

void log_reopen(void)
{
	if (!atomic_load(&log_state.is_open))
		return;
	atomic_store(&log_state.wants_reopen, true);
	wake_writer();
}

/* A writer that hangs in the kernel (a dead NFS server) is left behind with what it uses. */
static void end_writer(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_WAIT_MS / 1000 + 1;
	if (pthread_timedjoin_np(log_state.writer, NULL, &until) != 0) {
		pthread_detach(log_state.writer);
		return;
	}
	sinks_free(log_state.sinks);
	close(log_state.wake_fd);
	log_state.sinks = NULL;
	log_state.wake_fd = -1;
}

void log_close(void)
{
	pthread_mutex_lock(&log_state.control_lock);
	if (atomic_load(&log_state.is_open)) {
		atomic_store(&log_state.close_by_ms, steady_ms() + CLOSE_WAIT_MS);
		atomic_store(&log_state.is_closing, true);
		wake_writer();
		end_writer();
		/* What comes after this goes to stderr again. */
		atomic_store_explicit(&log_state.is_open, false, memory_order_release);
	}
	pthread_mutex_unlock(&log_state.control_lock);
}
