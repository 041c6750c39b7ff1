/* SPDX-License-Identifier: MIT */
/*
 * siphash - SipHash-2-4 and -1-3, 64 bits, and -2-4, 128 bits (Aumasson, Bernstein 2012): a keyed
 * hash that a peer who does not know the key cannot aim.
 *
 * OpenSSL's SIPHASH is reached through EVP_MAC only, at about 400 ns of set-up per key looked up;
 * this is a page of code with the reference vectors as tests (doc/decisions).
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0, k1;
};

uint64_t siphash24(const struct siphash_key *key, const void *data, size_t size);
uint64_t siphash13(const struct siphash_key *key, const void *data, size_t size);
/* 128 bits, as the 16 bytes of the reference program. */
void siphash24_128(const struct siphash_key *key, const void *data, size_t size,
		   unsigned char out[16]);
/* A random key from the kernel; the same for the life of the process. */
const struct siphash_key *siphash_process_key(void);
/*
 * Takes the key of the process that hands over to this one, so that what it has hashed is found.
 * Before the first use of the key, or it has no effect.
 */
void siphash_set_process_key(const struct siphash_key *key);

#endif
