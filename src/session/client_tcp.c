/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/client_tcp.h"

#include "model/match.h"
#include "proto/client_hello.h"
#include "session/tls_facts.h"
#include "session/txn.h"

/* What the routes need to know before the first of them can be said to hold. */
static enum match_looks looks_at(const struct client *client)
{
	const struct frontend *frontend = client->frontend;
	struct match_facts facts = { .client = &client->source };
	enum match_looks most = MATCH_LOOKS_AT_NOTHING;

	for (size_t i = 0; i < frontend->routes_n; i++) {
		const struct match *match = frontend->routes[i].match;
		enum match_looks looks = match ? match_looks_at(match) : MATCH_LOOKS_AT_NOTHING;

		if (looks > most)
			most = looks;
		if (most == MATCH_LOOKS_AT_NOTHING && (!match || match_holds(match, &facts)))
			return MATCH_LOOKS_AT_NOTHING; /* whatever the bytes are, it is this one */
	}
	return most;
}

static void begin_txn(struct client *client, struct match_facts *facts)
{
	client_set_state(client, CLIENT_BUSY);
	client_set_timer(client, 0);
	txn_start_tcp(client, facts);
}

/* It ends before there was anything that could be routed. */
static void give_up(struct client *client, enum txn_end end, const char *why)
{
	if (end == END_BAD_REQUEST || end == END_CLIENT_TIMEOUT_REQUEST)
		count(&client->frontend->state->counters, frontend_request_errors);
	client_set_state(client, CLIENT_BUSY);
	txn_start_tcp_refused(client, end, why);
}

/* By what has come.  IS_LAST: there will be no more. PARSE_MORE: not known yet. */
static enum parse inspect(struct client *client, bool is_last, struct match_facts *facts,
			  const char **why)
{
	struct str bytes = buf_str(&client->in);
	enum first_protocol protocol = FIRST_OTHER;
	struct client_hello hello;
	enum parse parse = first_bytes(bytes.p, bytes.len, &protocol);

	if (parse == PARSE_MORE && !is_last)
		return PARSE_MORE;
	if (parse == PARSE_MORE)
		protocol = FIRST_OTHER;
	facts->protocol = bytes.len ? first_protocol_name(protocol) : STR("none");
	if (protocol != FIRST_TLS || looks_at(client) != MATCH_LOOKS_AT_HELLO)
		return PARSE_DONE;
	parse = client_hello_parse(bytes.p, bytes.len, client->traffic->scratch, &hello, why);
	if (parse == PARSE_DONE) {
		facts->sni = hello.sni;
		facts->alpn = hello.alpn;
		facts->is_alpn_list = true;
	}
	return parse;
}

/* Routes by what there is, if that is enough.  False: it is not. */
static bool go_by_what_came(struct client *client, bool is_last)
{
	struct match_facts facts = { 0 };
	const char *why = NULL;

	switch (inspect(client, is_last, &facts, &why)) {
	case PARSE_DONE:
		begin_txn(client, &facts);
		return true;
	case PARSE_BAD:
		give_up(client, END_BAD_REQUEST, why);
		return true;
	case PARSE_MORE:
		break;
	}
	return false;
}

void client_tcp_run(struct client *client)
{
	enum io io;

	do {
		buf_reserve(&client->in, 1);
		io = conn_recv(&client->conn, &client->in, buf_room(&client->in));
		if (!buf_length(&client->in))
			buf_release(&client->in);
		if (buf_length(&client->in) && io != IO_FAIL && go_by_what_came(client, false))
			return;
	} while (io == IO_OK);
	if (io == IO_AGAIN) {
		if (conn_watch(&client->traffic->loop, &client->conn) == 0)
			return;
		io = IO_FAIL;
	}
	/* Who has shut its side may still want to hear what the server says to so few bytes. */
	if (io == IO_EOF && buf_length(&client->in) && go_by_what_came(client, true))
		return;
	give_up(client, END_CLIENT_GONE_REQUEST, NULL);
}

void client_tcp_on_timer(struct client *client)
{
	if (!go_by_what_came(client, true))
		give_up(client, END_CLIENT_TIMEOUT_REQUEST, "ClientHello not complete in time");
}

void client_tcp_start(struct client *client)
{
	struct match_facts facts = { 0 };

	if (client->is_tls) {
		tls_facts_match(client, &facts);
		begin_txn(client, &facts);
		return;
	}
	if (looks_at(client) == MATCH_LOOKS_AT_NOTHING) {
		begin_txn(client, &facts);
		return;
	}
	client_set_state(client, CLIENT_INSPECT);
	client_set_timer(client, client->frontend->timeouts.inspect_ms);
	/* Behind a PROXY header there may be some already. */
	if (!buf_length(&client->in) || !go_by_what_came(client, false))
		client_tcp_run(client);
}
