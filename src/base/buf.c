/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/buf.h"

#include <stdlib.h>

#include "base/mem.h"

char buf_nothing[1];

/* The thread's spare blocks of BUF_SIZE, linked through their first bytes: the last is warm. */
#define POOL_MAX 256
static __thread void *pool;
static __thread unsigned pool_n;

static struct buf_block *block_new(uint32_t size)
{
	return xmalloc(sizeof(struct buf_block) + size);
}

/* Of BUF_SIZE, empty. */
static struct buf_block *block_get(void)
{
	struct buf_block *block = pool;

	if (block) {
		memcpy(&pool, block, sizeof(pool));
		pool_n--;
	} else {
		block = block_new(BUF_SIZE);
	}
	block->start = block->end = 0;
	block->size = BUF_SIZE;
	return block;
}

static void block_put(struct buf_block *block)
{
	if (block->size != BUF_SIZE || pool_n >= POOL_MAX) {
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

void buf_pool_fini(void)
{
	while (pool)
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
