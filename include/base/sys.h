/* SPDX-License-Identifier: MIT */
/*
 * sys - the system calls of the hot path, without libc's cancellation points around them.
 *
 * recv(), send() and epoll_wait() of a process with several threads change the thread's
 * cancellation state before and after each call: two atomic operations apiece, some 60 instructions
 * of a request for something that nobody here uses (no thread is ever cancelled).  syscall() makes
 * the same call without.  Results and errno are those of the functions of that name.
 *
 * Sanitizers know what a call reads and writes through libc's names: with them, those are called.
 */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SYS_BY_LIBC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define SYS_BY_LIBC 1
#endif
#endif
/* 32-bit machines have several forms of these calls. */
#if !defined(SYS_BY_LIBC) && (!defined(__LP64__) || !defined(SYS_recvfrom) || !defined(SYS_sendto))
#define SYS_BY_LIBC 1
#endif

static inline ssize_t sys_recv(int fd, void *bytes, size_t size, int flags)
{
#ifdef SYS_BY_LIBC
	return recv(fd, bytes, size, flags);
#else
	return syscall(SYS_recvfrom, fd, bytes, size, flags, NULL, NULL);
#endif
}

static inline ssize_t sys_send(int fd, const void *bytes, size_t size, int flags)
{
#ifdef SYS_BY_LIBC
	return send(fd, bytes, size, flags);
#else
	return syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0);
#endif
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
#ifdef SYS_BY_LIBC
	return sendmsg(fd, msg, flags);
#else
	return syscall(SYS_sendmsg, fd, msg, flags);
#endif
}

static inline int sys_epoll_wait(int fd, struct epoll_event *events, int n, int ms)
{
#ifdef SYS_BY_LIBC
	return epoll_wait(fd, events, n, ms);
#else
	return (int)syscall(SYS_epoll_pwait, fd, events, n, ms, NULL, (size_t)8);
#endif
}

#endif
