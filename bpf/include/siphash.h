/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 of whole 64-bit words, after Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF" (2012), sections 2.1 to 2.4. Words and tag are little-endian, as this machine's are.
 */
#ifndef STENTOR_SIPHASH_H
#define STENTOR_SIPHASH_H

#include "cursor.h"

struct siphash {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 rotate(__u64 word, __u32 bits)
{
	return word << bits | word >> (64 - bits);
}

static __always_inline void sip_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

/* "somepseudorandomlygeneratedbytes" against the key's halves, section 2.1 */
static __always_inline struct siphash sip_start(const __u64 key[2])
{
	return (struct siphash){
		.v0 = key[0] ^ 0x736f6d6570736575ULL,
		.v1 = key[1] ^ 0x646f72616e646f6dULL,
		.v2 = key[0] ^ 0x6c7967656e657261ULL,
		.v3 = key[1] ^ 0x7465646279746573ULL,
	};
}

static __always_inline void sip_absorb(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

/* The tag of a message of `size_bytes`, a multiple of eight, all of whose words were absorbed. */
static __always_inline __u64 sip_finish(struct siphash *s, __u32 size_bytes)
{
	sip_absorb(s, (__u64)size_bytes << 56);
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
