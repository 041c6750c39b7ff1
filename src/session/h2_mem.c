/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/h2_mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/mem.h"

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, size)   ((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#endif

#define LARGE H2_MEM_SIZES

struct h2_mem_block {
	size_t size; /* as asked for */
	union {
		size_t which;              /* list, or LARGE */
		struct h2_mem_block *next; /* spare */
	};
	_Alignas(16) char bytes[];
};

static size_t block_size(size_t which)
{
	return (which + 1) * H2_MEM_STEP;
}

static size_t which_of(size_t size)
{
	size_t which = (sizeof(struct h2_mem_block) + size - 1) / H2_MEM_STEP;

	return which < LARGE ? which : LARGE;
}

static void *hand_out(struct h2_mem *mem, struct h2_mem_block *block, size_t which, size_t size)
{
	mem->used_n++;
	block->size = size;
	block->which = which;
	if (which != LARGE)
		ASAN_POISON_MEMORY_REGION(block->bytes, block_size(which) - sizeof(*block));
	ASAN_UNPOISON_MEMORY_REGION(block->bytes, size);
	return block->bytes;
}

void *h2_mem_get(struct h2_mem *mem, size_t size)
{
	size_t which = which_of(size);
	struct h2_mem_block *block;

	if (unlikely(which == LARGE)) {
		bug_on(size > SIZE_MAX / 2);
		return hand_out(mem, xmalloc(sizeof(*block) + size), LARGE, size);
	}
	block = mem->spare[which];
	if (unlikely(!block))
		return hand_out(mem, xmalloc(block_size(which)), which, size);
	mem->spare[which] = block->next;
	mem->spare_n[which]--;
	__builtin_prefetch(block->next, 1); /* with many streams under way it is cold */
	return hand_out(mem, block, which, size);
}

void *h2_mem_get_zeroed(struct h2_mem *mem, size_t size)
{
	void *p = h2_mem_get(mem, size);

	memset(p, 0, size);
	return p;
}

void h2_mem_put(struct h2_mem *mem, void *p)
{
	struct h2_mem_block *block;
	size_t which;

	if (!p)
		return;
	block = container_of(p, struct h2_mem_block, bytes);
	which = block->which;
	bug_on(which > LARGE || !mem->used_n);
	mem->used_n--;
	if (which == LARGE || mem->spare_n[which] >= H2_MEM_SPARE_MAX / block_size(which)) {
		free(block);
		return;
	}
	block->next = mem->spare[which];
	mem->spare[which] = block;
	mem->spare_n[which]++;
	ASAN_POISON_MEMORY_REGION(block->bytes, block_size(which) - sizeof(*block));
}

void *h2_mem_resize(struct h2_mem *mem, void *p, size_t size)
{
	struct h2_mem_block *block;
	void *larger;

	if (!p)
		return h2_mem_get(mem, size);
	block = container_of(p, struct h2_mem_block, bytes);
	larger = h2_mem_get(mem, size);
	memcpy(larger, p, size < block->size ? size : block->size);
	h2_mem_put(mem, p);
	return larger;
}

void h2_mem_fini(struct h2_mem *mem)
{
	bug_on(mem->used_n != 0);
	for (size_t which = 0; which < H2_MEM_SIZES; which++)
		while (mem->spare[which]) {
			struct h2_mem_block *block = mem->spare[which];

			mem->spare[which] = block->next;
			mem->spare_n[which]--;
			free(block);
		}
}

static void *on_malloc(size_t size, void *arg)
{
	return h2_mem_get(arg, size);
}

static void on_free(void *p, void *arg)
{
	h2_mem_put(arg, p);
}

static void *on_calloc(size_t n, size_t size, void *arg)
{
	size_t total;

	return __builtin_mul_overflow(n, size, &total) ? NULL : h2_mem_get_zeroed(arg, total);
}

static void *on_realloc(void *p, size_t size, void *arg)
{
	return h2_mem_resize(arg, p, size);
}

nghttp2_mem h2_mem_for_nghttp2(struct h2_mem *mem)
{
	return (nghttp2_mem){
		.mem_user_data = mem,
		.malloc = on_malloc,
		.free = on_free,
		.calloc = on_calloc,
		.realloc = on_realloc,
	};
}
