/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/regex.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"

#define STEPS_MAX     100000 /* of backtracking, about a millisecond with JIT */
#define HEAP_MAX_KIB  1024   /* of the interpreter, where there is no JIT */
#define JIT_STACK_MIN (32 * 1024)
#define JIT_STACK_MAX (512 * 1024)
#define PARENS_MAX    100

struct regex {
	pcre2_code *code; /* (own, const) shared by all threads */
};

/* What one thread needs to match; made at its first match, freed when it ends. */
struct scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

static __thread struct scratch *thread_scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t limit_hits;

static void scratch_free(void *arg)
{
	struct scratch *scratch = arg;

	thread_scratch = NULL;
	pcre2_jit_stack_free(scratch->stack);
	pcre2_match_context_free(scratch->context);
	pcre2_match_data_free(scratch->data);
	free(scratch);
}

/* A key's destructor does not run for the thread that leaves main(). */
static void scratch_free_at_exit(void)
{
	if (thread_scratch)
		scratch_free(thread_scratch);
}

static void scratch_make_key(void)
{
	bug_on(pthread_key_create(&scratch_key, scratch_free) != 0);
	atexit(scratch_free_at_exit);
}

static struct scratch *scratch_of_thread(void)
{
	struct scratch *scratch = thread_scratch;

	if (likely(scratch != NULL))
		return scratch;
	pthread_once(&scratch_once, scratch_make_key);
	scratch = xcalloc(1, sizeof(*scratch));
	scratch->data = pcre2_match_data_create(1, NULL);
	scratch->context = pcre2_match_context_create(NULL);
	bug_on(!scratch->data || !scratch->context);
	pcre2_set_match_limit(scratch->context, STEPS_MAX);
	pcre2_set_depth_limit(scratch->context, STEPS_MAX);
	pcre2_set_heap_limit(scratch->context, HEAP_MAX_KIB);
	scratch->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
	if (scratch->stack)
		pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
	pthread_setspecific(scratch_key, scratch);
	thread_scratch = scratch;
	return scratch;
}

struct regex *regex_new(struct str pattern, char error[REGEX_ERROR_SIZE], size_t *offset)
{
	const uint32_t options =
		PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
	pcre2_compile_context *context;
	struct regex *regex;
	pcre2_code *code;
	int number = 0;

	*offset = 0;
	if (pattern.len > REGEX_PATTERN_MAX) {
		snprintf(error, REGEX_ERROR_SIZE, "longer than %d bytes", REGEX_PATTERN_MAX);
		return NULL;
	}
	context = pcre2_compile_context_create(NULL);
	bug_on(!context);
	pcre2_set_parens_nest_limit(context, PARENS_MAX);
	code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len, options, &number, offset, context);
	pcre2_compile_context_free(context);
	if (!code) {
		pcre2_get_error_message(number, (PCRE2_UCHAR *)error, REGEX_ERROR_SIZE);
		return NULL;
	}
	/* Where JIT is missing or memory may not be made executable, the interpreter serves. */
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	regex = xmalloc(sizeof(*regex));
	regex->code = code;
	return regex;
}

void regex_free(struct regex *regex)
{
	if (!regex)
		return;
	pcre2_code_free(regex->code);
	free(regex);
}

bool regex_matches(const struct regex *regex, struct str subject)
{
	struct scratch *scratch = scratch_of_thread();
	PCRE2_SPTR text = (PCRE2_SPTR)(subject.p ? subject.p : "");
	int rc = pcre2_match(regex->code, text, subject.len, 0, 0, scratch->data, scratch->context);

	/* 0: it matched, and the one pair of offsets was not enough for its groups. */
	if (rc >= 0)
		return true;
	if (rc != PCRE2_ERROR_NOMATCH)
		atomic_fetch_add_explicit(&limit_hits, 1, memory_order_relaxed);
	return false;
}

uint64_t regex_limit_hits(void)
{
	return atomic_load_explicit(&limit_hits, memory_order_relaxed);
}
