/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tls_shake.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "net/tls_store.h"

#define KEYS 4

EVP_PKEY *rig_key(enum rig_key kind, unsigned number)
{
	static EVP_PKEY *keys[3][KEYS];
	EVP_PKEY **key = &keys[kind][number];

	assert_true(number < KEYS);
	if (!*key)
		*key = kind == RIG_EC ? EVP_EC_gen("P-256")
				      : EVP_RSA_gen(kind == RIG_RSA ? 2048 : 1024);
	assert_non_null(*key);
	EVP_PKEY_up_ref(*key);
	return *key;
}

static void add_extension(X509 *x509, const char *name, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&ctx, x509, x509, NULL, NULL, 0);
	extension = X509V3_EXT_conf(NULL, &ctx, name, value);
	assert_non_null(extension);
	X509_add_ext(x509, extension, -1);
	X509_EXTENSION_free(extension);
}

struct rig_cert rig_issue(const struct rig_cert_options *options, const struct rig_cert *issuer)
{
	bool has_days = options->from_days || options->to_days;
	struct rig_cert cert = { X509_new(), rig_key(options->kind, options->key_number) };
	X509_NAME *name = X509_get_subject_name(cert.x509);

	X509_set_version(cert.x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert.x509), options->serial ? options->serial : 1);
	X509_gmtime_adj(X509_getm_notBefore(cert.x509),
			86400L * (has_days ? options->from_days : -1));
	X509_gmtime_adj(X509_getm_notAfter(cert.x509), 86400L * (has_days ? options->to_days : 30));
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)options->common_name, -1, -1, 0);
	X509_set_issuer_name(cert.x509, issuer ? X509_get_subject_name(issuer->x509) : name);
	X509_set_pubkey(cert.x509, cert.key);
	if (options->is_ca)
		add_extension(cert.x509, "basicConstraints", "critical,CA:TRUE");
	if (options->alts)
		add_extension(cert.x509, "subjectAltName", options->alts);
	if (options->usage)
		add_extension(cert.x509, "extendedKeyUsage", options->usage);
	if (options->more)
		add_extension(cert.x509, "authorityInfoAccess", options->more);
	assert_true(X509_sign(cert.x509, issuer ? issuer->key : cert.key, EVP_sha256()) > 0);
	return cert;
}

void rig_cert_free(struct rig_cert *cert)
{
	X509_free(cert->x509);
	EVP_PKEY_free(cert->key);
	*cert = (struct rig_cert){ 0 };
}

X509_CRL *rig_revoke(const struct rig_cert *ca, long serial)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *at = ASN1_TIME_new();

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509));
	X509_gmtime_adj(at, -3600);
	X509_CRL_set1_lastUpdate(crl, at);
	if (serial) {
		X509_REVOKED *revoked = X509_REVOKED_new();
		ASN1_INTEGER *number = ASN1_INTEGER_new();

		ASN1_INTEGER_set(number, serial);
		X509_REVOKED_set_serialNumber(revoked, number);
		X509_REVOKED_set_revocationDate(revoked, at);
		X509_CRL_add0_revoked(crl, revoked);
		ASN1_INTEGER_free(number);
	}
	X509_gmtime_adj(at, 86400);
	X509_CRL_set1_nextUpdate(crl, at);
	assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
	ASN1_TIME_free(at);
	return crl;
}

/* ---- Files ---- */

void rig_dir_init(struct rig_dir *dir)
{
	snprintf(dir->path, sizeof(dir->path), "/tmp/limpet-tls-XXXXXX");
	assert_non_null(mkdtemp(dir->path));
}

void rig_dir_fini(struct rig_dir *dir)
{
	DIR *list = opendir(dir->path);
	struct dirent *item;

	while (list && (item = readdir(list)))
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			unlink(rig_path(dir, item->d_name));
	if (list)
		closedir(list);
	rmdir(dir->path);
}

const char *rig_path(const struct rig_dir *dir, const char *name)
{
	static char paths[8][400];
	static unsigned at;
	char *path = paths[at++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir->path, name);
	return path;
}

const char *rig_write(const struct rig_dir *dir, const char *name, const void *text, size_t size)
{
	const char *path = rig_path(dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), (ssize_t)size);
	close(fd);
	return path;
}

char *rig_pem(const struct rig_cert *cert, const struct rig_cert *issuer, bool has_key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p, *text;
	long size;

	assert_int_equal(PEM_write_bio_X509(bio, cert->x509), 1);
	if (issuer)
		assert_int_equal(PEM_write_bio_X509(bio, issuer->x509), 1);
	if (has_key)
		assert_int_equal(
			PEM_write_bio_PrivateKey(bio, cert->key, NULL, NULL, 0, NULL, NULL), 1);
	size = BIO_get_mem_data(bio, &p);
	text = malloc((size_t)size + 1);
	assert_non_null(text);
	memcpy(text, p, (size_t)size);
	text[size] = '\0';
	BIO_free(bio);
	return text;
}

const char *rig_write_cert(const struct rig_dir *dir, const char *name, const struct rig_cert *cert,
			   const struct rig_cert *issuer)
{
	char *text = rig_pem(cert, issuer, true);
	const char *path = rig_write(dir, name, text, strlen(text));

	free(text);
	return path;
}

const char *rig_write_crl(const struct rig_dir *dir, const char *name, X509_CRL *crl)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const char *path;
	char *p;
	long size;

	assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
	size = BIO_get_mem_data(bio, &p);
	path = rig_write(dir, name, p, (size_t)size);
	BIO_free(bio);
	return path;
}

void rig_tell(void *arg, bool is_error, struct str file, const char *text)
{
	struct rig_told *told = arg;
	size_t used = strlen(told->text);

	snprintf(told->text + used, sizeof(told->text) - used, "%s %.*s: %s\n",
		 is_error ? "E" : "W", STR_ARG(file), text);
	told->n_errors += is_error;
	told->n_warnings += !is_error;
}

/* ---- Handshakes ---- */

static int pair_index = -1;

static void init_index(void)
{
	pair_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static void on_info(const SSL *ssl, int where, int alert)
{
	struct rig_pair *pair = SSL_get_ex_data(ssl, pair_index);

	if (!pair || (where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT)
		return;
	if (ssl == pair->client)
		pair->client_alert = alert & 0xff;
	else
		pair->server_alert = alert & 0xff;
}

void rig_pair_init(struct rig_pair *pair, SSL_CTX *client, struct tls_server *server,
		   const char *sni)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *near, *far;

	pthread_once(&once, init_index);
	*pair = (struct rig_pair){ .client_alert = -1, .server_alert = -1 };
	pair->client = SSL_new(client);
	pair->server = SSL_new(tls_server_ssl_ctx(server));
	assert_int_equal(BIO_new_bio_pair(&near, 65536, &far, 65536), 1);
	SSL_set_bio(pair->client, near, near);
	SSL_set_bio(pair->server, far, far);
	SSL_set_ex_data(pair->client, pair_index, pair);
	SSL_set_ex_data(pair->server, pair_index, pair);
	SSL_set_info_callback(pair->client, on_info);
	SSL_set_info_callback(pair->server, on_info);
	SSL_set_connect_state(pair->client);
	SSL_set_accept_state(pair->server);
	if (sni)
		assert_int_equal(SSL_set_tlsext_host_name(pair->client, (uintptr_t)sni), 1);
}

/* 1: done; 0: waits; -1: failed. */
static int step(SSL *ssl)
{
	int rc, error;

	ERR_clear_error();
	rc = SSL_do_handshake(ssl);
	error = SSL_get_error(ssl, rc);
	return rc == 1 ? 1 : error == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool rig_shake(struct rig_pair *pair)
{
	for (int i = 0; i < 20; i++) {
		int client = step(pair->client), server = step(pair->server);

		pair->is_client_done = client == 1;
		pair->is_server_done = server == 1;
		if (client == 1 && server == 1)
			return true;
		if (client < 0 || server < 0) {
			/* The other side reads the alert. */
			char byte;

			(void)(client < 0 ? step(pair->server) : step(pair->client));
			(void)SSL_read(pair->client, &byte, 1);
			(void)SSL_read(pair->server, &byte, 1);
			ERR_clear_error();
			return false;
		}
	}
	return false;
}

void rig_exchange(struct rig_pair *pair)
{
	char byte = 'x';

	assert_int_equal(SSL_write(pair->client, &byte, 1), 1);
	assert_int_equal(SSL_read(pair->server, &byte, 1), 1);
	assert_int_equal(SSL_write(pair->server, &byte, 1), 1);
	assert_int_equal(SSL_read(pair->client, &byte, 1), 1);
}

void rig_pair_fini(struct rig_pair *pair)
{
	/* As after a proper end: else OpenSSL takes the sessions for broken. */
	SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(pair->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(pair->client);
	SSL_free(pair->server);
	ERR_clear_error();
}

const char *rig_shown(const struct rig_pair *pair)
{
	static __thread char name[128];
	const X509 *x509 = SSL_get0_peer_certificate(pair->client);

	name[0] = '\0';
	if (x509)
		X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, name,
					  sizeof(name));
	return name;
}

/* ---- A server ---- */

int bed_init(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	rig_dir_init(&bed->dir);
	bed->ca = rig_issue(
		&(struct rig_cert_options){ .common_name = "ca", .kind = RIG_EC, .is_ca = true },
		NULL);
	bed->client = SSL_CTX_new(TLS_client_method());
	bed->options = (struct tls_server_options){ .certificates = bed->certificates,
						    .alpn = bed->alpn,
						    .has_tickets = true,
						    .session_cache = 100,
						    .session_ms = SEC(3600),
						    .label = STR("web/:443") };
	*state = bed;
	return 0;
}

int bed_fini(void **state)
{
	struct bed *bed = *state;

	tls_server_unref(bed->server);
	tls_store_sweep();
	for (size_t i = 0; i < BED_PATHS_MAX; i++)
		free((char *)(uintptr_t)bed->certificates[i].p);
	SSL_CTX_free(bed->client);
	rig_cert_free(&bed->ca);
	rig_dir_fini(&bed->dir);
	free(bed);
	return 0;
}

void bed_name(struct bed *bed, const char *name)
{
	assert_true(bed->options.certificates_n < BED_PATHS_MAX);
	bed->certificates[bed->options.certificates_n++] =
		str_of(strdup(rig_path(&bed->dir, name)));
}

void bed_add(struct bed *bed, const char *name, enum rig_key kind, const char *alts)
{
	struct rig_cert cert = rig_issue(
		&(struct rig_cert_options){ .common_name = name, .alts = alts, .kind = kind },
		&bed->ca);

	rig_write_cert(&bed->dir, name, &cert, &bed->ca);
	bed_name(bed, name);
	rig_cert_free(&cert);
}

void bed_open(struct bed *bed)
{
	bed->server = tls_server_new(&bed->options, rig_tell, &bed->told);
	if (!bed->server)
		print_message("%s", bed->told.text);
	assert_non_null(bed->server);
	tls_store_activate();
}

char *bed_pem(struct bed *bed, const char *name, const char *alts, unsigned key_number)
{
	struct rig_cert cert = rig_issue(&(struct rig_cert_options){ .common_name = name,
								     .alts = alts,
								     .kind = RIG_EC,
								     .key_number = key_number },
					 &bed->ca);
	char *text = rig_pem(&cert, &bed->ca, true);

	rig_cert_free(&cert);
	return text;
}

const char *bed_shown(struct bed *bed, const char *sni)
{
	static char name[128];
	struct rig_pair pair;

	rig_pair_init(&pair, bed->client, bed->server, sni);
	snprintf(name, sizeof(name), "%s", rig_shake(&pair) ? rig_shown(&pair) : "");
	rig_pair_fini(&pair);
	return name;
}
