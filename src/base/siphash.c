/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/siphash.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/bug.h"

static struct siphash_key process_key;
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_rounds(struct sip *s, unsigned n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v1 = rotl(s->v1, 13) ^ s->v0;
		s->v0 = rotl(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotl(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotl(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotl(s->v1, 17) ^ s->v2;
		s->v2 = rotl(s->v2, 32);
	}
}

static inline uint64_t load_le64(const unsigned char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	return x;
}

static inline void store_le64(unsigned char *p, uint64_t x)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	memcpy(p, &x, sizeof(x));
}

static inline struct sip sip_begin(const struct siphash_key *key)
{
	return (struct sip){
		key->k0 ^ 0x736f6d6570736575u,
		key->k1 ^ 0x646f72616e646f6du,
		key->k0 ^ 0x6c7967656e657261u,
		key->k1 ^ 0x7465646279746573u,
	};
}

static inline uint64_t sip_result(const struct sip *s)
{
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* All of the message, with its length. */
static inline void sip_absorb(struct sip *into, const void *data, size_t size, unsigned c_rounds)
{
	const unsigned char *p = data;
	struct sip s = *into; /* so that it stays in registers */
	uint64_t last = (uint64_t)size << 56;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8) {
		uint64_t m = load_le64(p + i);

		s.v3 ^= m;
		sip_rounds(&s, c_rounds);
		s.v0 ^= m;
	}
	for (unsigned shift = 0; i < size; i++, shift += 8)
		last |= (uint64_t)p[i] << shift;
	s.v3 ^= last;
	sip_rounds(&s, c_rounds);
	s.v0 ^= last;
	*into = s;
}

static inline uint64_t siphash(const struct siphash_key *key, const void *data, size_t size,
			       unsigned c_rounds, unsigned d_rounds)
{
	struct sip s = sip_begin(key);

	sip_absorb(&s, data, size, c_rounds);
	s.v2 ^= 0xff;
	sip_rounds(&s, d_rounds);
	return sip_result(&s);
}

uint64_t siphash24(const struct siphash_key *key, const void *data, size_t size)
{
	return siphash(key, data, size, 2, 4);
}

uint64_t siphash13(const struct siphash_key *key, const void *data, size_t size)
{
	return siphash(key, data, size, 1, 3);
}

void siphash24_128(const struct siphash_key *key, const void *data, size_t size,
		   unsigned char out[16])
{
	struct sip s = sip_begin(key);

	s.v1 ^= 0xee;
	sip_absorb(&s, data, size, 2);
	s.v2 ^= 0xee;
	sip_rounds(&s, 4);
	store_le64(out, sip_result(&s));
	s.v1 ^= 0xdd;
	sip_rounds(&s, 4);
	store_le64(out + 8, sip_result(&s));
}

static const struct siphash_key *given_key;

static void make_process_key(void)
{
	if (given_key) {
		process_key = *given_key;
		return;
	}
	ssize_t n = getrandom(&process_key, sizeof(process_key), 0);

	bug_on(n != (ssize_t)sizeof(process_key));
}

const struct siphash_key *siphash_process_key(void)
{
	pthread_once(&process_key_once, make_process_key);
	return &process_key;
}

void siphash_set_process_key(const struct siphash_key *key)
{
	given_key = key;
	pthread_once(&process_key_once, make_process_key);
	given_key = NULL;
}
