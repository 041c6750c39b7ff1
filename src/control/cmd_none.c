/* SPDX-License-Identifier: MIT */
/*
 * What HAProxy has and Limpet has none of: the answers are those of a HAProxy that has none
 * either, so that tools which ask for it go on.
 */
#include "config.h"

#include "control/commands.h"

enum run_step command_show_map(struct run *run)
{
	if (run->args_n)
		return run_error(run, "Unknown map identifier. Please use #<id> or <file>.");
	run_text(run, STR("# id (file) description\n"));
	return RUN_DONE;
}

enum run_step command_show_acl(struct run *run)
{
	if (run->args_n)
		return run_error(run, "Unknown ACL identifier. Please use #<id> or <file>.");
	run_text(run, STR("# id (file) description\n"));
	return RUN_DONE;
}

enum run_step command_show_resolvers(struct run *run)
{
	return run->args_n ? run_error(run, "Can't find that resolvers section") : RUN_DONE;
}

/* Nothing is hidden behind these modes here; clients of HAProxy 2.x switch them on first. */
static enum run_step mode(struct run *run, const char *name)
{
	if (!run->args_n)
		run_print(run, "%s is OFF\n", name);
	return RUN_DONE;
}

enum run_step command_expert_mode(struct run *run)
{
	return mode(run, "expert-mode");
}

enum run_step command_experimental_mode(struct run *run)
{
	return mode(run, "experimental-mode");
}
