/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/forwarded.h"

static bool is_trusted(const struct frontend *frontend, const struct ip_addr *addr)
{
	return ip_nets_have(frontend->trusted_proxies, frontend->trusted_proxies_n, addr);
}

/* The right-most element of LIST, which is shortened by it. */
static bool take_last(struct str *list, struct str *element)
{
	ptrdiff_t comma;

	do {
		const char *at = list->len ? memrchr(list->p, ',', list->len) : NULL;

		if (!list->len)
			return false;
		comma = at ? at - list->p : -1;
		*element = str_trim(str_sub(list->p + comma + 1, list->p + list->len));
		list->len = comma < 0 ? 0 : (size_t)comma;
	} while (!element->len);
	return true;
}

/* "10.0.0.1", "10.0.0.1:80", "[::1]:80", "\"[::1]\"", "::1" */
static bool parse_node(struct str node, struct ip_addr *addr)
{
	struct sock_addr with_port;

	if (node.len >= 2 && node.p[0] == '"' && node.p[node.len - 1] == '"')
		node = (struct str){ node.p + 1, node.len - 2 };
	if (ip_addr_parse(node, addr) == 0)
		return true;
	if (str_starts(node, STR("unix:")) || sock_addr_parse(node, &with_port) != 0)
		return false;
	*addr = sock_addr_ip(&with_port);
	return node.p[0] != ':' && addr->family != AF_UNSPEC;
}

/* The value of "for=" in one element of Forwarded. */
static struct str forwarded_for(struct str element)
{
	while (element.len) {
		ptrdiff_t semicolon = str_find_char(element, ';');
		size_t n = semicolon < 0 ? element.len : (size_t)semicolon;
		struct str pair = str_trim((struct str){ element.p, n });

		if (str_istarts(pair, STR("for=")))
			return str_sub(pair.p + 4, pair.p + pair.len);
		n += semicolon >= 0;
		element = str_sub(element.p + n, element.p + element.len);
	}
	return STR_NONE;
}

/* Walks the fields with ID from the last to the first, each from right to left. */
static void walk_back(struct txn *txn, enum http_field_id id)
{
	const struct http_head *head = txn->head;

	for (unsigned i = head->fields_n; i-- > 0;) {
		struct str list = head->fields[i].value;
		struct str element;

		if (head->fields[i].id != id)
			continue;
		while (take_last(&list, &element)) {
			struct ip_addr addr;

			if (id == FIELD_FORWARDED)
				element = forwarded_for(element);
			if (!element.p || !parse_node(element, &addr))
				return; /* "unknown", or nonsense: as far as it can be believed */
			txn->source = addr;
			if (!is_trusted(txn->client->frontend, &addr))
				return;
		}
	}
}

void forwarded_find_source(struct txn *txn)
{
	txn->source = txn->client->source;
	txn->is_peer_trusted = is_trusted(txn->client->frontend, &txn->source);
	if (!txn->is_peer_trusted)
		return;
	if (http_head_first(txn->head, FIELD_X_FORWARDED_FOR))
		walk_back(txn, FIELD_X_FORWARDED_FOR);
	else
		walk_back(txn, FIELD_FORWARDED);
}

bool forwarded_replaces(const struct txn *txn, enum http_field_id id)
{
	bool is_x = id == FIELD_X_FORWARDED_PROTO || id == FIELD_X_FORWARDED_HOST ||
		    id == FIELD_X_FORWARDED_PORT;

	if (txn->backend->forwarded == FORWARDED_NONE)
		return false;
	if (id == FIELD_X_FORWARDED_FOR)
		return true;
	if (id == FIELD_FORWARDED)
		return !txn->is_peer_trusted || txn->backend->forwarded == FORWARDED_RFC7239;
	return is_x && !txn->is_peer_trusted;
}

static void append_field(struct buf *out, struct str name, struct str value)
{
	buf_append_str(out, name);
	buf_append(out, ": ", 2);
	buf_append_str(out, value);
	buf_append(out, "\r\n", 2);
}

/* The values of all fields with ID, joined by ", ". */
static void append_values(const struct http_head *head, enum http_field_id id, struct buf *out)
{
	for (unsigned i = 0; i < head->fields_n; i++) {
		if (head->fields[i].id != id || !head->fields[i].value.len)
			continue;
		buf_append_str(out, head->fields[i].value);
		buf_append(out, ", ", 2);
	}
}

static bool is_missing(const struct txn *txn, enum http_field_id id)
{
	return !txn->is_peer_trusted || !http_head_first(txn->head, id);
}

/* Who is connected to us: "unknown" on a Unix socket. */
static struct str source_text(const struct txn *txn, char text[ADDR_TEXT_SIZE])
{
	const struct ip_addr *source = &txn->client->source;

	return source->family == AF_UNSPEC ? STR("unknown") : ip_addr_ip_text(source, text);
}

static void write_x(struct txn *txn, struct buf *out)
{
	char text[ADDR_TEXT_SIZE];
	char port[10];

	buf_append_str(out, STR("X-Forwarded-For: "));
	if (txn->is_peer_trusted)
		append_values(txn->head, FIELD_X_FORWARDED_FOR, out);
	buf_append_str(out, source_text(txn, text));
	buf_append(out, "\r\n", 2);
	if (is_missing(txn, FIELD_X_FORWARDED_PROTO))
		append_field(out, STR("X-Forwarded-Proto"),
			     txn->client->is_tls ? STR("https") : STR("http"));
	if (is_missing(txn, FIELD_X_FORWARDED_HOST) && txn->head->authority.len)
		append_field(out, STR("X-Forwarded-Host"), txn->head->authority);
	if (is_missing(txn, FIELD_X_FORWARDED_PORT) &&
	    !sock_addr_is_unix(&txn->client->bind->addr) && client_port(txn->client))
		append_field(out, STR("X-Forwarded-Port"),
			     (struct str){ port, str_put_u32(port, client_port(txn->client)) });
}

static void write_rfc7239(struct txn *txn, struct buf *out)
{
	const struct ip_addr *source = &txn->client->source;
	char text[ADDR_TEXT_SIZE];

	buf_append_str(out, STR("Forwarded: "));
	if (txn->is_peer_trusted)
		append_values(txn->head, FIELD_FORWARDED, out);
	buf_append_str(out, STR("for="));
	if (source->family == AF_INET6)
		buf_append_str(out, STR("\"["));
	buf_append_str(out, source_text(txn, text));
	if (source->family == AF_INET6)
		buf_append_str(out, STR("]\""));
	if (txn->head->authority.len) {
		buf_append_str(out, STR(";host=\""));
		buf_append_str(out, txn->head->authority);
		buf_append(out, "\"", 1);
	}
	buf_append_str(out, txn->client->is_tls ? STR(";proto=https\r\n") : STR(";proto=http\r\n"));
}

void forwarded_write(struct txn *txn, struct buf *out)
{
	switch (txn->backend->forwarded) {
	case FORWARDED_NONE:
		break;
	case FORWARDED_X:
		write_x(txn, out);
		break;
	case FORWARDED_RFC7239:
		write_rfc7239(txn, out);
		break;
	}
}
