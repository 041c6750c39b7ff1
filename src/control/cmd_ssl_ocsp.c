/* SPDX-License-Identifier: MIT */
/* show ssl ocsp-response, set ssl ocsp-response. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ocsp.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/control.h"
#include "control/ssl_args.h"
#include "net/tls_ocsp.h"

static char *hex_of(const unsigned char *bytes, size_t n, bool is_upper)
{
	const char *digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char *text = xrealloc(NULL, 2 * n + 1);

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * n] = '\0';
	return text;
}

static OCSP_CERTID *id_of(const struct tls_cert *cert)
{
	X509 *issuer = tls_cert_issuer(cert);

	return issuer ? OCSP_cert_to_id(EVP_sha1(), tls_cert_x509(cert), issuer) : NULL;
}

char *ssl_ocsp_key(const struct tls_cert *cert)
{
	OCSP_CERTID *id = id_of(cert);
	unsigned char *der = NULL;
	int size = id ? i2d_OCSP_CERTID(id, &der) : 0;
	char *text = hex_of(der, size > 0 ? (size_t)size : 0, false);

	OPENSSL_free(der);
	OCSP_CERTID_free(id);
	return text;
}

static void print_octets(struct run *run, const char *name, const ASN1_STRING *octets)
{
	char *text =
		hex_of(ASN1_STRING_get0_data(octets), (size_t)ASN1_STRING_length(octets), true);

	run_print(run, "   %s: %s\n", name, text);
	free(text);
}

static void print_id(void *arg, struct tls_entry *entry)
{
	struct run *run = arg;
	struct tls_cert *cert = tls_entry_cert(entry);
	struct tls_ocsp_about about;
	ASN1_OCTET_STRING *name = NULL, *key = NULL;
	OCSP_CERTID *id;
	char *text;

	if (!cert || !tls_cert_staple_about(cert, &about) || !(id = id_of(cert)))
		return;
	text = ssl_ocsp_key(cert);
	run_print(run, "Certificate ID key : %s\nCertificate path : %.*s\n Certificate ID:\n", text,
		  STR_ARG(tls_entry_path(entry)));
	free(text);
	OCSP_id_get0_info(&name, NULL, &key, NULL, id);
	print_octets(run, "Issuer Name Hash", name);
	print_octets(run, "Issuer Key Hash", key);
	run_print(run, "   Serial Number: %s\n", tls_cert_about(cert)->serial);
	OCSP_CERTID_free(id);
}

struct search {
	struct str name;
	struct tls_entry *found;
};

static void look_at(void *arg, struct tls_entry *entry)
{
	struct search *search = arg;
	char *key;

	if (search->found || !tls_entry_cert(entry))
		return;
	key = ssl_ocsp_key(tls_entry_cert(entry));
	if (str_eq(tls_entry_path(entry), search->name) ||
	    (key[0] && str_ieq(str_of(key), search->name)))
		search->found = entry;
	free(key);
}

/* OpenSSL's text of DER; an empty line of it gets a blank, for it would end the answer. */
static void print_response(struct run *run, const unsigned char *der, size_t size)
{
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &der, (long)size);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long length;

	if (response && bio && OCSP_RESPONSE_print(bio, response, 0) == 1) {
		length = BIO_get_mem_data(bio, &text);
		for (struct str left = { text, (size_t)length }; left.len;) {
			ptrdiff_t end = str_find_char(left, '\n');
			size_t n = end < 0 ? left.len : (size_t)end;

			run_print(run, "%.*s\n", n ? (int)n : 1, n ? left.p : " ");
			left = end < 0 ? STR("") : str_sub(left.p + n + 1, left.p + left.len);
		}
	}
	BIO_free(bio);
	OCSP_RESPONSE_free(response);
}

enum run_step command_show_ssl_ocsp_response(struct run *run)
{
	struct search search = { .name = run_arg(run, 0) };
	unsigned char *der;
	size_t size = 0;

	if (!search.name.len) {
		run_text(run, STR("# Certificate IDs\n"));
		tls_store_each(print_id, run);
		return RUN_DONE;
	}
	tls_store_each(look_at, &search);
	der = search.found ? tls_cert_staple_any(tls_entry_cert(search.found), &size) : NULL;
	if (!der)
		return run_error(run, "Certificate ID does not match any certificate.");
	print_response(run, der, size);
	OPENSSL_free(der);
	return RUN_DONE;
}

struct update {
	struct str der;
	unsigned n;
	char why[TLS_WHY_SIZE]; /* of a certificate that it is for, and cannot be used */
	OCSP_BASICRESP *basic;  /* (view) */
};

static bool is_for(const struct update *update, const struct tls_cert *cert)
{
	OCSP_CERTID *id = id_of(cert);
	bool is = false;

	for (int i = 0; id && i < OCSP_resp_count(update->basic); i++) {
		const OCSP_SINGLERESP *single = OCSP_resp_get0(update->basic, i);
		ASN1_INTEGER *serial = NULL, *own = NULL;

		/* The hashes may be of another algorithm: tls_ocsp_check() compares all. */
		OCSP_id_get0_info(NULL, NULL, NULL, &serial,
				  (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single));
		OCSP_id_get0_info(NULL, NULL, NULL, &own, id);
		is = is || ASN1_INTEGER_cmp(serial, own) == 0;
	}
	OCSP_CERTID_free(id);
	return is;
}

static void set_where_it_fits(void *arg, struct tls_entry *entry)
{
	struct update *update = arg;
	struct tls_ocsp_about about;

	if (!tls_entry_cert(entry) || !is_for(update, tls_entry_cert(entry)))
		return;
	if (!tls_ocsp_check(tls_entry_cert(entry), update->der, &about, update->why))
		return;
	if (about.status == TLS_OCSP_UNKNOWN) {
		snprintf(update->why, sizeof(update->why),
			 "the responder does not know the certificate");
		return;
	}
	update->n++;
	tls_cert_set_staple(tls_entry_cert(entry), update->der.p, update->der.len, &about);
	log_info("certificate %.*s: an OCSP response (%s) was set on the stats socket",
		 STR_ARG(tls_entry_path(entry)), tls_ocsp_status_text(about.status));
}

static enum run_step set_response(struct run *run, struct str der)
{
	const unsigned char *at = (const unsigned char *)der.p;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
	struct update update = { .der = der };
	enum run_step step;

	if (response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
		update.basic = OCSP_response_get1_basic(response);
	if (update.basic)
		tls_store_each(set_where_it_fits, &update);
	if (!response)
		step = run_error(run, "Unable to parse OCSP response.");
	else if (!update.basic)
		step = run_error(run, "OCSP response status not successful.");
	else if (update.n)
		step = run_message(run, SEVERITY_INFO, "OCSP Response updated!");
	else if (update.why[0])
		step = run_error(run, "OCSP response: %s", update.why);
	else
		step = run_error(run, "OCSP response: Certificate ID does not match any "
				      "certificate or issuer.");
	OCSP_BASICRESP_free(update.basic);
	OCSP_RESPONSE_free(response);
	if (update.n && control_certificates_changed_hook)
		control_certificates_changed_hook();
	return step;
}

enum run_step command_set_ssl_ocsp_response(struct run *run)
{
	struct str text = run->payload.p ? run->payload : run_arg(run, 0);
	enum run_step step;
	unsigned char *der;
	size_t size = 0;

	if (!text.len)
		return run_error(run,
				 "'set ssl ocsp-response' expects response in base64 encoding.");
	der = ssl_decode(text, &size);
	if (!der)
		return run_error(
			run, "'set ssl ocsp-response' received invalid base64 encoded response.");
	step = set_response(run, (struct str){ (char *)der, size });
	free(der);
	return step;
}
