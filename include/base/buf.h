/* SPDX-License-Identifier: MIT */
/*
 * buf - bytes on their way: filled at the end, consumed at the front.
 *
 *   block->bytes    start             end              size
 *    |  (consumed)    |  bytes to do    |  (room)        |
 *
 * A buf without bytes owns no storage: buf_consume() gives it back to the thread's pool when the
 * last byte goes, and buf_reserve() takes some when the first one comes.  So an idle connection
 * costs no buffer.  Storage starts at BUF_SIZE and may be grown up to a caller's limit.
 * A buf belongs to one thread.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "base/str.h"

#define BUF_SIZE 16384u

/* The storage. */
struct buf_block {
	uint32_t start, end, size; /* of bytes[]: start <= end <= size */
	uint32_t unused;
	char bytes[];
};

struct buf {
	struct buf_block *block; /* (own) NULL when it holds nothing and has no room */
};
_Static_assert(sizeof(struct buf) == 8, "an idle tunnel pays for four");

static inline size_t buf_length(const struct buf *buf)
{
	return buf->block ? buf->block->end - buf->block->start : 0;
}
/* Of no bytes: never NULL, so that nobody has to ask before memcpy() and the like. */
extern char buf_nothing[];
static inline char *buf_bytes(const struct buf *buf)
{
	return buf->block ? buf->block->bytes + buf->block->start : buf_nothing;
}
static inline struct str buf_str(const struct buf *buf)
{
	return (struct str){ buf_bytes(buf), buf_length(buf) };
}
static inline size_t buf_room(const struct buf *buf)
{
	return buf->block ? buf->block->size - buf->block->end : 0;
}
static inline char *buf_tail(struct buf *buf) /* where buf_room() begins */
{
	return buf->block ? buf->block->bytes + buf->block->end : buf_nothing;
}

/*
 * Makes at least ROOM bytes of room, moving the bytes to the front or taking larger storage as
 * needed. Views into the buf are void afterwards if it had less.
 */
void buf_make_room(struct buf *buf, size_t room);
static inline void buf_reserve(struct buf *buf, size_t room)
{
	if (!buf->block || unlikely(buf->block->size - buf->block->end < room))
		buf_make_room(buf, room);
}
static inline void buf_fill(struct buf *buf, size_t n) /* N bytes were written at buf_tail() */
{
	slow_check(n <= buf_room(buf));
	buf->block->end += (uint32_t)n;
}
void buf_release(struct buf *buf); /* forgets the bytes, gives the storage back */
static inline void buf_consume(struct buf *buf, size_t n)
{
	struct buf_block *block = buf->block;

	bug_on(n > buf_length(buf));
	if (!block)
		return;
	block->start += (uint32_t)n;
	if (block->start == block->end)
		buf_release(buf);
}
static inline void buf_append(struct buf *buf, const void *bytes, size_t n)
{
	if (!n)
		return;
	buf_reserve(buf, n);
	memcpy(buf->block->bytes + buf->block->end, bytes, n);
	buf->block->end += (uint32_t)n;
}
static inline void buf_append_str(struct buf *buf, struct str s)
{
	buf_append(buf, s.p, s.len);
}
/* Forgets all bytes behind the first LENGTH, and keeps the storage. */
static inline void buf_cut(struct buf *buf, size_t length)
{
	bug_on(length > buf_length(buf));
	if (buf->block)
		buf->block->end = buf->block->start + (uint32_t)length;
}
/* Moves the bytes to the front of the storage, so that all room is behind them. */
void buf_pack(struct buf *buf);
/* Blocks of SIZE that the calling thread has spare: BUF_SIZE, or twice that and so on (at most four
 * of each) up to BUF_SPARE_SIZE_MAX. */
#define BUF_SPARE_SIZE_MAX (16 * BUF_SIZE)
unsigned buf_pool_spare(uint32_t size);
/* As slab_age() and slab_trim(), for the calling thread's spare blocks.  Of larger ones age()
 * gives all back when none was used since the last time. */
void buf_pool_age(void);
bool buf_pool_trim(unsigned max);
/* Blocks of BUF_SIZE that the calling thread has given back to malloc so far; it may wrap. */
unsigned buf_pool_freed(void);
/* Gives the calling thread's spare storage back to the system. */
void buf_pool_fini(void);

#endif
