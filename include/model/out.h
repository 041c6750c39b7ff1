/* SPDX-License-Identifier: MIT */
/*
 * out - text that grows while it is written: the dump and the reference.
 */
#ifndef MODEL_OUT_H
#define MODEL_OUT_H

#include <stdarg.h>

#include "base/mem.h"
#include "base/str.h"

struct config;

struct out {
	char *p; /* (own) NUL-terminated */
	size_t len, size;
	bool with_secrets;          /* of a dump */
	const struct config *marks; /* (view) of a dump: comments tell where values were said */
};

void out_init(struct out *out);
void out_fini(struct out *out);
void out_text(struct out *out, struct str text);
void out_format(struct out *out, const char *fmt, ...) printf_like(2, 3);
/* TEXT as a YAML scalar that reads to the same: plain when that is safe, else quoted, '$' doubled.
 */
void out_scalar(struct out *out, struct str text);

#endif
