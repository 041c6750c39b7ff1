/* SPDX-License-Identifier: MIT */
/*
 * pipe - what carries bulk from one socket to another by splice(2), unseen and uncopied.
 *
 * A pipe is taken from the thread's pool for one filling and given back as soon as it is empty, so
 * that an idle connection holds none, however bulky it was; one that is given back with bytes in it
 * is closed.  Pipes hold 1 MiB where the system allows it (fs.pipe-max-size, and for a process
 * without CAP_SYS_RESOURCE fs.pipe-user-pages-soft), less where it does not.
 *
 * Connections come before pipes: a new pipe is opened only while an eighth of the descriptors is
 * free, and all pipes of the process take a 32nd of them at most.  So there may be none to be had,
 * or too small a one; then the caller copies.  A thread that was refused is refused for
 * PIPE_RETRY_MS more without a system call.
 *
 * Threads: a pipe belongs to the thread that took it; pipes_open() and pipes_in_use() may be asked
 * by any.
 */
#ifndef NET_PIPE_H
#define NET_PIPE_H

#include <stdint.h>

#include "net/conn.h"

#define PIPE_SIZE       (1024u * 1024) /* bytes asked for */
#define PIPE_SIZE_LEAST (64u * 1024)   /* smaller ones are not worth their calls */
#define PIPE_SPARE_MAX  8              /* kept by a thread */
#define PIPES_MAX       1024           /* of the process, spare ones too */
#define PIPE_RETRY_MS   SEC(1)

struct pipe {
	struct pipe *next; /* in the pool */
	int in, out;       /* descriptors: to be written, to be read */
	uint32_t size;     /* bytes that it holds, when its pages are full */
	uint32_t held;     /* bytes in it */
};

/* Any thread: whether pipes may be had at all [true]; those in use are finished with. */
void pipes_allow(bool are_allowed);
/* An empty one; NULL: there is none to be had. */
struct pipe *pipe_get(void);
/* NULL is fine. */
void pipe_put(struct pipe *pipe);

/*
 * Moves up to MAX > 0 bytes of SOURCE, which is plain, into PIPE, which is empty: only so does
 * EAGAIN mean that the socket is.  IO_OK: pipe->held tells how many; whether that was all is not
 * known (a pipe is full by its pages, not its bytes), so can_read stays true until a call learns
 * otherwise.
 */
enum io pipe_fill(struct pipe *pipe, struct conn *source, size_t max);
/* Moves what PIPE holds to DESTINATION, which is plain.  IO_OK: it is empty.  IO_AGAIN: wait. */
enum io pipe_drain(struct pipe *pipe, struct conn *destination);

uint32_t pipes_max(void);    /* that this process may have by its limit on descriptors */
uint32_t pipes_open(void);   /* of all threads, spare ones too */
uint32_t pipes_in_use(void); /* of them, those taken */
/* Closes the calling thread's spare pipes. */
void pipe_pool_fini(void);

#endif
