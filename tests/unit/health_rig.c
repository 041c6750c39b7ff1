/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "model/names.h"

int rig_setup(void **state)
{
	static unsigned runs;
	struct rig *rig = xcalloc(1, sizeof(*rig));
	char name[16];

	*state = rig;
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/limpet-health-XXXXXX");
	if (!mkdtemp(rig->dir) || loop_init(&rig->loop) != 0)
		return -1;
	rig->config = xcalloc(1, sizeof(*rig->config));
	atomic_init(&rig->config->refs, 1);
	arena_init(&rig->config->arena, 4096);
	rig->backend = arena_calloc(&rig->config->arena, 1, sizeof(*rig->backend));
	rig->config->backends = rig->backend;
	rig->config->backends_n = 1;
	/* Servers outlive everything, so each test has a backend of its own. */
	snprintf(name, sizeof(name), "b%u", runs++);
	rig->backend->name = arena_str(&rig->config->arena, str_of(name));
	rig->backend->state = backend_state_get(rig->backend->name);
	rig->config->backend_names =
		arena_alloc(&rig->config->arena, sizeof(*rig->config->backend_names));
	names_init(rig->config->backend_names, &rig->config->arena, 1);
	names_add(rig->config->backend_names, rig->backend->name, 0);
	rig->backend->health = (struct health_conf){ .kind = CHECK_TCP,
						     .path = STR("/healthz"),
						     .method = STR("GET"),
						     .interval_ms = 40,
						     .timeout_ms = 60,
						     .fall = 3,
						     .rise = 2,
						     .has_send_proxy = true };
	health_init(&rig->loop);
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	char *command = xasprintf("rm -rf -- %s", rig->dir);
	int rc;

	health_fini();
	for (size_t i = 0; i < rig->peers_n; i++) {
		rig_kill(rig->peers[i]);
		free(rig->peers[i]);
	}
	loop_fini(&rig->loop);
	srvset_free(atomic_exchange(&rig->backend->state->set, NULL));
	rc = atomic_load(&rig->config->refs) == 1 ? 0 : -1; /* health gave its reference back */
	config_unref(rig->config);
	rc |= system(command);
	free(command);
	free(rig);
	return rc;
}

char *rig_path(struct rig *rig, const char *file)
{
	return xasprintf("%s/%s", rig->dir, file);
}

static struct peer *peer_new(struct rig *rig)
{
	struct peer *peer = xcalloc(1, sizeof(*peer));

	assert_true(rig->peers_n < ARRAY_N(rig->peers));
	rig->peers[rig->peers_n++] = peer;
	peer->fd = -1;
	for (int i = 0; i < RIG_CONNS_MAX; i++)
		peer->conns[i] = -1;
	return peer;
}

static void peer_bind(struct peer *peer)
{
	int one = 1;

	peer->fd = socket(peer->addr.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(peer->fd >= 0);
	setsockopt(peer->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(peer->fd, &peer->addr.sa, peer->addr.size) != 0)
		fail_msg("bind: %s", strerror(errno));
}

struct peer *rig_peer(struct rig *rig)
{
	struct peer *peer = peer_new(rig);

	assert_int_equal(sock_addr_parse(STR("127.0.0.1:0"), &peer->addr), 0);
	peer_bind(peer);
	assert_int_equal(getsockname(peer->fd, &peer->addr.sa, &peer->addr.size), 0);
	rig_listen(peer);
	return peer;
}

struct peer *rig_peer_unix(struct rig *rig, const char *file)
{
	struct peer *peer = peer_new(rig);
	char *text = xasprintf("unix:%s/%s", rig->dir, file);

	assert_int_equal(sock_addr_parse(str_of(text), &peer->addr), 0);
	free(text);
	peer_bind(peer);
	return peer;
}

void rig_listen(struct peer *peer)
{
	assert_int_equal(listen(peer->fd, 1024), 0);
}

void rig_kill(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
	for (int i = 0; i < RIG_CONNS_MAX; i++) {
		if (peer->conns[i] >= 0)
			close(peer->conns[i]);
		peer->conns[i] = -1;
	}
	peer->open_n = 0;
}

void rig_revive(struct peer *peer)
{
	if (sock_addr_is_unix(&peer->addr))
		unlink(peer->addr.un.sun_path);
	peer_bind(peer);
	rig_listen(peer);
}

static void peer_accept(struct peer *peer)
{
	int i = 0, fd;

	while (peer->fd >= 0 && (fd = accept4(peer->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		while (peer->conns[i] >= 0)
			i++;
		peer->conns[i] = fd;
		peer->answered[i] = 0;
		peer->got_size = 0;
		peer->accepted_n++;
		peer->open_n++;
		if (peer->open_n > peer->open_max)
			peer->open_max = peer->open_n;
	}
}

static void peer_close(struct peer *peer, int i)
{
	close(peer->conns[i]);
	peer->conns[i] = -1;
	peer->open_n--;
}

static void peer_answer(struct peer *peer, int i)
{
	size_t left = strlen(peer->answer) - peer->answered[i];
	ssize_t n = send(peer->conns[i], peer->answer + peer->answered[i],
			 peer->is_byte_by_byte ? 1 : left, MSG_NOSIGNAL);

	if (n < 0 || (size_t)n == left)
		peer_close(peer, i);
	else
		peer->answered[i] += (size_t)n;
}

static void peer_serve(struct peer *peer)
{
	peer_accept(peer);
	for (int i = 0; i < RIG_CONNS_MAX; i++) {
		ssize_t n;

		if (peer->conns[i] < 0)
			continue;
		n = recv(peer->conns[i], peer->got + peer->got_size,
			 sizeof(peer->got) - 1 - peer->got_size, 0);
		if (n > 0)
			peer->got_size += (size_t)n;
		if (n == 0 || (n < 0 && errno != EAGAIN))
			peer_close(peer, i);
		else if (peer->is_closing_first)
			peer_close(peer, i);
		else if (peer->answer && (n > 0 || peer->answered[i]))
			peer_answer(peer, i);
		if (peer->got_size > sizeof(peer->got) / 2)
			peer->got_size = 0;
	}
}

void rig_turn(struct rig *rig)
{
	loop_turn(&rig->loop, 1);
	for (size_t i = 0; i < rig->peers_n; i++)
		peer_serve(rig->peers[i]);
}

void rig_while_ms(struct rig *rig, int ms)
{
	int64_t end_us = clock_now_us() + (int64_t)ms * 1000;

	while (clock_now_us() < end_us)
		rig_turn(rig);
}

void rig_publish(struct rig *rig)
{
	struct srvset *set = srvset_build(rig->backend->state, rig->specs, rig->specs_n);

	srvset_free(srvset_publish(rig->backend->state, set));
	health_apply(rig->config);
}

struct server *rig_server(struct rig *rig, size_t i)
{
	return server_get(rig->backend->state, STR("h"), str_of(rig->names[i]));
}

struct server *rig_add(struct rig *rig, const struct sock_addr *addr)
{
	size_t i = rig->specs_n++;

	snprintf(rig->names[i], sizeof(rig->names[i]), "%zu", i);
	rig->specs[i] = (struct srvset_spec){ .host = STR("h"),
					      .worker = str_of(rig->names[i]),
					      .addr = *addr,
					      .weight = 100,
					      .send_proxy = rig->backend->send_proxy };
	rig_publish(rig);
	return rig_server(rig, i);
}
