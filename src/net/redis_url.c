/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/redis_url.h"

#include <string.h>
#include <sys/un.h>

#include "base/bug.h"
#include "net/addr.h"

#define HOST_MAX 253

static bool refuse(const char **why, const char *text)
{
	*why = text;
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = ascii_lower((unsigned char)name.p[i]);

		if (!(c >= 'a' && c <= 'z') && !is_digit((char)c) && c != '-' && c != '.' &&
		    c != '_')
			return false;
	}
	return name.len > 0;
}

bool redis_is_host(struct str host)
{
	struct ip_addr ip;

	if (host.len > HOST_MAX || !host.len || host.p[0] == '[')
		return false;
	return ip_addr_parse(host, &ip) == 0 ||
	       (is_name(host) && host.p[0] != '-' && host.p[0] != '.');
}

static int hex(char c)
{
	unsigned char lower = ascii_lower((unsigned char)c);

	if (is_digit(c))
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte that the three characters at I of TEXT stand for, or -1. */
static int encoded(struct str text, size_t i)
{
	int high, low;

	if (i + 2 >= text.len)
		return -1;
	high = hex(text.p[i + 1]);
	low = hex(text.p[i + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

size_t redis_url_decode(struct str text, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		int byte = text.p[i] == '%' ? encoded(text, i) : -1;

		out[n++] = byte < 0 ? text.p[i] : (char)byte;
		i += byte < 0 ? 0 : 2;
	}
	return n;
}

static bool secret_is_fine(struct str text, const char **why)
{
	if (text.len > REDIS_SECRET_MAX)
		return refuse(why, "a user name or password of more than 512 bytes");
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '@')
			return refuse(why, "'@' in a user name or password is written %40");
		if (text.p[i] == '%' && encoded(text, i) <= 0)
			return refuse(why, "'%' in a user name or password is written %25");
	}
	return true;
}

/* Takes "user[:password]@" off AUTHORITY. */
static bool take_user(struct str *authority, struct redis_url *url, const char **why)
{
	const char *at = authority->len ? memrchr(authority->p, '@', authority->len) : NULL;
	struct str user;
	ptrdiff_t colon;

	if (!at)
		return true;
	user = str_sub(authority->p, at);
	*authority = str_sub(at + 1, authority->p + authority->len);
	colon = str_find_char(user, ':');
	url->username = colon < 0 ? user : (struct str){ user.p, (size_t)colon };
	if (colon >= 0)
		url->password = str_sub(user.p + colon + 1, user.p + user.len);
	return secret_is_fine(url->username, why) && secret_is_fine(url->password, why);
}

static bool read_host(struct str text, uint16_t port, struct redis_url *url, const char **why)
{
	struct str host = text, rest;
	struct ip_addr ip;
	uint64_t number = port;
	ptrdiff_t end;

	if (url->hosts_n == REDIS_SENTINELS_MAX)
		return refuse(why, "more than 16 sentinels");
	if (text.len && text.p[0] == '[') {
		end = str_find_char(text, ']');
		if (end < 0)
			return refuse(why, "'[' without ']'");
		host = (struct str){ text.p + 1, (size_t)end - 1 };
		if (ip_addr_parse(host, &ip) != 0 || !memchr(host.p, ':', host.len))
			return refuse(why, "no IPv6 address in the brackets");
		rest = str_sub(text.p + end + 1, text.p + text.len);
	} else {
		end = str_find_char(text, ':');
		host.len = end < 0 ? text.len : (size_t)end;
		rest = str_sub(text.p + host.len, text.p + text.len);
		if (!host.len)
			return refuse(why, "the host is missing");
		if (str_find_char(rest, ':') >= 0 &&
		    str_find_char(str_sub(rest.p + 1, rest.p + rest.len), ':') >= 0)
			return refuse(why, "an IPv6 address stands in brackets");
		if (!redis_is_host(host))
			return refuse(why, "neither an address nor a host name");
	}
	if (rest.len && (rest.p[0] != ':' ||
			 str_to_u64(str_sub(rest.p + 1, rest.p + rest.len), 65535, &number) != 0 ||
			 number == 0))
		return refuse(why, "not a port (1 to 65535)");
	url->hosts[url->hosts_n].host = host;
	url->hosts[url->hosts_n++].port = (uint16_t)number;
	return true;
}

static bool read_db(struct str text, struct redis_url *url, const char **why)
{
	uint64_t db;

	if (str_to_u64(text, REDIS_DB_MAX, &db) != 0)
		return refuse(why, "not the number of a database (0 to 15999)");
	url->db = (unsigned)db;
	return true;
}

static bool read_unix(struct str path, struct redis_url *url, const char **why)
{
	struct str rest;
	ptrdiff_t query;

	if (str_starts(path, STR("//")))
		path = str_sub(path.p + 2, path.p + path.len);
	query = str_find_char(path, '?');
	url->path = query < 0 ? path : (struct str){ path.p, (size_t)query };
	if (!url->path.len || url->path.p[0] != '/')
		return refuse(why, "the path of a socket begins with '/'");
	if (url->path.len >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return refuse(why, "the path of a socket has at most 107 bytes");
	if (query < 0)
		return true;
	rest = str_sub(path.p + query, path.p + path.len);
	if (!str_starts(rest, STR("?db=")))
		return refuse(why, "after '?' comes db=NUMBER, nothing else");
	return read_db(str_sub(rest.p + 4, rest.p + rest.len), url, why);
}

/* Takes what stands before the next '/' off REST, and the '/'; false when there is none. */
static bool take_segment(struct str *rest, struct str *segment)
{
	ptrdiff_t slash = str_find_char(*rest, '/');

	*segment = slash < 0 ? *rest : (struct str){ rest->p, (size_t)slash };
	*rest = str_sub(rest->p + segment->len + (slash >= 0), rest->p + rest->len);
	return slash >= 0;
}

static bool read_sentinel(struct str rest, struct redis_url *url, const char **why)
{
	struct str authority;
	bool has_db, is_last;

	if (!take_segment(&rest, &authority))
		return refuse(why, "after the sentinels comes '/' and the name of the master");
	if (!take_user(&authority, url, why))
		return false;
	do {
		ptrdiff_t comma = str_find_char(authority, ',');
		struct str host = { authority.p, comma < 0 ? authority.len : (size_t)comma };

		is_last = comma < 0;
		if (!read_host(host, 26379, url, why))
			return false;
		authority = str_sub(authority.p + host.len + !is_last, authority.p + authority.len);
	} while (!is_last);
	has_db = take_segment(&rest, &url->master) && rest.len;
	if (!is_name(url->master) || url->master.len > REDIS_URL_MASTER_MAX)
		return refuse(why, "the master's name has letters, digits, '.', '-' and '_'");
	return !has_db || read_db(rest, url, why);
}

static bool read_tcp(struct str rest, struct redis_url *url, const char **why)
{
	struct str authority;
	bool has_db = take_segment(&rest, &authority) && rest.len;

	if (!take_user(&authority, url, why) || !read_host(authority, 6379, url, why))
		return false;
	return !has_db || read_db(rest, url, why);
}

bool redis_url_parse(struct str text, struct redis_url *url, const char **why)
{
	static const struct {
		struct str prefix;
		enum redis_scheme scheme;
		bool (*read)(struct str rest, struct redis_url *url, const char **why);
	} schemes[] = {
		{ STR_INIT("redis://"), REDIS_TCP, read_tcp },
		{ STR_INIT("rediss://"), REDIS_TLS, read_tcp },
		{ STR_INIT("unix:"), REDIS_UNIX, read_unix },
		{ STR_INIT("sentinel://"), REDIS_SENTINEL, read_sentinel },
	};

	*url = (struct redis_url){ .username = STR(""), .password = STR(""), .path = STR("") };
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f)
			return refuse(why, "a space, or what is not printable ASCII");
	for (size_t i = 0; i < ARRAY_N(schemes); i++) {
		if (!str_istarts(text, schemes[i].prefix))
			continue;
		url->scheme = schemes[i].scheme;
		return schemes[i].read(str_sub(text.p + schemes[i].prefix.len, text.p + text.len),
				       url, why);
	}
	return refuse(why, "expected redis://, rediss://, unix:/ or sentinel://");
}
