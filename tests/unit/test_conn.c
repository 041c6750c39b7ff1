/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/listener.h"

static struct loop loop;
static struct acceptor acceptor;
static char dir[32];
static struct sock_addr unix_addr, tcp_addr;

/* One connection under test, and the peer's end of it. */
static struct conn conn;
static unsigned connected, failed, ios;
static int peer = -1;
static unsigned accepted;
static bool wants_more;
static struct buf in;

static void on_event(struct conn *c, enum conn_ev ev)
{
	assert_ptr_equal(c, &conn);
	switch (ev) {
	case CONN_CONNECTED:
		connected++;
		break;
	case CONN_FAILED:
		failed++;
		break;
	case CONN_IO:
		ios++;
		break;
	}
}

static void on_accept(struct acceptor *a, int fd, const struct sock_addr *from)
{
	(void)a;
	(void)from;
	accepted++;
	if (peer >= 0)
		close(peer);
	peer = fd;
}

static bool may_accept(struct acceptor *a)
{
	(void)a;
	return wants_more || accepted == 0;
}

static int setup(void **state)
{
	char text[64];

	(void)state;
	alarm(20);
	snprintf(dir, sizeof(dir), "/tmp/limpet-conn-XXXXXX");
	if (!mkdtemp(dir) || loop_init(&loop) != 0)
		return -1;
	snprintf(text, sizeof(text), "unix:%s/s", dir);
	connected = failed = ios = accepted = 0;
	peer = -1;
	wants_more = true;
	acceptor = (struct acceptor){ .fd = -1, .lf = { .fd = -1 }, .may_accept = may_accept };
	conn = (struct conn){ .fd = -1, .lf = { .fd = -1 } };
	return sock_addr_parse(str_of(text), &unix_addr) |
	       sock_addr_parse(STR("127.0.0.1:0"), &tcp_addr);
}

static int teardown(void **state)
{
	(void)state;
	conn_close(&conn);
	buf_release(&in);
	buf_pool_fini();
	acceptor_stop(&acceptor);
	if (peer >= 0)
		close(peer);
	loop_fini(&loop);
	unlink(unix_addr.un.sun_path);
	return rmdir(dir);
}

static void listen_on(struct sock_addr *addr)
{
	struct listen_options options = { .backlog = 64, .unix_mode = 0600 };
	int fd = listener_open(addr, &options);

	assert_true(fd >= 0);
	if (!sock_addr_is_unix(addr))
		assert_int_equal(getsockname(fd, &addr->sa, &addr->size), 0);
	assert_int_equal(acceptor_start(&acceptor, &loop, fd, on_accept), 0);
}

#define until(cond)                                                                                \
	do {                                                                                       \
		int64_t end_us = clock_now_us() + 2000000;                                         \
		while (!(cond)) {                                                                  \
			if (clock_now_us() > end_us)                                               \
				fail_msg("never came true: %s", #cond);                            \
			loop_turn(&loop, 1);                                                       \
		}                                                                                  \
	} while (0)

static void connect_to(struct sock_addr *addr)
{
	listen_on(addr);
	assert_int_equal(conn_connect(&loop, &conn, addr, on_event), 0);
	until(!conn.is_connecting && peer >= 0);
}

static void tcp_connect_tells_connected_once(void **state)
{
	(void)state;
	connect_to(&tcp_addr);
	assert_int_equal(connected, 1);
	assert_int_equal(failed, 0);
	assert_true(conn.can_write);
}

static void unix_connect_is_there_at_once(void **state)
{
	(void)state;
	listen_on(&unix_addr);
	assert_int_equal(conn_connect(&loop, &conn, &unix_addr, on_event), 0);
	assert_false(conn.is_connecting);
	assert_true(conn.can_write);
	until(peer >= 0);
	assert_int_equal(connected, 0);
}

static void refused_connects_leave_nothing_open(void **state)
{
	int probe = dup(0), again;

	(void)state;
	close(probe);
	assert_int_equal(conn_connect(&loop, &conn, &unix_addr, on_event), -ENOENT);
	assert_int_equal(conn.fd, -1);
	listen_on(&tcp_addr);
	acceptor_stop(&acceptor); /* the port is known, and nobody listens */
	if (conn_connect(&loop, &conn, &tcp_addr, on_event) == 0) {
		until(failed == 1);
		assert_int_equal(conn.error, ECONNREFUSED);
		assert_string_equal(conn_error_text(conn.error), "connection refused");
		conn_close(&conn);
		conn_close(&conn);
	}
	assert_int_equal(connected, 0);
	again = dup(0);
	assert_int_equal(again, probe);
	close(again);
}

static enum io receive(size_t room)
{
	buf_reserve(&in, room);
	return conn_recv(&conn, &in, room);
}

static void short_read_is_known_to_have_emptied_the_socket(void **state)
{
	(void)state;
	connect_to(&unix_addr);
	assert_int_equal(write(peer, "abcdef", 6), 6);
	until(conn.can_read);
	assert_int_equal(receive(4), IO_OK);
	assert_true(conn.can_read); /* all the room was used: there may be more */
	assert_int_equal(receive(100), IO_OK);
	assert_false(conn.can_read);
	assert_int_equal(receive(100), IO_AGAIN);
	assert_memory_equal(buf_bytes(&in), "abcdef", 6);
	assert_int_equal(write(peer, "g", 1), 1);
	until(conn.can_read); /* the next edge */
	assert_int_equal(receive(100), IO_OK);
}

static void read_without_room_is_not_the_end(void **state)
{
	(void)state;
	connect_to(&unix_addr);
	assert_int_equal(write(peer, "abc", 3), 3);
	until(conn.can_read);
	buf_reserve(&in, 10);
	assert_int_equal(conn_recv(&conn, &in, 0), IO_AGAIN);
	assert_false(conn.is_eof);
	assert_int_equal(receive(10), IO_OK);
	assert_int_equal(buf_length(&in), 3);
}

static void hear_last_words(void)
{
	connect_to(&tcp_addr);
	assert_int_equal(write(peer, "last words", 10), 10);
	close(peer);
	peer = -1;
	until(conn.is_hung_up);
}

static void bytes_before_the_end_are_read_and_then_the_end(void **state)
{
	(void)state;
	hear_last_words();
	assert_int_equal(receive(100), IO_OK);
	assert_int_equal(buf_length(&in), 10);
	/* No further edge will come: the end has to be there for the asking. */
	assert_int_equal(receive(100), IO_EOF);
	assert_int_equal(receive(100), IO_EOF);
	assert_true(conn.is_eof);
}

static void end_that_came_with_the_last_bytes_needs_no_second_read(void **state)
{
	(void)state;
	hear_last_words();
	assert_int_equal(receive(4), IO_OK);
	assert_true(conn.can_read); /* all the room was used: there may be more */
	assert_false(conn.is_eof);
	assert_int_equal(receive(100), IO_OK);
	assert_int_equal(buf_length(&in), 10);
	assert_false(conn.can_read);
	assert_true(conn.is_eof);
}

static void reset_behind_the_last_bytes_is_no_end(void **state)
{
	struct linger linger = { .l_onoff = 1 };

	(void)state;
	connect_to(&tcp_addr);
	assert_int_equal(write(peer, "cut", 3), 3);
	assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(peer);
	peer = -1;
	until(conn.is_broken);
	if (receive(100) == IO_OK) {
		assert_false(conn.is_eof);
		assert_int_equal(receive(100), IO_FAIL);
	}
	assert_int_equal(conn.error, ECONNRESET);
}

static void bytes_behind_urgent_ones_are_not_forgotten(void **state)
{
	(void)state;
	connect_to(&tcp_addr);
	assert_int_equal(write(peer, "abc", 3), 3);
	assert_int_equal(send(peer, "!", 1, MSG_OOB), 1);
	assert_int_equal(write(peer, "def", 3), 3);
	shutdown(peer, SHUT_WR);
	until(conn.is_hung_up && conn.has_urgent);
	while (receive(100) == IO_OK)
		continue;
	assert_true(conn.is_eof);
	assert_int_equal(buf_length(&in), 6);
	assert_memory_equal(buf_bytes(&in), "abcdef", 6);
}

static int option_of(int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(conn.fd, level, option, &value, &size), 0);
	return value;
}

static void lazy_connection_is_undelayed_from_its_second_send_and_probed_when_told(void **state)
{
	size_t sent;

	(void)state;
	listen_on(&tcp_addr);
	assert_int_equal(conn_connect_lazily(&loop, &conn, &tcp_addr, on_event), 0);
	until(!conn.is_connecting && peer >= 0);
	assert_int_equal(conn_send(&conn, "a", 1, &sent), IO_OK);
	assert_int_equal(option_of(IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(conn_send(&conn, "b", 1, &sent), IO_OK);
	assert_int_equal(option_of(IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(conn.nagle, CONN_NAGLE_OFF);
	assert_int_equal(option_of(SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_true(conn.lacks_probes);
	conn_probe(&conn);
	assert_int_equal(option_of(SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_false(conn.lacks_probes);
}

static void connection_is_probed_from_its_start(void **state)
{
	(void)state;
	connect_to(&tcp_addr);
	assert_int_equal(option_of(SOL_SOCKET, SO_KEEPALIVE), 1);
}

/* As accepted ones are: without Nagle's delay. */
static void last_bytes_wait_for_the_end_behind_them(void **state)
{
	size_t sent;
	char got[8];

	(void)state;
	connect_to(&tcp_addr);
	assert_int_equal(conn_send(&conn, "a", 1, &sent), IO_OK);
	assert_int_equal(conn_send(&conn, "b", 1, &sent), IO_OK);
	until(recv(peer, got, 8, MSG_PEEK | MSG_DONTWAIT) == 2);
	conn.is_ending = true;
	assert_int_equal(conn_send(&conn, "c", 1, &sent), IO_OK);
	assert_int_equal(recv(peer, got, 8, MSG_DONTWAIT), 2);
	conn_close(&conn);
	assert_int_equal(recv(peer, got, 8, MSG_DONTWAIT), 1);
	assert_int_equal(recv(peer, got, 8, MSG_DONTWAIT), 0);
}

static void unwatched_one_can_be_asked_what_has_happened(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	peer = fds[1];
	conn_init(&conn, fds[0], on_event);
	conn.can_read = false;
	assert_int_equal(conn_watch_late(&loop, &conn), 0);
	assert_true(conn_is_unheard(&loop, &conn));
	conn_look(&conn);
	assert_false(conn.can_read || conn.is_hung_up);
	assert_int_equal(write(peer, "x", 1), 1);
	shutdown(peer, SHUT_WR);
	conn_look(&conn);
	assert_true(conn.can_read && conn.is_hung_up && !conn.is_broken);
	assert_int_equal(ios, 0);
	assert_int_equal(conn_watch(&loop, &conn), 0);
	assert_int_equal(conn_watch_late(&loop, &conn), 0);
	assert_true(conn_is_unheard(&loop, &conn)); /* its event is still to come */
	until(ios == 1);
	for (int i = 0; i < 3; i++)
		loop_turn(&loop, 0);
	assert_false(conn_is_unheard(&loop, &conn));
}

static void reset_is_a_failure_not_an_end(void **state)
{
	struct linger linger = { .l_onoff = 1 };

	(void)state;
	connect_to(&tcp_addr);
	assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(peer);
	peer = -1;
	until(conn.is_broken);
	assert_int_equal(receive(100), IO_FAIL);
	assert_int_equal(conn.error, ECONNRESET);
}

static void our_reset_reaches_the_peer(void **state)
{
	char byte;

	(void)state;
	connect_to(&tcp_addr);
	conn_reset(&conn);
	assert_int_equal(conn.fd, -1);
	assert_int_equal(recv(peer, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void full_socket_waits_and_goes_on_without_losing_a_byte(void **state)
{
	size_t size = 4 << 20, sent_all = 0, got_all = 0, sent;
	char *bytes = xmalloc(size), *got = xmalloc(size);

	(void)state;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 31 >> 3);
	connect_to(&tcp_addr);
	while (got_all < size) {
		ssize_t n;

		if (conn.can_write && sent_all < size) {
			struct iovec iov[3] = { { bytes + sent_all, 1 },
						{ NULL, 0 },
						{ bytes + sent_all + 1, size - sent_all - 1 } };
			enum io io = conn_sendv(&conn, iov, 3, &sent);

			sent_all += sent;
			assert_int_equal(io, sent_all == size ? IO_OK : IO_AGAIN);
			assert_int_equal(conn.can_write, io == IO_OK);
		}
		n = recv(peer, got + got_all, size - got_all, MSG_DONTWAIT);
		got_all += n > 0 ? (size_t)n : 0;
		loop_turn(&loop, 0);
	}
	assert_memory_equal(got, bytes, size);
	free(bytes);
	free(got);
}

static void send_to_one_who_has_gone_fails_without_a_signal(void **state)
{
	size_t sent;

	(void)state;
	connect_to(&unix_addr);
	close(peer);
	peer = -1;
	until(conn.is_broken);
	assert_int_equal(conn_send(&conn, "x", 1, &sent), IO_FAIL);
	assert_int_equal(conn.error, EPIPE);
	assert_int_equal(sent, 0);
	assert_int_equal(conn_send(&conn, "", 0, &sent), IO_OK);
}

static void half_close_lets_the_other_side_go_on(void **state)
{
	char byte;

	(void)state;
	connect_to(&tcp_addr);
	conn_shutdown(&conn);
	conn_shutdown(&conn);
	while (recv(peer, &byte, 1, MSG_DONTWAIT) != 0)
		loop_turn(&loop, 1);
	assert_int_equal(write(peer, "late", 4), 4);
	until(conn.can_read);
	assert_int_equal(receive(10), IO_OK);
	assert_int_equal(buf_length(&in), 4);
}

static void send_buf_consumes_what_went(void **state)
{
	struct buf out = { 0 };
	char got[8];

	(void)state;
	connect_to(&unix_addr);
	assert_int_equal(conn_send_buf(&conn, &out), IO_OK);
	buf_append_str(&out, STR("hello"));
	assert_int_equal(conn_send_buf(&conn, &out), IO_OK);
	assert_null(out.block);
	assert_int_equal(read(peer, got, sizeof(got)), 5);
}

static void stale_socket_file_is_replaced_and_a_live_one_is_not(void **state)
{
	struct listen_options options = { .backlog = 1, .unix_mode = 0640 };
	struct stat st;
	int fd = listener_open(&unix_addr, &options);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(stat(unix_addr.un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(listener_open(&unix_addr, &options), -EADDRINUSE);
	close(fd); /* its file stays behind */
	fd = listener_open(&unix_addr, &options);
	assert_true(fd >= 0);
	close(fd);
	unlink(unix_addr.un.sun_path);
	/* Never anything but a socket. */
	fd = open(unix_addr.un.sun_path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(listener_open(&unix_addr, &options), -EADDRINUSE);
	assert_int_equal(stat(unix_addr.un.sun_path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static int connect_raw(const struct sock_addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, &addr->sa, addr->size), 0);
	return fd;
}

static void acceptor_pauses_when_told_and_takes_the_rest_later(void **state)
{
	int fds[3];

	(void)state;
	wants_more = false;
	listen_on(&tcp_addr);
	for (int i = 0; i < 3; i++)
		fds[i] = connect_raw(&tcp_addr);
	until(accepted == 1);
	for (int i = 0; i < 5; i++)
		loop_turn(&loop, 1);
	assert_int_equal(accepted, 1);
	wants_more = true;
	acceptor_resume(&acceptor);
	acceptor_resume(&acceptor);
	until(accepted == 3);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void acceptor_out_of_descriptors_waits_and_does_not_spin(void **state)
{
	struct rlimit before, none;
	uint64_t turns;
	int fd, lowest;

	(void)state;
	listen_on(&unix_addr);
	fd = connect_raw(&unix_addr);
	lowest = dup(0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ (rlim_t)lowest, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	until(acceptor.is_paused);
	assert_int_equal(acceptor.errors, 1);
	turns = loop.turns;
	loop_turn(&loop, 30);
	assert_int_equal(loop.turns, turns + 1); /* it slept */
	assert_int_equal(acceptor.errors, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	until(accepted == 1);
	close(fd);
}

int main(void)
{
#define CONN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CONN_TEST(tcp_connect_tells_connected_once),
		CONN_TEST(unix_connect_is_there_at_once),
		CONN_TEST(refused_connects_leave_nothing_open),
		CONN_TEST(short_read_is_known_to_have_emptied_the_socket),
		CONN_TEST(read_without_room_is_not_the_end),
		CONN_TEST(bytes_before_the_end_are_read_and_then_the_end),
		CONN_TEST(end_that_came_with_the_last_bytes_needs_no_second_read),
		CONN_TEST(reset_behind_the_last_bytes_is_no_end),
		CONN_TEST(bytes_behind_urgent_ones_are_not_forgotten),
		CONN_TEST(lazy_connection_is_undelayed_from_its_second_send_and_probed_when_told),
		CONN_TEST(connection_is_probed_from_its_start),
		CONN_TEST(last_bytes_wait_for_the_end_behind_them),
		CONN_TEST(unwatched_one_can_be_asked_what_has_happened),
		CONN_TEST(reset_is_a_failure_not_an_end),
		CONN_TEST(our_reset_reaches_the_peer),
		CONN_TEST(full_socket_waits_and_goes_on_without_losing_a_byte),
		CONN_TEST(send_to_one_who_has_gone_fails_without_a_signal),
		CONN_TEST(half_close_lets_the_other_side_go_on),
		CONN_TEST(send_buf_consumes_what_went),
		CONN_TEST(stale_socket_file_is_replaced_and_a_live_one_is_not),
		CONN_TEST(acceptor_pauses_when_told_and_takes_the_rest_later),
		CONN_TEST(acceptor_out_of_descriptors_waits_and_does_not_spin),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
