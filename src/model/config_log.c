/* SPDX-License-Identifier: MIT */
/* config_log - `log` of the file: one target or several, and their way into force. */
#include "config.h"

#include "base/log.h"
#include "model/load.h"
#include "model/schema_fns.h"

bool read_log_target(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		     void *base)
{
	static const char *const words[] = { "stderr", "stdout", "syslog", "none" };
	static const struct str prefixes[] = { STR_INIT("file:/"), STR_INIT("unix:/"),
					       STR_INIT("udp:") };
	struct str text = node->text;
	bool ok = false;

	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		return false;
	for (size_t i = 0; !ok && i < ARRAY_N(words); i++)
		ok = str_eq(text, str_of(words[i]));
	for (size_t i = 0; !ok && i < ARRAY_N(prefixes); i++)
		ok = str_starts(text, prefixes[i]) && text.len > prefixes[i].len;
	if (ok)
		*(struct str *)schema_field(row, base) = load_keep(load, text);
	return ok;
}

bool read_log_tag(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		  void *base)
{
	if (node->kind != YAML_SCALAR || yaml_is_null(node) || !log_is_tag(node->text))
		return false;
	*(struct str *)schema_field(row, base) = load_keep(load, node->text);
	return true;
}

static void log_read(struct load *load, const struct yaml_node *node, struct log_conf *log)
{
	section_defaults(load, S_LOG, log);
	if (node->kind == YAML_SCALAR)
		row_read(load, schema_find(S_LOG, STR("target")), node, log);
	else
		section_read(load, S_LOG, node, log, NULL);
	log->pos = load_pos(load, node);
}

bool read_logs(struct load *load, const struct schema_row *row unused_arg,
	       const struct yaml_node *node, void *base)
{
	struct global_conf *global = base;
	size_t n = load_items(node);

	if (yaml_is_null(node) || n == 0)
		return false;
	if (n > LOG_TARGETS_MAX) {
		load_error(load, node, "'log' has %zu targets; %d are possible", n,
			   LOG_TARGETS_MAX);
		n = LOG_TARGETS_MAX;
	}
	global->logs = arena_calloc(load->arena, n, sizeof(*global->logs));
	global->logs_n = n;
	for (size_t i = 0; i < n; i++)
		log_read(load, load_item(node, i), &global->logs[i]);
	return true;
}

int config_log_open(const struct global_conf *global, const struct log_conf **which,
		    const char **why)
{
	static const enum log_style styles[] = {
		[LOG_TEXT] = LOG_STYLE_TEXT,
		[LOG_JSON] = LOG_STYLE_JSON,
		[LOG_HAPROXY] = LOG_STYLE_HAPROXY,
	};
	struct log_target targets[LOG_TARGETS_MAX];
	unsigned n = 0, bad;
	int rc;

	for (; n < global->logs_n && n < LOG_TARGETS_MAX; n++) {
		const struct log_conf *log = &global->logs[n];

		targets[n] = (struct log_target){
			.target = log->target,
			.style = styles[log->format],
			.level = (enum log_level)log->level,
			.syslog = (enum log_syslog)log->syslog,
			.facility = (uint8_t)log->facility,
			.tag = log->tag,
			.has_requests = log->has_requests,
			.has_events = log->has_events,
		};
	}
	rc = log_open(targets, n, &bad, why);
	*which = rc == 0 ? NULL : &global->logs[bad];
	return rc;
}
