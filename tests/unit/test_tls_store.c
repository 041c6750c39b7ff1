/* SPDX-License-Identifier: MIT */
/* The certificates of the process: files, directories, transactions, what is told of them. */
#include "config.h"

#include "net/tls_store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tls_shake.h"

static struct str path_of(struct bed *bed, const char *name)
{
	return str_of(rig_path(&bed->dir, name));
}

static void write_for(struct bed *bed, const char *file, const char *name, const char *alts)
{
	char *text = bed_pem(bed, name, alts, 0);

	rig_write(&bed->dir, file, text, strlen(text));
	free(text);
}

static void a_key_may_stand_beside_and_others_should_not_read_it(void **state)
{
	struct bed *bed = *state;
	struct rig_cert cert = rig_issue(&(struct rig_cert_options){ .common_name = "a",
								     .alts = "DNS:a.test",
								     .kind = RIG_EC },
					 &bed->ca);
	char *pem = rig_pem(&cert, NULL, false), *both = rig_pem(&cert, NULL, true);

	rig_write(&bed->dir, "a", pem, strlen(pem));
	rig_write(&bed->dir, "a.key", both, strlen(both));
	chmod(rig_path(&bed->dir, "a"), 0644);
	bed_name(bed, "a");
	bed_open(bed);
	assert_string_equal(bed_shown(bed, "a.test"), "a");
	assert_int_equal(bed->told.n_warnings, 0);
	tls_server_unref(bed->server);
	chmod(rig_path(&bed->dir, "a.key"), 0640);
	tls_store_sweep();
	bed_open(bed);
	assert_int_equal(bed->told.n_warnings, 1);
	assert_non_null(strstr(bed->told.text, "a.key (chmod 600)"));
	free(pem);
	free(both);
	rig_cert_free(&cert);
}

static void name_directory(struct bed *bed)
{
	bed->certificates[bed->options.certificates_n++] = str_of(xstrdup(bed->dir.path));
}

static void a_directory_stands_for_its_files_in_order(void **state)
{
	struct bed *bed = *state;

	write_for(bed, "b.pem", "second", "DNS:b.test");
	write_for(bed, "a.pem", "first", "DNS:a.test");
	write_for(bed, ".hidden", "hidden", "DNS:h.test");
	write_for(bed, "x.issuer", "issuer", "DNS:i.test");
	write_for(bed, "x.sctl", "sctl", "DNS:s.test");
	rig_write(&bed->dir, "README", "hello", 5);
	name_directory(bed);
	bed_open(bed);
	assert_string_equal(bed_shown(bed, NULL), "first");
	assert_string_equal(bed_shown(bed, "b.test"), "second");
	assert_string_equal(bed_shown(bed, "h.test"), "first");
	assert_string_equal(bed_shown(bed, "i.test"), "first");
	assert_string_equal(bed_shown(bed, "s.test"), "first");
	assert_int_equal(bed->told.n_errors, 0);
	assert_non_null(strstr(bed->told.text, "README: no certificate in it"));
}

static void each_of_many_certificates_is_found_after_one_was_replaced(void **state)
{
	struct bed *bed = *state;
	char file[32], alts[64], name[32];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(file, sizeof(file), "%02u.pem", i);
		snprintf(alts, sizeof(alts), "DNS:h%u.test,DNS:*.h%u.test", i, i);
		write_for(bed, file, file, alts);
	}
	name_directory(bed);
	bed_open(bed);
	write_for(bed, "07.pem", "other", "DNS:h7.test");
	assert_int_equal(tls_store_reread(path_of(bed, "07.pem"), rig_tell, &bed->told), 1);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(file, sizeof(file), "%02u.pem", i);
		snprintf(name, sizeof(name), "h%u.test", i);
		assert_string_equal(bed_shown(bed, name), i == 7 ? "other" : file);
		snprintf(name, sizeof(name), "a.h%u.test", i);
		assert_string_equal(bed_shown(bed, name), i == 7 ? "00.pem" : file);
	}
}

static void a_directory_without_certificates_is_an_error(void **state)
{
	struct bed *bed = *state;

	rig_write(&bed->dir, "README", "hello", 5);
	name_directory(bed);
	bed->server = tls_server_new(&bed->options, rig_tell, &bed->told);
	assert_null(bed->server);
	assert_non_null(strstr(bed->told.text, "no certificate in this directory"));
}

static void a_transaction_is_in_force_when_it_is_committed(void **state)
{
	struct bed *bed = *state;
	char *pem = bed_pem(bed, "newer", "DNS:a.test,DNS:c.test", 1);
	struct str path;

	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_add(bed, "b", RIG_EC, "DNS:b.test");
	bed_open(bed);
	path = bed->certificates[0];
	assert_int_equal(tls_store_commit(path, rig_tell, &bed->told), -ENOENT);
	assert_int_equal(tls_store_abort(path), -ENOENT);
	assert_int_equal(tls_store_prepare(path, str_of(pem), rig_tell, &bed->told), 0);
	assert_string_equal(bed_shown(bed, "a.test"), "a");
	assert_int_equal(tls_store_commit(path, rig_tell, &bed->told), 0);
	assert_string_equal(bed_shown(bed, "a.test"), "newer");
	assert_string_equal(bed_shown(bed, "c.test"), "newer");
	assert_string_equal(bed_shown(bed, "b.test"), "b");
	assert_true(tls_entry_is_from_memory(tls_store_find(path)));
	assert_null(tls_entry_prepared(tls_store_find(path)));
	free(pem);
}

static void an_aborted_or_bad_transaction_changes_nothing(void **state)
{
	struct bed *bed = *state;
	char *pem = bed_pem(bed, "newer", "DNS:a.test", 1);
	struct str path;

	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_open(bed);
	path = bed->certificates[0];
	assert_int_equal(tls_store_prepare(path, str_of(pem), rig_tell, &bed->told), 0);
	assert_int_equal(tls_store_prepare(path, STR("x"), rig_tell, &bed->told), -EINVAL);
	assert_non_null(tls_entry_prepared(tls_store_find(path)));
	assert_int_equal(tls_store_abort(path), 0);
	assert_int_equal(tls_store_commit(path, rig_tell, &bed->told), -ENOENT);
	assert_string_equal(bed_shown(bed, "a.test"), "a");
	assert_int_equal(tls_store_prepare(STR("/no"), str_of(pem), rig_tell, &bed->told), -ENOENT);
	free(pem);
}

static void a_renewed_certificate_may_come_without_its_key(void **state)
{
	struct bed *bed = *state;
	struct rig_cert_options options = { .common_name = "renewed",
					    .alts = "DNS:a.test",
					    .kind = RIG_EC };
	struct rig_cert same = rig_issue(&options, &bed->ca), other;
	char *pem = rig_pem(&same, &bed->ca, false), *other_pem;

	options.key_number = 1;
	other = rig_issue(&options, &bed->ca);
	other_pem = rig_pem(&other, &bed->ca, false);
	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_open(bed);
	assert_int_equal(
		tls_store_prepare(bed->certificates[0], str_of(other_pem), rig_tell, &bed->told),
		-EINVAL);
	assert_non_null(strstr(bed->told.text, "the key is another certificate's"));
	assert_int_equal(tls_store_prepare(bed->certificates[0], str_of(pem), rig_tell, &bed->told),
			 0);
	assert_int_equal(tls_store_commit(bed->certificates[0], rig_tell, &bed->told), 0);
	assert_string_equal(bed_shown(bed, "a.test"), "renewed");
	free(pem);
	free(other_pem);
	rig_cert_free(&same);
	rig_cert_free(&other);
}

static void a_file_that_changed_is_taken_and_a_bad_one_is_not(void **state)
{
	struct bed *bed = *state;
	struct str path;

	write_for(bed, "a.pem", "old", "DNS:a.test");
	bed_name(bed, "a.pem");
	bed_open(bed);
	path = bed->certificates[0];
	assert_int_equal(tls_store_reread(path, rig_tell, &bed->told), 0);
	write_for(bed, "a.pem", "new", "DNS:a.test");
	assert_int_equal(tls_store_reread(path, rig_tell, &bed->told), 1);
	assert_string_equal(bed_shown(bed, "a.test"), "new");
	rig_write(&bed->dir, "a.pem", "half", 4);
	assert_int_equal(tls_store_reread(path, rig_tell, &bed->told), -EINVAL);
	assert_non_null(strstr(bed->told.text, "a.pem: no certificate in it"));
	assert_string_equal(bed_shown(bed, "a.test"), "new");
	unlink(rig_path(&bed->dir, "a.pem"));
	assert_int_equal(tls_store_reread(path, rig_tell, &bed->told), -ENOENT);
	assert_string_equal(bed_shown(bed, "a.test"), "new");
}

static void what_was_committed_outlives_a_reload_but_not_a_newer_file(void **state)
{
	struct bed *bed = *state;
	char *pem = bed_pem(bed, "memory", "DNS:a.test", 1);
	struct tls_server *old;

	write_for(bed, "a.pem", "disk", "DNS:a.test");
	bed_name(bed, "a.pem");
	bed_open(bed);
	assert_int_equal(tls_store_prepare(bed->certificates[0], str_of(pem), rig_tell, &bed->told),
			 0);
	assert_int_equal(tls_store_commit(bed->certificates[0], rig_tell, &bed->told), 0);
	old = bed->server;
	bed_open(bed);
	tls_server_unref(old);
	assert_string_equal(bed_shown(bed, "a.test"), "memory");
	write_for(bed, "a.pem", "newer", "DNS:a.test");
	old = bed->server;
	bed_open(bed);
	assert_string_equal(bed_shown(bed, "a.test"), "newer");
	assert_false(tls_entry_is_from_memory(tls_store_find(bed->certificates[0])));
	tls_server_unref(old);
	free(pem);
}

static void a_reload_that_fails_leaves_what_is_in_force(void **state)
{
	struct bed *bed = *state;
	char *pem = bed_pem(bed, "b", "DNS:b.test", 1);
	struct tls_server *running;

	write_for(bed, "a.pem", "old", "DNS:a.test");
	bed_name(bed, "a.pem");
	bed_add(bed, "b.pem", RIG_EC, "DNS:b.test");
	bed_open(bed);
	running = bed->server;
	write_for(bed, "a.pem", "new", "DNS:a.test");
	bed_name(bed, "missing");
	assert_null(tls_server_new(&bed->options, rig_tell, &bed->told));
	bed->server = running;
	assert_string_equal(bed_shown(bed, "a.test"), "old");
	assert_null(tls_store_find(bed->certificates[2]));
	/* Nor does it come into force with another change. */
	assert_int_equal(tls_store_prepare(bed->certificates[1], str_of(pem), rig_tell, &bed->told),
			 0);
	assert_int_equal(tls_store_commit(bed->certificates[1], rig_tell, &bed->told), 0);
	assert_string_equal(bed_shown(bed, "b.test"), "b");
	assert_string_equal(bed_shown(bed, "a.test"), "old");
	free(pem);
}

/* Another server of the same files, as a reload makes it; not in force yet. */
static struct tls_server *load_again(struct bed *bed)
{
	struct tls_server *server = tls_server_new(&bed->options, rig_tell, &bed->told);

	assert_non_null(server);
	return server;
}

static const char *shown_by(struct bed *bed, struct tls_server *server, const char *sni)
{
	struct tls_server *running = bed->server;
	const char *name;

	bed->server = server;
	name = bed_shown(bed, sni);
	bed->server = running;
	return name;
}

static void what_a_reload_has_read_waits_until_it_is_in_force(void **state)
{
	struct bed *bed = *state;
	struct tls_server *loaded[2];

	write_for(bed, "a.pem", "old", "DNS:a.test");
	bed_name(bed, "a.pem");
	bed_open(bed);
	write_for(bed, "a.pem", "new", "DNS:a.test");
	loaded[0] = load_again(bed);
	loaded[1] = load_again(bed);
	assert_string_equal(bed_shown(bed, "a.test"), "old");
	assert_string_equal(shown_by(bed, loaded[0], "a.test"), "new");
	assert_string_equal(shown_by(bed, loaded[1], "a.test"), "new");
	tls_store_activate();
	assert_string_equal(bed_shown(bed, "a.test"), "new");
	assert_string_equal(
		tls_cert_about(tls_entry_cert(tls_store_find(bed->certificates[0])))->common_name,
		"new");
	/* In force is in force. */
	tls_server_unref(loaded[0]);
	tls_server_unref(loaded[1]);
	assert_string_equal(bed_shown(bed, "a.test"), "new");
	assert_int_equal(tls_store_reread(bed->certificates[0], rig_tell, &bed->told), 0);
}

static void what_a_refused_reload_has_read_is_forgotten(void **state)
{
	struct bed *bed = *state;
	char *pem = bed_pem(bed, "b", "DNS:b.test", 1);
	struct tls_server *loaded;
	struct str added;

	write_for(bed, "a.pem", "old", "DNS:a.test");
	bed_name(bed, "a.pem");
	bed_add(bed, "b.pem", RIG_EC, "DNS:b.test");
	bed_open(bed);
	write_for(bed, "a.pem", "new", "DNS:a.test");
	write_for(bed, "c.pem", "c", "DNS:c.test");
	bed_name(bed, "c.pem");
	added = bed->certificates[2];
	loaded = load_again(bed);
	/* Another bind of the same configuration is at fault: what was read goes on waiting. */
	bed_name(bed, "missing");
	assert_null(tls_server_new(&bed->options, rig_tell, &bed->told));
	assert_string_equal(shown_by(bed, loaded, "a.test"), "new");
	assert_string_equal(bed_shown(bed, "a.test"), "old");
	tls_server_unref(loaded);
	assert_null(tls_store_find(added));
	/* Nor does it come into force with another change. */
	assert_int_equal(tls_store_prepare(bed->certificates[1], str_of(pem), rig_tell, &bed->told),
			 0);
	assert_int_equal(tls_store_commit(bed->certificates[1], rig_tell, &bed->told), 0);
	tls_store_activate();
	assert_string_equal(bed_shown(bed, "a.test"), "old");
	/* The files are as good as ever for the next one. */
	assert_int_equal(tls_store_reread(bed->certificates[0], rig_tell, &bed->told), 1);
	assert_string_equal(bed_shown(bed, "a.test"), "new");
	free(pem);
}

static void count_label(void *arg, struct str label)
{
	char *text = arg;

	snprintf(text + strlen(text), 64, "%.*s ", STR_ARG(label));
}

static void entries_know_their_binds_and_go_with_the_last(void **state)
{
	struct bed *bed = *state;
	struct tls_server *first;
	char labels[256] = "";

	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_open(bed);
	first = bed->server;
	bed->options.label = STR("api/:8443");
	bed->options.has_ocsp_refresh = true;
	assert_false(tls_entry_wants_ocsp(tls_store_find(bed->certificates[0])));
	bed_open(bed);
	tls_entry_each_user(tls_store_find(bed->certificates[0]), count_label, labels);
	assert_string_equal(labels, "web/:443 api/:8443 ");
	assert_true(tls_entry_wants_ocsp(tls_store_find(bed->certificates[0])));
	assert_int_equal(tls_store_remove(bed->certificates[0]), -EBUSY);
	tls_server_unref(first);
	tls_server_unref(bed->server);
	bed->server = NULL;
	tls_store_sweep();
	assert_null(tls_store_find(bed->certificates[0]));
}

static void a_new_entry_can_be_filled_attached_detached_and_removed(void **state)
{
	struct bed *bed = *state;
	struct str directory = str_of(bed->dir.path), path;
	char *pem = bed_pem(bed, "extra", "DNS:extra.test", 1);
	char name[400];
	struct tls_server *old;

	snprintf(name, sizeof(name), "%s", rig_path(&bed->dir, "extra.pem"));
	path = str_of(name);
	write_for(bed, "a.pem", "a", "DNS:a.test");
	name_directory(bed);
	bed_open(bed);
	assert_int_equal(tls_store_new(path), 0);
	assert_int_equal(tls_store_new(path), -EEXIST);
	assert_int_equal(tls_store_attach(directory, path, rig_tell, &bed->told), -ENOENT);
	assert_int_equal(tls_store_prepare(path, str_of(pem), rig_tell, &bed->told), 0);
	assert_int_equal(tls_store_commit(path, rig_tell, &bed->told), 0);
	assert_int_equal(tls_store_attach(STR("/no"), path, rig_tell, &bed->told), -ENOENT);
	assert_int_equal(tls_store_attach(directory, path, rig_tell, &bed->told), 0);
	assert_int_equal(tls_store_attach(directory, path, rig_tell, &bed->told), -EEXIST);
	assert_string_equal(bed_shown(bed, "extra.test"), "extra");
	old = bed->server;
	bed_open(bed);
	tls_server_unref(old);
	assert_string_equal(bed_shown(bed, "extra.test"), "extra");
	assert_int_equal(tls_store_remove(path), -EBUSY);
	assert_int_equal(tls_store_detach(directory, path, rig_tell, &bed->told), 0);
	assert_int_equal(tls_store_detach(directory, path, rig_tell, &bed->told), -ESRCH);
	assert_string_equal(bed_shown(bed, "extra.test"), "a");
	assert_int_equal(tls_store_detach(directory, path_of(bed, "a.pem"), rig_tell, &bed->told),
			 -EBUSY);
	assert_int_equal(tls_store_remove(path), 0);
	assert_null(tls_store_find(path));
	assert_int_equal(tls_store_remove(path), -ENOENT);
	free(pem);
}

static void files_that_come_to_a_directory_and_go_are_followed(void **state)
{
	struct bed *bed = *state;
	struct str directory = str_of(bed->dir.path);
	char told[256] = "";

	write_for(bed, "a.pem", "a", "DNS:a.test");
	name_directory(bed);
	bed_open(bed);
	tls_store_each_directory(count_label, told);
	assert_int_equal(strlen(told), directory.len + 1);
	assert_int_equal(tls_store_rescan(directory, rig_tell, &bed->told), 0);
	write_for(bed, "b.pem", "b", "DNS:b.test");
	assert_int_equal(tls_store_rescan(directory, rig_tell, &bed->told), 1);
	assert_string_equal(bed_shown(bed, "b.test"), "b");
	unlink(rig_path(&bed->dir, "b.pem"));
	assert_int_equal(tls_store_rescan(directory, rig_tell, &bed->told), 1);
	assert_string_equal(bed_shown(bed, "b.test"), "a");
	assert_null(tls_store_find(path_of(bed, "b.pem")));
	unlink(rig_path(&bed->dir, "a.pem"));
	assert_int_equal(tls_store_rescan(directory, rig_tell, &bed->told), 0);
	assert_string_equal(bed_shown(bed, "a.test"), "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(a_key_may_stand_beside_and_others_should_not_read_it),
		BED_TEST(a_directory_stands_for_its_files_in_order),
		BED_TEST(each_of_many_certificates_is_found_after_one_was_replaced),
		BED_TEST(a_directory_without_certificates_is_an_error),
		BED_TEST(a_transaction_is_in_force_when_it_is_committed),
		BED_TEST(an_aborted_or_bad_transaction_changes_nothing),
		BED_TEST(a_renewed_certificate_may_come_without_its_key),
		BED_TEST(a_file_that_changed_is_taken_and_a_bad_one_is_not),
		BED_TEST(what_was_committed_outlives_a_reload_but_not_a_newer_file),
		BED_TEST(a_reload_that_fails_leaves_what_is_in_force),
		BED_TEST(what_a_reload_has_read_waits_until_it_is_in_force),
		BED_TEST(what_a_refused_reload_has_read_is_forgotten),
		BED_TEST(entries_know_their_binds_and_go_with_the_last),
		BED_TEST(a_new_entry_can_be_filled_attached_detached_and_removed),
		BED_TEST(files_that_come_to_a_directory_and_go_are_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
