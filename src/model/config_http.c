/* SPDX-License-Identifier: MIT */
/*
 * config_http - global.stats.http: where the dashboard listens, and who may use it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "model/load.h"
#include "model/schema_fns.h"

#define PASSWORD_SIZE_MAX 1024

static bool is_loopback(const struct sock_addr *addr)
{
	struct ip_addr ip = sock_addr_ip(addr);
	struct ip_net v4, v6;

	return sock_addr_is_unix(addr) ||
	       (ip_net_parse(STR("127.0.0.0/8"), &v4) == 0 && ip_net_has(&v4, &ip)) ||
	       (ip_net_parse(STR("::1"), &v6) == 0 && ip_net_has(&v6, &ip));
}

/* The first line of the file; told when there is none. */
static void password_file_read(struct load *load, const struct yaml_node *node,
			       struct stats_http_conf *http)
{
	char text[PASSWORD_SIZE_MAX + 1];
	int fd = open(http->password_file.p, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	int error = errno;
	const char *end;

	if (fd >= 0)
		close(fd);
	if (n < 0) {
		load_error(load, node, "'password_file': %s cannot be read: %s",
			   http->password_file.p, strerror(error));
		return;
	}
	end = memchr(text, '\n', (size_t)n);
	if (!end)
		end = text + n;
	if (end > text && end[-1] == '\r')
		end--;
	if (end == text || end - text > PASSWORD_SIZE_MAX)
		load_error(load, node,
			   "'password_file': the first line of %s is no password: 1 to %d bytes",
			   http->password_file.p, PASSWORD_SIZE_MAX);
	else
		http->secret = load_keep(load, str_sub(text, end));
}

/* Credentials are whole or not there at all. */
static void credentials_check(struct load *load, const struct yaml_node *node,
			      struct stats_http_conf *http)
{
	bool has_password = http->password.len || http->password_file.len;
	const struct yaml_node *admin =
		node->kind == YAML_MAP ? yaml_get(node, STR("admin")) : NULL;

	if (http->password.len && http->password_file.len)
		load_error(load, node, "'http' has both 'password' and 'password_file'");
	else if (http->username.len && !has_password)
		load_error(load, node, "'http' has a 'username' and no password");
	else if (has_password && !http->username.len)
		load_error(load, node, "'http' has a password and no 'username'");
	else if (http->password_file.len)
		password_file_read(load, node, http);
	else
		http->secret = http->password;
	if (str_find_char(http->username, ':') >= 0)
		load_error(load, node, "'username' must not have a ':'");
	if (!http->username.len && !has_password) {
		if (admin && http->is_admin)
			load_error(load, admin, "'admin: true' needs a 'username' and a password");
		http->is_admin = false;
		if (http->addr.size && !is_loopback(&http->addr))
			load_warn(
				load, node,
				"'http' listens beyond this machine without a username and a "
				"password: whoever reaches it sees all servers and their figures");
	}
}

bool read_stats_http(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		     void *base)
{
	struct stats_http_conf *http;

	if (yaml_is_null(node) || (node->kind != YAML_SCALAR && node->kind != YAML_MAP))
		return false;
	http = arena_alloc(load->arena, sizeof(*http));
	section_defaults(load, S_STATS_HTTP, http);
	if (node->kind == YAML_MAP)
		section_read(load, S_STATS_HTTP, node, http, NULL);
	else
		http->text = load_keep(load, node->text);
	http->pos = load_pos(load, node);
	if (http->text.len && load_address(load, node, http->text, "http", &http->addr))
		credentials_check(load, node, http);
	*(struct stats_http_conf **)schema_field(row, base) = http;
	return true;
}
