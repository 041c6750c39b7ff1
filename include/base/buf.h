/* SPDX-License-Identifier: MIT */
/*
 * buf - bytes on their way: filled at the end, consumed at the front.
 *
 *   data            start             end              size
 *    |  (consumed)    |  bytes to do    |  (room)        |
 *
 * A buf without bytes owns no storage: buf_consume() gives it back to the thread's pool when the
 * last byte goes, and buf_reserve() takes some when the first one comes.  So an idle connection
 * costs no buffer.  Storage starts at BUF_SIZE and may be grown up to a caller's limit.
 * A buf belongs to one thread.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "base/str.h"

#define BUF_SIZE 16384u

struct buf {
	char *data; /* (own) NULL when it holds nothing */
	uint32_t start, end, size;
};

static inline size_t buf_length(const struct buf *buf)
{
	return buf->end - buf->start;
}
static inline char *buf_bytes(const struct buf *buf)
{
	return buf->data + buf->start;
}
static inline struct str buf_str(const struct buf *buf)
{
	return (struct str){ buf->data ? buf->data + buf->start : "", buf->end - buf->start };
}
static inline size_t buf_room(const struct buf *buf)
{
	return buf->size - buf->end;
}
static inline char *buf_tail(struct buf *buf)
{
	return buf->data + buf->end;
}

/*
 * Makes at least ROOM bytes of room, moving the bytes to the front or taking larger storage as
 * needed. Views into the buf are void afterwards if it had less.
 */
void buf_make_room(struct buf *buf, size_t room);
static inline void buf_reserve(struct buf *buf, size_t room)
{
	if (unlikely(!buf->data || buf_room(buf) < room))
		buf_make_room(buf, room);
}
static inline void buf_fill(struct buf *buf, size_t n) /* N bytes were written at buf_tail() */
{
	slow_check(n <= buf_room(buf));
	buf->end += (uint32_t)n;
}
void buf_release(struct buf *buf); /* forgets the bytes, gives the storage back */
static inline void buf_consume(struct buf *buf, size_t n)
{
	bug_on(n > buf_length(buf));
	buf->start += (uint32_t)n;
	if (buf->start == buf->end)
		buf_release(buf);
}
static inline void buf_append(struct buf *buf, const void *bytes, size_t n)
{
	if (!n)
		return;
	buf_reserve(buf, n);
	memcpy(buf_tail(buf), bytes, n);
	buf->end += (uint32_t)n;
}
static inline void buf_append_str(struct buf *buf, struct str s)
{
	buf_append(buf, s.p, s.len);
}
/* Moves the bytes to the front of the storage, so that all room is behind them. */
void buf_pack(struct buf *buf);
/* Blocks of BUF_SIZE that the calling thread has spare. */
unsigned buf_pool_spare(void);
/* Gives the calling thread's spare storage back to the system. */
void buf_pool_fini(void);

#endif
