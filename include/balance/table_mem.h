/* SPDX-License-Identifier: MIT */
/*
 * table_mem - memory of session tables, in regions that the kernel may back with huge pages.
 *
 * A look-up in a large table reads memory that no cache holds, nor does the processor know where
 * its page is: the walk of the page tables is a good part of the wait.  So what is large is kept
 * together, aligned to 2 MiB:
 *
 *   chunks of entries, of all tables of the process: 630 a region
 *     region  | header | chunk | chunk | ... | chunk |       the list of free ones is in the header
 *
 *   the indexes that the shards of a large table end up with: one map for each table
 *     map     | of shard 0 | of shard 1 | ...
 *
 * They begin with small pages.  A region whose last chunk, a map whose last part is taken is marked
 * with MADV_HUGEPAGE: all of it is in use, so that huge pages cost no memory, and the kernel's own
 * thread (khugepaged) makes them within a minute.  Whoever fills the table never waits for 2
 * MiB to be cleared, which took some milliseconds each.  Where huge pages are switched off
 * (transparent_hugepage/enabled "never") the mark has no effect.
 *
 * What an index needs while it grows is mapped on its own: as chunks are not malloc's any more,
 * nothing would ever use the holes that it leaves there.
 *
 * Threads.  Call from any, with or without a shard's mutex.  The mutexes here are taken for a chunk
 * of 64 entries or a whole index, and nothing is locked after them.
 */
#ifndef BALANCE_TABLE_MEM_H
#define BALANCE_TABLE_MEM_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_CHUNK_SIZE 3328 /* bytes: 64 entries of 52 */

/* TABLE_CHUNK_SIZE bytes, all zeroes, aligned to 64. */
void *table_chunk_get(void) __attribute__((malloc, returns_nonnull));
void table_chunk_put(void *chunk);

/* SIZE bytes, all zeroes, for the index of one shard. */
void *table_index_new(size_t size) __attribute__((malloc, returns_nonnull));
void table_index_free(void *at, size_t size); /* NULL of size 0 is fine */

struct table_index_map;

/* Of one table. */
struct table_index_maps {
	pthread_mutex_t mutex;
	struct table_index_map
		*newest; /* (view) parts are taken of it; NULL = none.  Who has parts owns it */
};

void table_index_maps_init(struct table_index_maps *maps);
void table_index_maps_fini(struct table_index_maps *maps); /* all parts must have been given back */
/*
 * SIZE bytes, all zeroes, as part number PART of PARTS_N: those of the parts lie side by side.
 * NULL: they are too small together, or the caller already HAS the part of the newest map (NULL =
 * none).  *MAP (ref) is what table_index_part_give() wants to know.
 */
void *table_index_part_take(struct table_index_maps *maps, const struct table_index_map *has,
			    uint32_t part, uint32_t parts_n, size_t size,
			    struct table_index_map **map);
void table_index_part_give(struct table_index_maps *maps, struct table_index_map *map, void *at,
			   size_t size);

/* For tests: regions of chunks, and how many of them are marked for huge pages. */
void table_mem_regions(uint32_t *regions_n, uint32_t *huge_n);

#endif
