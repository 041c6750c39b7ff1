/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/buf.h"

#include <stdlib.h>

#include "base/mem.h"

char buf_nothing[1];

/* The thread's spare blocks of BUF_SIZE, linked through their first bytes: the last is warm. */
#define POOL_MAX  256
#define POOL_KEPT 8 /* that buf_pool_trim() leaves */
static __thread void *pool;
static __thread void *aged;      /* as in struct slab */
static __thread unsigned pool_n; /* in both */
static __thread unsigned freed_n;

/*
 * Spare ones of twice that size and more, which bulk takes and gives back for each send: malloc
 * would give their pages back to the kernel, to have each of them faulted in again.
 */
#define LARGER_N   4 /* 32 to 256 KiB */
#define LARGER_MAX 4 /* of each */
_Static_assert(BUF_SIZE << LARGER_N == BUF_SPARE_SIZE_MAX, "the header says so");
static __thread void *larger_pool[LARGER_N];
static __thread unsigned larger_pool_n[LARGER_N];
static __thread bool larger_was_used; /* since buf_pool_age() */

/* LARGER_N: it is none of those sizes. */
static unsigned larger_of(uint32_t size)
{
	unsigned which = 0;

	while (which < LARGER_N && size != BUF_SIZE << (which + 1))
		which++;
	return which;
}

static struct buf_block *block_new(uint32_t size)
{
	unsigned which = larger_of(size);
	struct buf_block *block;

	if (which == LARGER_N || !larger_pool[which])
		return xmalloc(sizeof(struct buf_block) + size);
	block = larger_pool[which];
	memcpy(&larger_pool[which], block, sizeof(larger_pool[which]));
	larger_pool_n[which]--;
	larger_was_used = true;
	return block;
}

static void larger_put(struct buf_block *block)
{
	unsigned which = larger_of(block->size);

	if (which == LARGER_N || larger_pool_n[which] >= LARGER_MAX) {
		free(block);
		return;
	}
	memcpy(block, &larger_pool[which], sizeof(larger_pool[which]));
	larger_pool[which] = block;
	larger_pool_n[which]++;
}

static void larger_fini(void)
{
	for (unsigned which = 0; which < LARGER_N; which++)
		while (larger_pool[which])
			free(block_new(BUF_SIZE << (which + 1)));
	larger_was_used = false;
}

/* One of LIST, which is not empty. */
static struct buf_block *take(void **list)
{
	struct buf_block *block = *list;

	memcpy(list, block, sizeof(*list));
	pool_n--;
	return block;
}

/* Of BUF_SIZE, empty. */
static struct buf_block *block_get(void)
{
	struct buf_block *block = likely(pool != NULL) ? take(&pool)
				  : aged               ? take(&aged)
						       : block_new(BUF_SIZE);

	block->start = block->end = 0;
	block->size = BUF_SIZE;
	return block;
}

static void block_put(struct buf_block *block)
{
	if (block->size != BUF_SIZE) {
		larger_put(block);
		return;
	}
	if (pool_n >= POOL_MAX) {
		freed_n++;
		free(block);
		return;
	}
	memcpy(block, &pool, sizeof(pool));
	pool = block;
	pool_n++;
}

unsigned buf_pool_spare(uint32_t size)
{
	unsigned which = larger_of(size);

	if (size == BUF_SIZE)
		return pool_n;
	return which < LARGER_N ? larger_pool_n[which] : 0;
}

unsigned buf_pool_freed(void)
{
	return freed_n;
}

void buf_pool_age(void)
{
	if (!larger_was_used)
		larger_fini();
	larger_was_used = false;
	if (aged)
		return;
	aged = pool;
	pool = NULL;
}

bool buf_pool_trim(unsigned max)
{
	while (aged && pool_n > POOL_KEPT) {
		if (!max--)
			return true;
		free(take(&aged));
		freed_n++;
	}
	return false;
}

void buf_pool_fini(void)
{
	while (pool || aged)
		free(block_get());
	larger_fini();
}

void buf_pack(struct buf *buf)
{
	struct buf_block *block = buf->block;

	if (!block || !block->start)
		return;
	memmove(block->bytes, block->bytes + block->start, block->end - block->start);
	block->end -= block->start;
	block->start = 0;
}

/* BLOCK in a larger one; its bytes begin at the front. */
static struct buf_block *block_grow(struct buf_block *block, uint32_t size)
{
	struct buf_block *larger;

	if (larger_of(block->size) == LARGER_N && block->size != BUF_SIZE) {
		larger = xrealloc(block, sizeof(*block) + size);
	} else {
		larger = block_new(size);
		larger->start = 0;
		larger->end = block->end;
		memcpy(larger->bytes, block->bytes, block->end);
		block_put(block);
	}
	larger->size = size;
	return larger;
}

void buf_make_room(struct buf *buf, size_t room)
{
	size_t need = buf_length(buf) + room;
	uint32_t size;

	if (buf->block && buf_room(buf) >= room)
		return;
	bug_on(need > UINT32_MAX / 2);
	if (!buf->block)
		buf->block = block_get();
	buf_pack(buf);
	if (need <= buf->block->size)
		return;
	size = buf->block->size;
	while (size < need)
		size *= 2;
	buf->block = block_grow(buf->block, size);
}

void buf_release(struct buf *buf)
{
	if (buf->block)
		block_put(buf->block);
	buf->block = NULL;
}
