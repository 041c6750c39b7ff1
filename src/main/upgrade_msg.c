/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/upgrade_msg.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

union fds_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * UPGRADE_FDS_MAX)];
};

void packet_begin(struct upgrade_packet *packet, enum upgrade_msg type)
{
	packet->out = (struct pack){ packet->bytes, 0, sizeof(packet->bytes), false };
	packet->fds_n = 0;
	pack_u8(&packet->out, (uint8_t)type);
}

int packet_send(int fd, const struct upgrade_packet *packet)
{
	struct iovec part = { packet->out.p, packet->out.n };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	union fds_control control = { .bytes = { 0 } };
	struct cmsghdr *head;

	if (packet->out.is_bad || packet->fds_n > UPGRADE_FDS_MAX)
		return -EMSGSIZE;
	if (packet->fds_n) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * packet->fds_n);
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int) * packet->fds_n);
		memcpy(CMSG_DATA(head), packet->fds, sizeof(int) * packet->fds_n);
	}
	while (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return errno == ENOBUFS ? -EAGAIN : -errno;
	return 0;
}

static void take_fds(struct msghdr *msg, struct upgrade_packet *packet)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head; head = CMSG_NXTHDR(msg, head)) {
		size_t n;

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(packet->fds, CMSG_DATA(head), n * sizeof(int));
		packet->fds_n = n;
	}
}

int packet_receive(int fd, struct upgrade_packet *packet, enum upgrade_msg *type, struct unpack *in)
{
	struct iovec part = { packet->bytes, sizeof(packet->bytes) };
	union fds_control control;
	struct msghdr msg = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	packet->fds_n = 0;
	/* A peer that ended with messages unread: its own last ones come after the error. */
	for (int resets = 0; (n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0;)
		if (errno != EINTR && (errno != ECONNRESET || resets++))
			return -errno;
	take_fds(&msg, packet);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (size_t i = 0; i < packet->fds_n; i++)
			close(packet->fds[i]);
		return -EMSGSIZE;
	}
	*in = (struct unpack){ packet->bytes, (size_t)n, false };
	*type = n ? (enum upgrade_msg)unpack_u8(in) : 0;
	return (int)n;
}
