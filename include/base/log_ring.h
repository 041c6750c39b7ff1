/* SPDX-License-Identifier: MIT */
/*
 * log_ring - from every thread to the log's writer: one ring of records each.  Used by log.c alone.
 *
 *   thread A  --> ring A (256 KiB, one producer, one consumer) --\
 *   thread B  --> ring B                                          >-- the writer takes
 *   ended C   --> ring C (is_orphan; freed once it is empty)    --/
 */
#ifndef BASE_LOG_RING_H
#define BASE_LOG_RING_H

#include <stdbool.h>

#include "base/log_sink.h"

/* Copies RECORD into the calling thread's ring; never blocks.  False: it is full. */
bool log_ring_put(const struct log_record *record);

/*
 * The writer alone: hands every record to TAKE, whose text is valid for the call, until TAKE says
 * false: that record stays.  Frees the rings of threads that have ended.
 */
void log_ring_take(bool (*take)(const struct log_record *record));
/* There is something to take. */
bool log_ring_has_records(void);

#endif
