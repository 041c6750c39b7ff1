/* SPDX-License-Identifier: MIT */
/*
 * The beat against a Redis of a few lines: who is there, who shares nothing, and that nothing
 * which was counted is lost or doubled, whoever dies when.
 */
#include "config.h"

#include "beat_rig.h"

static void a_node_says_what_it_is_each_second(void **state unused_arg)
{
	struct beat_value value;
	uint64_t beat;

	second();
	assert_true(beat_value_read(str_of(field("lb-1")), &value));
	assert_true(value.boot == beat_boot());
	assert_int_equal(value.backends_n, 1);
	assert_true(str_eq(value.backends[0].name, STR("chat")));
	assert_true(str_eq(value.version, STR(PACKAGE_VERSION)));
	beat = value.beat;
	second();
	assert_true(beat_value_read(str_of(field("lb-1")), &value));
	assert_true(value.beat > beat);
	assert_told("");
}

static void the_number_of_the_stream_is_passed_on(void **state unused_arg)
{
	second();
	assert_int_equal(last_number, 0);
	snprintf(number, sizeof(number), "4711");
	second();
	assert_int_equal(last_number, 4711);
	snprintf(number, sizeof(number), "garbage");
	second();
	assert_int_equal(last_number, 4711);
}

static void a_peer_is_there_while_its_beat_moves(void **state unused_arg)
{
	seconds_with("lb-2", 1);
	assert_false(peer_at(0)->is_present);
	seconds_with("lb-2", 3);
	assert_true(peer_at(0)->is_present);
	assert_told("mirror_peer_up lb-2\n");
	for (int i = 0; i < 5; i++)
		second();
	assert_true(peer_at(0)->is_present);
	second();
	assert_false(peer_at(0)->is_present);
	for (int i = 0; i < 10; i++)
		second();
	assert_told("mirror_peer_gone lb-2\n");
	seconds_with("lb-2", 3);
	assert_told("mirror_peer_up lb-2\n");
}

static void a_peer_that_stops_is_gone_at_once(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	peer_value.is_stopping = true;
	seconds_with("lb-2", 1);
	assert_told("mirror_peer_up lb-2\nmirror_peer_gone lb-2\n");
	second();
	assert_told("");
	/* It starts again. */
	peer_value.is_stopping = false;
	peer_value.boot++;
	seconds_with("lb-2", 1);
	assert_told("mirror_peer_up lb-2\n");
}

static void silence_while_redis_is_away_says_nothing(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	beat_down();
	answer(true);
	pass(60000);
	beat_up((struct redis *)(uintptr_t)32, STR("pair"));
	second();
	assert_true(peer_at(0)->is_present);
	seconds_with("lb-2", 2);
	assert_told("mirror_peer_up lb-2\n");
}

static void answers_of_a_link_that_is_lost_are_too_late(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	pass(1000);
	beat_down();
	beat_up((struct redis *)(uintptr_t)32, STR("pair"));
	drop_field("lb-2");
	answer(true);
	second();
	assert_true(peer_at(0)->is_present);
}

static void another_secret_is_told_once(void **state unused_arg)
{
	peer_value.key_check ^= 2;
	seconds_with("lb-2", 10);
	assert_true(peer_at(0)->is_key_wrong);
	assert_told("mirror_peer_up lb-2\nmirror_key_mismatch lb-2\n");
	peer_value.key_check ^= 2;
	seconds_with("lb-2", 2);
	assert_false(peer_at(0)->is_key_wrong);
	assert_told("mirror_key_match lb-2\n");
}

static void other_servers_are_told_when_it_lasts(void **state unused_arg)
{
	seconds_with("lb-2", 2);
	assert_told("mirror_peer_up lb-2\n");
	peer_value.servers++;
	peer_value.backends[0].hash++;
	seconds_with("lb-2", 8);
	assert_told("");
	seconds_with("lb-2", 5);
	assert_told("mirror_servers_differ lb-2\n");
	assert_true(peer_at(0)->has_other_servers);
	assert_string_equal(peer_at(0)->differences, "chat");
	peer_value.servers--;
	peer_value.backends[0].hash--;
	seconds_with("lb-2", 2);
	assert_told("mirror_servers_alike lb-2\n");
}

static void the_order_of_servers_has_no_say(void **state unused_arg)
{
	static const struct srvset_spec specs[] = {
		{ .host = STR_INIT("a"), .worker = STR_INIT("3002"), .weight = 1 },
		{ .host = STR_INIT("a"), .worker = STR_INIT("3001"), .weight = 100 },
	};
	struct backend_state *backend = config->backends[0].state;
	struct beat_value value = { 0 };

	srvset_free(srvset_publish(backend, srvset_build(backend, specs, 2)));
	fingerprint(config, &value);
	assert_true(value.servers == peer_value.servers);
	srvset_free(srvset_publish(backend, srvset_build(backend, specs, 1)));
	fingerprint(config, &value);
	assert_true(value.servers != peer_value.servers);
	assert_true(value.key_check == peer_value.key_check);
}

static void the_secret_is_checked(void **state unused_arg)
{
	struct beat_value value = { 0 };

	table_digest_set(&(struct siphash_key){ 1, 2 });
	fingerprint(config, &value);
	assert_true(value.key_check && value.key_check != peer_value.key_check);
}

static void two_nodes_of_one_name_are_told_of(void **state unused_arg)
{
	second();
	seconds_with("lb-1", 4);
	assert_true(beat_is_name_taken());
	assert_told("mirror_name_twice lb-1\n");
	for (int i = 0; i < 6; i++)
		second();
	assert_told("mirror_name_once lb-1\n");
}

static void the_process_before_is_no_other_node(void **state unused_arg)
{
	seconds_with("lb-1", 2); /* its last words came late */
	for (int i = 0; i < 10; i++)
		second();
	assert_told("");
}

static void of_many_names_some_are_kept(void **state unused_arg)
{
	const struct beat_peer *peers;
	char name[16];

	put_field("", STR("1"));
	put_field("lb\n", STR("1"));
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "lb-%d", 100 + i);
		peer_beats(name);
	}
	second();
	assert_int_equal(beat_peers(&peers), BEAT_PEERS_MAX);
	for (size_t i = 1; i < BEAT_PEERS_MAX; i++)
		assert_true(strcmp(peers[i - 1].name, peers[i].name) < 0);
}

static void garbage_says_nothing(void **state unused_arg)
{
	const struct beat_peer *peers;

	put_field("lb-2", STR("garbage"));
	put_field("lb-1", STR("garbage"));
	second();
	second();
	assert_int_equal(beat_peers(&peers), 0);
	is_error = true;
	second();
	is_error = false;
	second();
	assert_told("");
}

static void a_name_that_was_removed_is_forgotten(void **state unused_arg)
{
	const struct beat_peer *peers;

	seconds_with("lb-2", 2);
	for (int i = 0; i < 7; i++)
		second();
	drop_field("lb-2");
	second();
	assert_int_equal(beat_peers(&peers), 0);
}

static void who_is_gone_survives_a_flush(void **state unused_arg)
{
	uint64_t pair[BEAT_COUNTS_N];

	peer_value.base[BEAT_sessions] = 40;
	peer_value.counts[BEAT_sessions] = 2;
	seconds_with("lb-2", 2);
	for (int i = 0; i < 10; i++)
		second();
	flush();
	second();
	assert_non_null(field("lb-2"));
	second();
	beat_totals(NULL, pair);
	assert_int_equal(pair[BEAT_sessions], 42);
}

static void a_node_that_is_renamed_takes_its_counts_along(void **state unused_arg)
{
	struct config *renamed = load("lb-9");
	uint64_t own[BEAT_COUNTS_N], pair[BEAT_COUNTS_N];

	count_add(&process_state.counters, process_requests, 5);
	second();
	second();
	prepare(&renamed->backends[0]);
	beat_apply(renamed);
	second();
	second();
	assert_null(field("lb-1"));
	assert_non_null(field("lb-9"));
	beat_totals(own, pair);
	assert_int_equal(own[BEAT_requests], 5);
	assert_int_equal(pair[BEAT_requests], 5);
	config_unref(config);
	config = renamed;
}

/*
 * Counters.
 */
static void restart(const char *node)
{
	kill_node();
	counters_clear(&process_state.counters);
	start_node(node);
}

static void a_restart_goes_on_from_what_was_told(void **state unused_arg)
{
	uint64_t own[BEAT_COUNTS_N];

	for (int boot = 0; boot < 3; boot++) {
		count_add(&process_state.counters, process_requests, 10);
		second();
		second();
		count_add(&process_state.counters, process_requests, 1); /* never told */
		restart("lb-1");
		second();
		second();
	}
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 30);
}

static void counters_that_are_cleared_count_on(void **state unused_arg)
{
	uint64_t own[BEAT_COUNTS_N];

	count_add(&process_state.counters, process_requests, 10);
	second();
	counters_clear(&process_state.counters);
	count_add(&process_state.counters, process_requests, 3);
	second();
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 13);
}

static void an_upgrade_counts_nothing_twice(void **state unused_arg)
{
	uint64_t own[BEAT_COUNTS_N], boot = beat_boot();

	count_add(&process_state.counters, process_requests, 10);
	second();
	second();
	kill_node();
	/* The counters come with the upgrade, some of them a moment later. */
	counters_clear(&process_state.counters);
	count_add(&process_state.counters, process_requests, 4);
	beat_set_boot(boot);
	start_node("lb-1");
	second();
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 10);
	count_add(&process_state.counters, process_requests, 6 + 5);
	second();
	beat_totals(own, NULL);
	assert_int_equal(own[BEAT_requests], 15);
	assert_told("");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_node_says_what_it_is_each_second),
		TEST(the_number_of_the_stream_is_passed_on),
		TEST(a_peer_is_there_while_its_beat_moves),
		TEST(a_peer_that_stops_is_gone_at_once),
		TEST(silence_while_redis_is_away_says_nothing),
		TEST(answers_of_a_link_that_is_lost_are_too_late),
		TEST(another_secret_is_told_once),
		TEST(other_servers_are_told_when_it_lasts),
		TEST(the_order_of_servers_has_no_say),
		TEST(the_secret_is_checked),
		TEST(two_nodes_of_one_name_are_told_of),
		TEST(the_process_before_is_no_other_node),
		TEST(of_many_names_some_are_kept),
		TEST(garbage_says_nothing),
		TEST(a_name_that_was_removed_is_forgotten),
		TEST(who_is_gone_survives_a_flush),
		TEST(a_node_that_is_renamed_takes_its_counts_along),
		TEST(a_restart_goes_on_from_what_was_told),
		TEST(counters_that_are_cleared_count_on),
		TEST(an_upgrade_counts_nothing_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
