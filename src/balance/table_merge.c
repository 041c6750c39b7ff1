/* SPDX-License-Identifier: MIT */
/* What other nodes, or Redis, say of an entry. */
#include "config.h"

#include "balance/sessions.h"
#include "balance/table_inner.h"
#include "balance/version.h"

/* One record that meets one key of one table. */
struct meeting {
	struct table *table;
	const struct table_record *record;
	const struct table_record *proposal; /* that RECORD answers; NULL: none, or accepted */
	bool is_answer;                      /* to a proposal */
	enum merge_source source;
	struct server *server;    /* RECORD's; NULL of a tombstone */
	struct table_value value; /* as an entry has it */
	bool is_counted;          /* RECORD's live session was counted on its server */
	int64_t now;
	struct shard *shard;
	struct shard_entry *entry; /* or tombstone; NULL = absent */
	uint32_t cell;             /* of ENTRY */
	struct shard_gone gone;
	bool is_session_used; /* the count stands: the entry is a new session */
};

static bool is_wellformed(const struct table_record *record)
{
	if (!record->key.len || record->key.len > TABLE_KEY_SIZE || record->left_ms < 1 ||
	    record->state > RECORD_TOMB || !record->version)
		return false;
	return record->state == RECORD_TOMB ||
	       (record->server <= TABLE_SERVER_MAX && server_by_number(record->server));
}

/*
 * Before and after the mutex is held.
 */
static void meeting_begin(struct meeting *meeting)
{
	const struct table_record *record = meeting->record;
	struct table *table = meeting->table;

	meeting->value.idle_ms = table_idle(record->idle_ms);
	if (record->state != RECORD_TOMB) {
		meeting->server = server_by_number(record->server);
		meeting->value.server = record->server;
		meeting->value.generation =
			server_generation(meeting->server) - (record->state == RECORD_DEAD);
	}
	meeting->is_counted = table->is_counted && record->state == RECORD_LIVE;
	if (meeting->is_counted)
		sessions_up(meeting->server);
	table_gone_init(table, &meeting->gone);
	meeting->shard = shard_of(table, &record->key);
	meeting->now = table_now(table);
	pthread_mutex_lock(&meeting->shard->mutex);
	meeting->entry = table_find_any(meeting->shard, &record->key, meeting->now, &meeting->gone,
					&meeting->cell);
}

static void meeting_end(struct meeting *meeting, enum merge_result result)
{
	struct table_value value;
	bool is_tomb = meeting->record->state == RECORD_TOMB;

	if (result == MERGE_TAKEN)
		shard_value(meeting->entry, meeting->now, &value);
	table_unlock(meeting->table, meeting->shard, &meeting->gone);
	if (meeting->is_counted && !meeting->is_session_used)
		sessions_down(meeting->server);
	if (result != MERGE_TAKEN)
		return;
	table_make_room_elsewhere(meeting->table, meeting->shard, meeting->now);
	table_tell(meeting->table, &meeting->record->key, is_tomb ? NULL : &value,
		   is_tomb ? TABLE_DROPPED : TABLE_SET);
}

/*
 * In between.
 */
static int64_t left_of(const struct meeting *meeting)
{
	const struct shard_entry *entry = meeting->entry;

	return entry->opens ? (int64_t)entry->idle_ms : shard_left_ms(entry, meeting->now);
}

static void set_clean(struct meeting *meeting, int64_t left_ms)
{
	struct shard_entry *entry = meeting->entry;

	shard_unmark(meeting->shard, shard_number_at(meeting->shard, meeting->cell));
	entry->push = SHARD_PUSH_NONE;
	entry->is_sent = entry->is_again = entry->is_passed = false;
	shard_set_pushed(entry, meeting->now, left_ms);
	/* An answer may be older than the comparison that runs. */
	if (!meeting->is_answer)
		entry->epoch = (uint16_t)atomic_load_explicit(&meeting->table->epoch,
							      memory_order_relaxed);
	/* A use here of which Redis has not heard. */
	if (left_of(meeting) > left_ms)
		table_mark_use(meeting->shard, entry, meeting->cell, meeting->now, &meeting->gone);
}

static int64_t record_left(const struct meeting *meeting)
{
	return meeting->record->left_ms < (int64_t)meeting->value.idle_ms
		       ? meeting->record->left_ms
		       : (int64_t)meeting->value.idle_ms;
}

static void take_new(struct meeting *meeting, bool is_tomb)
{
	struct shard *shard = meeting->shard;

	meeting->entry = table_insert(meeting->table, shard, &meeting->record->key, &meeting->value,
				      meeting->now, &meeting->gone);
	meeting->cell = shard_find(shard, &meeting->record->key);
	meeting->is_session_used = !is_tomb;
	if (!is_tomb)
		return;
	meeting->entry->is_tomb = true;
	shard->tombs_n++;
}

/* A live entry becomes what the record says.  False: it was at this server already. */
static bool take_over(struct meeting *meeting)
{
	struct shard_entry *entry = meeting->entry;
	const struct table_value *value = &meeting->value;

	if (entry->server == value->server &&
	    entry->generation == (value->generation & TABLE_GENERATION_MASK))
		return false;
	shard_note_gone(entry, TABLE_GONE_REPLACED, meeting->now, &meeting->gone);
	entry->server = (uint16_t)value->server;
	entry->generation = (uint16_t)value->generation;
	meeting->is_session_used = true;
	return true;
}

static void take(struct meeting *meeting)
{
	struct shard *shard = meeting->shard;
	struct shard_entry *entry = meeting->entry;
	bool is_tomb = meeting->record->state == RECORD_TOMB;
	int64_t left = record_left(meeting);

	if (!entry) {
		take_new(meeting, is_tomb);
	} else if (is_tomb && !entry->is_tomb) {
		shard_bury(shard, meeting->cell, TABLE_GONE_DROPPED, meeting->now, &meeting->gone);
	} else if (!is_tomb && entry->is_tomb) {
		shard_revive(shard, meeting->cell, &meeting->value, meeting->now);
		meeting->is_session_used = true;
	} else if (!is_tomb && !take_over(meeting)) {
		/* The same session: who has used it last knows how long it lives. */
		if (left_of(meeting) > left)
			left = left_of(meeting);
	}
	entry = meeting->entry;
	shard_set_version(entry, meeting->record->version);
	entry->idle_ms = meeting->value.idle_ms;
	table_set_left(shard, shard_number_at(shard, meeting->cell), left, meeting->now);
	set_clean(meeting, record_left(meeting));
}

/* The same record: the longer lifetime stands. */
static void extend(struct meeting *meeting)
{
	int64_t left = record_left(meeting);

	if (left <= left_of(meeting))
		return;
	meeting->entry->idle_ms = meeting->value.idle_ms;
	table_set_left(meeting->shard, shard_number_at(meeting->shard, meeting->cell), left,
		       meeting->now);
}

static bool is_proposed(const struct meeting *meeting)
{
	return meeting->entry->is_sent ||
	       shard_is_dirty(meeting->shard, shard_number_at(meeting->shard, meeting->cell));
}

static enum merge_action decide_record(const struct meeting *meeting)
{
	struct merge_side ours = { 0 };
	const struct merge_side theirs = {
		.is_there = true,
		.state = meeting->record->state,
		.version = meeting->record->version,
		.server = meeting->record->state == RECORD_TOMB ? SERVER_NONE
								: meeting->record->server,
	};

	if (meeting->entry) {
		struct table_record mine;

		table_record_of(meeting->shard, meeting->entry, meeting->now, &mine);
		ours = (struct merge_side){ true, mine.state, mine.version, mine.server,
					    is_proposed(meeting) };
	}
	return merge_decide(&ours, &theirs, meeting->source);
}

/* The first writer wins, unless his server cannot serve while ours can. */
static bool is_better_assigned_here(const struct meeting *meeting)
{
	const struct server *ours = server_by_number(meeting->entry->server);

	return meeting->proposal->change == RECORD_ASSIGN &&
	       meeting->record->state == RECORD_LIVE && !server_is_able(meeting->server) &&
	       !meeting->entry->is_tomb && ours && server_is_able(ours) &&
	       server_is_of_generation(ours, meeting->entry->generation);
}

/* The answer to the proposal of ENTRY's version has come. */
static void end_sent(struct meeting *meeting)
{
	struct shard_entry *entry = meeting->entry;

	entry->is_sent = false;
	if (!entry->is_again)
		return;
	entry->is_again = false;
	shard_mark(meeting->shard, shard_number_at(meeting->shard, meeting->cell),
		   (enum shard_push)entry->push, &meeting->gone);
}

/* RECORD stands on Redis instead of our PROPOSAL, which is what the entry still is. */
static enum merge_action decide_answer(struct meeting *meeting)
{
	struct shard_entry *entry = meeting->entry;
	uint64_t theirs = meeting->record->version;

	end_sent(meeting);
	if (theirs == meeting->proposal->version)
		return MERGE_EXTEND;
	if (is_proposed(meeting))
		return MERGE_PROPOSE; /* again, and that answer will count */
	entry->push = SHARD_PUSH_NONE;
	if (is_better_assigned_here(meeting)) {
		shard_set_version(entry, version_next());
		return MERGE_PROPOSE;
	}
	/* It was there, in our version, and is not any more: Redis went back. */
	if (meeting->proposal->change == RECORD_REFRESH && theirs < meeting->proposal->version)
		return MERGE_PROPOSE;
	return MERGE_TAKE;
}

static enum merge_result act(struct meeting *meeting, enum merge_action action)
{
	bug_on(!meeting->entry && action != MERGE_TAKE);
	switch (action) {
	case MERGE_TAKE:
		take(meeting);
		return MERGE_TAKEN;
	case MERGE_EXTEND:
		extend(meeting);
		set_clean(meeting, record_left(meeting));
		return MERGE_SAME;
	case MERGE_PROPOSE:
		if (!is_proposed(meeting))
			shard_mark_later(meeting->shard,
					 shard_number_at(meeting->shard, meeting->cell),
					 SHARD_PUSH_SET, &meeting->gone);
		return MERGE_PROPOSED;
	case MERGE_KEEP:
		/* A refresh of ours is under way; another node's was there before it. */
		if (shard_version(meeting->entry) == meeting->record->version)
			extend(meeting);
		else if (meeting->source == MERGE_STREAM && meeting->entry->is_sent &&
			 !meeting->is_answer)
			meeting->entry->is_passed = true;
		break;
	}
	return MERGE_IGNORED;
}

/*
 * Answers come on another connection than the stream: what an answer says may be older than what
 * the stream told while it was under way, and nobody repeats that.  Redis is asked once more.
 */
static void ask_again(struct meeting *meeting)
{
	if (!is_proposed(meeting))
		shard_mark(meeting->shard, shard_number_at(meeting->shard, meeting->cell),
			   SHARD_PUSH_REFRESH, &meeting->gone);
}

static enum merge_result meet(struct table *table, const struct table_record *record,
			      enum merge_source source, const struct table_record *proposal)
{
	struct meeting meeting = {
		.table = table,
		.record = record,
		.proposal = proposal,
		.is_answer = proposal != NULL,
		.source = source,
	};
	enum merge_result result = MERGE_IGNORED;

	meeting_begin(&meeting);
	/* What the proposal was of has ended: the answer may be as old, and is nobody's. */
	if (meeting.shard->is_shared && (meeting.entry || !proposal)) {
		bool is_for_this = proposal && meeting.entry &&
				   shard_version(meeting.entry) == proposal->version;

		bool is_passed = is_for_this && meeting.entry->is_passed;

		result = act(&meeting,
			     is_for_this ? decide_answer(&meeting) : decide_record(&meeting));
		if (is_passed)
			ask_again(&meeting);
	}
	meeting_end(&meeting, result);
	return result;
}

enum merge_result table_merge(struct table *table, const struct table_record *record,
			      enum merge_source source)
{
	if (!is_wellformed(record) || !version_seen(record->version))
		return MERGE_REFUSED;
	return meet(table, record, source, NULL);
}

/* The proposal is what Redis has, or all that it will ever get. */
static enum merge_result accepted(struct table *table, const struct table_record *proposal)
{
	struct meeting meeting = { .table = table, .record = proposal, .is_answer = true };
	enum merge_result result = MERGE_IGNORED;
	bool is_passed, is_older_here;

	table_gone_init(table, &meeting.gone);
	meeting.shard = shard_of(table, &proposal->key);
	meeting.now = table_now(table);
	pthread_mutex_lock(&meeting.shard->mutex);
	meeting.entry = table_find_any(meeting.shard, &proposal->key, meeting.now, &meeting.gone,
				       &meeting.cell);
	if (meeting.entry && shard_version(meeting.entry) == proposal->version) {
		result = MERGE_SAME;
		is_passed = meeting.entry->is_passed;
		end_sent(&meeting);
		if (!is_proposed(&meeting)) {
			set_clean(&meeting, proposal->left_ms);
		} else if (!meeting.entry->is_tomb) {
			/* All other changes would have made a new version. */
			meeting.entry->push = SHARD_PUSH_REFRESH;
		}
		if (is_passed)
			ask_again(&meeting);
	}
	is_older_here = meeting.entry && shard_version(meeting.entry) < proposal->version;
	table_unlock(table, meeting.shard, &meeting.gone);
	/* It was long under way: the entry is another one, and Redis has the newer one now. */
	return is_older_here ? meet(table, proposal, MERGE_STREAM, NULL) : result;
}

enum merge_result table_settle(struct table *table, const struct table_record *proposal,
			       const struct table_record *stored)
{
	if (!stored)
		return accepted(table, proposal);
	if (!is_wellformed(stored) || !version_seen(stored->version)) {
		accepted(table, proposal);
		return MERGE_REFUSED;
	}
	return meet(table, stored, MERGE_STREAM, proposal);
}

void table_unsettle(struct table *table, const struct table_record *proposal, bool is_absent)
{
	static const enum shard_push pushes[] = {
		[RECORD_ASSIGN] = SHARD_PUSH_ASSIGN,
		[RECORD_SET] = SHARD_PUSH_SET,
		[RECORD_REFRESH] = SHARD_PUSH_REFRESH,
		[RECORD_DROP] = SHARD_PUSH_SET,
	};
	struct shard *shard = shard_of(table, &proposal->key);
	int64_t now = table_now(table);
	struct shard_entry *entry;
	struct shard_gone gone;
	uint32_t cell;

	table_gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	entry = table_find_any(shard, &proposal->key, now, &gone, &cell);
	if (entry && shard->is_shared && shard_version(entry) == proposal->version) {
		enum shard_push push = pushes[proposal->change];

		entry->is_sent = entry->is_again = false;
		if (is_absent && push == SHARD_PUSH_REFRESH)
			push = SHARD_PUSH_ASSIGN;
		shard_mark(shard, shard_number_at(shard, cell), push, &gone);
	}
	table_unlock(table, shard, &gone);
}
