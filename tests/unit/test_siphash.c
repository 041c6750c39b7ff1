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
		cmocka_unit_test(siphash_does_not_depend_on_alignment),
		cmocka_unit_test(process_key_stays_the_same_and_is_not_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
