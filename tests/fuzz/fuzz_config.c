/* SPDX-License-Identifier: MIT */
/*
 * The configuration loader: any bytes give a snapshot or messages, and what loads is dumped to a
 * text that loads again and dumps to the same.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/load.h"
#include "model/match.h"

#define must(cond) bug_on(!(cond))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No name leaves the machine. */
static int resolve_nothing(const char *name, struct ip_addr *ip, const char **why)
{
	*why = "not resolved while fuzzing";
	return name[0] == 'k' ? ip_addr_parse(STR("192.0.2.7"), ip) : -1;
}

static void check_messages(const struct config *config, const struct config_messages *messages)
{
	size_t errors_n = 0;

	for (size_t i = 0; i < messages->n; i++) {
		must(messages->texts[i] && !strchr(messages->texts[i], '\n'));
		errors_n += messages->are_errors[i];
	}
	must(errors_n == messages->errors_n);
	must(!config == (errors_n > 0));
}

static void run_matches(const struct config *config)
{
	static struct http_head head;
	const struct ip_addr client = { .family = AF_INET };
	const struct match_facts facts = { .head = &head,
					   .client = &client,
					   .host = STR_INIT("a.example.com"),
					   .path = STR_INIT("/a/b") };

	memset(head.first, 0xff, sizeof(head.first));
	head.method = STR("GET");
	head.query = STR("a=b&c=%64");
	for (size_t i = 0; i < config->frontends_n; i++)
		for (size_t k = 0; k < config->frontends[i].routes_n; k++)
			(void)match_holds(config->frontends[i].routes[k].match, &facts);
}

/* Loads the dump of FIRST and compares. */
static void check_dump(const struct config *first)
{
	struct config_messages messages;
	size_t len, again_len;
	char *text = config_dump(first, true, &len), *again;
	struct config *second = config_load_text("dump", (struct str){ text, len }, &messages);

	if (!second) {
		fprintf(stderr, "%s\n%s\n", text, messages.n ? messages.texts[0] : "");
		must(second);
	}
	again = config_dump(second, true, &again_len);
	must(len == again_len && memcmp(text, again, len) == 0);
	config_messages_fini(&messages);
	config_unref(second);
	free(text);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_messages messages;
	struct config *config;

	load_resolver = resolve_nothing;
	load_tls_server = NULL; /* no certificates are read */
	config = config_load_text("fuzz", (struct str){ (const char *)data, size }, &messages);
	check_messages(config, &messages);
	if (config) {
		run_matches(config);
		check_dump(config);
	}
	config_messages_fini(&messages);
	config_unref(config);
	return 0;
}
