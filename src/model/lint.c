/* SPDX-License-Identifier: MIT */
/*
 * lint - what is well formed and yet likely not what was meant.  Warnings only; they know the
 * workload: Engine.IO's long polls, proxies in front, Node behind.
 */
#include "config.h"

#include "model/load.h"

/* pingInterval + pingTimeout of an Engine.IO server that was not told otherwise. */
#define ENGINEIO_IDLE_MS SEC(45)

/* What the frontends that lead to one backend have in common. */
struct reach {
	bool is_used;
	const struct frontend *blind; /* sees a proxy's address in place of its clients', or NULL */
	const struct frontend *short_server, *short_tunnel;
};

static bool is_private(const struct sock_addr *addr)
{
	static const char *const nets[] = { "127.0.0.0/8",    "10.0.0.0/8", "172.16.0.0/12",
					    "192.168.0.0/16", "::1",        "fc00::/7" };
	struct ip_addr ip = sock_addr_ip(addr);
	struct ip_net net;

	if (sock_addr_is_unix(addr))
		return true;
	for (size_t i = 0; i < ARRAY_N(nets); i++)
		if (ip_net_parse(str_of(nets[i]), &net) == 0 && ip_net_has(&net, &ip))
			return true;
	return false;
}

/* Only a proxy can reach such an address from afar, and nothing says whom to believe. */
static bool is_blind(const struct frontend *frontend)
{
	for (size_t i = 0; i < frontend->binds_n; i++)
		if (!frontend->binds[i].is_proxy_required && !frontend->trusted_proxies_n &&
		    is_private(&frontend->binds[i].addr))
			return true;
	return false;
}

static void reach_add(struct reach *reaches, const struct frontend *frontend,
		      const struct backend *backend, bool blind)
{
	struct reach *reach = backend ? &reaches[backend->index] : NULL;

	if (!reach)
		return;
	reach->is_used = true;
	if (blind)
		reach->blind = frontend;
	if (frontend->timeouts.server_ms < ENGINEIO_IDLE_MS)
		reach->short_server = frontend;
	if (frontend->timeouts.tunnel_ms < ENGINEIO_IDLE_MS)
		reach->short_tunnel = frontend;
}

static void lint_frontend(struct load *load, const struct frontend *frontend, struct reach *reaches)
{
	const struct route *always = NULL;
	bool blind = is_blind(frontend);

	for (size_t i = 0; i < frontend->routes_n; i++) {
		const struct route *route = &frontend->routes[i];

		if (always)
			pos_warn(load, route->pos,
				 "route '%.*s' is never reached: route '%.*s' on line %u has no "
				 "'match' "
				 "and takes everything",
				 STR_ARG(route->name), STR_ARG(always->name), always->pos.line);
		else if (!route->match)
			always = route;
		reach_add(reaches, frontend, route->backend, blind);
	}
	reach_add(reaches, frontend, frontend->backend, blind);
}

static const struct stick_rule *rule_of(const struct backend *backend, enum stick_kind kind)
{
	for (size_t i = 0; i < backend->sticks_n; i++)
		if (backend->sticks[i].kind == kind)
			return &backend->sticks[i];
	return NULL;
}

static void lint_timeouts(struct load *load, const struct backend *backend,
			  const struct reach *reach)
{
	bool has_server = backend->timeouts.server_ms >= 0;
	bool has_tunnel = backend->timeouts.tunnel_ms >= 0;

	if (has_server ? backend->timeouts.server_ms < ENGINEIO_IDLE_MS : !!reach->short_server)
		pos_warn(load, has_server ? backend->pos : reach->short_server->pos,
			 "timeouts.server of backend '%.*s' is below 45s, Engine.IO's usual "
			 "pingInterval "
			 "+ pingTimeout; its requests go by their handshake's own figures, others "
			 "that "
			 "are held as long will be cut",
			 STR_ARG(backend->name));
	if (has_tunnel ? backend->timeouts.tunnel_ms < ENGINEIO_IDLE_MS : !!reach->short_tunnel)
		pos_warn(load, has_tunnel ? backend->pos : reach->short_tunnel->pos,
			 "timeouts.tunnel of backend '%.*s' is below 45s, Engine.IO's usual "
			 "pingInterval "
			 "+ pingTimeout: silent WebSockets will be cut",
			 STR_ARG(backend->name));
}

static void lint_sticks(struct load *load, const struct backend *backend, const struct reach *reach)
{
	const struct stick_rule *cookie = rule_of(backend, STICK_COOKIE_INSERT);
	const struct stick_rule *ip = rule_of(backend, STICK_IP);
	const struct stick_rule *engineio = rule_of(backend, STICK_ENGINEIO);

	if (engineio)
		lint_timeouts(load, backend, reach);
	if (cookie && cookie->is_secret_random)
		pos_warn(load, cookie->pos,
			 "cookie '%.*s' has no 'secret': one was made up, so its values mean "
			 "nothing to other nodes%s",
			 STR_ARG(cookie->cookie_name),
			 load->config->global.state_file.len ? "" : " and after a restart");
	if (cookie && cookie->same_site == SAME_SITE_UNSET && !engineio)
		pos_warn(load, cookie->pos,
			 "cookie '%.*s' has no 'same_site': browsers do not send it from pages of "
			 "other "
			 "sites; if there are such, set 'same_site: none' and 'secure: true'",
			 STR_ARG(cookie->cookie_name));
	if (ip && reach->blind)
		pos_warn(load, ip->pos,
			 "backend '%.*s' sticks by address, but frontend '%.*s' listens on a "
			 "private "
			 "address: if a proxy stands in front, all clients have its address; set "
			 "'trusted_proxies', or 'accept_proxy' on the bind",
			 STR_ARG(backend->name), STR_ARG(reach->blind->name));
}

static bool is_plain_worker(const struct host_conf *host)
{
	return host->glob.p || host->workers_n > 1 ||
	       (host->workers_n == 1 &&
		(host->workers[0].name.len || sock_addr_is_unix(&host->workers[0].addr)));
}

static void lint_send_proxy(struct load *load, const struct backend *backend)
{
	if (!rule_of(backend, STICK_ENGINEIO))
		return;
	for (size_t i = 0; i < backend->hosts_n; i++) {
		const struct host_conf *host = &backend->hosts[i];

		if (host->send_proxy == PROXY_NONE || !is_plain_worker(host))
			continue;
		pos_warn(load, host->pos,
			 "'send_proxy' to the workers of host '%.*s': plain Node cannot read a "
			 "PROXY "
			 "header; they must listen through contrib/node",
			 STR_ARG(host->name));
		return;
	}
}

static void lint_weights(struct load *load, const struct backend *backend)
{
	for (size_t i = 0; i < backend->hosts_n; i++) {
		const struct host_conf *host = &backend->hosts[i];

		if (host->weight && host->glob.p)
			return;
		for (size_t k = 0; host->weight && k < host->workers_n; k++)
			if (host->workers[k].weight)
				return;
	}
	pos_warn(load, backend->pos,
		 "every server of backend '%.*s' has weight 0: none takes new sessions",
		 STR_ARG(backend->name));
}

static void lint_addresses(struct load *load, const struct backend *backend)
{
	struct names seen;
	size_t n = 0;

	for (size_t i = 0; i < backend->hosts_n; i++)
		n += backend->hosts[i].workers_n;
	names_init(&seen, &load->temp, n);
	for (size_t i = 0; i < backend->hosts_n; i++) {
		const struct host_conf *host = &backend->hosts[i];

		for (size_t k = 0; k < host->workers_n; k++) {
			const struct sock_addr *addr = &host->workers[k].addr;
			struct str key = { (const char *)&addr->sa, addr->size };
			uint32_t twin = names_add(&seen, key, (uint32_t)i);
			char text[ADDR_TEXT_SIZE];

			if (twin == NAME_NONE)
				continue;
			sock_addr_text(addr, text);
			pos_warn(load, host->pos,
				 "%s is a server of host '%.*s' and of host '%.*s'", text,
				 STR_ARG(backend->hosts[twin].name), STR_ARG(host->name));
			return;
		}
	}
}

void lint(struct load *load)
{
	const struct config *config = load->config;
	struct reach *reaches = arena_calloc(&load->temp, config->backends_n + 1, sizeof(*reaches));

	for (size_t i = 0; i < config->frontends_n; i++)
		lint_frontend(load, &config->frontends[i], reaches);
	for (size_t i = 0; i < config->backends_n; i++) {
		const struct backend *backend = &config->backends[i];

		if (!reaches[i].is_used)
			pos_warn(load, backend->pos, "backend '%.*s' is not used by any frontend",
				 STR_ARG(backend->name));
		lint_sticks(load, backend, &reaches[i]);
		lint_send_proxy(load, backend);
		lint_weights(load, backend);
		lint_addresses(load, backend);
	}
}
