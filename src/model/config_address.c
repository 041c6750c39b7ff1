/* SPDX-License-Identifier: MIT */
/*
 * config_address - addresses of the file: literal ones, names resolved at load, stats and log
 * targets.
 */
#include "config.h"

#include "model/load.h"

#include <errno.h>
#include <netdb.h>

#include "model/schema_fns.h"
#include "net/redis_url.h"

static int resolve_by_getaddrinfo(const char *name, struct ip_addr *ip, const char **why)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_ADDRCONFIG };
	struct sock_addr addr = { .size = 0 };
	struct addrinfo *found;
	int rc = getaddrinfo(name, NULL, &hints, &found);

	if (rc != 0) {
		*why = gai_strerror(rc);
		return -1;
	}
	if (found->ai_addrlen <= sizeof(addr.in6)) {
		memcpy(&addr.sa, found->ai_addr, found->ai_addrlen);
		addr.size = found->ai_addrlen;
	}
	freeaddrinfo(found);
	*ip = sock_addr_ip(&addr);
	*why = "no address of IPv4 or IPv6";
	return ip->family == AF_UNSPEC ? -1 : 0;
}

load_resolve_fn *load_resolver = resolve_by_getaddrinfo;

static bool is_host_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '.' || c == '_'))
			return false;
	}
	return name.len > 0 && name.len <= 253 && name.p[0] != '-' && name.p[0] != '.';
}

bool load_resolve(struct load *load, const struct yaml_node *node, struct str name,
		  struct ip_addr *ip)
{
	uint32_t number;
	const char *why;

	if (ip_addr_parse(name, ip) == 0)
		return true;
	if (!is_host_name(name)) {
		load_error(load, node, "'%.*s' is neither an address nor a host name",
			   STR_ARG(name));
		return false;
	}
	number = names_find(&load->resolved, name);
	if (number == NAME_NONE) {
		struct str kept = arena_str(&load->temp, name);

		if (load->resolved_n == load->resolved_size) {
			load->resolved_size = load->resolved_size ? load->resolved_size * 2 : 16;
			load->resolved_ips = xrealloc_array(load->resolved_ips, load->resolved_size,
							    sizeof(*load->resolved_ips));
		}
		number = (uint32_t)load->resolved_n;
		load->resolved_ips[number] = (struct ip_addr){ .family = AF_UNSPEC };
		if (load_resolver(kept.p, &load->resolved_ips[number], &why) != 0) {
			load_error(load, node, "host name '%s' cannot be resolved: %s", kept.p,
				   why);
			return false;
		}
		load->resolved_n++;
		names_add(&load->resolved, kept, number);
	}
	*ip = load->resolved_ips[number];
	return true;
}

bool load_address(struct load *load, const struct yaml_node *node, struct str text,
		  const char *what, struct sock_addr *addr)
{
	int rc = sock_addr_parse(text, addr);
	const char *colon;
	struct ip_addr ip;
	uint64_t port;

	if (rc == 0)
		return true;
	if (rc == -ENAMETOOLONG) {
		load_error(load, node, "'%s': the path of a Unix socket has at most %zu bytes",
			   what, sizeof(addr->un.sun_path) - 1);
		return false;
	}
	colon = text.len ? memrchr(text.p, ':', text.len) : NULL;
	if (!colon || colon == text.p || text.p[0] == '[' || str_starts(text, STR("unix:")) ||
	    memchr(text.p, ':', (size_t)(colon - text.p)) ||
	    str_to_u64(str_sub(colon + 1, text.p + text.len), 65535, &port) != 0) {
		load_error(load, node,
			   "'%s': expected an address like 10.0.0.1:80, [::1]:80 or unix:/path, "
			   "got '%.*s'",
			   what, STR_ARG(text));
		return false;
	}
	if (!load_resolve(load, node, str_sub(text.p, colon), &ip))
		return false;
	ip.port = (uint16_t)port;
	sock_addr_from_ip(addr, &ip);
	return true;
}

bool read_address(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		  void *base)
{
	struct sock_addr addr;

	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		return false;
	if (load_address(load, node, node->text, row->key, &addr))
		*(struct str *)schema_field(row, base) = load_keep(load, node->text);
	return true;
}

static void stats_socket_read(struct load *load, const struct yaml_node *node,
			      struct stats_socket_conf *sock)
{
	const struct schema_row *address = schema_find(S_STATS_SOCKET, STR("address"));

	section_defaults(load, S_STATS_SOCKET, sock);
	if (node->kind == YAML_MAP)
		section_read(load, S_STATS_SOCKET, node, sock, NULL);
	else
		row_read(load, address, node, sock);
	sock->pos = load_pos(load, node);
	if (!sock->text.len || !load_address(load, node, sock->text, "socket", &sock->addr))
		return;
	if ((int)sock->level < 0)
		sock->level = sock_addr_is_unix(&sock->addr) ? CTL_ADMIN : CTL_USER;
}

bool read_stats_sockets(struct load *load, const struct schema_row *row unused_arg,
			const struct yaml_node *node, void *base)
{
	struct global_conf *global = base;

	if (yaml_is_null(node))
		return false;
	global->stats_sockets_n = load_items(node);
	global->stats_sockets =
		arena_calloc(load->arena, global->stats_sockets_n, sizeof(*global->stats_sockets));
	for (size_t i = 0; i < global->stats_sockets_n; i++)
		stats_socket_read(load, load_item(node, i), &global->stats_sockets[i]);
	return true;
}

bool read_mirror(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		 void *base)
{
	struct mirror_conf *mirror;
	struct redis_url url;
	const char *why;

	if (node->kind != YAML_MAP)
		return false;
	mirror = arena_alloc(load->arena, sizeof(*mirror));
	section_defaults(load, S_MIRROR, mirror);
	section_read(load, S_MIRROR, node, mirror, NULL);
	/* The text is not repeated: there may be a password in it. */
	if (mirror->redis.len && !redis_url_parse(mirror->redis, &url, &why))
		load_error(load, yaml_get(node, STR("redis")), "'redis': %s", why);
	if (mirror->password.len && mirror->password_file.len)
		load_error(load, node, "'mirror' has both 'password' and 'password_file'");
	*(struct mirror_conf **)schema_field(row, base) = mirror;
	return true;
}
