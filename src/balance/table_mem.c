/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/table_mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/list.h"
#include "base/mem.h"

#define HUGE_SIZE    (2u << 20)      /* of x86-64 and of ARM with pages of 4 KiB */
#define INDEX_MIN    (2 * HUGE_SIZE) /* an index below is not worth a map */
#define INDEX_MAPPED 4096u           /* smaller ones are malloc's */

struct region {
	struct list link;      /* among all */
	struct list room_link; /* among those that have room */
	void *free;            /* chunks that were used, linked through their first bytes */
	uint32_t used_n;       /* chunks handed out now */
	uint32_t fresh_at;     /* those from this one on were never handed out */
	bool is_huge;          /* marked for huge pages */
};
#define REGION_HEADER 512
#define REGION_CHUNKS ((HUGE_SIZE - REGION_HEADER) / TABLE_CHUNK_SIZE)
_Static_assert(sizeof(struct region) <= REGION_HEADER, "the header has its place");
_Static_assert(REGION_CHUNKS *TABLE_CHUNK_SIZE + REGION_HEADER == HUGE_SIZE, "nothing is lost");

static pthread_mutex_t regions_mutex = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static struct list regions = { &regions, &regions };
static struct list rooms = { &rooms, &rooms };
static uint32_t regions_n;

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* SIZE bytes of zeroes, at a multiple of HUGE_SIZE, on small pages whatever the system prefers. */
static void *map_aligned(size_t size)
{
	size_t more = size + HUGE_SIZE - page_size();
	char *at = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (at == MAP_FAILED)
		mem_exhausted(size);
	before = -(uintptr_t)at & (HUGE_SIZE - 1);
	if (before)
		munmap(at, before);
	if (more - before > size)
		munmap(at + before + size, more - before - size);
	(void)madvise(at + before, size, MADV_NOHUGEPAGE);
	return at + before;
}

/*
 * Chunks.
 */
static struct region *region_new(void)
{
	struct region *region = map_aligned(HUGE_SIZE);

	*region = (struct region){ 0 };
	return region;
}

/* Mutex held. */
static void region_add(struct region *region)
{
	list_push_front(&regions, &region->link);
	list_push_front(&rooms, &region->room_link);
	regions_n++;
}

/* Mutex held.  NULL: no region has room.  *FILLED: this was the first time that it had none. */
static void *take_chunk(struct region **filled)
{
	struct region *region;
	void *chunk;

	if (list_is_empty(&rooms))
		return NULL;
	region = list_entry(rooms.next, struct region, room_link);
	chunk = region->free;
	if (chunk) {
		memcpy(&region->free, chunk, sizeof(region->free));
		memset(chunk, 0, TABLE_CHUNK_SIZE);
	} else {
		chunk = (char *)region + REGION_HEADER +
			(size_t)region->fresh_at++ * TABLE_CHUNK_SIZE;
	}
	if (++region->used_n < REGION_CHUNKS)
		return chunk;
	list_remove(&region->room_link);
	if (!region->is_huge)
		*filled = region;
	region->is_huge = true;
	return chunk;
}

void *table_chunk_get(void)
{
	struct region *filled = NULL;
	void *chunk;

	pthread_mutex_lock(&regions_mutex);
	while ((chunk = take_chunk(&filled)) == NULL) {
		struct region *region;

		pthread_mutex_unlock(&regions_mutex);
		region = region_new();
		pthread_mutex_lock(&regions_mutex);
		region_add(region);
	}
	pthread_mutex_unlock(&regions_mutex);
	if (filled)
		(void)madvise(filled, HUGE_SIZE, MADV_HUGEPAGE);
	return chunk;
}

void table_chunk_put(void *chunk)
{
	struct region *region = (struct region *)((uintptr_t)chunk & ~(uintptr_t)(HUGE_SIZE - 1));
	bool is_empty;

	pthread_mutex_lock(&regions_mutex);
	memcpy(chunk, &region->free, sizeof(region->free));
	region->free = chunk;
	if (region->used_n-- == REGION_CHUNKS)
		list_push_back(&rooms, &region->room_link);
	is_empty = !region->used_n;
	if (is_empty) {
		list_remove(&region->room_link);
		list_remove(&region->link);
		regions_n--;
	}
	pthread_mutex_unlock(&regions_mutex);
	if (is_empty)
		munmap(region, HUGE_SIZE);
}

void table_mem_regions(uint32_t *n, uint32_t *huge_n)
{
	*huge_n = 0;
	pthread_mutex_lock(&regions_mutex);
	*n = regions_n;
	list_for_each(at, &regions)
		*huge_n += list_entry(at, struct region, link)->is_huge;
	pthread_mutex_unlock(&regions_mutex);
}

/*
 * Indexes.
 */
void *table_index_new(size_t size)
{
	void *at = size < INDEX_MAPPED ? xcalloc(1, size)
				       : mmap(NULL, size, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		mem_exhausted(size);
	return at;
}

void table_index_free(void *at, size_t size)
{
	if (size < INDEX_MAPPED)
		free(at);
	else
		munmap(at, size);
}

struct table_index_map {
	char *at;         /* (own) */
	size_t size;      /* of all parts */
	size_t part_size; /* of one, at least what is asked for */
	uint32_t taken_n; /* parts */
};

void table_index_maps_init(struct table_index_maps *maps)
{
	pthread_mutex_init(&maps->mutex, NULL);
	maps->newest = NULL;
}

void table_index_maps_fini(struct table_index_maps *maps)
{
	bug_on(maps->newest != NULL);
	pthread_mutex_destroy(&maps->mutex);
}

static struct table_index_map *map_new(uint32_t parts_n, size_t part_size)
{
	struct table_index_map *map = xmalloc(sizeof(*map));

	*map = (struct table_index_map){ .part_size = part_size };
	map->size = ((size_t)parts_n * part_size + page_size() - 1) & ~(page_size() - 1);
	map->at = map_aligned(map->size);
	return map;
}

void *table_index_part_take(struct table_index_maps *maps, const struct table_index_map *has,
			    uint32_t part, uint32_t parts_n, size_t size,
			    struct table_index_map **map)
{
	size_t part_size = (size + 63) & ~(size_t)63;
	bool is_full = false;
	void *at = NULL;

	*map = NULL;
	if ((uint64_t)parts_n * part_size < INDEX_MIN)
		return NULL;
	pthread_mutex_lock(&maps->mutex);
	/* One that is too small stays for those who have parts of it. */
	if (!maps->newest || maps->newest->part_size < part_size)
		maps->newest = map_new(parts_n, part_size);
	if (maps->newest != has) {
		*map = maps->newest;
		is_full = ++(*map)->taken_n == parts_n;
		at = (*map)->at + part * (*map)->part_size;
	}
	pthread_mutex_unlock(&maps->mutex);
	if (at)
		memset(at, 0, size); /* it may have been used before */
	if (is_full)
		(void)madvise((*map)->at, (*map)->size, MADV_HUGEPAGE);
	return at;
}

/* Gives the pages back that lie within SIZE bytes from AT; the others are its neighbours', too. */
static void give_pages(char *at, size_t size)
{
	size_t page = page_size();
	size_t before = -(uintptr_t)at & (page - 1);

	if (size >= before + page)
		(void)madvise(at + before, (size - before) & ~(page - 1), MADV_DONTNEED);
}

void table_index_part_give(struct table_index_maps *maps, struct table_index_map *map, void *at,
			   size_t size)
{
	bool is_last;

	give_pages(at, size);
	pthread_mutex_lock(&maps->mutex);
	is_last = !--map->taken_n;
	if (is_last && maps->newest == map)
		maps->newest = NULL;
	pthread_mutex_unlock(&maps->mutex);
	if (is_last) {
		munmap(map->at, map->size);
		free(map);
	}
}
