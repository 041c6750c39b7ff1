/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* The thread's spare ones, all empty. */
static __thread struct pipe *pool;
static __thread unsigned pool_n;
static __thread int64_t refused_until_ms;

static _Atomic uint32_t open_n, used_n;
static atomic_bool are_refused;

void pipes_allow(bool are_allowed)
{
	atomic_store_explicit(&are_refused, !are_allowed, memory_order_relaxed);
}

static rlim_t fd_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

uint32_t pipes_max(void)
{
	rlim_t max = fd_limit() / 64;

	return max < PIPES_MAX ? (uint32_t)max : PIPES_MAX;
}

static bool reserve(void)
{
	if (atomic_fetch_add_explicit(&open_n, 1, memory_order_relaxed) < pipes_max())
		return true;
	atomic_fetch_sub_explicit(&open_n, 1, memory_order_relaxed);
	return false;
}

/* The largest that it may have; fs.pipe-max-size and the user's share of pages bound it. */
static uint32_t enlarge(int fd)
{
	int size = 0;

	for (int wanted = PIPE_SIZE; wanted > (int)PIPE_SIZE_LEAST; wanted /= 2) {
		size = fcntl(fd, F_SETPIPE_SZ, wanted);
		if (size > 0)
			return (uint32_t)size;
	}
	size = fcntl(fd, F_GETPIPE_SZ);
	return size > 0 ? (uint32_t)size : 0;
}

/* The kernel gives the lowest that is free: so many are in use. */
static bool are_few_left(int fd)
{
	rlim_t limit = fd_limit();

	return (rlim_t)fd >= limit - limit / 8;
}

static void close_both(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

static struct pipe *pipe_open(void)
{
	struct pipe *pipe;
	uint32_t size;
	int fds[2];

	if (!reserve())
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0) {
		size = are_few_left(fds[1]) ? 0 : enlarge(fds[1]);
		if (size >= PIPE_SIZE_LEAST) {
			pipe = xmalloc(sizeof(*pipe));
			*pipe = (struct pipe){ .in = fds[1], .out = fds[0], .size = size };
			return pipe;
		}
		close_both(fds);
	}
	atomic_fetch_sub_explicit(&open_n, 1, memory_order_relaxed);
	return NULL;
}

static void pipe_close(struct pipe *pipe)
{
	const int fds[2] = { pipe->out, pipe->in };

	close_both(fds);
	free(pipe);
	atomic_fetch_sub_explicit(&open_n, 1, memory_order_relaxed);
}

struct pipe *pipe_get(void)
{
	struct pipe *pipe = pool;

	if (unlikely(atomic_load_explicit(&are_refused, memory_order_relaxed)))
		return NULL;
	if (likely(pipe != NULL)) {
		pool = pipe->next;
		pool_n--;
	} else {
		if (clock_ms() < refused_until_ms)
			return NULL;
		pipe = pipe_open();
		if (!pipe) {
			refused_until_ms = clock_ms() + PIPE_RETRY_MS;
			return NULL;
		}
	}
	pipe->next = NULL;
	atomic_fetch_add_explicit(&used_n, 1, memory_order_relaxed);
	return pipe;
}

void pipe_put(struct pipe *pipe)
{
	if (!pipe)
		return;
	atomic_fetch_sub_explicit(&used_n, 1, memory_order_relaxed);
	if (pipe->held || pool_n >= PIPE_SPARE_MAX) {
		pipe_close(pipe);
		return;
	}
	pipe->next = pool;
	pool = pipe;
	pool_n++;
}

enum io pipe_fill(struct pipe *pipe, struct conn *source, size_t max)
{
	ssize_t n;

	bug_on(pipe->held || !max); /* splice() of no bytes looks like the end */
	if (source->is_eof)
		return IO_EOF;
	if (!source->can_read || source->fd < 0)
		return IO_AGAIN;
	if (max > pipe->size)
		max = pipe->size;
	do
		n = splice(source->fd, NULL, pipe->in, NULL, max,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (likely(n > 0)) {
		pipe->held = (uint32_t)n;
		return IO_OK;
	}
	source->can_read = false;
	if (n == 0) {
		source->is_eof = true;
		return IO_EOF;
	}
	if (errno == EAGAIN)
		return IO_AGAIN;
	source->error = errno;
	source->is_broken = true;
	source->is_reset = true;
	source->is_eof = source->error == EPIPE;
	return IO_FAIL;
}

enum io pipe_drain(struct pipe *pipe, struct conn *destination)
{
	ssize_t n;

	if (!pipe->held)
		return IO_OK;
	if (!destination->can_write || destination->fd < 0)
		return IO_AGAIN;
	(void)conn_before_send(destination);
	do
		n = splice(pipe->out, NULL, destination->fd, NULL, pipe->held,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		destination->sent += (uint64_t)n;
		pipe->held -= (uint32_t)n;
		if (likely(!pipe->held))
			return IO_OK;
	}
	/* The kernel goes on until the socket takes no more, so that less than all tells that. */
	destination->can_write = false;
	if (n >= 0 || errno == EAGAIN)
		return IO_AGAIN;
	destination->error = errno;
	destination->is_broken = true;
	return IO_FAIL;
}

uint32_t pipes_open(void)
{
	return atomic_load_explicit(&open_n, memory_order_relaxed);
}

uint32_t pipes_in_use(void)
{
	return atomic_load_explicit(&used_n, memory_order_relaxed);
}

void pipe_pool_fini(void)
{
	while (pool) {
		struct pipe *pipe = pool;

		pool = pipe->next;
		pipe_close(pipe);
	}
	pool_n = 0;
}
