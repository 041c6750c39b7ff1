/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/fds.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

void fds_make_room(uint64_t n)
{
	struct rlimit limit;
	int spare, last;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || n < 2)
		return;
	if (n > limit.rlim_cur)
		n = limit.rlim_cur;
	if (n > INT32_MAX)
		n = INT32_MAX;
	/* Any open one will do: this is about the number of its copy. */
	spare = open("/", O_PATH | O_CLOEXEC);
	last = fcntl(spare, F_DUPFD_CLOEXEC, (int)n - 1);
	if (last >= 0)
		close(last);
	if (spare >= 0)
		close(spare);
}
