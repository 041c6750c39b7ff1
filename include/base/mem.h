/* SPDX-License-Identifier: MIT */
/*
 * mem - allocators that abort when memory is exhausted, slabs and arenas.
 *
 * Because these never return NULL there are no untested branches; in exchange every size that
 * a peer drives is checked against a limit before it gets here.
 *
 * struct slab hands out objects of one size from a free list.  It belongs to one thread; an
 * object goes back to the slab it came from, on the same thread.  Objects are not zeroed.
 * What a peak has left in the list is given back by slab_age() and slab_trim(): aged objects are
 * those that nobody has needed since they were set aside, and that costs the others nothing.
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
	void *aged;         /* (own) those that were not in use at slab_age() nor since */
	uint32_t used;      /* objects handed out now */
	uint32_t idle;      /* objects in both lists */
	uint32_t idle_max;  /* objects kept there; more are given back to malloc */
	uint32_t freed_n;   /* objects given back to malloc since slab_init(); it may wrap */
};
#define SLAB_KEPT 16 /* objects that slab_trim() leaves */

void slab_init(struct slab *slab, const char *name, size_t object_size, uint32_t idle_max);
void slab_fini(struct slab *slab); /* everything must have been put back */
void *slab_get(struct slab *slab) __attribute__((returns_nonnull));
void slab_put(struct slab *slab, void *object); /* NULL is fine */
/* All that are idle now are aged from now on.  No effect while there are aged ones. */
void slab_age(struct slab *slab);
/* Gives up to MAX aged objects back to malloc; true when there are more. */
bool slab_trim(struct slab *slab, uint32_t max);

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
