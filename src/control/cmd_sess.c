/* SPDX-License-Identifier: MIT */
/*
 * show sess, shutdown session: connections of clients.
 *
 * They belong to the traffic threads, which are asked one after the other: each takes down what it
 * has, as numbers and as pointers to what is never freed, and the control thread prints it.  So the
 * answer costs one walk of the list on a thread, and the memory of one thread's list, of which at
 * most SESS_MAX are told.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/gather.h"
#include "session/client.h"
#include "session/traffic.h"
#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

#define SESS_MAX 16384

struct sess {
	uint64_t id;      /* the client's address in memory: unique while it lives */
	uint64_t carrier; /* likewise of the connection that a stream of HTTP/2 is on; 0 = none */
	struct ip_addr source;
	const struct frontend_state *frontend;
	const struct backend_state *backend; /* NULL = none */
	const struct server *server;         /* NULL = none */
	const char *state;                   /* constant */
	int64_t idle_ms;                     /* since the last accept or end of a request */
	int64_t expires_ms;                  /* of its timer; -1 = none */
	uint32_t requests;
	uint32_t in, out; /* bytes waiting */
	bool is_upstream; /* has a server connection */
};

struct sess_gather {
	struct gather gather;
	uint64_t only;    /* id; 0 = all */
	bool is_shutdown; /* close the one named */
	bool is_found;
	unsigned thread;   /* the next to be asked */
	struct sess *list; /* (own) */
	size_t n, printed, size;
	uint64_t left_out;
};

static void sess_free(struct gather *gather)
{
	struct sess_gather *sess = container_of(gather, struct sess_gather, gather);

	free(sess->list);
	free(sess);
}

static void take_down(struct sess *sess, const struct client *client)
{
	int64_t at_ms = client->timer.at_ms;

	*sess = (struct sess){
		.id = (uint64_t)(uintptr_t)client,
		.carrier = (uint64_t)(uintptr_t)client_carrier(client),
		.source = client->source,
		.frontend = client->frontend->state,
		.state = client_state_name(client->state),
		.idle_ms = clock_ms() - client->since_ms,
		.expires_ms = at_ms ? at_ms - clock_ms() : -1,
		.requests = client->requests,
		.in = (uint32_t)buf_length(&client->in),
		.out = (uint32_t)buf_length(&client->out),
	};
	if (client_txn(client)) {
		sess->state = txn_state_name(client->txn->state);
		sess->backend = client->txn->backend ? client->txn->backend->state : NULL;
		sess->server = client->txn->server;
		sess->is_upstream = client->txn->upstream != NULL;
		sess->source = client->txn->source;
	} else if (client_tunnel(client)) {
		sess->backend = client->tunnel->backend->state;
		sess->server = tunnel_server(client->tunnel);
		sess->is_upstream = true;
	}
}

/* On the traffic thread. */
static void ask(struct gather *gather, struct traffic *traffic)
{
	struct sess_gather *sess = container_of(gather, struct sess_gather, gather);

	list_for_each_safe(node, after, &traffic->clients) {
		struct client *client = list_entry(node, struct client, link);

		if (client->state == CLIENT_CLOSED ||
		    (sess->only && sess->only != (uint64_t)(uintptr_t)client))
			continue;
		if (sess->is_shutdown) {
			sess->is_found = true;
			client_close(client);
			return;
		}
		if (sess->n == SESS_MAX) {
			sess->left_out++;
			continue;
		}
		if (sess->n == sess->size) {
			sess->size = sess->size ? sess->size * 2 : 64;
			sess->list = xrealloc_array(sess->list, sess->size, sizeof(*sess->list));
		}
		take_down(&sess->list[sess->n++], client);
	}
}

static void print_sess(struct run *run, const struct sess *sess)
{
	char source[ADDR_TEXT_SIZE];

	ip_addr_text(&sess->source, source);
	run_print(run,
		  "0x%llx: proto=%s src=%s fe=%s be=%s srv=%s ts=00 epoch=0 age=%llds calls=%u "
		  "rate=0 cpu=0 lat=0 rq[f=000000h,i=%u,an=00h,ax=] rp[f=000000h,i=%u,an=00h,ax=] "
		  "scf=[8,0h,fd=-1] scb=[%u,0h,fd=-1] exp=",
		  (unsigned long long)sess->id,
		  sess->source.family == AF_INET6  ? "tcpv6"
		  : sess->source.family == AF_INET ? "tcpv4"
						   : "unix_stream",
		  source, sess->frontend->name, sess->backend ? sess->backend->name : "<NONE>",
		  sess->server ? sess->server->name : "<none>", (long long)(sess->idle_ms / 1000),
		  sess->requests, sess->in, sess->out, sess->is_upstream ? 8u : 0u);
	if (sess->expires_ms >= 0)
		run_print(run, "%llds", (long long)(sess->expires_ms / 1000));
	run_print(run, " rc=0 c_exp= state=%s", sess->state);
	if (sess->carrier)
		run_print(run, " carrier=0x%llx", (unsigned long long)sess->carrier);
	run_print(run, "\n");
}

static struct sess_gather *begin(struct run *run, uint64_t only)
{
	struct sess_gather *sess = xcalloc(1, sizeof(*sess));

	sess->only = only;
	gather_init(&sess->gather, run, ask, sess_free);
	run->state = &sess->gather;
	run->state_free = gather_drop;
	return sess;
}

/* "0x..." or hexadecimal digits; 0 when it is not an id. */
static uint64_t read_id(struct str text)
{
	uint64_t id = 0;

	if (str_starts(text, STR("0x"))) {
		text.p += 2;
		text.len -= 2;
	}
	if (!text.len || text.len > 16)
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = ascii_lower((unsigned char)text.p[i]);

		if (c >= '0' && c <= '9')
			id = id << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			id = id << 4 | (uint64_t)(c - 'a' + 10);
		else
			return 0;
	}
	return id;
}

/* Prints what has come; true when all of it is printed. */
static bool print_list(struct run *run, struct sess_gather *sess)
{
	while (sess->printed < sess->n) {
		if (run_is_full(run))
			return false;
		print_sess(run, &sess->list[sess->printed++]);
	}
	if (sess->left_out)
		run_print(run, "# thread %u has %llu more\n", sess->thread - 1,
			  (unsigned long long)sess->left_out);
	run->at[0] |= sess->n != 0;
	sess->n = sess->printed = 0;
	sess->left_out = 0;
	return true;
}

enum run_step command_show_sess(struct run *run)
{
	struct sess_gather *sess;

	if (!run->state) {
		bool is_one = run->args_n && !str_eq(run->args[0], STR("all"));
		uint64_t only = is_one ? read_id(run->args[0]) : 0;

		if (is_one && !only)
			return run_error(run, "No such session (use 'show sess').");
		begin(run, only);
	}
	sess = container_of((struct gather *)run->state, struct sess_gather, gather);
	if (!print_list(run, sess))
		return RUN_MORE;
	if (gather_send(&sess->gather, sess->thread++))
		return RUN_WAIT;
	if (sess->only && !run->at[0])
		return run_error(run, "Session not found.");
	return RUN_DONE;
}

enum run_step command_shutdown_session(struct run *run)
{
	struct sess_gather *sess;

	if (!run->state) {
		uint64_t only = read_id(run_arg(run, 0));

		if (!run->args_n)
			return run_error(run, "Session pointer expected (use 'show sess').");
		if (!only)
			return run_error(run, "No such session (use 'show sess').");
		begin(run, only)->is_shutdown = true;
	}
	sess = container_of((struct gather *)run->state, struct sess_gather, gather);
	if (sess->is_found)
		return RUN_DONE;
	if (gather_send(&sess->gather, sess->thread++))
		return RUN_WAIT;
	return run_error(run, "No such session (use 'show sess').");
}
