/* SPDX-License-Identifier: MIT */
/* show ssl cert, show ssl crt-list: HAProxy's layout, and lines of ours behind it. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/ssl_args.h"
#include "health/ocsp_refresh.h"
#include "net/tls_ocsp.h"

/* A list of lines, made at once: the store may change between two pieces of the answer. */
struct lines {
	struct buf text;
	size_t at;
};

static void lines_free(void *state)
{
	struct lines *lines = state;

	buf_release(&lines->text);
	free(lines);
}

static struct lines *lines_new(struct run *run)
{
	struct lines *lines = xcalloc(1, sizeof(*lines));

	run->state = lines;
	run->state_free = lines_free;
	return lines;
}

static enum run_step lines_write(struct run *run)
{
	struct lines *lines = run->state;
	struct str left = buf_str(&lines->text);

	if (left.len > RUN_PIECE)
		left.len = RUN_PIECE;
	run_text(run, left);
	buf_consume(&lines->text, left.len);
	return buf_length(&lines->text) ? RUN_MORE : RUN_DONE;
}

static void add_line(struct lines *lines, const char *before, struct str text)
{
	buf_append_str(&lines->text, str_of(before));
	buf_append_str(&lines->text, text);
	buf_append_str(&lines->text, STR("\n"));
}

static void add_transaction(void *arg, struct tls_entry *entry)
{
	struct lines *lines = arg;

	if (!tls_entry_prepared(entry))
		return;
	if (!buf_length(&lines->text))
		add_line(lines, "", STR("# transaction"));
	add_line(lines, "*", tls_entry_path(entry));
}

static void add_entry(void *arg, struct tls_entry *entry)
{
	struct lines *lines = arg;

	if (!lines->at++)
		add_line(lines, "", STR("# filename"));
	add_line(lines, "", tls_entry_path(entry));
}

static void print_time(struct run *run, const char *name, int64_t unix_s)
{
	char text[SSL_TIME_SIZE];

	run_print(run, "%s: %s\n", name, ssl_time_text(unix_s, text));
}

static void print_facts(struct run *run, const struct tls_cert *cert)
{
	const struct tls_cert_about *about = tls_cert_about(cert);
	char *key = ssl_ocsp_key(cert);

	run_print(run, "Serial: %s\n", about->serial);
	print_time(run, "notBefore", about->not_before_unix_s);
	print_time(run, "notAfter", about->not_after_unix_s);
	run_print(run, "Subject Alternative Name: %s\n", about->alt_names);
	run_print(run, "Algorithm: %s\n", about->algorithm);
	run_print(run, "SHA1 FingerPrint: %s\n", about->sha1);
	run_print(run, "Subject: %s\n", about->subject);
	run_print(run, "Issuer: %s\n", about->issuer);
	for (size_t i = 0; i < about->chain_n; i++)
		run_print(run, "Chain Subject: %s\nChain Issuer: %s\n", about->chain[i],
			  about->chain_issuers[i]);
	run_print(run, "OCSP Response Key: %s\n", key);
	run_print(run, "SHA256 FingerPrint: %s\n", about->sha256);
	free(key);
}

static void print_staple(struct run *run, struct tls_cert *cert)
{
	struct tls_ocsp_about staple;

	if (!tls_cert_staple_about(cert, &staple)) {
		run_print(run, "OCSP: no response%s\n",
			  tls_cert_about(cert)->is_staple_required
				  ? ", and the certificate must have one (must staple)"
				  : "");
		return;
	}
	run_print(run, "OCSP: %s%s\n", tls_ocsp_status_text(staple.status),
		  staple.next_update_unix_s && staple.next_update_unix_s * 1000 < clock_unix_ms()
			  ? ", out of date: not stapled"
			  : "");
	print_time(run, "OCSP thisUpdate", staple.this_update_unix_s);
	if (staple.next_update_unix_s)
		print_time(run, "OCSP nextUpdate", staple.next_update_unix_s);
}

static void print_refresh(struct run *run, const struct tls_entry *entry)
{
	struct ocsp_refresh_state state;

	if (!ocsp_refresh_state(tls_entry_path(entry), &state))
		return;
	if (tls_cert_about(tls_entry_cert(entry))->responder)
		run_print(run, "OCSP responder: %s\n",
			  tls_cert_about(tls_entry_cert(entry))->responder);
	if (state.asked_unix_ms)
		print_time(run, "OCSP asked", state.asked_unix_ms / 1000);
	if (state.why[0])
		run_print(run, "OCSP failure: %s\n", state.why);
	if (state.next_unix_ms)
		print_time(run, "OCSP next question", state.next_unix_ms / 1000);
}

static void print_user(void *arg, struct str label)
{
	run_print(arg, "Bind: %.*s\n", STR_ARG(label));
}

static enum run_step print_entry(struct run *run, struct tls_entry *entry)
{
	struct tls_cert *cert = tls_entry_cert(entry);
	const char *status = !cert ? "Empty" : tls_entry_is_used(entry) ? "Used" : "Unused";

	run_print(run, "Filename: %.*s\nStatus: %s\n", STR_ARG(tls_entry_path(entry)), status);
	if (!cert) {
		run_text(run, STR("OCSP Response Key: \n"));
		return RUN_DONE;
	}
	print_facts(run, cert);
	run_print(run, "Source: %s\n", tls_entry_is_from_memory(entry) ? "stats socket" : "file");
	print_staple(run, cert);
	print_refresh(run, entry);
	tls_entry_each_user(entry, print_user, run);
	return RUN_DONE;
}

static enum run_step print_transaction(struct run *run, struct tls_entry *entry)
{
	run_print(run, "Filename: *%.*s\nStatus: Unused\n", STR_ARG(tls_entry_path(entry)));
	print_facts(run, tls_entry_prepared(entry));
	return RUN_DONE;
}

enum run_step command_show_ssl_cert(struct run *run)
{
	struct str path = run_arg(run, 0);
	struct tls_entry *entry = path.len ? tls_store_find(path) : NULL;

	if (entry)
		return print_entry(run, entry);
	if (path.len > 1 && path.p[0] == '*') {
		entry = tls_store_find(str_sub(path.p + 1, path.p + path.len));
		if (entry && tls_entry_prepared(entry))
			return print_transaction(run, entry);
	}
	if (path.len)
		return run_error(run, "Can't display the certificate: Not found or the certificate "
				      "is a bundle!");
	if (!run->state) {
		struct lines *lines = lines_new(run);

		tls_store_each(add_transaction, lines);
		tls_store_each(add_entry, lines);
	}
	return lines_write(run);
}

struct listing {
	struct lines *lines;
	struct str directory;
	char *found; /* (own) */
	bool is_numbered;
	unsigned n;
};

static void add_directory(void *arg, struct str directory)
{
	struct lines *lines = arg;

	while (directory.len > 1 && directory.p[directory.len - 1] == '/')
		directory.len--;
	add_line(lines, "", directory);
}

static void find_directory(void *arg, struct str directory)
{
	struct listing *listing = arg;

	if (!listing->found && ssl_is_same_directory(directory, listing->directory))
		listing->found = xstrndup(directory);
}

static void add_of_directory(void *arg, struct tls_entry *entry)
{
	struct listing *listing = arg;
	struct str path = tls_entry_path(entry);
	char number[16] = "";

	if (!ssl_is_same_directory(ssl_directory_of(path), listing->directory) ||
	    !tls_entry_is_used(entry))
		return;
	if (listing->is_numbered)
		snprintf(number, sizeof(number), ":%u", listing->n);
	listing->n++;
	buf_append_str(&listing->lines->text, path);
	add_line(listing->lines, number, STR(""));
}

/* Directories that binds name stand where HAProxy has its lists, which may be directories too. */
enum run_step command_show_ssl_crt_list(struct run *run)
{
	bool is_numbered = str_eq(run_arg(run, 0), STR("-n"));
	struct listing listing = { .directory = run_arg(run, is_numbered),
				   .is_numbered = is_numbered };

	if (run->state)
		return lines_write(run);
	if (!listing.directory.len) {
		tls_store_each_directory(add_directory, lines_new(run));
		return lines_write(run);
	}
	tls_store_each_directory(find_directory, &listing);
	if (!listing.found)
		return run_error(run, "didn't find the specified filename");
	free(listing.found);
	listing.lines = lines_new(run);
	add_line(listing.lines, "# ", listing.directory);
	tls_store_each(add_of_directory, &listing);
	return lines_write(run);
}
