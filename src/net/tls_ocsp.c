/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_ocsp.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "net/tls_cert_facts.h"
#include "net/tls_mistake.h"

const char *tls_ocsp_status_text(enum tls_ocsp_status status)
{
	switch (status) {
	case TLS_OCSP_GOOD:
		return "good";
	case TLS_OCSP_REVOKED:
		return "revoked";
	case TLS_OCSP_UNKNOWN:
		return "unknown";
	case TLS_OCSP_NONE:
		break;
	}
	return "none";
}

size_t tls_ocsp_request(const struct tls_cert *cert, unsigned char out[TLS_OCSP_REQUEST_MAX],
			char why[TLS_WHY_SIZE])
{
	const X509 *issuer = tls_cert_issuer(cert);
	OCSP_REQUEST *request = OCSP_REQUEST_new();
	/* SHA-1 is what all responders know here; nothing depends on its strength. */
	OCSP_CERTID *id = issuer ? OCSP_cert_to_id(EVP_sha1(), tls_cert_x509(cert), issuer) : NULL;
	int size = 0;

	ERR_clear_error();
	if (!issuer) {
		snprintf(why, TLS_WHY_SIZE, "its issuer is not in the chain");
	} else if (!request || !id || !OCSP_request_add0_id(request, id)) {
		snprintf(why, TLS_WHY_SIZE, "%s", tls_openssl_reason());
	} else {
		id = NULL; /* the request's */
		size = i2d_OCSP_REQUEST(request, NULL);
		if (size <= 0 || size > TLS_OCSP_REQUEST_MAX) {
			snprintf(why, TLS_WHY_SIZE, "the request is too long");
			size = 0;
		} else {
			size = i2d_OCSP_REQUEST(request, &out);
		}
	}
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(request);
	return size < 0 ? 0 : (size_t)size;
}

/* Signed by the issuer, or by whom it has delegated to. */
static bool is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *others = sk_X509_new_null();
	bool ok = store && others && X509_STORE_add_cert(store, issuer) == 1 &&
		  sk_X509_push(others, issuer) &&
		  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
		  OCSP_basic_verify(basic, others, store, OCSP_PARTIAL_CHAIN) == 1;

	sk_X509_free(others);
	X509_STORE_free(store);
	return ok;
}

struct single {
	int status, reason;
	ASN1_GENERALIZEDTIME *revoked, *this_update, *next_update;
};

/* What BASIC says of CERT, whichever hash its id was made with. */
static bool find_single(OCSP_BASICRESP *basic, const struct tls_cert *cert, struct single *single)
{
	const EVP_MD *const digests[] = { EVP_sha1(), EVP_sha256() };
	bool is_found = false;

	for (size_t i = 0; i < ARRAY_N(digests) && !is_found; i++) {
		OCSP_CERTID *id =
			OCSP_cert_to_id(digests[i], tls_cert_x509(cert), tls_cert_issuer(cert));

		is_found = id && OCSP_resp_find_status(basic, id, &single->status, &single->reason,
						       &single->revoked, &single->this_update,
						       &single->next_update) == 1;
		OCSP_CERTID_free(id);
	}
	return is_found;
}

static void fill(struct tls_ocsp_about *about, OCSP_BASICRESP *basic, const struct single *single)
{
	about->status = single->status == V_OCSP_CERTSTATUS_GOOD      ? TLS_OCSP_GOOD
			: single->status == V_OCSP_CERTSTATUS_REVOKED ? TLS_OCSP_REVOKED
								      : TLS_OCSP_UNKNOWN;
	about->produced_unix_s = tls_unix_s_of(OCSP_resp_get0_produced_at(basic));
	about->this_update_unix_s = tls_unix_s_of(single->this_update);
	about->next_update_unix_s = tls_unix_s_of(single->next_update);
	if (about->status == TLS_OCSP_REVOKED) {
		about->revoked_unix_s = tls_unix_s_of(single->revoked);
		about->reason = single->reason < 0 ? NULL : OCSP_crl_reason_str(single->reason);
	}
}

/* NULL = it is all right. */
static const char *check(OCSP_RESPONSE *response, const struct tls_cert *cert,
			 struct tls_ocsp_about *about)
{
	OCSP_BASICRESP *basic = NULL;
	struct single single = { 0 };
	const char *why = NULL;
	int status = OCSP_response_status(response);

	if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return OCSP_response_status_str(status);
	basic = OCSP_response_get1_basic(response);
	if (!basic)
		return "not a basic response";
	if (!find_single(basic, cert, &single)) {
		why = "it is about another certificate";
	} else {
		fill(about, basic, &single);
		if (!is_signed(basic, tls_cert_issuer(cert)))
			why = "its signature is not the issuer's";
		else if (OCSP_check_validity(single.this_update, single.next_update,
					     TLS_OCSP_SKEW_S, -1) != 1)
			why = about->next_update_unix_s ? "it is not in force now: out of date, or "
							  "not yet valid"
							: "it is not in force yet";
	}
	OCSP_BASICRESP_free(basic);
	return why;
}

bool tls_ocsp_check(const struct tls_cert *cert, struct str der, struct tls_ocsp_about *about,
		    char why[TLS_WHY_SIZE])
{
	const unsigned char *at = (const unsigned char *)der.p;
	OCSP_RESPONSE *response;
	const char *reason;

	*about = (struct tls_ocsp_about){ .size = der.len };
	ERR_clear_error();
	if (!tls_cert_issuer(cert)) {
		reason = "the certificate's issuer is not in the chain";
	} else if (!der.len || der.len > TLS_OCSP_RESPONSE_MAX) {
		reason = der.len ? "too long" : "empty";
	} else {
		response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
		if (!response || at != (const unsigned char *)der.p + der.len)
			reason = "not an OCSP response";
		else
			reason = check(response, cert, about);
		OCSP_RESPONSE_free(response);
	}
	if (reason)
		snprintf(why, TLS_WHY_SIZE, "%s", reason);
	ERR_clear_error();
	return !reason;
}
