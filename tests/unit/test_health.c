/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/health.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "health_rig.h"
#include "proto/proxy.h"

static bool is_down(const struct server *server)
{
	return server_state(server) & SERVER_DOWN;
}

static unsigned generation(const struct server *server)
{
	return atomic_load(&((struct server *)(uintptr_t)server)->generation);
}

static struct health_info info_of(const struct server *server)
{
	struct health_info info;

	assert_true(health_info(server, &info));
	return info;
}

static void http_checks(struct rig *rig)
{
	static struct status_range fine = { 200, 299 };

	rig->backend->health.kind = CHECK_HTTP;
	rig->backend->health.statuses = &fine;
	rig->backend->health.statuses_n = 1;
}

static void server_is_up_at_start_and_checked_within_100_ms(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;
	int64_t started_us = clock_now_us();

	rig->backend->health.interval_ms = 5000;
	server = rig_add(rig, &peer->addr);
	assert_false(is_down(server));
	assert_string_equal(info_of(server).code, "");
	rig_until(rig, info_of(server).checks_n == 1);
	assert_true(clock_now_us() - started_us < 1000000); /* 100 ms, and a slow machine */
	assert_string_equal(info_of(server).code, "L4OK");
	assert_false(is_down(server));
}

static void refused_check_takes_down_at_once_with_one_generation(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = rig_add(rig, &peer->addr);
	unsigned before = generation(server);

	rig_until(rig, info_of(server).checks_n >= 2);
	rig_kill(peer);
	rig_until(rig, is_down(server));
	assert_int_equal(info_of(server).failed_n, 1); /* fall is 3 */
	assert_int_equal(generation(server), before + 1);
	rig_until(rig, info_of(server).failed_n >= 5);
	assert_int_equal(generation(server), before + 1);
	rig_revive(peer);
	rig_until(rig, !is_down(server));
	assert_int_equal(generation(server), before + 1);
	rig_kill(peer);
	rig_until(rig, is_down(server));
	assert_int_equal(generation(server), before + 2);
}

static void http_status_counts_fall_and_rise_without_a_generation(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;
	uint64_t checks_n;
	unsigned before;

	http_checks(rig);
	peer->answer = "HTTP/1.1 204 No Content\r\n\r\n";
	server = rig_add(rig, &peer->addr);
	before = generation(server);
	rig_until(rig, info_of(server).checks_n == 1);
	assert_string_equal(info_of(server).code, "L7OK");
	peer->answer = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
	rig_until(rig, info_of(server).failed_n == 2);
	assert_false(is_down(server));
	assert_int_equal(info_of(server).failures, 2);
	rig_until(rig, info_of(server).failed_n == 3);
	assert_true(is_down(server));
	assert_string_equal(info_of(server).code, "L7STS");
	assert_int_equal(info_of(server).http_status, 503);
	peer->answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	checks_n = info_of(server).checks_n;
	rig_until(rig, info_of(server).successes == 1);
	assert_true(is_down(server));
	rig_until(rig, !is_down(server));
	assert_true(info_of(server).checks_n >= checks_n + 2);
	assert_int_equal(generation(server), before);
}

static void success_in_between_resets_the_count_of_failures(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;

	http_checks(rig);
	peer->answer = "HTTP/1.1 200 OK\r\n\r\n";
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	for (unsigned round = 1; round <= 2; round++) {
		peer->answer = "HTTP/1.1 500 No\r\n\r\n";
		rig_until(rig, info_of(server).failures == 2);
		peer->answer = "HTTP/1.1 200 OK\r\n\r\n";
		rig_until(rig, info_of(server).failures == 0);
	}
	assert_false(is_down(server));
}

static void first_check_decides_alone(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;

	http_checks(rig);
	peer->answer = "HTTP/1.1 404 Not Found\r\n\r\n";
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	assert_true(is_down(server));
}

static void answers_of_every_kind_are_told_apart(void **state)
{
	static const struct {
		const char *answer, *code;
		bool is_closing;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", "L7OK", false },
		{ "HTTP/1.0 299 Odd\r\nX: y\r\n\r\nbody", "L7OK", false },
		{ "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "L7OK", false },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\n\r\n", "L7STS", false },
		{ "HTTP/1.1 300 Choices\r\n\r\n", "L7STS", false },
		{ "SSH-2.0-OpenSSH_9.2\r\n", "L7RSP", false },
		{ "HTTP/1.1 200 OK\r\nX", "L7RSP", false },
		{ NULL, "L7RSP", true },
		{ NULL, "L7TOUT", false },
	};
	struct rig *rig = *state;

	http_checks(rig);
	rig->backend->health.interval_ms = 10;
	for (size_t row = 0; row < ARRAY_N(rows) * 2; row++) {
		struct peer *peer = rig->peers_n ? rig->peers[0] : rig_peer(rig);
		struct server *server;
		uint64_t checks_n;

		peer->answer = rows[row / 2].answer;
		peer->is_closing_first = rows[row / 2].is_closing;
		peer->is_byte_by_byte = row % 2;
		rig->backend->health.timeout_ms = rows[row / 2].answer ? 1000 : 60;
		server = rig->specs_n ? rig_server(rig, 0) : rig_add(rig, &peer->addr);
		checks_n = info_of(server).checks_n;
		/* The one that was under way may have had the row before. */
		rig_until(rig, info_of(server).checks_n >= checks_n + 2);
		assert_string_equal(info_of(server).code, rows[row / 2].code);
	}
}

static void check_request_is_complete_and_goes_once(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;
	char host[ADDR_TEXT_SIZE + 16];
	char text[ADDR_TEXT_SIZE];

	http_checks(rig);
	rig->backend->health.interval_ms = 5000;
	peer->answer = "HTTP/1.1 200 OK\r\n\r\n";
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	peer->got[peer->got_size] = '\0';
	assert_memory_equal(peer->got, "GET /healthz HTTP/1.1\r\n", 23);
	sock_addr_text(&peer->addr, text);
	snprintf(host, sizeof(host), "\r\nHost: %s\r\n", text);
	assert_non_null(strstr(peer->got, host));
	assert_non_null(strstr(peer->got, "\r\nConnection: close\r\n"));
	assert_string_equal(peer->got + peer->got_size - 4, "\r\n\r\n");
}

static void proxy_header_comes_first_and_is_local(void **state)
{
	struct rig *rig = *state;
	struct proxy_header header;
	struct peer *peer = rig_peer(rig);
	struct server *server;
	const char *why;

	http_checks(rig);
	peer->answer = "HTTP/1.1 200 OK\r\n\r\n";
	rig->backend->send_proxy = PROXY_V2;
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	assert_int_equal(proxy_parse(peer->got, peer->got_size, &header, &why), PARSE_DONE);
	assert_true(header.version == 2 && header.is_local);
	assert_memory_equal(peer->got + header.size, "GET ", 4);
	rig->specs[0].send_proxy = PROXY_V1;
	rig_publish(rig);
	rig_until(rig, info_of(server).checks_n == 3);
	assert_memory_equal(peer->got, "PROXY UNKNOWN\r\nGET ", 19);
	rig->backend->health.has_send_proxy = false;
	rig_until(rig, info_of(server).checks_n == 5);
	assert_memory_equal(peer->got, "GET ", 4);
}

static void without_checks_nothing_is_sent_to_a_server_that_is_up(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;

	rig->backend->health.kind = CHECK_NONE;
	server = rig_add(rig, &peer->addr);
	rig_while_ms(rig, 200);
	assert_int_equal(peer->accepted_n, 0);
	assert_false(is_down(server));
}

static void refused_traffic_takes_down_and_a_probe_brings_up(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;
	unsigned before;

	rig->backend->health.kind = CHECK_NONE;
	server = rig_add(rig, &peer->addr);
	before = generation(server);
	rig_turn(rig);
	rig_kill(peer);
	health_passive(server, rig->backend, HEALTH_CONNECT_REFUSED);
	assert_true(is_down(server));
	health_passive(server, rig->backend, HEALTH_CONNECT_REFUSED);
	rig_until(rig, info_of(server).failed_n >= 2);
	assert_true(is_down(server));
	assert_int_equal(generation(server), before + 1);
	rig_revive(peer);
	rig_until(rig, !is_down(server));
	assert_int_equal(generation(server), before + 1);
	assert_int_equal(atomic_load(&server->failures), 0);
}

static void passive_failures_within_the_window_take_down(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;
	unsigned before;

	rig->backend->health.kind = CHECK_NONE;
	rig->backend->passive = (struct passive_conf){ .failures = 3, .window_ms = 60 };
	server = rig_add(rig, &peer->addr);
	before = generation(server);
	for (int i = 0; i < 3; i++) { /* two in each window */
		health_passive(server, rig->backend, HEALTH_TIMEOUT);
		health_passive(server, rig->backend, HEALTH_OK);
		health_passive(server, rig->backend, HEALTH_BROKEN);
		rig_while_ms(rig, 80);
		assert_false(is_down(server));
	}
	for (int i = 0; i < 3; i++)
		health_passive(server, rig->backend, HEALTH_CONNECT_FAILED);
	assert_true(is_down(server));
	assert_int_equal(generation(server), before);
	/* Not at once: it accepts connections, so only time can heal it. */
	rig_while_ms(rig, 100);
	assert_true(is_down(server));
	rig_until(rig, !is_down(server));
}

static void passive_checks_that_are_off_count_nothing(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = rig_add(rig, &peer->addr);

	for (int i = 0; i < 100; i++)
		health_passive(server, rig->backend, HEALTH_5XX);
	assert_false(is_down(server));
}

static void server_errors_never_take_the_last_ready_server(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *a, *b;

	rig->backend->health.kind = CHECK_NONE;
	rig->backend->passive = (struct passive_conf){ .failures = 2, .window_ms = 10000 };
	a = rig_add(rig, &peer->addr);
	b = rig_add(rig, &peer->addr);
	for (int i = 0; i < 2; i++)
		health_passive(a, rig->backend, HEALTH_5XX);
	/* No new sessions, and its own go on: anybody can ask for what answers 500. */
	assert_false(server_is_ready(a));
	assert_true(server_is_able(a));
	for (int i = 0; i < 10; i++)
		health_passive(b, rig->backend, HEALTH_5XX);
	assert_false(is_down(b));
	assert_int_equal(atomic_load(&b->downs), 0);             /* not for a moment either */
	health_passive(b, rig->backend, HEALTH_CONNECT_REFUSED); /* that is another matter */
	assert_true(is_down(b));
}

static void checked_server_that_traffic_took_down_comes_up_by_rise(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;
	uint64_t checks_n;

	rig->backend->passive = (struct passive_conf){ .failures = 1, .window_ms = 1000 };
	rig->backend->health.interval_ms = 5000;
	rig->backend->health.fast_interval_ms = 20;
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	health_passive(server, rig->backend, HEALTH_CONNECT_FAILED);
	assert_true(is_down(server));
	checks_n = info_of(server).checks_n;
	rig_until(rig, !is_down(server)); /* poked: far sooner than 5 s */
	assert_int_equal(info_of(server).checks_n, checks_n + 2);
}

struct refusals {
	struct server *server;
	const struct backend *backend;
	pthread_barrier_t barrier;
};

static void *refuse(void *arg)
{
	struct refusals *refusals = arg;

	pthread_barrier_wait(&refusals->barrier);
	for (int i = 0; i < 100; i++)
		health_passive(refusals->server, refusals->backend, HEALTH_CONNECT_REFUSED);
	return NULL;
}

static void threads_that_are_refused_together_make_one_generation(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct refusals refusals = { .backend = rig->backend };
	pthread_t threads[4];
	unsigned before;

	rig->backend->health.kind = CHECK_NONE;
	refusals.server = rig_add(rig, &peer->addr);
	rig_kill(peer);
	before = generation(refusals.server);
	pthread_barrier_init(&refusals.barrier, NULL, 4);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, refuse, &refusals);
	rig_while_ms(rig, 20);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&refusals.barrier);
	assert_int_equal(generation(refusals.server), before + 1);
	rig_until(rig, info_of(refusals.server).failed_n >= 1); /* the poke has come through */
}

static void socket_that_is_bound_but_not_listening_is_down_until_it_listens(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer_unix(rig, "w.sock");
	struct server *server = rig_add(rig, &peer->addr);
	unsigned before = generation(server);

	assert_true(is_down(server));
	rig_while_ms(rig, 60);
	assert_true(is_down(server));
	assert_true(info_of(server).failed_n >= 2); /* at 5 ms, 10 ms ... */
	rig_listen(peer);
	rig_until(rig, !is_down(server));
	assert_int_equal(generation(server), before);
}

static void newborn_that_fails_its_first_check_goes_down_again(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer_unix(rig, "w.sock");
	struct server *server;

	http_checks(rig);
	peer->answer = "HTTP/1.1 503 Starting\r\n\r\n";
	server = rig_add(rig, &peer->addr);
	rig_listen(peer);
	rig_until(rig, info_of(server).http_status == 503);
	assert_true(is_down(server));
}

static void stale_socket_is_tried_ever_more_rarely(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer_unix(rig, "w.sock");
	struct server *server;

	rig_kill(peer); /* the file stays */
	server = rig_add(rig, &peer->addr);
	rig_while_ms(rig, 700); /* 5 + 10 + ... + 320 = 635 ms: seven tries */
	assert_true(is_down(server));
	assert_in_range(info_of(server).failed_n, 3, 8);
}

static void full_backlog_means_that_somebody_listens(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer_unix(rig, "w.sock");
	struct server *server;
	int fds[8], fd = peer->fd;

	assert_int_equal(listen(fd, 1), 0);
	peer->fd = -1; /* never accepts */
	for (int i = 0; i < 8; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], &peer->addr.sa, peer->addr.size);
	}
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 2);
	assert_false(is_down(server));
	assert_string_equal(info_of(server).code, "L4OK");
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	close(fd);
}

static void server_that_left_the_set_is_not_checked(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = rig_add(rig, &peer->addr);
	struct health_info info;
	unsigned accepted_n;

	rig_until(rig, info_of(server).checks_n >= 2);
	rig->specs_n = 0;
	rig_publish(rig);
	assert_false(health_info(server, &info));
	rig_turn(rig);
	accepted_n = peer->accepted_n;
	rig_while_ms(rig, 150);
	assert_int_equal(peer->accepted_n, accepted_n);
}

static void reload_keeps_what_was_known(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server;

	http_checks(rig);
	peer->answer = "HTTP/1.1 200 OK\r\n\r\n";
	server = rig_add(rig, &peer->addr);
	rig_until(rig, info_of(server).checks_n == 1);
	peer->answer = "HTTP/1.1 500 No\r\n\r\n";
	rig_until(rig, info_of(server).failures == 2);
	rig_publish(rig);
	assert_int_equal(info_of(server).failures, 2);
	rig_until(rig, is_down(server));
	assert_int_equal(info_of(server).failed_n, 3);
	rig_publish(rig);
	assert_true(is_down(server));
}

static void checks_under_way_are_bounded_and_all_get_their_turn(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);

	http_checks(rig);
	rig->backend->health.interval_ms = 5000;
	rig->backend->health.timeout_ms = 5000;
	for (int i = 0; i < 299; i++) {
		snprintf(rig->names[i], sizeof(rig->names[i]), "%d", i);
		rig->specs[i] = (struct srvset_spec){ .host = STR("h"),
						      .worker = str_of(rig->names[i]),
						      .addr = peer->addr,
						      .weight = 1 };
	}
	rig->specs_n = 299;
	rig_add(rig, &peer->addr);
	rig_until(rig, peer->open_n == 256);
	rig_while_ms(rig, 150);
	assert_int_equal(peer->open_max, 256);
	for (int i = 0; i < RIG_CONNS_MAX; i++) /* those that waited for an answer */
		if (peer->conns[i] >= 0)
			(void)!write(peer->conns[i], "HTTP/1.1 200 OK\r\n\r\n", 19);
	peer->answer = "HTTP/1.1 200 OK\r\n\r\n";
	rig_until(rig, peer->accepted_n == 300);
	for (size_t i = 0; i < 300; i++)
		rig_until(rig, info_of(rig_server(rig, i)).checks_n == 1);
	/* And one under way that is dropped makes room. */
	rig->specs_n = 0;
	rig_publish(rig);
}

static void thousand_servers_are_all_checked_within_a_second(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	int64_t started_us;

	rig->backend->health.interval_ms = 1000;
	rig->backend->health.timeout_ms = 1000;
	for (int i = 0; i < 999; i++) {
		snprintf(rig->names[i], sizeof(rig->names[i]), "%d", i);
		rig->specs[i] = (struct srvset_spec){ .host = STR("h"),
						      .worker = str_of(rig->names[i]),
						      .addr = peer->addr,
						      .weight = 1 };
	}
	rig->specs_n = 999;
	rig_add(rig, &peer->addr);
	started_us = clock_now_us();
	for (size_t i = 0; i < 1000; i++)
		rig_until(rig, info_of(rig_server(rig, i)).checks_n >= 1);
	assert_true(clock_now_us() - started_us < 2000000);
	for (size_t i = 0; i < 1000; i++) {
		assert_string_equal(info_of(rig_server(rig, i)).code, "L4OK");
		assert_false(is_down(rig_server(rig, i)));
	}
}

static void operator_s_maintenance_stops_checks(void **state)
{
	struct rig *rig = *state;
	struct peer *peer = rig_peer(rig);
	struct server *server = rig_add(rig, &peer->addr);
	unsigned accepted_n;

	rig_until(rig, info_of(server).checks_n >= 1);
	server_set_state(server, SERVER_MAINT, 0, "test");
	rig_turn(rig);
	accepted_n = peer->accepted_n;
	rig_while_ms(rig, 150);
	assert_int_equal(peer->accepted_n, accepted_n);
	server_set_state(server, 0, SERVER_MAINT, "test");
	rig_until(rig, peer->accepted_n > accepted_n);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(server_is_up_at_start_and_checked_within_100_ms),
		RIG_TEST(refused_check_takes_down_at_once_with_one_generation),
		RIG_TEST(http_status_counts_fall_and_rise_without_a_generation),
		RIG_TEST(success_in_between_resets_the_count_of_failures),
		RIG_TEST(first_check_decides_alone),
		RIG_TEST(answers_of_every_kind_are_told_apart),
		RIG_TEST(check_request_is_complete_and_goes_once),
		RIG_TEST(proxy_header_comes_first_and_is_local),
		RIG_TEST(without_checks_nothing_is_sent_to_a_server_that_is_up),
		RIG_TEST(refused_traffic_takes_down_and_a_probe_brings_up),
		RIG_TEST(passive_failures_within_the_window_take_down),
		RIG_TEST(passive_checks_that_are_off_count_nothing),
		RIG_TEST(server_errors_never_take_the_last_ready_server),
		RIG_TEST(checked_server_that_traffic_took_down_comes_up_by_rise),
		RIG_TEST(threads_that_are_refused_together_make_one_generation),
		RIG_TEST(socket_that_is_bound_but_not_listening_is_down_until_it_listens),
		RIG_TEST(newborn_that_fails_its_first_check_goes_down_again),
		RIG_TEST(stale_socket_is_tried_ever_more_rarely),
		RIG_TEST(full_backlog_means_that_somebody_listens),
		RIG_TEST(server_that_left_the_set_is_not_checked),
		RIG_TEST(reload_keeps_what_was_known),
		RIG_TEST(checks_under_way_are_bounded_and_all_get_their_turn),
		RIG_TEST(thousand_servers_are_all_checked_within_a_second),
		RIG_TEST(operator_s_maintenance_stops_checks),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
