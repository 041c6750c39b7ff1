/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define ACCEPTS_PER_EVENT 64
#define ACCEPTS_AT_END    65536 /* no queue is longer */
#define RETRY_MS          100

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

/* Removes a socket file that nobody listens on. */
static int remove_stale(const struct sock_addr *addr)
{
	struct stat st;
	int fd, rc;

	if (!addr->un.sun_path[0] || lstat(addr->un.sun_path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, &addr->sa, addr->size) == 0 ? 0 : -errno;
	close(fd);
	if (rc != -ECONNREFUSED)
		return rc == -ENOENT ? 0 : -EADDRINUSE;
	return unlink(addr->un.sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int set_tcp_options(int fd, const struct sock_addr *addr,
			   const struct listen_options *options)
{
	int rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (rc == 0 && options->is_reuse_port)
		rc = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0 && addr->sa.sa_family == AF_INET6)
		rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY,
				!IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr));
	/* What accepted sockets inherit. */
	if (rc == 0)
		rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (rc == 0)
		rc = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (rc == 0 && options->defer_accept_s)
		rc = set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, options->defer_accept_s);
	return rc;
}

static int socket_of(const struct sock_addr *addr, struct sock_addr *bound)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*bound = *addr;
	/* ":80" on a machine without IPv6 is all IPv4 addresses. */
	if (fd < 0 && errno == EAFNOSUPPORT && addr->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr)) {
		struct ip_addr any = { .family = AF_INET, .port = ntohs(addr->in6.sin6_port) };

		sock_addr_from_ip(bound, &any);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	return fd < 0 ? -errno : fd;
}

void listener_defer_accept(int fd, int seconds)
{
	/* A Unix socket does not have it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
}

int listener_open(const struct sock_addr *addr, const struct listen_options *options)
{
	struct sock_addr bound;
	int rc = sock_addr_is_unix(addr) ? remove_stale(addr) : 0;
	int fd;

	if (rc != 0)
		return rc;
	fd = socket_of(addr, &bound);
	if (fd < 0)
		return fd;
	if (!sock_addr_is_unix(addr))
		rc = set_tcp_options(fd, &bound, options);
	if (rc == 0 && bind(fd, &bound.sa, bound.size) != 0)
		rc = -errno;
	if (rc == 0 && sock_addr_is_unix(addr) && addr->un.sun_path[0] &&
	    chmod(addr->un.sun_path, options->unix_mode) != 0)
		rc = -errno;
	if (rc == 0 && !options->is_held && listen(fd, options->backlog) != 0)
		rc = -errno;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static void on_retry(struct timer *timer)
{
	acceptor_resume(container_of(timer, struct acceptor, retry));
}

static bool is_out_of_resources(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void accept_some(struct acceptor *acceptor, int max)
{
	for (int i = 0; i < max && acceptor->lf.fd >= 0 && !acceptor->is_paused; i++) {
		struct sock_addr peer = { .size = sizeof(peer.un) };
		int fd;

		if (acceptor->may_accept && !acceptor->may_accept(acceptor)) {
			acceptor_pause(acceptor);
			return;
		}
		fd = accept4(acceptor->fd, &peer.sa, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			acceptor->on_accept(acceptor, fd, &peer);
			continue;
		}
		if (acceptor->give_back)
			acceptor->give_back(acceptor);
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		acceptor->errors++;
		if (is_out_of_resources(errno))
			acceptor_pause(acceptor);
		if (acceptor->on_failed)
			acceptor->on_failed(acceptor);
		return;
	}
}

static void on_acceptable(struct loop_fd *lf, uint32_t events)
{
	(void)events;
	accept_some(container_of(lf, struct acceptor, lf), ACCEPTS_PER_EVENT);
}

void acceptor_accept_waiting(struct acceptor *acceptor)
{
	accept_some(acceptor, ACCEPTS_AT_END);
}

int acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd, acceptor_fn *on_accept)
{
	acceptor->loop = loop;
	acceptor->fd = fd;
	acceptor->on_accept = on_accept;
	acceptor->is_paused = false;
	timer_init(&acceptor->retry, on_retry);
	return loop_fd_add_level(loop, &acceptor->lf, fd, on_acceptable, EPOLLIN | EPOLLEXCLUSIVE);
}

void acceptor_pause(struct acceptor *acceptor)
{
	if (acceptor->is_paused)
		return;
	acceptor->is_paused = true;
	acceptor->pauses++;
	loop_fd_del(acceptor->loop, &acceptor->lf);
	/* What was lacking may be given back by another thread, which tells nobody. */
	loop_timer_in(acceptor->loop, &acceptor->retry, RETRY_MS);
}

void acceptor_resume(struct acceptor *acceptor)
{
	if (!acceptor->is_paused || acceptor->fd < 0)
		return;
	timer_stop(&acceptor->retry);
	acceptor->is_paused = false;
	/* Fails only for want of kernel memory: try again later. */
	if (loop_fd_add_level(acceptor->loop, &acceptor->lf, acceptor->fd, on_acceptable,
			      EPOLLIN | EPOLLEXCLUSIVE) != 0) {
		acceptor->is_paused = true;
		loop_timer_in(acceptor->loop, &acceptor->retry, RETRY_MS);
	}
}

void acceptor_stop(struct acceptor *acceptor)
{
	if (acceptor->fd < 0)
		return;
	timer_fini(&acceptor->loop->wheel, &acceptor->retry);
	loop_fd_del(acceptor->loop, &acceptor->lf);
	close(acceptor->fd);
	acceptor->fd = -1;
}
