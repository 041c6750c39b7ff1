/* SPDX-License-Identifier: MIT */
/* bench_buf [full] - buffers, slabs and arenas, as a request uses them. */
#include "config.h"

#include "base/buf.h"

#include "base/mem.h"
#include "micro.h"

static unsigned failures;

/* What a request does: room, bytes, gone. */
static void reserve_fill_consume(void *arg, uint64_t n)
{
	struct buf *buf = arg;

	while (n--) {
		buf_reserve(buf, 4096);
		buf_fill(buf, 600);
		micro_barrier();
		buf_consume(buf, 600);
		failures += buf->block != NULL;
	}
}

/* The same, left before all was used: the storage stays. */
static void fill_consume_part(void *arg, uint64_t n)
{
	struct buf *buf = arg;

	while (n--) {
		buf_reserve(buf, 4096);
		buf_fill(buf, 600);
		micro_barrier();
		buf_consume(buf, buf_length(buf) - 1);
		failures += buf_length(buf) != 1;
	}
	buf_release(buf);
}

/* More than the pool keeps, at once. */
#define MANY 300
static void many_at_once(void *arg, uint64_t n)
{
	struct buf *bufs = arg;

	while (n--) {
		for (unsigned i = 0; i < MANY; i++)
			buf_reserve(&bufs[i], 1);
		micro_barrier();
		for (unsigned i = 0; i < MANY; i++)
			buf_release(&bufs[i]);
	}
}

static char piece[1024];

/* N times SIZE bytes, a piece at a time, into a buf that has no storage yet. */
static void append(struct buf *buf, size_t size, uint64_t n)
{
	while (n--) {
		for (size_t i = 0; i < size / sizeof(piece); i++)
			buf_append(buf, piece, sizeof(piece));
		failures += buf_length(buf) != size || buf->block->size != size;
		buf_release(buf);
	}
}

#define GROWN (256u * 1024)

static void append_16k(void *arg, uint64_t n)
{
	append(arg, BUF_SIZE, n);
}

static void grow_256k(void *arg, uint64_t n)
{
	append(arg, GROWN, n);
}

static void copy_16k(void *arg, uint64_t n)
{
	char *block = arg;

	while (n--) {
		for (unsigned i = 0; i < BUF_SIZE / sizeof(piece); i++) {
			memcpy(block + i * sizeof(piece), piece, sizeof(piece));
			micro_barrier();
		}
	}
}

static void slab_get_put(void *arg, uint64_t n)
{
	while (n--) {
		void *object = slab_get(arg);

		micro_barrier();
		slab_put(arg, object);
	}
}

static void malloc_free(void *arg, uint64_t n)
{
	while (n--) {
		void *object = xmalloc(*(size_t *)arg);

		micro_barrier();
		free(object);
	}
}

static void arena_few(void *arg, uint64_t n)
{
	while (n--) {
		for (int i = 0; i < 8; i++)
			memset(arena_alloc(arg, 48), 0, 8);
		micro_barrier();
		arena_reset(arg);
	}
}

/* What append and growth do to the bytes, which the rounds above do not look at. */
static void check_bytes(void)
{
	struct buf buf = { 0 };

	for (unsigned i = 0; i < GROWN; i++)
		buf_append(&buf, &(char){ (char)(i % 251) }, 1);
	for (unsigned i = 0; i < GROWN; i++)
		must(buf_bytes(&buf)[i] == (char)(i % 251));
	buf_release(&buf);
	must(buf.block == NULL);
}

int main(int argc, char **argv)
{
	static char block[BUF_SIZE];
	static struct buf many[MANY];
	bool is_full = micro_begin(argc, argv, "buffers");
	struct buf buf = { 0 };
	size_t object_size = 512;
	struct arena arena;
	struct slab slab;

	check_bytes();
	micro_run_object(is_full, "reserve, fill, consume all", reserve_fill_consume, &buf, 0);
	micro_run_object(is_full, "fill, consume all but a byte", fill_consume_part, &buf, 0);
	micro_run_object(is_full, "300 taken at once, given back", many_at_once, many, 0);
	micro_run(is_full, "append 16 KiB in pieces of 1 KiB", append_16k, &buf, BUF_SIZE);
	micro_run(is_full, "(memcpy alone of these)", copy_16k, block, BUF_SIZE);
	micro_run(is_full, "append 256 KiB in pieces of 1 KiB, grown", grow_256k, &buf, GROWN);
	slab_init(&slab, "bench", object_size, 16);
	micro_run_object(is_full, "slab: get and put", slab_get_put, &slab, (double)object_size);
	must(slab.used == 0 && slab.idle == 1);
	slab_fini(&slab);
	micro_run_object(is_full, "(malloc and free)", malloc_free, &object_size,
			 (double)object_size);
	arena_init(&arena, 4096);
	micro_run_object(is_full, "arena: 8 x 48 bytes, reset", arena_few, &arena, 0);
	arena_fini(&arena);
	must(failures == 0);
	must(buf_pool_spare(BUF_SIZE) > 0);
	buf_pool_fini();
	return 0;
}
