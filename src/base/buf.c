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

static struct buf_block *block_new(uint32_t size)
{
	return xmalloc(sizeof(struct buf_block) + size);
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
	if (block->size != BUF_SIZE || pool_n >= POOL_MAX) {
		freed_n += block->size == BUF_SIZE;
		free(block);
		return;
	}
	memcpy(block, &pool, sizeof(pool));
	pool = block;
	pool_n++;
}

unsigned buf_pool_spare(void)
{
	return pool_n;
}

unsigned buf_pool_freed(void)
{
	return freed_n;
}

void buf_pool_age(void)
{
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

	if (block->size != BUF_SIZE) {
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
