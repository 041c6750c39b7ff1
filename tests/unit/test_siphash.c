/* SPDX-License-Identifier: MIT */
/* The vectors of the authors' paper and reference program: key 00..0f, input 00 01 02 ... */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/siphash.h"

static const struct siphash_key reference_key = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };

/* SipHash-2-4-64, results for lengths 0 to 15. */
static const uint64_t vectors_24[16] = {
	0x726fdb47dd0e0e31u, 0x74f839c593dc67fdu, 0x0d6c8009d9a94f5au, 0x85676696d7fb7e2du,
	0xcf2794e0277187b7u, 0x18765564cd99a68du, 0xcbc9466e58fee3ceu, 0xab0200f58b01d137u,
	0x93f5f5799a932462u, 0x9e0082df0ba9e4b0u, 0x7a5dbbc594ddb9f3u, 0xf4b32f46226bada7u,
	0x751e8fbc860ee5fbu, 0x14ea5627c0843d90u, 0xf723ca908e7af2eeu, 0xa129ca6149be45e5u,
};

/* SipHash-1-3-64, as OpenSSL's SIPHASH gives them with c-rounds 1 and d-rounds 3. */
static const struct {
	size_t size;
	uint64_t hash;
} vectors_13[] = {
	{ 0, 0xabac0158050fc4dcu },  { 1, 0xc9f49bf37d57ca93u },  { 2, 0x82cb9b024dc7d44du },
	{ 3, 0x8bf80ab8e7ddf7fbu },  { 7, 0xd3927d989bb11140u },  { 8, 0x369095118d299a8eu },
	{ 9, 0x25a48eb36c063de4u },  { 15, 0xd320d86d2a519956u }, { 20, 0xc0dc2f46a6cce040u },
	{ 63, 0x9d199062b7bbb3a8u },
};

/* SipHash-2-4-128, the reference vectors of these lengths. */
static const struct {
	size_t size;
	unsigned char hash[16];
} vectors_128[] = {
	{ 0,
	  { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
	    0x02, 0x93 } },
	{ 1,
	  { 0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22,
	    0xfc, 0x45 } },
	{ 2,
	  { 0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a,
	    0xff, 0xe4 } },
	{ 7,
	  { 0xa1, 0xf1, 0xeb, 0xbe, 0xd8, 0xdb, 0xc1, 0x53, 0xc0, 0xb8, 0x4a, 0xa6, 0x1f, 0xf0,
	    0x82, 0x39 } },
	{ 8,
	  { 0x3b, 0x62, 0xa9, 0xba, 0x62, 0x58, 0xf5, 0x61, 0x0f, 0x83, 0xe2, 0x64, 0xf3, 0x14,
	    0x97, 0xb4 } },
	{ 9,
	  { 0x26, 0x44, 0x99, 0x06, 0x0a, 0xd9, 0xba, 0xab, 0xc4, 0x7f, 0x8b, 0x02, 0xbb, 0x6d,
	    0x71, 0xed } },
	{ 15,
	  { 0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf,
	    0xc3, 0xd9 } },
	{ 16,
	  { 0x6e, 0xe2, 0xa4, 0xca, 0x67, 0xb0, 0x54, 0xbb, 0xfd, 0x33, 0x15, 0xbf, 0x85, 0x23,
	    0x05, 0x77 } },
	{ 20,
	  { 0x9e, 0x25, 0xfc, 0x83, 0x3f, 0x22, 0x90, 0x73, 0x3e, 0x93, 0x44, 0xa5, 0xe8, 0x38,
	    0x39, 0xeb } },
	{ 63,
	  { 0x51, 0x50, 0xd1, 0x77, 0x2f, 0x50, 0x83, 0x4a, 0x50, 0x3e, 0x06, 0x9a, 0x97, 0x3f,
	    0xbd, 0x7c } },
};

static void fill(unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)i;
}

static void siphash_2_4_gives_the_reference_vectors(void **state)
{
	unsigned char bytes[16];

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(siphash24(&reference_key, bytes, i), vectors_24[i]);
}

static void siphash_1_3_gives_the_reference_vectors(void **state)
{
	unsigned char bytes[64];

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t i = 0; i < ARRAY_N(vectors_13); i++)
		assert_int_equal(siphash13(&reference_key, bytes, vectors_13[i].size),
				 vectors_13[i].hash);
}

static void siphash_2_4_128_gives_the_reference_vectors(void **state)
{
	unsigned char bytes[64], out[16];

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t i = 0; i < ARRAY_N(vectors_128); i++) {
		siphash24_128(&reference_key, bytes, vectors_128[i].size, out);
		assert_memory_equal(out, vectors_128[i].hash, sizeof(out));
	}
}

static void siphash_does_not_depend_on_alignment(void **state)
{
	unsigned char bytes[64 + 8], moved[64 + 8];

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t offset = 1; offset < 8; offset++) {
		for (size_t i = 0; i < 64; i++)
			moved[i + offset] = bytes[i];
		assert_int_equal(siphash13(&reference_key, bytes, 61),
				 siphash13(&reference_key, moved + offset, 61));
	}
}

static void process_key_stays_the_same_and_is_not_zero(void **state)
{
	const struct siphash_key *key = siphash_process_key();

	(void)state;
	assert_true(key->k0 || key->k1);
	assert_ptr_equal(key, siphash_process_key());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_2_4_gives_the_reference_vectors),
		cmocka_unit_test(siphash_1_3_gives_the_reference_vectors),
		cmocka_unit_test(siphash_2_4_128_gives_the_reference_vectors),
		cmocka_unit_test(siphash_does_not_depend_on_alignment),
		cmocka_unit_test(process_key_stays_the_same_and_is_not_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
