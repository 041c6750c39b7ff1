/* SPDX-License-Identifier: MIT */
/*
 * The new side of an upgrade.
 *
 * Until the loop runs it reads with blocking waits, each of them bounded; then the old process'
 * messages come as events.
 */
#include "config.h"

#include "main/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balance/table_copy.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "main/runtime.h"
#include "main/runtime_binds.h"
#include "mirror/beat.h"
#include "session/traffic.h"

#define WAIT_MS SEC(600) /* the old one gives up sooner */

static struct {
	bool is_on;   /* from the start until this process accepts */
	bool is_told; /* to accept */
	struct loop_fd lf;
	int fd;        /* control; -1 = the old one is gone */
	int tables_fd; /* (own) until it is a peer's */
	int peer;      /* of table_copy; -1 = none */
	bool is_quiet; /* the old one has tunnels alone */
	void (*accepting)(void);
	struct control_old old;
} new = { .fd = -1, .tables_fd = -1, .peer = -1 };

static struct upgrade_packet packet;

static int say(enum upgrade_msg type)
{
	packet_begin(&packet, type);
	return packet_send(new.fd, &packet);
}

void upgrade_new_failed(const char *why)
{
	if (new.fd < 0)
		return;
	packet_begin(&packet, MSG_FAILED);
	pack_str(&packet.out, (struct str){ why, strnlen(why, 4096) });
	(void)!packet_send(new.fd, &packet);
}

static int refuse(const char *why)
{
	fprintf(stderr, "limpet: cannot take over from process %d: %s\n", new.old.pid, why);
	upgrade_new_failed(why);
	return -EPROTO;
}

static void close_fds(const struct upgrade_packet *received)
{
	for (size_t i = 0; i < received->fds_n; i++)
		close(received->fds[i]);
}

/* Waits for the next message.  Changes of tables are taken meanwhile, or the old one might wait. */
static int wait_for(struct upgrade_packet *received, enum upgrade_msg *type, struct unpack *in)
{
	struct pollfd polls[2] = { { new.fd, POLLIN, 0 }, { new.tables_fd, POLLIN, 0 } };
	int rc;

	if (new.peer >= 0)
		polls[1].fd = new.tables_fd;
	while ((rc = packet_receive(new.fd, received, type, in)) == -EAGAIN) {
		if (poll(polls, new.peer >= 0 ? 2 : 1, (int)WAIT_MS) == 0)
			return -ETIMEDOUT;
		if (new.peer >= 0)
			table_copy_catch_up();
	}
	return rc == 0 ? -ECONNRESET : rc;
}

static bool is_listening(int fd)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

static void read_listener(struct upgrade_packet *received, struct unpack *in)
{
	unsigned kind = unpack_u8(in);
	struct str text = unpack_str(in);

	for (size_t i = 0; i < received->fds_n; i++) {
		int fd = received->fds[i];

		if (in->is_bad || !is_listening(fd))
			close(fd);
		else if (kind == LISTENER_TRAFFIC)
			binds_inherit(text, fd);
		else if (kind == LISTENER_STATS || kind == LISTENER_HTTP)
			control_inherit(text, fd);
		else
			close(fd);
	}
	received->fds_n = 0;
}

static int read_hello(struct unpack *in)
{
	uint32_t magic = unpack_u32(in);
	uint16_t version = unpack_u16(in);
	struct siphash_key key;
	uint64_t boot;
	struct str text;
	char why[128];

	new.old.pid = (int)unpack_u32(in);
	text = unpack_str(in);
	if (in->is_bad || magic != UPGRADE_MAGIC)
		return refuse("what it says is not understood");
	if (version != UPGRADE_VERSION) {
		snprintf(why, sizeof(why),
			 "limpet %.*s hands over in version %u, limpet %s takes over in version %u",
			 (int)(text.len < 32 ? text.len : 32), text.p, version, PACKAGE_VERSION,
			 UPGRADE_VERSION);
		return refuse(why);
	}
	snprintf(new.old.version, sizeof(new.old.version), "%.*s", STR_ARG(text));
	new.old.started_unix_ms = (int64_t)unpack_u64(in);
	new.old.reloads = unpack_u64(in);
	key.k0 = unpack_u64(in);
	key.k1 = unpack_u64(in);
	boot = unpack_u64(in);
	if (in->is_bad)
		return refuse("its greeting is cut off");
	siphash_set_process_key(&key);
	beat_set_boot(boot);
	return 0;
}

/* All until TYPE says END. */
static int read_until(enum upgrade_msg end)
{
	static struct upgrade_packet received;
	enum upgrade_msg type;
	struct unpack in;
	int rc;

	for (;;) {
		rc = wait_for(&received, &type, &in);
		if (rc < 0) {
			fprintf(stderr, "limpet: the process that hands over is silent: %s\n",
				strerror(-rc));
			return rc;
		}
		rc = 0;
		if (type == MSG_HELLO)
			rc = read_hello(&in);
		else if (type == MSG_SECRET)
			upgrade_read_secret(&in);
		else if (type == MSG_LISTENER)
			read_listener(&received, &in);
		else if (type == MSG_SERVER)
			upgrade_read_server(&in);
		else if (type == MSG_FRONTEND)
			upgrade_read_frontend(&in);
		else if (type == MSG_COUNTERS)
			upgrade_read_counters(&in);
		else if (type == MSG_OVERRIDE)
			upgrade_read_override(&in);
		else if (type == MSG_ENTRIES)
			(void)table_copy_read(&in);
		else if (type != end)
			return refuse("it says something unknown");
		close_fds(&received);
		if (rc == 0 && in.is_bad)
			rc = refuse("one of its messages is malformed");
		if (rc != 0 || type == end)
			return rc;
	}
}

static bool is_packet_socket(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

int upgrade_new_begin(void)
{
	const char *text = getenv(UPGRADE_ENV);
	struct str control, tables;
	uint64_t fds[2];
	ptrdiff_t comma;
	int rc;

	if (!text)
		return 0;
	comma = str_find_char(str_of(text), ',');
	control = (struct str){ text, comma < 0 ? 0 : (size_t)comma };
	tables = comma < 0 ? STR("") : str_of(text + comma + 1);
	if (str_to_u64(control, 65535, &fds[0]) != 0 || str_to_u64(tables, 65535, &fds[1]) != 0 ||
	    !is_packet_socket((int)fds[0]) || !is_packet_socket((int)fds[1])) {
		fprintf(stderr, "limpet: %s=%s is for the use of limpet itself\n", UPGRADE_ENV,
			text);
		return -EINVAL;
	}
	unsetenv(UPGRADE_ENV);
	new.fd = (int)fds[0];
	new.tables_fd = (int)fds[1];
	(void)fcntl(new.fd, F_SETFD, FD_CLOEXEC);
	(void)fcntl(new.tables_fd, F_SETFD, FD_CLOEXEC);
	new.is_on = true;
	rc = read_until(MSG_LOAD);
	return rc == 0 ? 1 : rc;
}

bool upgrade_new_is_on(void)
{
	return new.is_on;
}

int upgrade_new_states(struct config *config)
{
	int rc;

	upgrade_use_secrets(config);
	rc = say(MSG_LOADED);
	return rc == 0 ? read_until(MSG_STATES_END) : rc;
}

/* Servers that only the old process knows, or that are gone there, too. */
static void mark_gone(void)
{
	for (uint32_t i = 0; i < servers_n(); i++) {
		struct server *server = server_by_number(i);
		struct srvset *set = srvset_of(server->backend);

		if (!set || !srvset_find(set, server))
			atomic_fetch_or(&server->state, SERVER_GONE);
	}
}

int upgrade_new_tables(void)
{
	int rc;

	mark_gone();
	new.peer = table_copy_open(&control_loop, new.tables_fd);
	if (new.peer < 0)
		return new.peer;
	rc = say(MSG_STARTED);
	return rc == 0 ? read_until(MSG_TABLES_END) : rc;
}

/*
 * From here on in the loop.
 */
static void on_reaped(void)
{
	table_copy_reap();
}

/* The old one has ended. */
static void let_go(void)
{
	if (new.fd < 0)
		return;
	loop_fd_del(&control_loop, &new.lf);
	close(new.fd);
	new.fd = -1;
	if (new.peer >= 0) {
		table_copy_close(new.peer);
		runtime_barrier(on_reaped);
	}
	new.peer = -1;
	log_info("process %d, which handed over, has ended", new.old.pid);
}

static void on_accepting(void)
{
	int rc;

	new.is_on = false;
	new.accepting();
	rc = new.fd < 0 ? 0 : say(MSG_ACCEPTING);
	if (rc != 0)
		log_error("the process that hands over cannot be told: %s", strerror(-rc));
}

static void go(void)
{
	if (new.is_told)
		return;
	new.is_told = true;
	runtime_listen();
	runtime_barrier(on_accepting);
}

static void read_left(struct unpack *in)
{
	bool is_quiet;

	new.old.pid = (int)unpack_u32(in);
	new.old.connections = unpack_u32(in);
	new.old.tunnels = unpack_u32(in);
	is_quiet = unpack_u8(in);
	new.old.left_ms = (int64_t)unpack_u64(in);
	if (is_quiet && !new.is_quiet &&new.peer >= 0) {
		new.is_quiet = true;
		table_copy_quiet(new.peer);
	}
}

static void on_event(struct loop_fd *lf, uint32_t events)
{
	static struct upgrade_packet received;
	enum upgrade_msg type;
	struct unpack in;

	(void)events;
	while (lf->fd >= 0) {
		int rc = packet_receive(new.fd, &received, &type, &in);

		if (rc == -EAGAIN)
			return;
		if (rc <= 0) {
			bool was_on = new.is_on;

			let_go();
			/* It died just before it could say so: somebody has to serve. */
			if (was_on)
				go();
			return;
		}
		close_fds(&received);
		if (type == MSG_GO && new.is_on)
			go();
		else if (type == MSG_LEFT)
			read_left(&in);
		else if (type == MSG_COUNTERS)
			upgrade_read_counters(&in);
	}
}

int upgrade_new_ready(void (*accepting)(void))
{
	int rc;

	new.accepting = accepting;
	rc = loop_fd_add(&control_loop, &new.lf, new.fd, on_event, EPOLLIN);
	return rc == 0 ? say(MSG_READY) : rc;
}

const struct control_old *upgrade_old(size_t index)
{
	return index == 0 && new.fd >= 0 && !new.is_on ? &new.old : NULL;
}
