/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_mistake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "base/mem.h"

#define TEXT_SIZE 512 /* bytes of one mistake; longer ones are cut */

static void tell(const struct tls_mistakes *to, bool is_error, const char *fmt, va_list args)
{
	char text[TEXT_SIZE];

	if (!to->fn)
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	to->fn(to->arg, is_error, to->file, text);
}

void tls_error(const struct tls_mistakes *to, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(to, true, fmt, args);
	va_end(args);
}

void tls_warning(const struct tls_mistakes *to, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(to, false, fmt, args);
	va_end(args);
}

const char *tls_openssl_reason(void)
{
	unsigned long error = ERR_get_error();
	const char *reason = NULL;

	if (error && ERR_SYSTEM_ERROR(error))
		reason = "error of the system";
	else if (error)
		reason = ERR_reason_error_string(error);
	ERR_clear_error();
	return reason ? reason : "unknown error";
}

void tls_error_openssl(const struct tls_mistakes *to, const char *what)
{
	tls_error(to, "%s: %s", what, tls_openssl_reason());
}

/* A read(2) that goes on until SIZE bytes or the end; -1 with errno. */
static ssize_t read_all(int fd, char *out, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, out + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static char *read_open(int fd, size_t max, size_t *size, bool *is_open_to_others, int *error)
{
	struct stat st;
	char *text;
	ssize_t got;

	if (fstat(fd, &st) < 0) {
		*error = errno;
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size > max) {
		*error = S_ISDIR(st.st_mode) ? EISDIR : S_ISREG(st.st_mode) ? EFBIG : EINVAL;
		return NULL;
	}
	text = xcalloc(1, (size_t)st.st_size + 1);
	got = read_all(fd, text, (size_t)st.st_size);
	if (got < 0) {
		*error = errno;
		tls_wipe_file(text, (size_t)st.st_size);
		return NULL;
	}
	*size = (size_t)got;
	if (is_open_to_others)
		*is_open_to_others = st.st_mode & (S_IRGRP | S_IROTH);
	return text;
}

char *tls_read_file(struct str path, size_t max, size_t *size, bool *is_open_to_others, int *error)
{
	char *name = xstrndup(path);
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;

	*size = 0;
	if (fd < 0)
		*error = errno;
	else
		text = read_open(fd, max, size, is_open_to_others, error);
	if (fd >= 0)
		close(fd);
	free(name);
	return text;
}

void tls_wipe_file(char *text, size_t size)
{
	if (!text)
		return;
	OPENSSL_cleanse(text, size);
	free(text);
}
