/* SPDX-License-Identifier: MIT */
/* tls_shake - certificates made on the spot, and handshakes in memory, for tests of TLS servers. */
#ifndef TESTS_TLS_SHAKE_H
#define TESTS_TLS_SHAKE_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "net/tls_server.h"

enum rig_key { RIG_RSA, RIG_EC, RIG_RSA_1024 };

struct rig_cert {
	X509 *x509;
	EVP_PKEY *key;
};

/* Keys are made once for each kind and number, so that tests are quick. */
EVP_PKEY *rig_key(enum rig_key kind, unsigned number); /* a reference */

struct rig_cert_options {
	const char *common_name;
	const char *alts;  /* "DNS:a.test,DNS:*.b.test"; NULL = none */
	const char *more;  /* "authorityInfoAccess=OCSP;URI:http://x/"; NULL = none */
	const char *usage; /* extended key usage; NULL = not told */
	enum rig_key kind;
	unsigned key_number;
	int from_days, to_days; /* from now; both 0 = yesterday to in a month */
	bool is_ca;
	long serial;
};
/* ISSUER NULL: signed by itself. */
struct rig_cert rig_issue(const struct rig_cert_options *options, const struct rig_cert *issuer);
void rig_cert_free(struct rig_cert *cert);
/* A revocation list of CA that has SERIAL (0 = nobody). */
X509_CRL *rig_revoke(const struct rig_cert *ca, long serial);

/* A directory of its own for the test. */
struct rig_dir {
	char path[64];
};
void rig_dir_init(struct rig_dir *dir);
void rig_dir_fini(struct rig_dir *dir);
/* PATH of the file NAME there, until the next call but seven. */
const char *rig_path(const struct rig_dir *dir, const char *name);
const char *rig_write(const struct rig_dir *dir, const char *name, const void *text, size_t size);
/* Leaf, ISSUER if not NULL, key; mode 0600. */
const char *rig_write_cert(const struct rig_dir *dir, const char *name, const struct rig_cert *cert,
			   const struct rig_cert *issuer);
/* The same as a text to be freed. */
char *rig_pem(const struct rig_cert *cert, const struct rig_cert *issuer, bool has_key);
const char *rig_write_crl(const struct rig_dir *dir, const char *name, X509_CRL *crl);

/* What was told. */
struct rig_told {
	char text[8192]; /* lines: "E file: text" or "W file: text" */
	size_t n_errors, n_warnings;
};
void rig_tell(void *arg, bool is_error, struct str file, const char *text);

/* A client and a server in memory. */
struct rig_pair {
	SSL *client, *server;
	bool is_client_done, is_server_done;
	int client_alert, server_alert; /* that this side has received; -1 = none */
};
/* SNI NULL = none.  Made, not begun. */
void rig_pair_init(struct rig_pair *pair, SSL_CTX *client, struct tls_server *server,
		   const char *sni);
/* Until both are done, or one has failed.  True: both are. */
bool rig_shake(struct rig_pair *pair);
/* Sends a byte each way, so that the client has its tickets. */
void rig_exchange(struct rig_pair *pair);
void rig_pair_fini(struct rig_pair *pair);
/* The common name of what the server has shown; "" = nothing. */
const char *rig_shown(const struct rig_pair *pair);

/* A server with files of its own. */
#define BED_PATHS_MAX 4
struct bed {
	struct rig_dir dir;
	struct rig_cert ca;
	struct rig_told told;
	SSL_CTX *client;
	struct tls_server_options options;
	struct str certificates[BED_PATHS_MAX];
	struct str alpn[2];
	struct tls_server *server;
	void *more; /* the test's */
};
int bed_init(void **state);
int bed_fini(void **state);
/* Writes a certificate of ca's for ALTS, with the common name NAME, and names the file. */
void bed_add(struct bed *bed, const char *name, enum rig_key kind, const char *alts);
void bed_name(struct bed *bed, const char *name);
void bed_open(struct bed *bed);
#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, bed_init, bed_fini)

/* A PEM, chain and key, with the common name NAME for ALTS; (own) the caller's. */
char *bed_pem(struct bed *bed, const char *name, const char *alts, unsigned key_number);
/* The common name that the server shows to a client that asks for SNI; "" = no handshake. Valid
 * until the next call. */
const char *bed_shown(struct bed *bed, const char *sni);

#endif
