/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

bool ip_addr_eq(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->port == b->port && ip_addr_same_ip(a, b);
}

bool ip_addr_same_ip(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* As inet_ntop() writes it, but that goes through printf, too dear for each request. */
static struct str text_v4(const uint8_t ip[4], char out[ADDR_TEXT_SIZE])
{
	char *at = out;

	for (int i = 0; i < 4; i++) {
		at += str_put_u32(at, ip[i]);
		*at++ = '.';
	}
	at[-1] = '\0';
	return str_sub(out, at - 1);
}

struct str ip_addr_ip_text(const struct ip_addr *addr, char out[ADDR_TEXT_SIZE])
{
	if (addr->family == AF_INET)
		return text_v4(addr->ip, out);
	if (addr->family == AF_UNSPEC || !inet_ntop(addr->family, addr->ip, out, ADDR_TEXT_SIZE))
		snprintf(out, ADDR_TEXT_SIZE, "unix");
	return str_of(out);
}

struct str ip_addr_text(const struct ip_addr *addr, char out[ADDR_TEXT_SIZE])
{
	char ip[ADDR_TEXT_SIZE];

	ip_addr_ip_text(addr, ip);
	if (addr->family == AF_UNSPEC)
		snprintf(out, ADDR_TEXT_SIZE, "unix");
	else
		snprintf(out, ADDR_TEXT_SIZE,
			 addr->family == AF_INET6 ? "[%.100s]:%u" : "%.100s:%u", ip, addr->port);
	return str_of(out);
}

static void unmap_v4(struct ip_addr *addr)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (addr->family != AF_INET6 || memcmp(addr->ip, mapped, sizeof(mapped)) != 0)
		return;
	memmove(addr->ip, addr->ip + 12, 4);
	memset(addr->ip + 4, 0, 12);
	addr->family = AF_INET;
}

/* "10.0.0.1", four decimal numbers without leading zeros, as inet_pton() takes them. */
static bool parse_v4(struct str text, uint8_t out[4])
{
	unsigned value = 0, digits = 0, parts = 0;

	for (size_t i = 0; i <= text.len; i++) {
		unsigned digit = i < text.len ? (unsigned)(unsigned char)text.p[i] - '0' : 10;

		if (digit < 10) {
			value = value * 10 + digit;
			if (++digits > 3 || (digits > 1 && value < 10) || value > 255)
				return false;
			continue;
		}
		if (!digits || parts == 4 || (i < text.len && text.p[i] != '.'))
			return false;
		out[parts++] = (uint8_t)value;
		value = digits = 0;
	}
	return parts == 4;
}

static bool has_two_colons(struct str text)
{
	const char *colon = memchr(text.p, ':', text.len);

	return colon && memchr(colon + 1, ':', (size_t)(text.p + text.len - colon - 1));
}

int ip_addr_parse(struct str text, struct ip_addr *addr)
{
	char copy[INET6_ADDRSTRLEN + 2];

	*addr = (struct ip_addr){ 0 };
	if (text.len >= 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
		text = (struct str){ text.p + 1, text.len - 2 };
	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.p, '\0', text.len))
		return -EINVAL;
	if (parse_v4(text, addr->ip)) {
		addr->family = AF_INET;
		return 0;
	}
	memset(addr->ip, 0, 4);
	if (!has_two_colons(text)) /* as "10.0.0.1:80" */
		return -EINVAL;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET6, copy, addr->ip) != 1)
		return -EINVAL;
	addr->family = AF_INET6;
	unmap_v4(addr);
	return 0;
}

int ip_net_parse(struct str text, struct ip_net *net)
{
	ptrdiff_t slash = str_find_char(text, '/');
	struct str ip = slash < 0 ? text : (struct str){ text.p, (size_t)slash };
	uint64_t prefix_len;
	struct ip_addr addr;

	if (ip_addr_parse(ip, &addr) != 0)
		return -EINVAL;
	prefix_len = addr.family == AF_INET ? 32 : 128;
	if (slash >= 0 && str_to_u64(str_sub(text.p + slash + 1, text.p + text.len), prefix_len,
				     &prefix_len) != 0)
		return -EINVAL;
	net->base = ip_addr_masked(&addr, (unsigned)prefix_len, (unsigned)prefix_len);
	net->prefix_len = (uint8_t)prefix_len;
	return 0;
}

struct ip_addr ip_addr_masked(const struct ip_addr *addr, unsigned prefix_v4, unsigned prefix_v6)
{
	unsigned prefix = addr->family == AF_INET ? prefix_v4 : prefix_v6;
	struct ip_addr out = { .family = addr->family };

	for (unsigned i = 0; i < sizeof(out.ip); i++) {
		unsigned bits = prefix > i * 8 ? prefix - i * 8 : 0;

		out.ip[i] = bits >= 8 ? addr->ip[i] : (uint8_t)(addr->ip[i] & (0xff00 >> bits));
	}
	return out;
}

bool ip_net_has(const struct ip_net *net, const struct ip_addr *addr)
{
	struct ip_addr masked;

	if (net->base.family != addr->family)
		return false;
	masked = ip_addr_masked(addr, net->prefix_len, net->prefix_len);
	return memcmp(masked.ip, net->base.ip, sizeof(masked.ip)) == 0;
}

bool ip_nets_have(const struct ip_net *nets, size_t nets_n, const struct ip_addr *addr)
{
	for (size_t i = 0; i < nets_n; i++)
		if (ip_net_has(&nets[i], addr))
			return true;
	return false;
}

static int parse_unix(struct str path, struct sock_addr *addr)
{
	bool is_abstract = path.len && path.p[0] == '@';

	if (path.len < 1 + (size_t)is_abstract || memchr(path.p, '\0', path.len))
		return -EINVAL;
	if (path.len >= sizeof(addr->un.sun_path))
		return -ENAMETOOLONG;
	addr->un.sun_family = AF_UNIX;
	memcpy(addr->un.sun_path, path.p, path.len);
	addr->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + !is_abstract);
	if (is_abstract)
		addr->un.sun_path[0] = '\0';
	return 0;
}

int sock_addr_parse(struct str text, struct sock_addr *addr)
{
	struct str host, port_text;
	struct ip_addr ip;
	const char *colon;
	uint64_t port;

	*addr = (struct sock_addr){ .size = 0 };
	if (str_starts(text, STR("unix:")))
		return parse_unix(str_sub(text.p + 5, text.p + text.len), addr);
	colon = text.len ? memrchr(text.p, ':', text.len) : NULL;
	if (!colon)
		return -EINVAL;
	host = str_sub(text.p, colon);
	port_text = str_sub(colon + 1, text.p + text.len);
	if (str_to_u64(port_text, 65535, &port) != 0)
		return -EINVAL;
	if (host.len == 0 || str_eq(host, STR("*"))) {
		addr->in6.sin6_family = AF_INET6;
		addr->in6.sin6_addr = in6addr_any;
		addr->in6.sin6_port = htons((uint16_t)port);
		addr->size = sizeof(addr->in6);
		return 0;
	}
	if (host.p[0] != '[' && memchr(host.p, ':', host.len))
		return -EINVAL; /* an IPv6 address with a port wants brackets */
	if (ip_addr_parse(host, &ip) != 0)
		return -EINVAL;
	ip.port = (uint16_t)port;
	sock_addr_from_ip(addr, &ip);
	return 0;
}

struct ip_addr sock_addr_ip(const struct sock_addr *addr)
{
	struct ip_addr ip = { .family = AF_UNSPEC };

	if (addr->size >= sizeof(addr->in) && addr->sa.sa_family == AF_INET) {
		ip.family = AF_INET;
		ip.port = ntohs(addr->in.sin_port);
		memcpy(ip.ip, &addr->in.sin_addr, 4);
	} else if (addr->size >= sizeof(addr->in6) && addr->sa.sa_family == AF_INET6) {
		ip.family = AF_INET6;
		ip.port = ntohs(addr->in6.sin6_port);
		memcpy(ip.ip, &addr->in6.sin6_addr, 16);
		unmap_v4(&ip);
	}
	return ip;
}

void sock_addr_from_ip(struct sock_addr *addr, const struct ip_addr *ip)
{
	*addr = (struct sock_addr){ .size = 0 };
	if (ip->family == AF_INET) {
		addr->in.sin_family = AF_INET;
		addr->in.sin_port = htons(ip->port);
		memcpy(&addr->in.sin_addr, ip->ip, 4);
		addr->size = sizeof(addr->in);
	} else if (ip->family == AF_INET6) {
		addr->in6.sin6_family = AF_INET6;
		addr->in6.sin6_port = htons(ip->port);
		memcpy(&addr->in6.sin6_addr, ip->ip, 16);
		addr->size = sizeof(addr->in6);
	}
}

struct str sock_addr_text(const struct sock_addr *addr, char out[ADDR_TEXT_SIZE])
{
	struct ip_addr ip;

	if (!sock_addr_is_unix(addr)) {
		ip = sock_addr_ip(addr);
		return ip_addr_text(&ip, out);
	}
	if (addr->size <= offsetof(struct sockaddr_un, sun_path))
		snprintf(out, ADDR_TEXT_SIZE, "unix:"); /* a client that did not bind */
	else if (addr->un.sun_path[0])
		snprintf(out, ADDR_TEXT_SIZE, "unix:%.*s", (int)sizeof(addr->un.sun_path),
			 addr->un.sun_path);
	else
		snprintf(out, ADDR_TEXT_SIZE, "unix:@%.*s",
			 (int)(addr->size - offsetof(struct sockaddr_un, sun_path)) - 1,
			 addr->un.sun_path + 1);
	return str_of(out);
}

bool sock_addr_eq(const struct sock_addr *a, const struct sock_addr *b)
{
	return a->size == b->size && memcmp(&a->sa, &b->sa, a->size) == 0;
}
