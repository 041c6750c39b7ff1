/* SPDX-License-Identifier: MIT */
/*
 * What to do when a record meets what this node has.  Pure.
 *
 *                      | newer            | the same version | older
 *   ---------------------------------------------------------------------------
 *   nothing here       | take             |                  |
 *   ours is proposed   | keep: the answer to the proposal says what stands
 *   ours               | take             | extend           | propose: Redis has lost ours
 *
 * Older out of the stream: Redis has moved on since, or it had forgotten ours (its lifetime was
 * over there, not here) and took what another node still had.  A proposal finds out.
 */
#include "config.h"

#include "balance/table_share.h"

enum merge_action merge_decide(const struct merge_side *ours, const struct merge_side *theirs,
			       enum merge_source source)
{
	if (!ours->is_there)
		return MERGE_TAKE;
	if (ours->is_proposed)
		return MERGE_KEEP;
	if (theirs->version > ours->version)
		return MERGE_TAKE;
	if (theirs->version < ours->version)
		return MERGE_PROPOSE;
	/* One of the nodes knows already that the server's process is another one. */
	if (ours->state == RECORD_LIVE && theirs->state == RECORD_DEAD)
		return MERGE_TAKE;
	if (ours->state == RECORD_DEAD && theirs->state == RECORD_LIVE)
		return MERGE_EXTEND;
	/* Nodes whose names have the same 16 bits can make one version twice: Redis decides. */
	if (source == MERGE_STORED &&
	    (ours->state != theirs->state || ours->server != theirs->server))
		return MERGE_TAKE;
	return MERGE_EXTEND;
}
