/* SPDX-License-Identifier: MIT */
/*
 * addr - addresses of peers, networks, and what bind() and connect() take.
 *
 * struct ip_addr is a client's or server's address as a small value: 20 bytes, comparable with
 * ip_addr_eq().  A peer on a Unix socket, or an unknown one, has family AF_UNSPEC.  IPv4-mapped
 * IPv6 (::ffff:a.b.c.d) is always turned into plain IPv4 when it comes in.
 *
 * struct sock_addr wraps a sockaddr of any family for the system calls.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/bug.h"
#include "base/str.h"

struct ip_addr {
	uint8_t ip[16]; /* network order; IPv4 in the first 4 bytes, the rest zero */
	uint16_t port;  /* host order */
	uint8_t family; /* AF_INET, AF_INET6, or AF_UNSPEC */
	uint8_t unused; /* zero */
};

struct ip_net {
	struct ip_addr base; /* host bits zero, port 0 */
	uint8_t prefix_len;  /* 0..32 or 0..128 */
};

struct sock_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t size; /* bytes used; 0 = empty */
};

#define ADDR_TEXT_SIZE 128 /* "[v6]:port" or "unix:" + path, with NUL */

bool ip_addr_eq(const struct ip_addr *a, const struct ip_addr *b);      /* port included */
bool ip_addr_same_ip(const struct ip_addr *a, const struct ip_addr *b); /* port ignored */
/* "10.0.0.1", "2001:db8::1" without brackets; AF_UNSPEC gives "unix".  Returns the text in OUT. */
struct str ip_addr_ip_text(const struct ip_addr *addr, char out[ADDR_TEXT_SIZE]);
/* "10.0.0.1:80", "[2001:db8::1]:80", "unix". */
struct str ip_addr_text(const struct ip_addr *addr, char out[ADDR_TEXT_SIZE]);
/* IP alone ("10.0.0.1", "::1", "[::1]"); port becomes 0.  0 or -EINVAL. */
int ip_addr_parse(struct str text, struct ip_addr *addr) must_check;
/* "10.0.0.0/8", "::1/128", or an IP alone (full prefix).  0 or -EINVAL. */
int ip_net_parse(struct str text, struct ip_net *net) must_check;
bool ip_net_has(const struct ip_net *net, const struct ip_addr *addr);
bool ip_nets_have(const struct ip_net *nets, size_t nets_n, const struct ip_addr *addr);
/* ADDR with all bits after the prefix and the port cleared. */
struct ip_addr ip_addr_masked(const struct ip_addr *addr, unsigned prefix_v4, unsigned prefix_v6);

/*
 * "10.0.0.1:80", "[::1]:80", ":80" (any address: dual-stack IPv6), "*:80", "localhost:80" is not
 * resolved here, "unix:/path", "unix:@abstract".  0, -EINVAL, or -ENAMETOOLONG.
 */
int sock_addr_parse(struct str text, struct sock_addr *addr) must_check;
struct ip_addr sock_addr_ip(const struct sock_addr *addr); /* AF_UNSPEC for Unix sockets */
void sock_addr_from_ip(struct sock_addr *addr, const struct ip_addr *ip);
struct str sock_addr_text(const struct sock_addr *addr, char out[ADDR_TEXT_SIZE]);
bool sock_addr_eq(const struct sock_addr *a, const struct sock_addr *b);
static inline bool sock_addr_is_unix(const struct sock_addr *addr)
{
	return addr->size && addr->sa.sa_family == AF_UNIX;
}

#endif
