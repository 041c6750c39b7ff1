/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "balance/stick.h"
#include "base/clock.h"
#include "base/log.h"
#include "main/runtime.h"
#include "main/runtime_sets.h"

static struct config *load(const struct rig *rig, const char *yaml)
{
	struct config_messages messages = { 0 };
	struct buf text = { 0 };
	struct config *config;
	const char *at;

	for (; (at = strstr(yaml, "DIR")) != NULL; yaml = at + 3) {
		buf_append(&text, yaml, (size_t)(at - yaml));
		buf_append_str(&text, str_of(rig->dir));
	}
	buf_append_str(&text, str_of(yaml));
	config = config_load_text("rig.yaml", buf_str(&text), &messages);
	for (size_t i = 0; i < messages.n; i++)
		if (messages.are_errors[i])
			print_error("%s\n", messages.texts[i]);
	assert_non_null(config);
	config_messages_fini(&messages);
	buf_release(&text);
	return config;
}

static void put_in_force(struct rig *rig, struct config *config)
{
	for (size_t i = 0; i < config->frontends_n; i++)
		config->frontends[i].state = frontend_state_get(config->frontends[i].name);
	for (size_t i = 0; i < config->backends_n; i++) {
		config->backends[i].state = backend_state_get(config->backends[i].name);
		stick_prepare(&config->backends[i]);
	}
	for (struct backend_state *at = backend_state_first(); at; at = at->next) {
		at->is_gone = !config_backend(config, str_of(at->name));
		if (at->is_gone)
			runtime_drop_set(at);
	}
	runtime_build_sets(config, false);
	rig->config = config;
}

static int listen_at(const struct rig *rig, char name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%c", rig->dir, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

struct rig *rig_new(const char *yaml)
{
	static bool is_counting;
	struct rig *rig = xcalloc(1, sizeof(*rig));

	snprintf(rig->dir, sizeof(rig->dir), "/tmp/limpet-rig-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	for (int i = 0; i < RIG_SERVERS; i++)
		rig->listeners[i] = listen_at(rig, (char)('a' + i));
	if (!is_counting)
		counters_init(&process_state.counters, SCOPE_process); /* for good */
	is_counting = true;
	log_threshold = LOG_LEVEL_ERROR;
	assert_int_equal(loop_init(&control_loop), 0);
	rig->traffic = xcalloc(1, sizeof(*rig->traffic));
	assert_int_equal(traffic_init(rig->traffic, 0), 0);
	put_in_force(rig, load(rig, yaml));
	traffic_set_config(rig->traffic, rig->config);
	return rig;
}

void rig_reload(struct rig *rig, const char *yaml)
{
	struct config *old = rig->config;

	put_in_force(rig, load(rig, yaml));
	traffic_set_config(rig->traffic, rig->config);
	config_unref(old);
}

void rig_free(struct rig *rig)
{
	char path[64];

	traffic_quit(rig->traffic);
	traffic_fini(rig->traffic);
	loop_turn(&control_loop, 0);
	loop_fini(&control_loop);
	runtime_free_sets();
	stick_fini();
	config_unref(rig->config);
	for (int i = 0; i < RIG_SERVERS; i++) {
		close(rig->listeners[i]);
		snprintf(path, sizeof(path), "%s/%c", rig->dir, 'a' + i);
		unlink(path);
	}
	rmdir(rig->dir);
	free(rig->traffic);
	free(rig);
}

void rig_turn(struct rig *rig)
{
	loop_turn(&rig->traffic->loop, 2);
	loop_turn(&control_loop, 0);
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t size = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &size), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&addr, sizeof(addr)), 0);
	fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fds[0] >= 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static int open_client(struct rig *rig, int fds[2])
{
	const struct frontend *frontend = &rig->config->frontends[0];
	struct sock_addr peer = { .size = sizeof(sa_family_t) };

	peer.sa.sa_family = AF_UNIX;
	atomic_fetch_add(&frontend->state->used, 1);
	atomic_fetch_add(&process_state.connections, 1);
	client_open(rig->traffic, frontend, &frontend->binds[0], fds[0], &peer);
	return fds[1];
}

int rig_tcp_client(struct rig *rig)
{
	int fds[2];

	tcp_pair(fds);
	return open_client(rig, fds);
}

int rig_client(struct rig *rig)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	return open_client(rig, fds);
}

static bool try_accept(struct rig *rig, char at, int *fd)
{
	*fd = accept4(rig->listeners[at - 'a'], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return *fd >= 0;
}

int rig_accept(struct rig *rig, char at)
{
	int fd;

	rig_until(rig, try_accept(rig, at, &fd));
	return fd;
}

bool rig_is_connected(struct rig *rig, char at)
{
	int fd;

	for (int i = 0; i < 5; i++)
		rig_turn(rig);
	if (!try_accept(rig, at, &fd))
		return false;
	close(fd);
	return true;
}

void rig_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* False: the stream has ended. */
static bool take(struct rig *rig, int fd)
{
	ssize_t n = recv(fd, rig->text + rig->text_len, sizeof(rig->text) - 1 - rig->text_len, 0);

	if (n > 0)
		rig->text_len += (size_t)n;
	rig->text[rig->text_len] = '\0';
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static bool has_come(struct rig *rig, int fd, const char *text, bool is_part)
{
	bool is_open = take(rig, fd);

	if (is_part && strstr(rig->text, text))
		return true;
	if (!is_part && rig->text_len >= strlen(text))
		return true;
	if (!is_open)
		fail_msg("the stream ended; have \"%s\", want \"%s\"", rig->text, text);
	return false;
}

void rig_expect(struct rig *rig, int fd, const char *text)
{
	rig->text_len = 0;
	rig_until(rig, has_come(rig, fd, text, false));
	assert_string_equal(rig->text, text);
}

void rig_expect_part(struct rig *rig, int fd, const char *text)
{
	rig->text_len = 0;
	rig_until(rig, has_come(rig, fd, text, true));
}

void rig_expect_end(struct rig *rig, int fd)
{
	rig->text_len = 0;
	rig_until(rig, !take(rig, fd));
}

bool rig_is_silent(struct rig *rig, int fd)
{
	rig->text_len = 0;
	for (int i = 0; i < 5; i++) {
		rig_turn(rig);
		if (!take(rig, fd))
			return false;
	}
	return rig->text_len == 0;
}

struct server *rig_server(struct rig *rig, const char *backend, const char *name)
{
	struct srvset *set = srvset_of(config_backend(rig->config, str_of(backend))->state);

	for (uint32_t i = 0; i < set->members_n; i++)
		if (strcmp(set->members[i].server->name, name) == 0)
			return set->members[i].server;
	fail_msg("no server %s/%s", backend, name);
	return NULL;
}

unsigned rig_slots(struct rig *rig, const char *backend, const char *name)
{
	return atomic_load(&rig_server(rig, backend, name)->used);
}

void rig_assert_quiet(struct rig *rig)
{
	assert_true(list_is_empty(&rig->traffic->lines));
	for (size_t i = 0; i < rig->config->backends_n; i++) {
		struct backend_state *backend = rig->config->backends[i].state;
		struct srvset *set = srvset_of(backend);

		assert_int_equal(counters_sum(&backend->counters, backend_queued_now), 0);
		for (uint32_t j = 0; j < set->members_n; j++) {
			struct server *server = set->members[j].server;

			assert_int_equal(atomic_load(&server->used), 0);
			assert_int_equal(counters_sum(&server->counters, server_requests_now), 0);
		}
	}
}
