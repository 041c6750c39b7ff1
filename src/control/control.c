/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/console.h"
#include "control/drain.h"
#include "control/frontends.h"
#include "control/http.h"
#include "control/sample.h"

control_reload_fn *control_reload_hook;
control_upgrade_fn *control_upgrade_hook;
control_save_fn *control_save_hook;
control_old_fn *control_old_hook;

static struct loop *the_loop;
static struct config *the_config; /* (ref) in force */
static struct list sockets = { &sockets, &sockets };
static bool is_held; /* until the process before this one has let go */

/* Sockets that were handed to this process; fd -1 = taken. */
static struct inherited {
	char *text; /* (own) */
	int fd;     /* (own) */
} * inherited;
static size_t inherited_n;

const struct config *control_config(void)
{
	return the_config;
}

struct loop *console_loop(void)
{
	return the_loop;
}

struct list *control_sockets(void)
{
	return &sockets;
}

static void socket_free(struct grave *grave)
{
	struct control_socket *socket = container_of(grave, struct control_socket, grave);

	free(socket->text);
	free(socket);
}

static bool may_accept(struct acceptor *acceptor)
{
	return !is_held &&
	       container_of(acceptor, struct control_socket, acceptor)->consoles_n < CONSOLES_MAX;
}

static void on_accept(struct acceptor *acceptor, int fd, const struct sock_addr *peer)
{
	(void)peer;
	console_open(container_of(acceptor, struct control_socket, acceptor), fd);
}

void control_socket_release(struct control_socket *socket)
{
	bug_on(!socket->consoles_n);
	socket->consoles_n--;
	if (!socket->is_closed)
		acceptor_resume(&socket->acceptor);
	else if (!socket->consoles_n)
		loop_bury(the_loop, &socket->grave, socket_free);
}

static void socket_let_go(struct control_socket *socket)
{
	acceptor_stop(&socket->acceptor);
	list_remove(&socket->link);
	socket->is_closed = true;
	if (!socket->consoles_n)
		loop_bury(the_loop, &socket->grave, socket_free);
}

static void socket_close(struct control_socket *socket)
{
	const struct sockaddr_un *un = &socket->addr.un;

	/* Held: it may be another process' still. */
	if (sock_addr_is_unix(&socket->addr) && un->sun_path[0] && !is_held)
		unlink(un->sun_path);
	socket_let_go(socket);
}

void control_inherit(struct str text, int fd)
{
	inherited = xrealloc_array(inherited, inherited_n + 1, sizeof(*inherited));
	inherited[inherited_n++] = (struct inherited){ xstrndup(text), fd };
}

/* -1 = it was not handed over. */
static int take_inherited(struct str text)
{
	for (size_t i = 0; i < inherited_n; i++)
		if (inherited[i].fd >= 0 && str_eq(str_of(inherited[i].text), text)) {
			int fd = inherited[i].fd;

			inherited[i].fd = -1;
			return fd;
		}
	return -1;
}

static void forget_inherited(void)
{
	for (size_t i = 0; i < inherited_n; i++) {
		if (inherited[i].fd >= 0)
			close(inherited[i].fd);
		free(inherited[i].text);
	}
	free(inherited);
	inherited = NULL;
	inherited_n = 0;
}

int control_listen(struct acceptor *acceptor, struct str text, const struct sock_addr *addr,
		   const struct listen_options *options, acceptor_fn *fn)
{
	int fd = take_inherited(text);
	int rc;

	if (fd < 0)
		fd = listener_open(addr, options);
	if (fd < 0)
		return fd;
	rc = acceptor_start(acceptor, the_loop, fd, fn);
	if (rc != 0)
		close(fd);
	return rc;
}

static int socket_open(const struct stats_socket_conf *conf)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a row of an array, never NULL */
	struct listen_options options = { .backlog = 64, .unix_mode = conf->unix_mode };
	struct control_socket *socket = xcalloc(1, sizeof(*socket));
	int rc;

	socket->acceptor.may_accept = may_accept;
	rc = control_listen(&socket->acceptor, conf->text, &conf->addr, &options, on_accept);
	if (rc != 0) {
		free(socket);
		return rc;
	}
	socket->addr = conf->addr;
	socket->text = xstrndup(conf->text);
	socket->level = conf->level;
	socket->unix_mode = conf->unix_mode;
	list_push_back(&sockets, &socket->link);
	return 0;
}

static const struct stats_socket_conf *conf_of(const struct control_socket *socket,
					       const struct config *config)
{
	for (size_t i = 0; i < config->global.stats_sockets_n; i++)
		if (sock_addr_eq(&config->global.stats_sockets[i].addr, &socket->addr))
			return &config->global.stats_sockets[i];
	return NULL;
}

static struct control_socket *socket_of(const struct stats_socket_conf *conf)
{
	list_for_each(at, &sockets) {
		struct control_socket *socket = list_entry(at, struct control_socket, link);

		if (sock_addr_eq(&conf->addr, &socket->addr))
			return socket;
	}
	return NULL;
}

static void set_config(struct config *config)
{
	struct config *old = the_config;

	the_config = config ? config_ref(config) : NULL;
	config_unref(old);
}

/* Level and mode as they are now. */
static void socket_change(struct control_socket *socket, const struct stats_socket_conf *conf)
{
	socket->level = conf->level;
	if (socket->unix_mode == conf->unix_mode || !sock_addr_is_unix(&socket->addr) ||
	    !socket->addr.un.sun_path[0])
		return;
	if (chmod(socket->addr.un.sun_path, conf->unix_mode) == 0)
		socket->unix_mode = conf->unix_mode;
	else
		log_warn("stats socket %s: cannot change its mode: %s", socket->text,
			 strerror(errno));
}

int control_init(struct loop *loop, struct config *config, const char **why)
{
	static char text[ADDR_TEXT_SIZE + 64];
	int rc;

	the_loop = loop;
	set_config(config);
	for (size_t i = 0; i < config->global.stats_sockets_n; i++) {
		const struct stats_socket_conf *conf = &config->global.stats_sockets[i];

		rc = socket_open(conf);
		if (rc == 0)
			continue;
		snprintf(text, sizeof(text), "stats socket %.*s", STR_ARG(conf->text));
		*why = text;
		control_fini();
		return rc;
	}
	rc = http_open(loop, config->global.stats_http);
	if (rc != 0) {
		snprintf(text, sizeof(text), "stats http %.*s",
			 STR_ARG(config->global.stats_http->text));
		*why = text;
		control_fini();
		return rc;
	}
	forget_inherited();
	sample_start(loop);
	return 0;
}

void control_hold(void)
{
	is_held = true;
}

bool control_is_held(void)
{
	return is_held;
}

void control_release(void)
{
	is_held = false;
	list_for_each(at, &sockets)
		acceptor_resume(&list_entry(at, struct control_socket, link)->acceptor);
}

size_t control_listeners(struct control_listener *to, size_t max)
{
	size_t n = 0;

	list_for_each(at, &sockets) {
		struct control_socket *socket = list_entry(at, struct control_socket, link);

		if (n < max)
			to[n++] = (struct control_listener){ str_of(socket->text),
							     socket->acceptor.fd, false };
	}
	if (http_listener_fd() >= 0 && n < max)
		to[n++] = (struct control_listener){ the_config->global.stats_http->text,
						     http_listener_fd(), true };
	return n;
}

void control_hand_over(void)
{
	http_hand_over();
	list_for_each_safe(at, after, &sockets)
		socket_let_go(list_entry(at, struct control_socket, link));
}

void control_apply(struct config *config)
{
	frontends_apply(the_config, config);
	set_config(config);
	list_for_each_safe(at, after, &sockets) {
		struct control_socket *socket = list_entry(at, struct control_socket, link);
		const struct stats_socket_conf *conf = conf_of(socket, config);

		if (conf)
			socket_change(socket, conf);
		else
			socket_close(socket);
	}
	for (size_t i = 0; i < config->global.stats_sockets_n; i++) {
		const struct stats_socket_conf *conf = &config->global.stats_sockets[i];
		int rc = socket_of(conf) ? 0 : socket_open(conf);

		if (rc != 0)
			log_error("stats socket %.*s: %s", STR_ARG(conf->text), strerror(-rc));
	}
	http_apply(config->global.stats_http);
}

void control_set_draining(bool is_draining)
{
	http_set_draining(is_draining);
}

void control_fini(void)
{
	if (!the_loop)
		return;
	sample_stop();
	drain_fini();
	list_for_each_safe(at, after, &sockets)
		socket_close(list_entry(at, struct control_socket, link));
	consoles_close();
	http_close();
	set_config(NULL);
	the_loop = NULL;
}
