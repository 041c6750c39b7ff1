/* SPDX-License-Identifier: MIT */
/*
 * mem - allocators that abort when memory is exhausted, slabs and arenas.
 *
 * Because these never return NULL there are no untested branches; in exchange every size that
 * a peer drives is checked against a limit before it gets here.
 *
 * struct slab hands out objects of one size from a free list.  It belongs to one thread; an
 * object goes back to the slab it came from, on the same thread.  Objects are not zeroed.
 *
 * struct arena is a bump allocator that is emptied as a whole; it keeps its first block.  What may
 * grow large takes its later blocks from mmap(): freed, they go back to the kernel at once,
 * whatever malloc has put beside them meanwhile.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
/* N * SIZE with an overflow check. */
void *xrealloc_array(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
/* A NUL-terminated copy of S. */
char *xstrndup(struct str s) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) printf_like(1, 2);

/* For those who ask the kernel themselves: says that SIZE bytes were not to be had, and aborts. */
_Noreturn void mem_exhausted(size_t size);

struct slab {
	const char *name;   /* (const) for the memory report */
	size_t object_size; /* (const) bytes */
	void *free_list;    /* (own) objects not in use */
	uint32_t used;      /* objects handed out now */
	uint32_t idle;      /* objects in free_list */
	uint32_t idle_max;  /* objects kept in free_list; more are given back to malloc */
};

void slab_init(struct slab *slab, const char *name, size_t object_size, uint32_t idle_max);
void slab_fini(struct slab *slab); /* everything must have been put back */
void *slab_get(struct slab *slab) __attribute__((returns_nonnull));
void slab_put(struct slab *slab, void *object); /* NULL is fine */

struct arena_block;

struct arena {
	struct arena_block *blocks; /* (own) newest first */
	size_t block_size;          /* (const) payload bytes of a normal block */
	size_t used;                /* bytes used of the newest block */
	size_t map_size;            /* (const) of blocks after the first, mapped; 0 = none is */
	bool is_populated;          /* (const) mapped blocks are made of memory at once */
};

void arena_init(struct arena *arena, size_t block_size);
/*
 * The first block has BLOCK_SIZE bytes, the others MAP_SIZE and are mapped.  IS_POPULATED: all of
 * them will be written soon, so that a fault for each page would only cost time.
 */
void arena_init_mapped(struct arena *arena, size_t block_size, size_t map_size, bool is_populated);
void arena_fini(struct arena *arena);
void arena_reset(struct arena *arena); /* frees all but one block */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
void *arena_calloc(struct arena *arena, size_t n, size_t size) __attribute__((returns_nonnull));
struct str arena_str(struct arena *arena, struct str s); /* a copy, NUL-terminated beyond len */
char *arena_printf(struct arena *arena, const char *fmt, ...) printf_like(2, 3);

#endif
