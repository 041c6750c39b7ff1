/* SPDX-License-Identifier: MIT */
/*
 * config_hosts - hosts of a backend and the workers on them.
 *
 * Forms of a host:   "10.0.0.1:3000"            one worker without a name
 *                    "unix:/run/x.sock"         the same
 *                    "unix:/run/chat/ *.sock"    a glob: workers come and go with their sockets
 *                    {address: A, workers: W}   A without a port, W says ports or sockets
 */
#include "config.h"

#include "model/load.h"

#include <stdio.h>

#include "base/thread.h"
#include "model/schema_fns.h"

#define WORKERS_UNHASHED 8 /* hosts with up to so many look for double names one by one */

/* A host while its workers are read: they grow in load->workers, and are copied to the snapshot at
 * the end. */
struct host_said {
	struct host_conf *host;
	const struct yaml_node *node; /* where to tell what concerns the host as a whole */
	struct names names;           /* of its workers, above WORKERS_UNHASHED */
	struct ip_addr ip;            /* AF_UNSPEC: address has none */
};

static bool is_glob(struct str text)
{
	return str_find_char(text, '*') >= 0 || str_find_char(text, '?') >= 0 ||
	       str_find_char(text, '[') >= 0;
}

static bool is_unix_text(struct str text)
{
	return str_starts(text, STR("unix:"));
}

/* The directory is watched, so only the file's name may hold wildcards. */
static void glob_set(struct load *load, const struct yaml_node *node, struct str text,
		     struct host_conf *host)
{
	struct str path = str_sub(text.p + 5, text.p + text.len);
	const char *slash = path.len ? memrchr(path.p, '/', path.len) : NULL;

	if (!slash || path.p[0] != '/') {
		load_error(load, node, "'%.*s': the path of a glob must begin with '/'",
			   STR_ARG(text));
		return;
	}
	if (is_glob(str_sub(path.p, slash)) || slash + 1 == path.p + path.len) {
		load_error(load, node,
			   "'%.*s': only the file's name may hold wildcards, not its directory",
			   STR_ARG(text));
		return;
	}
	if (path.len >= sizeof(((struct sock_addr *)0)->un.sun_path)) {
		load_error(load, node, "'%.*s' is too long for the path of a Unix socket",
			   STR_ARG(text));
		return;
	}
	host->glob = load_keep(load, path);
}

/* "/run/chat/w1.sock" -> "w1" */
static struct str stem_of(struct str text)
{
	const char *end = text.p + text.len;
	const char *slash = memrchr(text.p, '/', text.len);
	const char *start = slash ? slash + 1 : text.p + 5;
	const char *dot = memrchr(start, '.', (size_t)(end - start));

	return str_sub(start, dot && dot > start ? dot : end);
}

/* True when the host has a worker named NAME; else it is the next one's name. */
static bool is_name_taken(struct load *load, struct host_said *said, struct str name)
{
	struct host_conf *host = said->host;

	if (host->workers_n < WORKERS_UNHASHED) {
		for (size_t i = 0; i < host->workers_n; i++)
			if (str_eq(host->workers[i].name, name))
				return true;
		return false;
	}
	if (!said->names.slots_n) {
		names_init(&said->names, &load->temp, 4 * WORKERS_UNHASHED);
		for (size_t i = 0; i < host->workers_n; i++)
			names_add(&said->names, host->workers[i].name, (uint32_t)i);
	}
	return names_add(&said->names, name, (uint32_t)host->workers_n) != NAME_NONE;
}

static void worker_add(struct load *load, struct host_said *said, const struct yaml_node *node,
		       struct worker_conf worker)
{
	struct host_conf *host = said->host;

	if (host->workers_n >= WORKERS_MAX || load->servers_n >= LOAD_SERVERS_MAX) {
		if (host->workers_n == WORKERS_MAX)
			load_error(load, node, "host '%.*s' has more than %d workers",
				   STR_ARG(host->name), WORKERS_MAX);
		else
			load_error(load, node, "more than %d servers in one file",
				   LOAD_SERVERS_MAX);
		return;
	}
	if (worker.name.len && !load_check_name(load, node, "worker", worker.name))
		return;
	if (is_name_taken(load, said, worker.name)) {
		load_error(load, node, "host '%.*s' has two workers named '%.*s'",
			   STR_ARG(host->name), STR_ARG(worker.name));
		return;
	}
	if (host->workers_n == load->workers_size) {
		load->workers_size = load->workers_size ? load->workers_size * 2 : 16;
		load->workers =
			xrealloc_array(load->workers, load->workers_size, sizeof(*load->workers));
	}
	host->workers = load->workers;
	if (!worker.max_connections)
		worker.max_connections = host->max_connections;
	host->workers[host->workers_n++] = worker;
	load->servers_n++;
}

/* The name in "name:port" or "name"; "" when it is an address itself. */
static struct str dns_name_of(struct load *load, struct str text)
{
	struct sock_addr addr;
	struct ip_addr ip;
	ptrdiff_t colon;

	if (sock_addr_parse(text, &addr) == 0 || ip_addr_parse(text, &ip) == 0)
		return STR("");
	colon = str_find_char(text, ':');
	return load_keep(load, colon < 0 ? text : (struct str){ text.p, (size_t)colon });
}

/* A port on the host's own address. */
static void port_add(struct load *load, struct host_said *said, const struct yaml_node *node,
		     struct worker_conf worker, uint32_t port)
{
	if (said->ip.family == AF_UNSPEC) {
		if (!said->host->address.len)
			load_error(load, node, "host '%.*s' needs an address for worker port %u",
				   STR_ARG(said->host->name), port);
		return;
	}
	said->ip.port = (uint16_t)port;
	sock_addr_from_ip(&worker.addr, &said->ip);
	worker.dns_name = dns_name_of(load, said->host->address);
	if (!worker.name.len)
		worker.name = str_of(arena_printf(load->arena, "%u", port));
	worker_add(load, said, node, worker);
}

/* "3001" or "3001-3004". */
static bool parse_ports(struct str text, uint64_t *from, uint64_t *to)
{
	ptrdiff_t dash = str_find_char(text, '-');

	if (dash < 0) {
		if (str_to_u64(text, 65535, from) != 0)
			return false;
		*to = *from;
		return *from > 0;
	}
	return str_to_u64(str_trim((struct str){ text.p, (size_t)dash }), 65535, from) == 0 &&
	       str_to_u64(str_trim(str_sub(text.p + dash + 1, text.p + text.len)), 65535, to) ==
		       0 &&
	       *from > 0;
}

static struct worker_conf worker_default(struct load *load)
{
	struct worker_said said;

	section_defaults(load, S_WORKER, &said);
	return said.conf;
}

static void worker_text_read(struct load *load, struct host_said *said,
			     const struct yaml_node *node)
{
	struct worker_conf worker = worker_default(load);
	uint64_t from, to;

	if (is_unix_text(node->text)) {
		if (!load_address(load, node, node->text, "workers", &worker.addr))
			return;
		worker.name = load_keep(load, stem_of(node->text));
		worker_add(load, said, node, worker);
		return;
	}
	if (!parse_ports(node->text, &from, &to)) {
		load_error(
			load, node,
			"'workers': expected a port, a range like 3001-3004 or unix:/path, got %s",
			load_describe(load, node));
		return;
	}
	if (from > to || to - from >= WORKERS_MAX) {
		load_error(load, node, "'workers': range %.*s %s", STR_ARG(node->text),
			   from > to ? "runs backwards" : "is too large");
		return;
	}
	for (uint64_t port = from; port <= to; port++)
		port_add(load, said, node, worker, (uint32_t)port);
}

static void worker_map_read(struct load *load, struct host_said *said, const struct yaml_node *node)
{
	struct worker_said worker;

	section_defaults(load, S_WORKER, &worker);
	section_read(load, S_WORKER, node, &worker, "a worker");
	if (!worker.port == !worker.address.len) {
		load_error(load, node, "a worker needs either 'port' or 'address'");
		return;
	}
	if (worker.port) {
		port_add(load, said, node, worker.conf, worker.port);
		return;
	}
	if (!load_address(load, node, worker.address, "address", &worker.conf.addr))
		return;
	worker.conf.dns_name = dns_name_of(load, worker.address);
	if (!worker.conf.name.len)
		worker.conf.name = is_unix_text(worker.address)
					   ? load_keep(load, stem_of(worker.address))
					   : worker.address;
	worker_add(load, said, node, worker.conf);
}

/* Workers need the whole of their host, so host_read() reads them: here only the form. */
bool read_workers(struct load *load unused_arg, const struct schema_row *row unused_arg,
		  const struct yaml_node *node, void *base unused_arg)
{
	return !yaml_is_null(node) && (node->kind != YAML_LIST || node->n > 0);
}

static void workers_read(struct load *load, struct host_said *said, const struct yaml_node *node)
{
	struct host_conf *host = said->host;

	for (size_t i = 0; i < load_items(node); i++) {
		const struct yaml_node *item = load_item(node, i);

		if (item->kind == YAML_MAP) {
			worker_map_read(load, said, item);
		} else if (item->kind == YAML_LIST) {
			load_error(load, item, "'workers': a list within a list");
		} else if (is_unix_text(item->text) && is_glob(item->text)) {
			if (load_items(node) > 1)
				load_error(load, item, "'workers': a glob must be the only one");
			else
				glob_set(load, item, item->text, host);
		} else {
			worker_text_read(load, said, item);
		}
	}
}

/* The host's address is all there is: one worker without a name, or a glob. */
static void host_single(struct load *load, struct host_said *said)
{
	struct host_conf *host = said->host;
	struct worker_conf worker = worker_default(load);
	struct str address = host->address;
	struct ip_addr ip;
	bool has_port =
		address.len && str_find_char(address, ':') >= 0 && ip_addr_parse(address, &ip) != 0;

	if (!address.len) {
		load_error(load, said->node, "host '%.*s' needs 'address' or 'workers'",
			   STR_ARG(host->name));
	} else if (is_unix_text(address) && is_glob(address)) {
		glob_set(load, said->node, address, host);
	} else if (!has_port) {
		load_error(load, said->node,
			   "host '%.*s' needs a port in its address, or 'workers'",
			   STR_ARG(host->name));
	} else if (load_address(load, said->node, address, "address", &worker.addr)) {
		if (!sock_addr_is_unix(&worker.addr) && sock_addr_ip(&worker.addr).port == 0)
			load_error(load, said->node, "'%.*s': a server has no port 0",
				   STR_ARG(address));
		worker.dns_name = dns_name_of(load, address);
		worker_add(load, said, said->node, worker);
	}
}

/* The address that worker ports are on. */
static bool host_ip_read(struct load *load, struct host_said *said)
{
	struct host_conf *host = said->host;
	struct str address = host->address;
	struct sock_addr with_port;

	if (!address.len || ip_addr_parse(address, &said->ip) == 0)
		return true;
	if (is_unix_text(address) || sock_addr_parse(address, &with_port) == 0 ||
	    str_find_char(address, ':') >= 0) {
		load_error(
			load, said->node,
			"host '%.*s' has 'workers', so its address must be without a port: '%.*s'",
			STR_ARG(host->name), STR_ARG(address));
		said->ip.family = AF_UNSPEC;
		return false;
	}
	return load_resolve(load, said->node, address, &said->ip);
}

static void workers_keep(struct load *load, struct host_conf *host)
{
	struct worker_conf *workers;

	if (!host->workers_n)
		return;
	workers = arena_alloc(load->arena, host->workers_n * sizeof(*workers));
	memcpy(workers, host->workers, host->workers_n * sizeof(*workers));
	host->workers = workers;
}

static void host_read(struct load *load, const struct yaml_pair *pair, struct backend *backend,
		      struct host_conf *host)
{
	struct host_said said = { .host = host, .node = pair->value };
	const struct yaml_node *node = pair->value;
	const struct yaml_node *workers = NULL;
	size_t before = load->diag.errors_n;

	section_defaults(load, S_HOST, host);
	host->send_proxy = backend->send_proxy;
	host->name = load_keep(load, pair->key->text);
	load_check_name(load, pair->key, "host", host->name);
	if (node->kind == YAML_MAP) {
		section_read(load, S_HOST, node, host,
			     arena_printf(&load->temp, "host '%.*s'", STR_ARG(host->name)));
		workers = yaml_get(node, STR("workers"));
	} else {
		row_read(load, schema_find(S_HOST, STR("address")), node, host);
	}
	host->pos = load_pos(load, pair->key);
	/* What depends on a key that is wrong itself would only mislead; the workers do not. */
	if (load->diag.errors_n != before && !workers)
		return;
	if (!workers)
		host_single(load, &said);
	else if (host_ip_read(load, &said))
		workers_read(load, &said, workers);
	workers_keep(load, host);
}

bool read_hosts(struct load *load, const struct schema_row *row unused_arg,
		const struct yaml_node *node, void *base)
{
	struct backend *backend = base;

	if (node->kind != YAML_MAP)
		return false;
	if (node->n == 0)
		load_error(load, node, "'hosts' is empty: nobody to serve");
	backend->hosts = arena_calloc(load->arena, node->n, sizeof(*backend->hosts));
	backend->hosts_n = node->n;
	for (size_t i = 0; i < node->n; i++) {
		host_read(load, &node->pairs[i], backend, &backend->hosts[i]);
		thread_breathe();
	}
	return true;
}
