/* SPDX-License-Identifier: MIT */
/*
 * The old side of an upgrade.
 *
 *   IDLE -> COLLECT -> HELLO -> STATES -> TABLES -> READY -> GO -> HANDED_OVER
 *     ^______________________________________________________|
 *                      anything that goes wrong
 *
 * Each state says what is waited for.  Whoever fails is killed, reaped, and told of; nothing of
 * this process has changed until then.
 */
#include "config.h"

#include "main/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balance/table_copy.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "main/certificates.h"
#include "main/process.h"
#include "main/runtime.h"
#include "mirror/beat.h"
#include "mirror/mirror.h"
#include "session/traffic.h"

enum state {
	ST_IDLE,
	ST_COLLECT,     /* the threads' listening sockets */
	ST_HELLO,       /* LOADED */
	ST_STATES,      /* STARTED */
	ST_TABLES,      /* READY */
	ST_GO,          /* ACCEPTING */
	ST_REAP,        /* it has failed: its end */
	ST_HANDED_OVER, /* our last client */
};

#define PACKETS_AT_ONCE 32
#define LISTENERS_MAX   4096
#define REAP_TRIES      100
#define REAP_MS         20

struct listening {
	enum upgrade_listener kind;
	char *text; /* (own) */
	int fd;     /* (own) */
};

static struct {
	/* Fixed at the start. */
	const char *binary;
	char **argv;
	void (*stop)(void);

	enum state state;
	pid_t pid;
	int tables_fd; /* (own) until it is a peer's */
	int peer;      /* of table_copy; -1 = none */
	struct loop_fd lf;
	struct timer timer;
	bool has_given_up;
	unsigned tries;
	char *why; /* (own) of the failure */
	control_upgraded_fn *done;
	void *done_arg;

	/* What is being sent. */
	bool (*write)(void); /* the next message into packet; false: there is none */
	bool has_packet;     /* packet is not sent yet */
	struct upgrade_walk walk;
	struct table_copy_walk tables;
	enum upgrade_msg last; /* to be sent when there are no more; 0 = none */
	struct listening *listening;
	size_t listening_n, listening_at;
} up = { .tables_fd = -1, .peer = -1 };

static struct upgrade_packet packet;

static void fail(const char *fmt, ...) printf_like(1, 2);
static void send_all(void);

static void set_writer(bool (*writer)(void), enum upgrade_msg last)
{
	up.write = writer;
	up.last = last;
	up.walk = (struct upgrade_walk){ 0 };
	send_all();
}

/*
 * Messages.
 */
static bool write_listener(void)
{
	const struct listening *first = &up.listening[up.listening_at];

	if (up.listening_at == up.listening_n)
		return false;
	packet_begin(&packet, MSG_LISTENER);
	pack_u8(&packet.out, (uint8_t)first->kind);
	pack_str(&packet.out, str_of(first->text));
	while (up.listening_at < up.listening_n && packet.fds_n < UPGRADE_FDS_MAX &&
	       up.listening[up.listening_at].kind == first->kind &&
	       strcmp(up.listening[up.listening_at].text, first->text) == 0)
		packet.fds[packet.fds_n++] = up.listening[up.listening_at++].fd;
	return true;
}

static bool write_hello(void)
{
	const struct siphash_key *key = siphash_process_key();

	if (up.walk.part == 1)
		return upgrade_write_secrets(&up.walk, &packet) || write_listener();
	up.walk.part = 1;
	packet_begin(&packet, MSG_HELLO);
	pack_u32(&packet.out, UPGRADE_MAGIC);
	pack_u16(&packet.out, UPGRADE_VERSION);
	pack_u32(&packet.out, (uint32_t)getpid());
	pack_str(&packet.out, STR(PACKAGE_VERSION));
	pack_u64(&packet.out, (uint64_t)process_state.started_unix_ms);
	pack_u64(&packet.out, runtime_config()->serial - 1);
	pack_u64(&packet.out, key->k0);
	pack_u64(&packet.out, key->k1);
	pack_u64(&packet.out, beat_boot()); /* the counters go along */
	return true;
}

static bool write_states(void)
{
	return upgrade_write_states(&up.walk, &packet);
}

static bool write_tables(void)
{
	bool has_more;

	if (up.walk.part)
		return false;
	packet_begin(&packet, MSG_ENTRIES);
	has_more = table_copy_write(&up.tables, &packet.out);
	up.walk.part = !has_more;
	return true;
}

static bool write_nothing(void)
{
	return false;
}

static bool write_counters(void)
{
	return upgrade_write_counters(&up.walk, &packet);
}

/* The next message into the packet; false when all is said. */
static bool next_packet(void)
{
	if (up.write && up.write())
		return true;
	up.write = NULL;
	if (!up.last)
		return false;
	packet_begin(&packet, up.last);
	up.last = 0;
	return true;
}

static void go_on(struct soon *soon)
{
	(void)soon;
	send_all();
}

static void send_all(void)
{
	static struct soon again;

	for (unsigned i = 0; up.lf.fd >= 0 && (up.has_packet || next_packet()); i++) {
		int rc;

		if (i == PACKETS_AT_ONCE) {
			up.has_packet = true;
			loop_soon(&control_loop, &again, go_on);
			return;
		}
		rc = packet_send(up.lf.fd, &packet);
		up.has_packet = rc == -EAGAIN;
		if (rc == -EAGAIN)
			return; /* on_event() */
		if (rc != 0 && up.state != ST_HANDED_OVER) {
			if (rc == -EPIPE || rc == -ECONNRESET)
				up.has_given_up = true;
			fail("it cannot be told more: %s", strerror(-rc));
		}
		if (rc != 0)
			return;
	}
}

/*
 * Ends of an upgrade.
 */
static void tell(bool is_done, const char *text)
{
	control_upgraded_fn *done = up.done;

	up.done = NULL;
	if (done)
		done(up.done_arg, is_done, text);
}

static void close_listening(void)
{
	for (size_t i = 0; i < up.listening_n; i++) {
		close(up.listening[i].fd);
		free(up.listening[i].text);
	}
	free(up.listening);
	up.listening = NULL;
	up.listening_n = up.listening_at = 0;
}

static void close_control(void)
{
	int fd = up.lf.fd;

	if (fd < 0)
		return;
	loop_fd_del(&control_loop, &up.lf);
	close(fd);
	up.lf.fd = -1;
	up.has_packet = false;
	up.write = NULL;
	up.last = 0;
}

static void on_reaped(const char *how)
{
	char *text = xasprintf("Upgrade failed: %s (%s). This process goes on.", up.why, how);

	log_event(LOG_LEVEL_ERROR, "upgrade",
		  LOG_FIELDS({ "result", "failed", 0 }, { "reason", up.why, 0 }),
		  "upgrade failed: %s (%s); this process goes on", up.why, how);
	up.state = ST_IDLE;
	free(up.why);
	up.why = NULL;
	tell(false, text);
	free(text);
}

static void reap(void)
{
	char how[96];

	if (!up.pid) {
		on_reaped("nothing was started");
	} else if (upgrade_reap(up.pid, ++up.tries >= REAP_TRIES, how, sizeof(how))) {
		up.pid = 0;
		on_reaped(how);
	} else {
		loop_timer_in(&control_loop, &up.timer, REAP_MS);
	}
}

static void fail(const char *fmt, ...)
{
	char why[4200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	close_control();
	close_listening();
	if (up.peer >= 0) {
		table_copy_close(up.peer);
		runtime_barrier(table_copy_reap);
	}
	up.peer = -1;
	if (up.tables_fd >= 0)
		close(up.tables_fd);
	up.tables_fd = -1;
	up.why = xstrdup(why);
	up.state = ST_REAP;
	/* Who has said or shown that it gives up is given the time to exit. */
	up.tries = up.has_given_up ? 0 : REAP_TRIES;
	timer_stop(&up.timer);
	reap();
}

void upgrade_say_left(const struct upgrade_left *left)
{
	if (up.lf.fd < 0 || up.has_packet || up.write)
		return; /* it is slow: the next time */
	packet_begin(&packet, MSG_LEFT);
	pack_u32(&packet.out, (uint32_t)getpid());
	pack_u32(&packet.out, left->clients);
	pack_u32(&packet.out, left->tunnels);
	pack_u8(&packet.out, left->is_quiet);
	pack_u64(&packet.out, (uint64_t)left->left_ms);
	if (packet_send(up.lf.fd, &packet) == 0 && left->has_counters)
		set_writer(write_counters, 0);
}

static void hand_over(void)
{
	char text[128];

	up.state = ST_HANDED_OVER;
	timer_stop(&up.timer);
	snprintf(text, sizeof(text), "Process %d serves now; process %d ends with its connections.",
		 (int)up.pid, (int)getpid());
	log_event(LOG_LEVEL_INFO, "upgrade",
		  LOG_FIELDS({ "result", "ok", 0 }, { "pid", NULL, up.pid },
			     { "old_pid", NULL, getpid() }),
		  "process %d serves now; this one (%d) ends with its connections, %lld s from now "
		  "at the latest",
		  (int)up.pid, (int)getpid(),
		  (long long)runtime_config()->global.upgrade_grace_ms / 1000);
	certificates_tell_unsaved();
	certificates_fini();
	close_listening();
	mirror_fini(); /* the new one has it, and the tables of both are kept alike */
	process_notify_end();
	control_hand_over();
	upgrade_drain(up.stop);
	tell(true, text);
}

/*
 * What the new one says.
 */
static void send_tables(void)
{
	/* First the changes, then what there is: none is missed between the two. */
	up.peer = table_copy_open(&control_loop, up.tables_fd);
	if (up.peer < 0) {
		fail("too many processes are still draining");
		return;
	}
	up.tables_fd = -1;
	up.state = ST_TABLES;
	up.tables = (struct table_copy_walk){ 0 };
	set_writer(write_tables, MSG_TABLES_END);
}

static void on_packet(enum upgrade_msg type, struct unpack *in)
{
	if (type == MSG_FAILED) {
		struct str why = unpack_str(in);

		up.has_given_up = true;
		fail("%.*s", STR_ARG(why));
	} else if (type == MSG_LOADED && up.state == ST_HELLO) {
		up.state = ST_STATES;
		close_listening();
		set_writer(write_states, MSG_STATES_END);
	} else if (type == MSG_STARTED && up.state == ST_STATES) {
		send_tables();
	} else if (type == MSG_READY && up.state == ST_TABLES) {
		up.state = ST_GO;
		set_writer(write_nothing, MSG_GO);
	} else if (type == MSG_ACCEPTING && up.state == ST_GO) {
		hand_over();
	} else if (up.state != ST_HANDED_OVER) {
		fail("it says %d when that is not expected", (int)type);
	}
}

static void on_end(void)
{
	if (up.state == ST_HANDED_OVER) {
		log_warn("process %d, which took over, has ended", (int)up.pid);
		close_control();
		return;
	}
	up.has_given_up = true;
	fail("the new process ended before it was ready");
}

static void on_event(struct loop_fd *lf, uint32_t events)
{
	static struct upgrade_packet received;
	struct unpack in;
	enum upgrade_msg type;

	if (events & EPOLLOUT)
		send_all();
	while (lf->fd >= 0) {
		int rc = packet_receive(lf->fd, &received, &type, &in);

		if (rc == -EAGAIN)
			return;
		for (size_t i = 0; rc > 0 && i < received.fds_n; i++)
			close(received.fds[i]);
		if (rc <= 0) {
			on_end();
			return;
		}
		on_packet(type, &in);
	}
}

static void on_timer(struct timer *timer)
{
	(void)timer;
	switch (up.state) {
	case ST_REAP:
		reap();
		break;
	case ST_COLLECT:
	case ST_HELLO:
	case ST_STATES:
	case ST_TABLES:
	case ST_GO:
		fail("the new process was not ready within global.upgrade_timeout");
		break;
	case ST_HANDED_OVER:
	case ST_IDLE:
		break;
	}
}

/*
 * The start.
 */
static void add_listening(enum upgrade_listener kind, struct str text, int fd)
{
	int copy = up.listening_n < LISTENERS_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (copy < 0)
		return;
	up.listening = xrealloc_array(up.listening, up.listening_n + 1, sizeof(*up.listening));
	up.listening[up.listening_n++] = (struct listening){ kind, xstrndup(text), copy };
}

static int by_text(const void *a, const void *b)
{
	const struct listening *x = a, *y = b;

	return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->text, y->text);
}

static void start_it(void)
{
	int pair[2], tables[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		fail("no socket to talk over: %s", strerror(errno));
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, tables) != 0) {
		close(pair[0]);
		close(pair[1]);
		fail("no socket to talk over: %s", strerror(errno));
		return;
	}
	up.pid = upgrade_spawn(up.binary, up.argv, pair[1], tables[1]);
	close(pair[1]);
	close(tables[1]);
	up.tables_fd = tables[0];
	rc = up.pid < 0 ? up.pid : 0;
	up.pid = rc < 0 ? 0 : up.pid;
	if (rc == 0)
		rc = loop_fd_add(&control_loop, &up.lf, pair[0], on_event, EPOLLIN | EPOLLOUT);
	if (rc != 0) {
		up.lf.fd = -1;
		close(pair[0]);
		fail("'%s' cannot be started: %s", up.binary, strerror(-rc));
		return;
	}
	up.state = ST_HELLO;
	log_info("upgrade: %s started as process %d", up.binary, (int)up.pid);
	set_writer(write_hello, MSG_LOAD);
}

/* The descriptors and texts in LIST are ours now. */
static void on_collected(struct runtime_listening *list, size_t n)
{
	struct control_listener stats[64];
	size_t stats_n = control_listeners(stats, ARRAY_N(stats));

	for (size_t i = 0; i < n; i++) {
		add_listening(LISTENER_TRAFFIC, str_of(list[i].text), list[i].fd);
		close(list[i].fd);
		free(list[i].text);
	}
	free(list);
	if (up.state != ST_COLLECT)
		return; /* given up meanwhile */
	for (size_t i = 0; i < stats_n; i++)
		add_listening(stats[i].is_http ? LISTENER_HTTP : LISTENER_STATS, stats[i].text,
			      stats[i].fd);
	qsort(up.listening, up.listening_n, sizeof(*up.listening), by_text);
	start_it();
}

static char *refusal(void)
{
	const struct global_conf *global = &runtime_config()->global;

	if (up.state == ST_HANDED_OVER)
		return xasprintf("This process (%d) has handed over to %d already.", (int)getpid(),
				 (int)up.pid);
	if (up.state != ST_IDLE)
		return xstrdup("An upgrade is under way.");
	if (upgrade_new_is_on())
		return xstrdup("This process is just taking over itself.");
	if (atomic_load(&process_state.is_stopping))
		return xstrdup("This process is stopping.");
	if (getpid() == 1)
		return xstrdup("Process 1 cannot hand over: its end is the container's.");
	if (!up.binary)
		return xstrdup("It is not known which program to start: use -b.");
	if (access(up.binary, X_OK) != 0 && global->chroot.len)
		return xasprintf("'%s' cannot be reached from inside the chroot %.*s: put the "
				 "program and its libraries there, or restart.",
				 up.binary, STR_ARG(global->chroot));
	if (access(up.binary, X_OK) != 0)
		return xasprintf("'%s' cannot be started: %s.", up.binary, strerror(errno));
	return NULL;
}

int upgrade_start(control_upgraded_fn *done, void *arg, char **why)
{
	char *refused = refusal();

	if (refused) {
		log_warn("upgrade refused: %s", refused);
		*why = refused;
		return -EBUSY;
	}
	runtime_listen(); /* nobody is handed a listener that does not listen */
	up.state = ST_COLLECT;
	up.done = done;
	up.done_arg = arg;
	up.pid = 0;
	up.has_given_up = false;
	up.lf.fd = -1;
	timer_init(&up.timer, on_timer);
	loop_timer_in(&control_loop, &up.timer, runtime_config()->global.upgrade_timeout_ms);
	runtime_collect_listening(on_collected);
	return 0;
}

void upgrade_init(const char *binary, char **argv, void (*stop)(void))
{
	up.binary = binary ? binary : upgrade_find_binary(argv[0]);
	up.argv = argv;
	up.stop = stop;
	up.lf.fd = -1;
	timer_init(&up.timer, on_timer);
}

const char *upgrade_forbids_reload(void)
{
	if (up.state == ST_HANDED_OVER)
		return "this process has handed over to a new one: ask that";
	if (up.state != ST_IDLE)
		return "an upgrade is under way";
	return upgrade_new_is_on() ? "this process is just taking over" : NULL;
}

bool upgrade_is_handed_over(void)
{
	return up.state == ST_HANDED_OVER;
}

void upgrade_cancel(void)
{
	if (up.state == ST_HANDED_OVER)
		upgrade_drain_stop();
	else if (up.state != ST_IDLE && up.state != ST_REAP)
		fail("this process was told to stop");
}
