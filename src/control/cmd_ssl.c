/* SPDX-License-Identifier: MIT */
/*
 * Certificates over the stats socket: HAProxy's commands, words and answers, so that what renews
 * certificates there (the deploy hook of acme.sh, scripts with socat) does so here.
 *
 *   set ssl cert FILE <<      a transaction: nothing changes yet
 *   commit ssl cert FILE      handshakes find the new one from now on
 *
 * A certificate that "new ssl cert" made is taken at its commit by the binds that name the
 * directory it lies in; "add ssl crt-list" says the same once more, or names another directory.
 * Here each file has a transaction of its own; HAProxy has one for all.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/control.h"
#include "control/ssl_args.h"
#include "net/tls_ocsp.h"

control_certificates_changed_fn *control_certificates_changed_hook;

void ssl_tell(void *arg, bool is_error, struct str file, const char *text)
{
	struct run *run = arg;

	(void)file;
	run_message(run, is_error ? SEVERITY_ERR : SEVERITY_WARNING, "%s%s",
		    is_error ? "" : "Warning: ", text);
}

unsigned char *ssl_decode(struct str text, size_t *size)
{
	unsigned char *packed = xrealloc(NULL, text.len + 1);
	unsigned char *out = xrealloc(NULL, text.len + 4);
	size_t n = 0, padding = 0;
	int length = -1;

	for (size_t i = 0; i < text.len; i++)
		if (!memchr(" \t\r\n", text.p[i], 4))
			packed[n++] = (unsigned char)text.p[i];
	while (padding < 2 && padding < n && packed[n - 1 - padding] == '=')
		padding++;
	if (n && n % 4 == 0 && !memchr(packed, '=', n - padding))
		length = EVP_DecodeBlock(out, packed, (int)n);
	free(packed);
	if (length < 0 || (size_t)length < padding) {
		free(out);
		return NULL;
	}
	*size = (size_t)length - padding;
	return out;
}

static struct str without_slash(struct str directory)
{
	while (directory.len > 1 && directory.p[directory.len - 1] == '/')
		directory.len--;
	return directory;
}

bool ssl_is_same_directory(struct str a, struct str b)
{
	return str_eq(without_slash(a), without_slash(b));
}

struct str ssl_directory_of(struct str path)
{
	const char *slash = memrchr(path.p, '/', path.len);

	if (!slash)
		return STR("");
	return slash == path.p ? STR("/") : without_slash(str_sub(path.p, slash));
}

const char *ssl_time_text(int64_t unix_s, char out[SSL_TIME_SIZE])
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t time = (time_t)unix_s;
	struct tm tm = { 0 };

	gmtime_r(&time, &tm);
	snprintf(out, SSL_TIME_SIZE, "%s %2d %02d:%02d:%02d %d GMT", months[tm.tm_mon % 12],
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_year + 1900);
	return out;
}

static void changed(void)
{
	if (control_certificates_changed_hook)
		control_certificates_changed_hook();
}

static void log_change(struct str path, const char *what)
{
	const struct tls_entry *entry = tls_store_find(path);
	const struct tls_cert *cert = entry ? tls_entry_cert(entry) : NULL;
	const struct tls_cert_about *about = cert ? tls_cert_about(cert) : NULL;
	char *name = xstrndup(path);
	char until[SSL_TIME_SIZE] = "";

	if (about)
		ssl_time_text(about->not_after_unix_s, until);
	log_event(LOG_LEVEL_INFO, "certificate",
		  LOG_FIELDS({ "path", name, 0 }, { "change", what, 0 },
			     { "reason", "stats socket", 0 },
			     { "subject", about ? about->subject : "", 0 },
			     { "not_after_unix_s", NULL, about ? about->not_after_unix_s : 0 }),
		  "certificate %s: %s on the stats socket%s%s%s%s", name, what, about ? "; " : "",
		  about ? about->subject : "", about ? ", good until " : "", until);
	free(name);
}

/* What stands behind the name of a certificate: its part. */
static const char *const parts[] = { "", ".key", ".ocsp", NULL };

/* The entry that PATH names, with or without the ending of a part; NULL = none. */
static struct tls_entry *entry_of(struct str path, const char **part)
{
	for (size_t i = 0; parts[i]; i++) {
		struct str ending = str_of(parts[i]);
		struct tls_entry *entry;

		if (!str_ends(path, ending))
			continue;
		entry = tls_store_find((struct str){ path.p, path.len - ending.len });
		if (entry) {
			*part = parts[i];
			return entry;
		}
	}
	return NULL;
}

/* PATH.key: another key for the certificate of the transaction, or for that in force. */
static int prepare_key(struct run *run, struct tls_entry *entry)
{
	const struct tls_cert *cert =
		tls_entry_prepared(entry) ? tls_entry_prepared(entry) : tls_entry_cert(entry);
	char *pem, *all;
	int rc;

	if (!cert) {
		run_error(run, "Set the certificate first.");
		return -EINVAL;
	}
	pem = tls_cert_pem(cert, false);
	all = xasprintf("%s%.*s", pem, STR_ARG(run->payload));
	rc = tls_store_prepare(tls_entry_path(entry), str_of(all), ssl_tell, run);
	explicit_bzero(all, strlen(all));
	free(all);
	free(pem);
	return rc;
}

/* PATH.ocsp: what is stapled to the certificate of the transaction, or to that in force. */
static int prepare_staple(struct run *run, struct tls_entry *entry)
{
	struct tls_ocsp_about about;
	char why[TLS_WHY_SIZE];
	unsigned char *der;
	size_t size = 0;
	int rc = -EINVAL;

	if (!tls_entry_prepared(entry) && tls_entry_cert(entry)) {
		char *pem = tls_cert_pem(tls_entry_cert(entry), false);

		rc = tls_store_prepare(tls_entry_path(entry), str_of(pem), ssl_tell, run);
		free(pem);
		if (rc != 0)
			return rc;
	}
	if (!tls_entry_prepared(entry)) {
		run_error(run, "Set the certificate first.");
		return -EINVAL;
	}
	der = ssl_decode(run->payload, &size);
	if (!der)
		run_error(run, "The response is not base64.");
	else if (!tls_ocsp_check(tls_entry_prepared(entry), (struct str){ (char *)der, size },
				 &about, why))
		run_error(run, "%s", why);
	else
		rc = 0;
	if (rc == 0)
		tls_cert_set_staple(tls_entry_prepared(entry), der, size, &about);
	free(der);
	return rc;
}

enum run_step command_set_ssl_cert(struct run *run)
{
	struct str path = run_arg(run, 0);
	const char *part = "";
	struct tls_entry *entry;
	bool is_first;
	int rc;

	if (!path.len || !run->payload.p)
		return run_error(run,
				 "'set ssl cert expects a filename and a certificate as a payload");
	entry = entry_of(path, &part);
	if (!entry) {
		run_error(run, "Can't replace a certificate which is not referenced by the "
			       "configuration!");
		return run_error(run, "Can't update %.*s!", STR_ARG(path));
	}
	is_first = !tls_entry_prepared(entry);
	if (part[0] == '\0')
		rc = tls_store_prepare(path, run->payload, ssl_tell, run);
	else
		rc = strcmp(part, ".key") == 0 ? prepare_key(run, entry)
					       : prepare_staple(run, entry);
	if (rc != 0)
		return run_error(run, "Can't update %.*s!", STR_ARG(path));
	return run_message(run, SEVERITY_NOTICE, "Transaction %s for certificate %.*s!",
			   is_first ? "created" : "updated", STR_ARG(tls_entry_path(entry)));
}

struct attach {
	struct str directory;
	char *found; /* (own) as a bind names it; NULL = none does */
};

static void on_directory(void *arg, struct str directory)
{
	struct attach *attach = arg;

	if (!attach->found && ssl_is_same_directory(directory, attach->directory))
		attach->found = xstrndup(directory);
}

/* Attaches PATH to the binds that name DIRECTORY: as tls_store_attach(). */
static int attach_to(struct run *run, struct str directory, struct str path)
{
	struct attach attach = { .directory = directory };
	int rc = -ENOENT;

	tls_store_each_directory(on_directory, &attach);
	if (attach.found)
		rc = tls_store_attach(str_of(attach.found), path, ssl_tell, run);
	free(attach.found);
	return rc;
}

static void print_dot(void *arg, struct str label)
{
	(void)label;
	run_text(arg, STR("."));
}

enum run_step command_commit_ssl_cert(struct run *run)
{
	struct str path = run_arg(run, 0);
	const struct tls_entry *entry = tls_store_find(path);
	bool is_first = entry && !tls_entry_cert(entry);
	int rc;

	if (!path.len)
		return run_error(run, "'commit ssl cert expects a filename");
	if (!entry || !tls_entry_prepared(entry)) {
		run_error(run, "No ongoing transaction! !");
		return run_error(run, "Can't commit %.*s!", STR_ARG(path));
	}
	rc = tls_store_commit(path, ssl_tell, run);
	if (rc != 0)
		return run_error(run, "Can't commit %.*s!", STR_ARG(path));
	if (!tls_entry_is_used(entry))
		(void)attach_to(run, ssl_directory_of(path), path);
	run_print(run, "Committing %.*s", STR_ARG(path));
	tls_entry_each_user(entry, print_dot, run);
	run_text(run, STR("\n"));
	log_change(path, is_first ? "set" : "replaced");
	changed();
	return run_message(run, SEVERITY_NOTICE, "Success!");
}

enum run_step command_abort_ssl_cert(struct run *run)
{
	struct str path = run_arg(run, 0);

	if (!path.len)
		return run_error(run, "'abort ssl cert' expects a filename");
	if (tls_store_abort(path) != 0)
		return run_error(run, "No ongoing transaction!");
	return run_message(run, SEVERITY_NOTICE, "Transaction aborted for certificate '%.*s'!",
			   STR_ARG(path));
}

enum run_step command_new_ssl_cert(struct run *run)
{
	struct str path = run_arg(run, 0);

	if (!path.len)
		return run_error(run, "'new ssl cert' expects a filename");
	if (tls_store_new(path) != 0)
		return run_error(run, "Certificate '%.*s' already exists!", STR_ARG(path));
	return run_message(run, SEVERITY_NOTICE, "New empty certificate store '%.*s'!",
			   STR_ARG(path));
}

enum run_step command_del_ssl_cert(struct run *run)
{
	struct str path = run_arg(run, 0);
	int rc;

	if (!path.len)
		return run_error(run, "'del ssl cert' expects a certificate name");
	rc = tls_store_remove(path);
	if (rc == -ENOENT)
		return run_error(run,
				 "Can't remove the certificate: certificate '%.*s' doesn't exist!",
				 STR_ARG(path));
	if (rc != 0)
		return run_error(run,
				 "Can't remove the certificate: certificate '%.*s' in use, can't "
				 "be deleted!",
				 STR_ARG(path));
	changed();
	return run_message(run, SEVERITY_NOTICE, "Certificate '%.*s' deleted!", STR_ARG(path));
}

enum run_step command_add_ssl_crt_list(struct run *run)
{
	struct str directory = run_arg(run, 0), path = run_arg(run, 1);
	const struct tls_entry *entry = tls_store_find(path);
	struct attach attach = { .directory = directory };
	bool has_directory;
	int rc;

	if (!directory.len || !path.len)
		return run_error(run,
				 "'add ssl crtlist' expects a filename and a certificate name");
	tls_store_each_directory(on_directory, &attach);
	has_directory = attach.found != NULL;
	free(attach.found);
	if (!has_directory)
		return run_error(run, "Can't edit the crt-list: crt-list '%.*s' does not exist!",
				 STR_ARG(directory));
	if (!entry)
		return run_error(run, "Can't edit the crt-list: certificate '%.*s' does not exist!",
				 STR_ARG(path));
	if (!tls_entry_cert(entry))
		return run_error(run, "Can't edit the crt-list: certificate '%.*s' is empty!",
				 STR_ARG(path));
	/* That it is there already, by its commit or because its file was seen, is as well. */
	rc = attach_to(run, directory, path);
	if (rc != 0 && rc != -EEXIST)
		return run_error(run, "Can't edit the crt-list: '%.*s' cannot be used!",
				 STR_ARG(path));
	if (rc == 0) {
		log_change(path, "put to use");
		changed();
	}
	run_print(run, "Inserting certificate '%.*s' in crt-list '%.*s'.\n", STR_ARG(path),
		  STR_ARG(directory));
	return run_message(run, SEVERITY_NOTICE, "Success!");
}

enum run_step command_del_ssl_crt_list(struct run *run)
{
	struct str directory = run_arg(run, 0), path = run_arg(run, 1);
	struct attach attach = { .directory = directory };
	int rc = -ENOENT;

	if (!directory.len || !path.len)
		return run_error(run,
				 "'del ssl crtlist' expects a filename and a certificate name");
	tls_store_each_directory(on_directory, &attach);
	if (!attach.found)
		return run_error(run, "Can't delete the entry: crt-list '%.*s' does not exist!",
				 STR_ARG(directory));
	rc = tls_store_detach(str_of(attach.found), path, ssl_tell, run);
	free(attach.found);
	if (rc == -EBUSY)
		return run_error(
			run, "Can't delete the entry: '%.*s' is the last certificate of a bind!",
			STR_ARG(path));
	if (rc != 0)
		return run_error(run,
				 "Can't delete the entry: certificate '%.*s' can't be found in "
				 "crt-list '%.*s'!",
				 STR_ARG(path), STR_ARG(directory));
	log_change(path, "put out of use");
	changed();
	return run_message(run, SEVERITY_NOTICE, "Entry '%.*s' deleted in crtlist '%.*s'!",
			   STR_ARG(path), STR_ARG(directory));
}
