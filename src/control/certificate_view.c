/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/certificate_view.h"

#include <string.h>

#include "health/ocsp_refresh.h"
#include "net/tls_ocsp.h"
#include "net/tls_store.h"

#define NAMES_MAX 8 /* of one certificate in the API; how many there are is told, too */

static uint64_t serial;

void certificate_view_changed(void)
{
	serial++;
}

uint64_t certificate_view_serial(void)
{
	return serial;
}

/* What a certificate is called: its common name, or its first other one. */
static const char *name_of(const struct tls_cert_about *about)
{
	if (about->common_name[0])
		return about->common_name;
	return about->names_n ? about->names[0] : about->subject;
}

struct view {
	struct json *json;
	enum ctl_level level;
	struct metrics *metrics;
	enum metrics_certificate what;
};

static void put_label(void *arg, struct str label)
{
	json_str(arg, NULL, label);
}

static void put_staple(struct json *json, struct tls_entry *entry)
{
	struct ocsp_refresh_state refresh;
	struct tls_ocsp_about staple;

	if (tls_cert_staple_about(tls_entry_cert(entry), &staple)) {
		json_text(json, "ocsp", tls_ocsp_status_text(staple.status));
		json_s64(json, "ocsp_next_update_unix_s", staple.next_update_unix_s);
	} else {
		json_null(json, "ocsp");
		json_null(json, "ocsp_next_update_unix_s");
	}
	if (ocsp_refresh_state(tls_entry_path(entry), &refresh) && refresh.why[0])
		json_text(json, "ocsp_failure", refresh.why);
	else
		json_null(json, "ocsp_failure");
}

static void put_entry(void *arg, struct tls_entry *entry)
{
	const struct view *view = arg;
	struct json *json = view->json;
	struct str path = tls_entry_path(entry);
	const char *slash = memrchr(path.p, '/', path.len);
	const struct tls_cert_about *about;

	if (!tls_entry_cert(entry) || !tls_entry_is_used(entry))
		return;
	if (slash && view->level < CTL_OPERATOR)
		path = str_sub(slash + 1, path.p + path.len);
	about = tls_cert_about(tls_entry_cert(entry));
	json_open(json, NULL, '{');
	json_str(json, "path", path);
	json_text(json, "name", name_of(about));
	json_open(json, "names", '[');
	for (size_t i = 0; i < about->names_n && i < NAMES_MAX; i++)
		json_text(json, NULL, about->names[i]);
	json_close(json, ']');
	json_u64(json, "names_n", about->names_n);
	json_text(json, "issuer", about->issuer);
	json_text(json, "key", about->key_type);
	json_s64(json, "not_before_unix_s", about->not_before_unix_s);
	json_s64(json, "not_after_unix_s", about->not_after_unix_s);
	json_bool(json, "from_memory", tls_entry_is_from_memory(entry));
	put_staple(json, entry);
	json_open(json, "binds", '[');
	tls_entry_each_user(entry, put_label, json);
	json_close(json, ']');
	json_close(json, '}');
}

void certificates_json(struct json *json, const char *key, enum ctl_level level)
{
	struct view view = { .json = json, .level = level };

	json_open(json, key, '[');
	tls_store_each(put_entry, &view);
	json_close(json, ']');
}

/* False: there is no such sample of ENTRY. */
static bool value_of(struct tls_entry *entry, enum metrics_certificate what, uint64_t *value,
		     bool *is_time)
{
	const struct tls_cert_about *about = tls_cert_about(tls_entry_cert(entry));
	struct tls_ocsp_about staple;
	struct ocsp_refresh_state refresh;
	bool has_staple = tls_cert_staple_about(tls_entry_cert(entry), &staple);
	int64_t unix_s = about->not_after_unix_s;

	*is_time = what == CERTIFICATE_EXPIRY || what == CERTIFICATE_OCSP_NEXT;
	switch (what) {
	case CERTIFICATE_EXPIRY:
		break;
	case CERTIFICATE_OCSP_NEXT:
		unix_s = staple.next_update_unix_s;
		if (!has_staple || !unix_s)
			return false;
		break;
	case CERTIFICATE_FROM_MEMORY:
		*value = tls_entry_is_from_memory(entry);
		return true;
	case CERTIFICATE_OCSP_GOOD:
		*value = staple.status == TLS_OCSP_GOOD;
		return has_staple;
	case CERTIFICATE_OCSP_FAILED:
		if (!ocsp_refresh_state(tls_entry_path(entry), &refresh))
			return false;
		*value = refresh.failed_n;
		return true;
	}
	*value = unix_s > 0 ? (uint64_t)unix_s * 1000000 : 0;
	return true;
}

static void put_sample(void *arg, struct tls_entry *entry)
{
	const struct view *view = arg;
	struct buf label = { 0 };
	uint64_t value;
	bool is_time;

	if (!tls_entry_cert(entry) || !tls_entry_is_used(entry) ||
	    !value_of(entry, view->what, &value, &is_time))
		return;
	buf_append_str(&label, STR("path=\""));
	metrics_escape(&label, tls_entry_path(entry));
	buf_append_str(&label, STR("\",name=\""));
	metrics_escape(&label, str_of(name_of(tls_cert_about(tls_entry_cert(entry)))));
	buf_append(&label, "\"", 2); /* with the NUL */
	if (is_time)
		metrics_seconds(view->metrics, buf_bytes(&label), value);
	else
		metrics_number(view->metrics, buf_bytes(&label), value);
	buf_release(&label);
}

void metrics_certificates(struct metrics *metrics, int what)
{
	struct view view = { .metrics = metrics, .what = (enum metrics_certificate)what };

	tls_store_each(put_sample, &view);
}
