/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A multiple of the strictest alignment, so that data[] behind it is aligned too. */
struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t mapped_size; /* of the whole block; 0 = it is malloc's */
	_Alignas(16) char data[];
};

_Noreturn void mem_exhausted(size_t size)
{
	fprintf(stderr, "limpet: out of memory: %zu bytes asked\n", size);
	abort();
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		mem_exhausted(size);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		mem_exhausted(size);
	return p;
}

void *xrealloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (!q)
		mem_exhausted(size);
	return q;
}

void *xrealloc_array(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		mem_exhausted(SIZE_MAX);
	return xrealloc(p, total);
}

char *xstrdup(const char *s)
{
	return xstrndup(str_of(s));
}

char *xstrndup(struct str s)
{
	char *copy = xmalloc(s.len + 1);

	if (s.len)
		memcpy(copy, s.p, s.len);
	copy[s.len] = '\0';
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		mem_exhausted(0);
	return text;
}

void slab_init(struct slab *slab, const char *name, size_t object_size, uint32_t idle_max)
{
	*slab = (struct slab){
		.name = name,
		.object_size = object_size < sizeof(void *) ? sizeof(void *) : object_size,
		.idle_max = idle_max,
	};
}

static void free_all(void *list)
{
	while (list) {
		void *next = *(void **)list;

		free(list);
		list = next;
	}
}

void slab_fini(struct slab *slab)
{
	bug_on(slab->used != 0);
	free_all(slab->free_list);
	free_all(slab->aged);
	slab->free_list = slab->aged = NULL;
	slab->idle = 0;
}

/* One of LIST, which is not empty. */
static void *take(struct slab *slab, void **list)
{
	void *object = *list;

	*list = *(void **)object;
	slab->idle--;
	return object;
}

void *slab_get(struct slab *slab)
{
	slab->used++;
	if (likely(slab->free_list != NULL))
		return take(slab, &slab->free_list);
	if (slab->aged)
		return take(slab, &slab->aged);
	return xmalloc(slab->object_size);
}

void slab_put(struct slab *slab, void *object)
{
	if (!object)
		return;
	bug_on(slab->used == 0);
	slab->used--;
	if (slab->idle >= slab->idle_max) {
		slab->freed_n++;
		free(object);
		return;
	}
	*(void **)object = slab->free_list;
	slab->free_list = object;
	slab->idle++;
}

void slab_age(struct slab *slab)
{
	if (slab->aged)
		return;
	slab->aged = slab->free_list;
	slab->free_list = NULL;
}

bool slab_trim(struct slab *slab, uint32_t max)
{
	while (slab->aged && slab->idle > SLAB_KEPT) {
		if (!max--)
			return true;
		free(take(slab, &slab->aged));
		slab->freed_n++;
	}
	return false;
}

void arena_init(struct arena *arena, size_t block_size)
{
	*arena = (struct arena){ .block_size = block_size };
}

void arena_init_mapped(struct arena *arena, size_t block_size, size_t map_size, bool is_populated)
{
	arena_init(arena, block_size);
	arena->map_size = map_size;
	arena->is_populated = is_populated;
}

static void block_free(struct arena_block *block)
{
	if (block && block->mapped_size)
		munmap(block, block->mapped_size);
	else
		free(block);
}

void arena_fini(struct arena *arena)
{
	arena_reset(arena);
	block_free(arena->blocks);
	arena->blocks = NULL;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	while (block && (block->next || block->size > arena->block_size)) {
		struct arena_block *next = block->next;

		block_free(block);
		block = next;
	}
	arena->blocks = block;
	arena->used = 0;
}

static struct arena_block *block_new(const struct arena *arena, size_t need)
{
	bool is_mapped = arena->map_size && arena->blocks;
	size_t size = is_mapped ? arena->map_size - sizeof(struct arena_block) : arena->block_size;
	struct arena_block *block;

	if (need > size)
		size = need;
	if (!is_mapped) {
		block = xmalloc(sizeof(*block) + size);
		block->mapped_size = 0;
	} else {
		block = mmap(NULL, sizeof(*block) + size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | (arena->is_populated ? MAP_POPULATE : 0),
			     -1, 0);
		if (block == MAP_FAILED)
			mem_exhausted(size);
		block->mapped_size = sizeof(*block) + size;
	}
	block->size = size;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	size_t need = (size + 15) & ~(size_t)15;

	bug_on(need < size);
	if (!block || need > block->size - arena->used) {
		block = block_new(arena, need);
		block->next = arena->blocks;
		arena->blocks = block;
		arena->used = 0;
	}
	arena->used += need;
	return block->data + (arena->used - need);
}

void *arena_calloc(struct arena *arena, size_t n, size_t size)
{
	size_t total;
	void *p;

	bug_on(__builtin_mul_overflow(n, size, &total));
	p = arena_alloc(arena, total);
	memset(p, 0, total);
	return p;
}

struct str arena_str(struct arena *arena, struct str s)
{
	char *copy = arena_alloc(arena, s.len + 1);

	if (s.len)
		memcpy(copy, s.p, s.len);
	copy[s.len] = '\0';
	return (struct str){ copy, s.len };
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap, again;
	char *text;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	bug_on(n < 0);
	text = arena_alloc(arena, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}
