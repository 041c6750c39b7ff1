/* SPDX-License-Identifier: MIT */
/*
 * The link against real servers: redis-server with passwords, users and TLS; restarted, stopped,
 * failed over by a sentinel, and as a cluster.  Skipped where there is no redis-server.
 */
#include "config.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "redis_rig.h"

#define SERVERS_MAX 8

static pid_t servers[SERVERS_MAX];
static unsigned servers_n;
static char dir[64], url[256], texts[4][160];

static bool has_redis(void)
{
	static int known = -1;

	if (known < 0)
		known = system("redis-server --version >/dev/null 2>&1") == 0;
	return known;
}

#define needs_redis()                                                                              \
	do {                                                                                       \
		if (!has_redis())                                                                  \
			skip();                                                                    \
	} while (0)

static uint16_t free_port(void)
{
	uint16_t port;
	int fd = rig_listen_tcp(&port);

	close(fd);
	return port;
}

/* Starts a server with ARGS, apart by spaces; its files are in a directory of its own. */
static unsigned start(const char *args)
{
	char line[1024], *words[64], *rest = line, *one;
	unsigned number = servers_n++;
	size_t n = 0;

	assert_true(number < SERVERS_MAX);
	snprintf(line, sizeof(line),
		 "redis-server %s --dir %s --logfile %s/%u.log --daemonize no --bind 127.0.0.1 "
		 "--enable-debug-command local",
		 args, dir, dir, number);
	while ((one = strsep(&rest, " ")) != NULL && n < 62)
		words[n++] = one;
	words[n] = NULL;
	servers[number] = fork();
	assert_true(servers[number] >= 0);
	if (servers[number] == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(words[0], words);
		_exit(127);
	}
	return number;
}

static void end(unsigned number)
{
	if (servers[number] > 0) {
		kill(servers[number], SIGKILL);
		waitpid(servers[number], NULL, 0);
	}
	servers[number] = 0;
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/limpet-redis-server-XXXXXX");
	servers_n = 0;
	return mkdtemp(dir) ? rig_setup(state) : -1;
}

static int teardown(void **state)
{
	char command[128];

	for (unsigned i = 0; i < servers_n; i++)
		end(i);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) == 0 ? rig_teardown(state) : -1;
}

static void use_url(const char *fmt, ...) printf_like(1, 2);
static void use_url(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(url, sizeof(url), fmt, args);
	va_end(args);
	rig.options.url = str_of(url);
	rig.told[0] = '\0';
}

/* A text that lives until the test ends. */
static struct str text(unsigned i, const char *fmt, const char *arg)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(texts[i], sizeof(texts[i]), fmt, arg);
#pragma GCC diagnostic pop
	return str_of(texts[i]);
}

static void stop_link(void)
{
	redis_free(rig.redis);
	rig.redis = NULL;
	loop_turn(&rig.loop, 0);
}

static void comes_up(void)
{
	rig_start();
	rig_until(redis_is_up(rig.redis));
}

/* The server is up already: the first try ends as WANT. */
static void ends_in(const char *want)
{
	rig.told[0] = '\0';
	rig_start();
	rig_until(rig.told[0]);
	if (!rig_has_told(want))
		fail_msg("%s: not %s: %s", url, want, rig.told);
	stop_link();
}

static void sets_and_gets(void)
{
	rig.told[0] = '\0';
	assert_int_equal(rig_command("s", "SET greeting hello"), 0);
	assert_int_equal(rig_command("g", "GET greeting"), 0);
	rig_until(rig_has_told("g="));
	assert_string_equal(rig.told, "s=OK g=hello ");
}

/* Asks the server at PORT by hiredis' own blocking client. */
static bool admin_says(uint16_t port, const char *command, const char *want)
{
	redisContext *context = redisConnect("127.0.0.1", port);
	redisReply *reply = NULL;
	bool ok = false;

	if (context && !context->err)
		reply = redisCommand(context, command);
	if (reply && reply->str)
		ok = strstr(reply->str, want) != NULL;
	if (reply)
		freeReplyObject(reply);
	if (context)
		redisFree(context);
	return ok;
}

static void tcp_and_unix_sockets_and_databases(void **state unused_arg)
{
	uint16_t port = free_port();
	char args[256];

	needs_redis();
	snprintf(args, sizeof(args), "--port %u --unixsocket %s/r.sock", port, dir);
	start(args);
	use_url("redis://localhost:%u/5", port);
	comes_up();
	sets_and_gets();
	stop_link();
	use_url("unix:%s/r.sock?db=5", dir);
	comes_up();
	assert_int_equal(rig_command("g", "GET greeting"), 0);
	rig_until(rig_has_told("g=hello"));
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(rig_command("", "INCR n"), 0);
	assert_int_equal(rig_command("n", "GET n"), 0);
	rig.told[0] = '\0';
	rig_until(redis_room(rig.redis) == REDIS_COMMANDS_MAX);
	stop_link();
	use_url("unix:%s/r.sock?db=15000", dir);
	ends_in("down(redis says: ERR DB index is out of range) ");
}

static void passwords_and_users(void **state unused_arg)
{
	uint16_t port = free_port();
	char args[256];

	needs_redis();
	snprintf(args, sizeof(args), "--port %u --requirepass hush --user joe on >s@cret ~* +@all",
		 port);
	start(args);
	use_url("redis://:hush@127.0.0.1:%u", port);
	comes_up();
	sets_and_gets();
	stop_link();
	use_url("redis://joe:s%%40cret@127.0.0.1:%u", port);
	ends_in("up ");
	use_url("redis://127.0.0.1:%u", port);
	ends_in("down(redis says: NOAUTH Authentication required.) ");
	use_url("redis://:loud@127.0.0.1:%u", port);
	ends_in("down(redis says: WRONGPASS ");
	use_url("redis://joe:loud@127.0.0.1:%u", port);
	rig.options.password = STR("s@cret"); /* before the URL's */
	ends_in("up ");
}

static void make_certificate(const char *name, const char *names)
{
	char command[512];

	snprintf(
		command, sizeof(command),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
		"-subj /CN=%s -addext 'subjectAltName=%s' -keyout %s/%s.key -out %s/%s.pem "
		"2>/dev/null",
		name, names, dir, name, dir, name);
	assert_int_equal(system(command), 0);
}

static void tls_is_verified_by_authority_and_name(void **state unused_arg)
{
	uint16_t port = free_port();
	char args[512];

	needs_redis();
	make_certificate("server", "DNS:localhost,IP:127.0.0.1");
	make_certificate("other", "DNS:other");
	snprintf(
		args, sizeof(args),
		"--port 0 --tls-port %u --tls-cert-file %s/server.pem --tls-key-file %s/server.key "
		"--tls-ca-cert-file %s/other.pem --tls-auth-clients optional",
		port, dir, dir, dir);
	start(args);
	rig.options.tls_ca = text(0, "%s/server.pem", dir);
	use_url("rediss://127.0.0.1:%u", port);
	comes_up();
	sets_and_gets();
	stop_link();
	use_url("rediss://localhost:%u", port);
	ends_in("up ");
	use_url("rediss://localhost:%u", port);
	rig.options.tls_sni = STR("other.test");
	ends_in("hostname mismatch");
	rig.options.tls_sni = STR("localhost");
	ends_in("up ");
	rig.options.tls_ca = text(1, "%s/other.pem", dir);
	ends_in("certificate");
	rig.options.is_tls_unverified = true;
	ends_in("up ");
	rig.options.is_tls_unverified = false;
	rig.options.tls_ca = text(1, "%s/none.pem", dir);
	ends_in("authorities cannot be read");
	rig.options.tls_ca = text(1, "%s/server.pem", dir);
	use_url("redis://127.0.0.1:%u", port);
	rig.options.connect_ms = 500;
	ends_in("down(");
}

static void a_client_certificate_is_shown(void **state unused_arg)
{
	uint16_t port = free_port();
	char args[512];

	needs_redis();
	make_certificate("server", "DNS:localhost,IP:127.0.0.1");
	make_certificate("client", "DNS:client");
	snprintf(
		args, sizeof(args),
		"--port 0 --tls-port %u --tls-cert-file %s/server.pem --tls-key-file %s/server.key "
		"--tls-ca-cert-file %s/client.pem --tls-auth-clients yes",
		port, dir, dir, dir);
	start(args);
	use_url("rediss://127.0.0.1:%u", port);
	rig.options.tls_ca = text(0, "%s/server.pem", dir);
	rig.options.tls_certificate = text(1, "%s/client.pem", dir);
	rig.options.tls_key = text(2, "%s/client.key", dir);
	comes_up();
	sets_and_gets();
	stop_link();
	rig.options.tls_certificate = rig.options.tls_key = STR("");
	ends_in("down(");
}

static void it_is_back_after_a_restart_and_after_a_stop(void **state unused_arg)
{
	uint16_t port = free_port();
	char args[256];
	unsigned server;

	needs_redis();
	rig.options.answer_ms = 200;
	rig.options.connect_ms = 300;
	snprintf(args, sizeof(args), "--port %u", port);
	server = start(args);
	use_url("redis://127.0.0.1:%u", port);
	comes_up();
	rig.told[0] = '\0';
	end(server);
	rig_until(rig_has_told("down(closed") || rig_has_told("reset"));
	server = start(args);
	rig_until(redis_is_up(rig.redis));
	sets_and_gets();

	rig.told[0] = '\0';
	kill(servers[server], SIGSTOP);
	assert_int_equal(rig_command("a", "GET x"), 0);
	rig_until(rig_has_told("a=NULL down(no answer in time)"));
	rig_until(rig_has_told(": no answer in time")); /* the kernel still accepts */
	kill(servers[server], SIGCONT);
	rig_until(redis_is_up(rig.redis));
	sets_and_gets();
}

static void one_that_becomes_a_replica_is_left(void **state unused_arg)
{
	uint16_t port = free_port();
	char args[256];

	needs_redis();
	snprintf(args, sizeof(args), "--port %u", port);
	start(args);
	use_url("redis://127.0.0.1:%u", port);
	comes_up();
	rig.told[0] = '\0';
	assert_int_equal(rig_command("r", "REPLICAOF 127.0.0.1 1"), 0);
	assert_int_equal(rig_command("e", "EVAL return\nredis.call('set','x','1') 0"), 0);
	rig_until(rig_has_told("down("));
	assert_true(rig_has_told("r=OK e=NULL down(redis says: "));
	assert_true(rig_has_told("READONLY"));
}

static void write_file(const char *name, const char *fmt, ...) printf_like(2, 3);
static void write_file(const char *name, const char *fmt, ...)
{
	char path[160];
	va_list args;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	va_start(args, fmt);
	vfprintf(file, fmt, args);
	va_end(args);
	fclose(file);
}

static void a_failover_by_sentinel_is_followed(void **state unused_arg)
{
	uint16_t master_port = free_port(), replica_port = free_port(), sentinel_port = free_port(),
		 nobody_port = free_port();
	char args[256], where[64];
	unsigned master;

	needs_redis();
	snprintf(args, sizeof(args), "--port %u --repl-diskless-sync-delay 0", master_port);
	master = start(args);
	snprintf(args, sizeof(args), "--port %u --replicaof 127.0.0.1 %u", replica_port,
		 master_port);
	start(args);
	rig_until(admin_says(replica_port, "INFO replication", "master_link_status:up"));
	write_file("sentinel.conf",
		   "port %u\nsentinel monitor set 127.0.0.1 %u 1\n"
		   "sentinel down-after-milliseconds set 300\nsentinel failover-timeout set 3000\n",
		   sentinel_port, master_port);
	/* The file comes first, options of the command line after it. */
	snprintf(args, sizeof(args), "%s/sentinel.conf --sentinel", dir);
	start(args);
	use_url("sentinel://127.0.0.1:%u,127.0.0.1:%u/set/1", nobody_port, sentinel_port);
	comes_up();
	snprintf(where, sizeof(where), "127.0.0.1:%u", master_port);
	assert_string_equal(redis_where(rig.redis), where);
	sets_and_gets();
	rig_until(admin_says(sentinel_port, "INFO sentinel", "slaves=1"));
	end(master);
	rig_until(!redis_is_up(rig.redis));
	snprintf(where, sizeof(where), "127.0.0.1:%u", replica_port);
	for (unsigned i = 0; i < 200 && !redis_is_up(rig.redis); i++)
		rig_turns(100); /* the sentinel takes its time */
	rig_until(redis_is_up(rig.redis));
	assert_string_equal(redis_where(rig.redis), where);
	sets_and_gets();
}

static void start_node(uint16_t port, uint16_t bus_port)
{
	char args[256];

	snprintf(args, sizeof(args),
		 "--port %u --cluster-enabled yes --cluster-port %u --cluster-config-file %u.conf "
		 "--cluster-node-timeout 500",
		 port, bus_port, port);
	start(args);
}

static void moved_of_a_cluster_is_followed(void **state unused_arg)
{
	uint16_t first = free_port(), second = free_port(), second_bus = free_port();
	char args[256], where[64];

	needs_redis();
	start_node(first, free_port());
	start_node(second, second_bus);
	rig_until(admin_says(first, "CLUSTER ADDSLOTSRANGE 0 8000", "OK"));
	rig_until(admin_says(second, "CLUSTER ADDSLOTSRANGE 8001 16383", "OK"));
	snprintf(args, sizeof(args), "CLUSTER MEET 127.0.0.1 %u %u", second, second_bus);
	rig_until(admin_says(first, args, "OK"));
	rig_until(admin_says(first, "CLUSTER INFO", "cluster_state:ok"));
	rig_until(admin_says(second, "CLUSTER INFO", "cluster_state:ok"));
	use_url("redis://127.0.0.1:%u", first);
	comes_up();
	rig.told[0] = '\0';
	assert_int_equal(rig_command("a", "SET foo 1"), 0); /* slot 12182 */
	rig_until(rig_has_told("a=NULL down(redis says: MOVED 12182 "));
	rig_until(redis_is_up(rig.redis));
	snprintf(where, sizeof(where), "127.0.0.1:%u", second);
	assert_string_equal(redis_where(rig.redis), where);
	assert_int_equal(rig_command("b", "SET foo 1"), 0);
	rig_until(rig_has_told("b=OK"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(tcp_and_unix_sockets_and_databases),
		T(passwords_and_users),
		T(tls_is_verified_by_authority_and_name),
		T(a_client_certificate_is_shown),
		T(it_is_back_after_a_restart_and_after_a_stop),
		T(one_that_becomes_a_replica_is_left),
		T(a_failover_by_sentinel_is_followed),
		T(moved_of_a_cluster_is_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
