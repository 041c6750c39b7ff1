/* SPDX-License-Identifier: MIT */
/*
 * h2_mem - the memory of a thread's HTTP/2 sessions, and of `rare` of a client, which each stream
 * has.
 *
 * nghttp2 allocates five or six small pieces for every stream and frees them with it.  Here they
 * come from lists of spare blocks, one list for each size of 64 bytes more than the last; what is
 * larger than the largest is the system's.  At most H2_MEM_SPARE_MAX bytes of each size are kept.
 *
 * Threads: one.  Memory exhausted: abort, as in base/mem.h.  Under AddressSanitizer spare blocks,
 * and what of a block was not asked for, may not be touched.
 */
#ifndef SESSION_H2_MEM_H
#define SESSION_H2_MEM_H

#include <nghttp2/nghttp2.h>
#include <stddef.h>
#include <stdint.h>

#define H2_MEM_STEP      64u
#define H2_MEM_SIZES     16u            /* up to 1 KiB, the block's own 16 bytes included */
#define H2_MEM_SPARE_MAX (128u * 1024u) /* bytes of one size that are kept */

struct h2_mem_block;

struct h2_mem {
	struct h2_mem_block *spare[H2_MEM_SIZES]; /* (own) */
	uint32_t spare_n[H2_MEM_SIZES];
	uint64_t used_n; /* blocks handed out now */
};

/* Aligned to 16 bytes; SIZE 0 is fine. */
void *h2_mem_get(struct h2_mem *mem, size_t size) __attribute__((returns_nonnull));
void *h2_mem_get_zeroed(struct h2_mem *mem, size_t size) __attribute__((returns_nonnull));
/* P may be NULL. */
void *h2_mem_resize(struct h2_mem *mem, void *p, size_t size) __attribute__((returns_nonnull));
void h2_mem_put(struct h2_mem *mem, void *p); /* NULL is fine */
/* Gives the spare blocks back; everything must have been put back. */
void h2_mem_fini(struct h2_mem *mem);

/* For nghttp2_session_server_new3(), which copies it; MEM outlives the session. */
nghttp2_mem h2_mem_for_nghttp2(struct h2_mem *mem);

#endif
