/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/buf.h"

#include <stdlib.h>

#include "base/mem.h"

/* The thread's spare blocks of BUF_SIZE, linked through their first bytes: the last is warm. */
#define POOL_MAX 256
static __thread void *pool;
static __thread unsigned pool_n;

static char *block_get(void)
{
	void *block = pool;

	if (!block)
		return xmalloc(BUF_SIZE);
	memcpy(&pool, block, sizeof(pool));
	pool_n--;
	return block;
}

static void block_put(char *block, uint32_t size)
{
	if (size != BUF_SIZE || pool_n >= POOL_MAX) {
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
	if (!buf->start)
		return;
	memmove(buf->data, buf->data + buf->start, buf_length(buf));
	buf->end -= buf->start;
	buf->start = 0;
}

void buf_make_room(struct buf *buf, size_t room)
{
	size_t need = buf_length(buf) + room;
	uint32_t size = buf->size;

	if (buf_room(buf) >= room && buf->data)
		return;
	if (!buf->data && need <= BUF_SIZE) {
		*buf = (struct buf){ .data = block_get(), .size = BUF_SIZE };
		return;
	}
	buf_pack(buf);
	if (need <= buf->size)
		return;
	bug_on(need > UINT32_MAX / 2);
	if (!size)
		size = BUF_SIZE;
	while (size < need)
		size *= 2;
	if (buf->size != BUF_SIZE) {
		buf->data = xrealloc(buf->data, size);
	} else {
		char *larger = xmalloc(size);

		memcpy(larger, buf->data, buf->end);
		block_put(buf->data, buf->size);
		buf->data = larger;
	}
	buf->size = size;
}

void buf_release(struct buf *buf)
{
	if (buf->data)
		block_put(buf->data, buf->size);
	*buf = (struct buf){ 0 };
}
