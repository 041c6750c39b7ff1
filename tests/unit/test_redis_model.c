/* SPDX-License-Identifier: MIT */
/*
 * The model of Redis that test_merge_property believes in, against the real script in a real Redis:
 * the same changes by chance, the same answers, the same records and stream.
 */
#include "config.h"

#include "redis_model.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>

#include "balance/lb.h"
#include "base/clock.h"
#include "base/mem.h"
#include "mirror/scripts.h"
#include "mirror/wire.h"

#define CHANGES_N 3000

static char dir[] = "/tmp/limpet-model-XXXXXX";
static pid_t server;
static redisContext *link_to;

static int start(void **state)
{
	char *path;

	(void)state;
	if (access("/usr/bin/redis-server", X_OK) != 0 || !mkdtemp(dir))
		return 0;
	path = xasprintf("%s/sock", dir);
	server = fork();
	if (server == 0) {
		execl("/usr/bin/redis-server", "redis-server", "--port", "0", "--unixsocket", path,
		      "--save", "", "--dir", dir, "--logfile", "log", (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000 && !link_to; i++) {
		link_to = redisConnectUnix(path);
		if (link_to && link_to->err) {
			redisFree(link_to);
			link_to = NULL;
			usleep(10000);
		}
	}
	free(path);
	return link_to ? 0 : -1;
}

static int end(void **state)
{
	char *command = xasprintf("rm -rf -- %s", dir);
	int rc = 0;

	(void)state;
	if (link_to)
		redisFree(link_to);
	if (server > 0) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
		rc = system(command);
	}
	free(command);
	return rc;
}

/* In the place of the link: the answer comes at once. */
int redis_command(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n, const char **words,
		  const size_t *sizes)
{
	const char *list[24];
	redisReply *reply;

	(void)redis;
	assert_true(n <= ARRAY_N(list));
	memcpy(list, words, n * sizeof(list[0]));
	reply = redisCommandArgv(link_to, (int)n, list, sizes);
	assert_non_null(reply);
	fn(arg, reply);
	freeReplyObject(reply);
	return 0;
}

/* What the real one answered. */
struct heard {
	enum model_answer answer;
	struct wire_value value;
	char text[WIRE_VALUE_MAX];
	int64_t left_ms;
};

static void on_reply(void *arg, const redisReply *reply)
{
	struct heard *heard = arg;
	redisReply **parts = reply->element;

	assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
	switch (parts[0]->integer) {
	case 1:
		heard->answer = MODEL_ACCEPTED;
		return;
	case 2:
		heard->answer = MODEL_ABSENT;
		return;
	case 0:
		break;
	default:
		fail();
	}
	heard->answer = MODEL_OTHER;
	snprintf(heard->text, sizeof(heard->text), "%s", parts[1]->str);
	assert_true(wire_value_read(str_of(heard->text), &heard->value));
	heard->left_ms = parts[2]->integer;
}

static struct wire_value value_of(const struct model_record *record, char *name, size_t size)
{
	snprintf(name, size, "h%d", record->server);
	return (struct wire_value){
		.state = record->state,
		.version = record->version,
		.idle_ms = record->idle_ms,
		.server = record->state == RECORD_TOMB ? STR("") : str_of(name),
	};
}

static void change_for_real(const struct model_proposal *proposal, struct heard *heard)
{
	char key[16], version[17], left[24], name[16], text[WIRE_VALUE_MAX];
	char letter = wire_change_letter(proposal->change);
	struct wire_value value = value_of(&proposal->record, name, sizeof(name));
	size_t text_n = wire_value_write(text, &value);

	assert_true(text_n > 0);
	snprintf(key, sizeof(key), "{x}:e:t:%02x", proposal->key);
	snprintf(version, sizeof(version), "%016llx", (unsigned long long)proposal->record.version);
	snprintf(left, sizeof(left), "%lld", (long long)proposal->left_ms);
	const struct str words[] = {
		str_of(key),     STR("{x}:s"),     STR("{x}:q"),    { &letter, 1 },
		str_of(version), { text, text_n }, str_of(left),    STR("1000000"),
		STR("node"),     STR("t"),         str_of(key + 8),
	};

	assert_int_equal(
		script_call(SCRIPT_CHANGE, NULL, on_reply, heard, 3, ARRAY_N(words), words), 0);
}

static struct model_proposal some_proposal(void)
{
	static const int64_t lefts[] = { 1000000, 1900000, 3500000, 8100000 };
	struct model_proposal proposal = {
		.key = (int)(lb_random() % 3),
		.change = (enum record_change)(lb_random() % 4),
		.left_ms = lefts[lb_random() % ARRAY_N(lefts)],
		.record = { .state = (enum record_state)(lb_random() % 2),
			    .version = 1 + lb_random() % 6 + (lb_random() % 2 << 60),
			    .idle_ms = 9000000,
			    .server = (int)(lb_random() % 3) },
	};

	if (proposal.change == RECORD_DROP) {
		proposal.record.state = RECORD_TOMB;
		proposal.record.server = -1;
	}
	return proposal;
}

/* So near to what Redis has, or to 9/8 of it, that the milliseconds of the test matter? */
static bool is_close(const struct redis_model *model, const struct model_proposal *proposal)
{
	const struct model_record *record = model_get(model, proposal->key);
	int64_t has = record ? model_left_ms(record) : 0;

	return record && (llabs(has - proposal->left_ms) < 60000 ||
			  llabs(has * 9 / 8 - proposal->left_ms) < 60000);
}

static uint64_t real_number(void)
{
	redisReply *reply = redisCommand(link_to, "GET {x}:q");
	uint64_t number = reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;

	freeReplyObject(reply);
	return number;
}

static void compare(const struct heard *heard, const struct model_record *stored, int64_t left_ms)
{
	assert_int_equal(heard->value.state, stored->state);
	assert_int_equal(heard->value.version, stored->version);
	if (stored->state != RECORD_TOMB)
		assert_int_equal(heard->value.server.p[1] - '0', stored->server);
	assert_true(llabs(heard->left_ms - left_ms) < 60000);
}

static void the_model_answers_as_the_script_does(void **state)
{
	struct redis_model model = { .stream_max = MODEL_STREAM_N };
	uint64_t seed = (uint64_t)clock_now_us();

	(void)state;
	if (!link_to)
		skip();
	print_message("# seed %llu\n", (unsigned long long)seed);
	lb_random_seed(seed);
	for (int i = 0; i < CHANGES_N; i++) {
		struct model_proposal proposal = some_proposal();
		struct model_record stored = { 0 };
		struct heard heard = { .left_ms = 0 };
		int64_t left_ms = 0;

		if (is_close(&model, &proposal))
			proposal.left_ms += 300000;
		if (is_close(&model, &proposal))
			continue;
		if (lb_random() % 200 == 0) {
			freeReplyObject(redisCommand(link_to, "FLUSHALL"));
			model_flush(&model);
		}
		clock_update();
		change_for_real(&proposal, &heard);
		assert_int_equal(heard.answer, model_change(&model, &proposal, &stored, &left_ms));
		if (heard.answer == MODEL_OTHER)
			compare(&heard, &stored, left_ms);
		assert_int_equal(real_number(), model.number);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_model_answers_as_the_script_does),
	};

	return cmocka_run_group_tests(tests, start, end);
}
