/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/control.h"
#include "control/http_auth.h"
#include "control/http_client.h"
#include "net/listener.h"

/* The listener; a new one for each address. */
struct http_listener {
	struct acceptor acceptor;
	struct sock_addr addr;
	mode_t unix_mode;
	struct grave grave;
};

static struct loop *the_loop;
static struct http_listener *listener; /* (own) NULL = none */
static bool is_draining;

static void listener_free(struct grave *grave)
{
	free(container_of(grave, struct http_listener, grave));
}

static bool may_accept(struct acceptor *acceptor)
{
	(void)acceptor;
	return !control_is_held() && http_clients_have_room();
}

static void on_accept(struct acceptor *acceptor, int fd, const struct sock_addr *peer)
{
	struct ip_addr ip = sock_addr_ip(peer);

	(void)acceptor;
	http_client_open(the_loop, fd, &ip);
}

void http_on_client_closed(void)
{
	if (listener)
		acceptor_resume(&listener->acceptor);
}

static int listener_start(const struct stats_http_conf *conf)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): never called with NULL */
	struct listen_options options = { .backlog = 128, .unix_mode = conf->unix_mode };
	struct http_listener *made = xcalloc(1, sizeof(*made));
	int rc;

	made->acceptor.may_accept = may_accept;
	rc = control_listen(&made->acceptor, conf->text, &conf->addr, &options, on_accept);
	if (rc != 0) {
		free(made);
		return rc;
	}
	made->addr = conf->addr;
	made->unix_mode = conf->unix_mode;
	listener = made;
	return 0;
}

static void listener_stop(bool is_handed_over)
{
	struct http_listener *gone = listener;

	if (!gone)
		return;
	listener = NULL;
	acceptor_stop(&gone->acceptor);
	if (sock_addr_is_unix(&gone->addr) && gone->addr.un.sun_path[0] && !is_handed_over &&
	    !control_is_held())
		unlink(gone->addr.un.sun_path);
	loop_bury(the_loop, &gone->grave, listener_free);
}

int http_open(struct loop *loop, const struct stats_http_conf *conf)
{
	the_loop = loop;
	auth_set(conf);
	return conf ? listener_start(conf) : 0;
}

static void change_mode(const struct stats_http_conf *conf)
{
	if (listener->unix_mode == conf->unix_mode || !sock_addr_is_unix(&conf->addr) ||
	    !conf->addr.un.sun_path[0])
		return;
	if (chmod(conf->addr.un.sun_path, conf->unix_mode) == 0)
		listener->unix_mode = conf->unix_mode;
	else
		log_warn("stats http %.*s: cannot change its mode: %s", STR_ARG(conf->text),
			 strerror(errno));
}

void http_apply(const struct stats_http_conf *conf)
{
	bool is_same = conf && listener && sock_addr_eq(&conf->addr, &listener->addr);
	bool has_changed = auth_set(conf);
	int rc;

	if (has_changed || !is_same)
		http_clients_close();
	if (is_same) {
		change_mode(conf);
		return;
	}
	listener_stop(false);
	rc = conf ? listener_start(conf) : 0;
	if (rc != 0)
		log_error("stats http %.*s: %s", STR_ARG(conf->text), strerror(-rc));
}

void http_close(void)
{
	if (!the_loop)
		return;
	listener_stop(false);
	http_clients_close();
	auth_set(NULL);
	the_loop = NULL;
}

int http_listener_fd(void)
{
	return listener ? listener->acceptor.fd : -1;
}

void http_hand_over(void)
{
	if (!the_loop)
		return;
	listener_stop(true);
	http_clients_close();
}

void http_set_draining(bool draining)
{
	is_draining = draining;
}

bool http_is_draining(void)
{
	return is_draining;
}
