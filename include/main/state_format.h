/* SPDX-License-Identifier: MIT */
/* state_format - what is written and what is read must agree on; the file: main/state_file.h. */
#ifndef MAIN_STATE_FORMAT_H
#define MAIN_STATE_FORMAT_H

#include <stdint.h>

#include "balance/table.h"
#include "base/bug.h"
#include "main/state_file.h"

#define STATE_MAGIC      "LIMPETST"
#define STATE_VERSION    1
#define STATE_HEAD_SIZE  (sizeof(STATE_MAGIC) - 1 + 2 + 8)
#define STATE_HASH_SIZE  32
#define STATE_ROOM       ((size_t)256 * 1024)
#define STATE_RECORD_MAX ((size_t)1 + 2 * (2 + UINT16_MAX)) /* of any kind */
#define STATE_IS_CURRENT 1 /* flag: of the process that lived at the server */

enum {
	STATE_RECORD_KEY = 'K',
	STATE_RECORD_SECRET = 'C',
	STATE_RECORD_TABLE = 'T',
	STATE_RECORD_SERVER = 'S',
	STATE_RECORD_ENTRY = 'E',
	STATE_RECORD_END = 'Z'
};

/* RC, and result->why. */
int state_fail(struct state_result *result, int rc, const char *fmt, ...) printf_like(3, 4);

#endif
