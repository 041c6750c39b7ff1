/* SPDX-License-Identifier: MIT */
/*
 * list - doubly linked, intrusive, circular around a head.  An unlinked node points to itself or is
 * zero; list_remove() of either is harmless.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bug.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *list)
{
	list->prev = list->next = list;
}
static inline bool list_is_linked(const struct list *node)
{
	return node->next && node->next != node;
}
static inline bool list_is_empty(const struct list *head)
{
	return head->next == head || !head->next;
}
static inline void list_insert_before(struct list *at, struct list *node)
{
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}
static inline void list_push_front(struct list *head, struct list *node)
{
	list_insert_before(head->next, node);
}
static inline void list_remove(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_entry(node, type, member) container_of(node, type, member)
/* The body may remove AT itself. */
#define list_for_each_safe(at, after, head)                                                        \
	for (struct list *at = (head)->next, *after = at->next; at != (head);                      \
	     at = after, after = at->next)
#define list_for_each(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)

#endif
