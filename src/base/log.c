/* SPDX-License-Identifier: MIT */
/*
 * log - rings of records, and the thread that empties them.
 *
 *   thread A  --> ring A (256 KiB, one producer, one consumer) --\
 *   thread B  --> ring B                                          >-- writer thread --> sink
 *   ended C   --> ring C (is_orphan; freed once it is empty)    --/
 *
 * Always true:
 *   1. A ring's head is written by its thread alone, its tail by the writer alone; both only grow.
 *   2. The list of rings is changed under rings_lock; the writer holds it while it copies records
 *      out, never while it writes to the target.
 *   3. is_sleeping is set before the writer looks at the rings for the last time, and a producer
 *      looks at it after it has moved head (both sequentially consistent): no wake-up is lost.
 *
 * After a pass that found something the writer rests LINGER_MS without is_sleeping, so that under
 * load it is never woken and lines go out in batches.
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
#include "base/log_sink.h"
#include "base/mem.h"

#define RING_SIZE     (256u * 1024)
#define MESSAGE_MAX   4096 /* bytes of a formatted message, before escaping */
#define LINGER_MS     2
#define CLOSE_WAIT_MS 1000
#define DROPS_TOLD_MS 10000 /* at most one note of dropped lines in that time */
#define BATCH_SIZE    (512u * 1024)
#define BATCH_LINES   2048

struct ring {
	struct ring *next;
	_Atomic uint64_t head; /* bytes ever put in; producer */
	_Atomic uint64_t tail; /* bytes ever taken out; writer */
	atomic_bool is_orphan; /* its thread has ended */
	char bytes[RING_SIZE];
};

/* Stands before each record's text in a ring. */
struct ring_head {
	uint32_t size; /* of the text */
	uint8_t level, is_message;
	uint16_t unused;
	int64_t unix_ms;
};

static struct {
	pthread_mutex_t rings_lock;
	struct ring *rings;       /* (own) */
	pthread_key_t thread_end; /* runs on_thread_end() */
	pthread_once_t once;
	pthread_mutex_t control_lock; /* one log_open(), log_close() at a time */
	atomic_bool is_open;
	pthread_t writer;
	int wake_fd;
	atomic_bool is_sleeping, is_closing, wants_reopen;
	_Atomic int64_t close_by_ms;
	_Atomic(struct sink *) next_sink; /* (own) to be put in force by the writer */
	_Atomic uint64_t dropped;
	/* The writer's alone. */
	struct sink *sink; /* (own) */
	uint64_t dropped_told;
	int64_t told_at_ms;
	unsigned lines_n;
	size_t batch_size;
	uint32_t lengths[BATCH_LINES];
	char *batch; /* (own) BATCH_SIZE bytes */
} log_state = {
	.rings_lock = PTHREAD_MUTEX_INITIALIZER,
	.control_lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
	.wake_fd = -1,
};

enum log_level log_threshold = LOG_LEVEL_INFO;
static __thread struct ring *own_ring;

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

static void on_thread_end(void *ring)
{
	atomic_store(&((struct ring *)ring)->is_orphan, true);
	own_ring = NULL;
}

static void make_key(void)
{
	bug_on(pthread_key_create(&log_state.thread_end, on_thread_end) != 0);
}

static struct ring *ring_get(void)
{
	struct ring *ring = own_ring;

	if (likely(ring != NULL))
		return ring;
	pthread_once(&log_state.once, make_key);
	ring = xcalloc(1, sizeof(*ring));
	bug_on(pthread_setspecific(log_state.thread_end, ring) != 0);
	pthread_mutex_lock(&log_state.rings_lock);
	ring->next = log_state.rings;
	log_state.rings = ring;
	pthread_mutex_unlock(&log_state.rings_lock);
	own_ring = ring;
	return ring;
}

static void ring_put(struct ring *ring, uint64_t at, const void *bytes, size_t size)
{
	size_t offset = at % RING_SIZE;
	size_t first = size < RING_SIZE - offset ? size : RING_SIZE - offset;

	memcpy(ring->bytes + offset, bytes, first);
	memcpy(ring->bytes, (const char *)bytes + first, size - first);
}

static void ring_take(const struct ring *ring, uint64_t at, void *bytes, size_t size)
{
	size_t offset = at % RING_SIZE;
	size_t first = size < RING_SIZE - offset ? size : RING_SIZE - offset;

	memcpy(bytes, ring->bytes + offset, first);
	memcpy((char *)bytes + first, ring->bytes, size - first);
}

static void wake_writer(void)
{
	uint64_t one = 1;
	ssize_t put = write(log_state.wake_fd, &one, sizeof(one));

	(void)put; /* EAGAIN: it is full of wake-ups already */
}

static void write_now(const struct log_record *record)
{
	struct log_form form = { .style = LOG_STYLE_TEXT, .pid = getpid() };
	char *out = xmalloc(LOG_FORMATTED_MAX(record->text.len));
	size_t length = log_format(&form, record, out);

	if (write(STDERR_FILENO, out, length) < 0)
		atomic_fetch_add(&log_state.dropped, 1);
	free(out);
}

static void hand_over(const struct log_record *record)
{
	struct ring_head head = {
		.size = (uint32_t)record->text.len,
		.level = (uint8_t)record->level,
		.is_message = record->is_message,
		.unix_ms = record->unix_ms,
	};
	struct ring *ring;
	uint64_t at;

	if (!atomic_load_explicit(&log_state.is_open, memory_order_acquire)) {
		write_now(record);
		return;
	}
	ring = ring_get();
	at = atomic_load_explicit(&ring->head, memory_order_relaxed);
	if (sizeof(head) + head.size >
	    RING_SIZE - (at - atomic_load_explicit(&ring->tail, memory_order_acquire))) {
		atomic_fetch_add_explicit(&log_state.dropped, 1, memory_order_relaxed);
		return;
	}
	ring_put(ring, at, &head, sizeof(head));
	ring_put(ring, at + sizeof(head), record->text.p, head.size);
	atomic_store(&ring->head, at + sizeof(head) + head.size);
	if (atomic_load(&log_state.is_sleeping) && atomic_exchange(&log_state.is_sleeping, false))
		wake_writer();
}

void log_message(enum log_level level, const char *fmt, ...)
{
	struct log_record record = { .level = level, .is_message = true };
	char text[MESSAGE_MAX];
	int saved = errno;
	va_list ap;
	int n;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	record.text = (struct str){ text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1 };
	record.unix_ms = wall_ms();
	hand_over(&record);
	errno = saved;
}

void log_line(enum log_level level, struct str line)
{
	struct log_record record = { .level = level, .unix_ms = clock_unix_ms() };
	int saved = errno;

	if (!log_wants(level))
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

static void batch_add(const struct log_record *record)
{
	char *out = log_state.batch + log_state.batch_size;
	size_t length = log_format(&log_state.sink->form, record, out);

	log_state.lengths[log_state.lines_n++] = (uint32_t)length;
	log_state.batch_size += length;
}

static bool batch_has_room(size_t text_size)
{
	return log_state.lines_n < BATCH_LINES &&
	       LOG_FORMATTED_MAX(text_size) <= BATCH_SIZE - log_state.batch_size;
}

/* Moves records to the batch; false when the batch has no room for the next one. */
static bool drain_ring(struct ring *ring)
{
	static char text[LOG_LINE_MAX]; /* the writer's alone */
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t head = atomic_load(&ring->head);

	while (tail != head) {
		struct ring_head at;
		struct log_record record;

		ring_take(ring, tail, &at, sizeof(at));
		if (!batch_has_room(at.size))
			return false;
		ring_take(ring, tail + sizeof(at), text, at.size);
		record = (struct log_record){ .level = at.level,
					      .is_message = at.is_message,
					      .unix_ms = at.unix_ms,
					      .text = { text, at.size } };
		batch_add(&record);
		tail += sizeof(at) + at.size;
		atomic_store_explicit(&ring->tail, tail, memory_order_release);
	}
	return true;
}

/* Fills the batch from all rings; frees those whose thread has ended. */
static void gather(void)
{
	struct ring **at = &log_state.rings;
	bool has_room = true;

	log_state.lines_n = 0;
	log_state.batch_size = 0;
	pthread_mutex_lock(&log_state.rings_lock);
	while (*at && has_room) {
		struct ring *ring = *at;
		bool is_orphan = atomic_load(&ring->is_orphan); /* read before its last records */

		has_room = drain_ring(ring);
		if (is_orphan && has_room) {
			*at = ring->next;
			free(ring);
		} else {
			at = &ring->next;
		}
	}
	pthread_mutex_unlock(&log_state.rings_lock);
}

static bool has_records(void)
{
	bool has = false;

	pthread_mutex_lock(&log_state.rings_lock);
	for (struct ring *ring = log_state.rings; ring && !has; ring = ring->next)
		has = atomic_load(&ring->head) !=
			      atomic_load_explicit(&ring->tail, memory_order_relaxed) ||
		      atomic_load(&ring->is_orphan);
	pthread_mutex_unlock(&log_state.rings_lock);
	return has;
}

/* Asked while the target is slow. */
static bool must_go_on(void)
{
	if (atomic_load(&log_state.is_closing))
		return steady_ms() < atomic_load(&log_state.close_by_ms);
	return !atomic_load(&log_state.next_sink);
}

static bool write_batch(void)
{
	unsigned lost;

	gather();
	if (!log_state.lines_n)
		return false;
	lost = sink_write(log_state.sink, log_state.batch, log_state.lengths, log_state.lines_n,
			  must_go_on);
	if (lost)
		atomic_fetch_add_explicit(&log_state.dropped, lost, memory_order_relaxed);
	return true;
}

/* Writes what is there now; what comes in meanwhile is not waited for. */
static void write_all(void)
{
	for (int i = 0; i < 64 && write_batch() && must_go_on(); i++)
		;
}

static void tell_drops(void)
{
	uint64_t dropped = log_dropped();
	int64_t now = steady_ms();

	if (dropped == log_state.dropped_told ||
	    (log_state.told_at_ms && now - log_state.told_at_ms < DROPS_TOLD_MS))
		return;
	log_warn("%llu log lines dropped: the log target is too slow",
		 (unsigned long long)(dropped - log_state.dropped_told));
	log_state.dropped_told = dropped;
	log_state.told_at_ms = now;
}

static void take_orders(void)
{
	struct sink *sink;

	if (atomic_load(&log_state.wants_reopen)) {
		int rc;

		atomic_store(&log_state.wants_reopen, false);
		write_all(); /* they belong to the old file */
		rc = sink_reopen(log_state.sink);
		if (rc != 0)
			log_error("log file not reopened: %s", strerror(-rc));
	}
	if (atomic_load(&log_state.next_sink)) {
		write_all();
		sink = atomic_exchange(&log_state.next_sink, NULL);
		sink_free(log_state.sink);
		log_state.sink = sink;
	}
}

static void sleep_until_woken(void)
{
	struct pollfd pfd = { .fd = log_state.wake_fd, .events = POLLIN };
	uint64_t n;
	ssize_t got;

	atomic_store(&log_state.is_sleeping, true);
	if (!has_records() && !atomic_load(&log_state.is_closing) &&
	    !atomic_load(&log_state.wants_reopen) && !atomic_load(&log_state.next_sink))
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
	log_state.batch = xmalloc(BATCH_SIZE);
	log_state.dropped_told = log_dropped();
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
	free(log_state.batch);
	return -rc;
}

int log_open(struct str target, enum log_style style, enum log_level level, const char **why)
{
	int rc;
	struct sink *sink = sink_open(target, style, &rc, why);

	if (!sink)
		return rc;
	pthread_mutex_lock(&log_state.control_lock);
	if (atomic_load(&log_state.is_open)) {
		sink_free(atomic_exchange(&log_state.next_sink, sink));
		wake_writer();
	} else {
		log_state.sink = sink;
		rc = start_writer(why);
		if (rc == 0)
			atomic_store_explicit(&log_state.is_open, true, memory_order_release);
		else
			sink_free(sink);
	}
	if (rc == 0)
		__atomic_store_n(&log_threshold, level, __ATOMIC_RELAXED);
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
	sink_free(log_state.sink);
	free(log_state.batch);
	close(log_state.wake_fd);
	log_state.sink = NULL;
	log_state.batch = NULL;
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
