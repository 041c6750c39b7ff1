/* SPDX-License-Identifier: MIT */
/* show mirror; mirror pause, resume and resync. */
#include "config.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/console.h"
#include "control/mirror_view.h"

#define NO_MIRROR "There is no mirror: the configuration has no global.mirror."

static void print_numbers(struct run *run, const struct mirror_view *view)
{
	for (unsigned i = 0; i < mirror_numbers_n; i++)
		run_print(run, "%s: %llu\n", mirror_numbers[i].name,
			  (unsigned long long)mirror_number(view, &mirror_numbers[i]));
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		run_print(run, "Own_%s: %llu\nPair_%s: %llu\n", beat_count_names[i],
			  (unsigned long long)view->own[i], beat_count_names[i],
			  (unsigned long long)view->pair[i]);
}

static enum run_step print_mirror(struct run *run)
{
	struct mirror_view view;
	char text[512];
	unsigned at = 0;

	mirror_view(&view);
	if (!view.is_configured) {
		run_text(run, STR("State: off\n"));
		return RUN_DONE;
	}
	run_print(run, "State: %s\nLoaded: %d\nMode: %s\nNode: %.*s\nRedis: %s\nLastLoss: %s\n",
		  mirror_state_name(view.status.state), view.status.is_loaded,
		  view.status.is_sync ? "sync" : "async", STR_ARG(beat_node()),
		  view.status.where[0] ? view.status.where : "-",
		  view.status.why[0] ? view.status.why : "-");
	while (mirror_problem(&view, &at, text, sizeof(text)))
		run_print(run, "Problem: %s\n", text);
	print_numbers(run, &view);
	return RUN_DONE;
}

/*
 * A line for each node, this one first, and one for the pair.  Names may have spaces: they come
 * last.
 */
static enum run_step print_peers(struct run *run)
{
	struct mirror_view view;

	mirror_view(&view);
	run_text(run, STR("# here state seen_ms entries secret servers version"));
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		run_print(run, " %s", beat_count_names[i]);
	run_text(run, STR(" node\n"));
	if (!view.is_configured)
		return RUN_DONE;
	run_print(run, "self %s 0 - - - %s", mirror_state_name(view.status.state), PACKAGE_VERSION);
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		run_print(run, " %llu", (unsigned long long)view.own[i]);
	run_print(run, " %.*s\n", STR_ARG(beat_node()));
	for (size_t p = 0; p < view.peers_n; p++) {
		const struct beat_peer *peer = &view.peers[p];

		run_print(run, "%s %s %lld %llu %s %s %s",
			  view.is_blind      ? "?"
			  : peer->is_present ? "yes"
					     : "gone",
			  mirror_state_name(peer->state),
			  peer->seen_at_ms ? (long long)(clock_ms() - peer->seen_at_ms) : -1ll,
			  (unsigned long long)peer->entries, peer->is_key_wrong ? "OTHER" : "same",
			  peer->has_other_servers ? "differ" : "same", peer->version);
		for (int i = 0; i < BEAT_COUNTS_N; i++)
			run_print(run, " %llu", (unsigned long long)peer->totals[i]);
		run_print(run, " %s\n", peer->name);
	}
	run_text(run, STR("pair - - - - - -"));
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		run_print(run, " %llu", (unsigned long long)view.pair[i]);
	run_text(run, STR(" -\n"));
	return RUN_DONE;
}

enum run_step command_show_mirror(struct run *run)
{
	struct json json = { .out = &run->console->out };

	if (!run->args_n)
		return print_mirror(run);
	if (str_eq(run->args[0], STR("peers")))
		return print_peers(run);
	if (!str_eq(run->args[0], STR("json")))
		return run_error(run, "'show mirror' takes 'peers' or 'json'.");
	mirror_json(&json, NULL, CTL_OPERATOR);
	run_text(run, STR("\n"));
	return RUN_DONE;
}

/* HAProxy's name of it; without a mirror the answer of a HAProxy without peers. */
enum run_step command_show_peers(struct run *run)
{
	if (control_config()->global.mirror)
		return command_show_mirror(run);
	return run->args_n ? run_error(run, "No such peers") : RUN_DONE;
}

static bool has_mirror(struct run *run)
{
	if (control_config()->global.mirror)
		return true;
	run_error(run, NO_MIRROR);
	return false;
}

enum run_step command_mirror_pause(struct run *run)
{
	if (!has_mirror(run))
		return RUN_DONE;
	mirror_pause();
	return run_message(run, SEVERITY_NOTICE,
			   "The mirror is paused: this node goes on with its own tables, and marks "
			   "what changes.");
}

enum run_step command_mirror_resume(struct run *run)
{
	if (!has_mirror(run))
		return RUN_DONE;
	mirror_resume();
	return run_message(run, SEVERITY_NOTICE,
			   "The mirror goes on: marks are pushed, and everything is compared.");
}

enum run_step command_mirror_resync(struct run *run)
{
	struct mirror_status status;

	if (!has_mirror(run))
		return RUN_DONE;
	if (mirror_resync())
		return run_message(run, SEVERITY_NOTICE, "All entries are being compared.");
	mirror_status(&status);
	if (status.state == MIRROR_PAUSED)
		return run_error(run, "The mirror is paused; everything is compared when it goes "
				      "on: mirror resume.");
	return run_error(run, "Redis is away (%s); everything is compared when it is back.",
			 status.why[0] ? status.why : "not yet connected");
}
