/* SPDX-License-Identifier: MIT */
/* tls_cert_facts - what a certificate says of itself, as texts and figures. */
#ifndef NET_TLS_CERT_FACTS_H
#define NET_TLS_CERT_FACTS_H

#include "base/mem.h"
#include "net/tls_cert.h"

/* LEAF is an X509 *, CHAIN a STACK_OF(X509) *.  The texts live in ARENA. */
void tls_cert_facts(struct tls_cert_about *about, struct arena *arena, void *leaf, void *chain);
/* Seconds since 1970 of an ASN1_TIME *; 0 when it cannot be told. */
int64_t tls_unix_s_of(const void *asn1_time);

#endif
