// SPDX-License-Identifier: Apache-2.0
/*
 * SipHash as the responder compiles it, for user space, by BPF_PROG_TEST_RUN: a frame holds the key
 * (16 octets), room for the tag (8), and the message, whole words up to MESSAGE_WORDS. Never
 * attached. Python takes 50 us for a beat's tag, and this 3 with the system call.
 */
#include "siphash.h"

enum { MESSAGE_WORDS = 32 };

struct question {
	__u64 key[2];
	__u64 tag;
};

SEC("xdp")
int siphash_probe(struct xdp_md *ctx)
{
	struct cursor at = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct question *question = take(&at, sizeof(*question));
	__u32 words = 0;
	struct siphash s;
	__u64 *word;

	if (!question)
		return XDP_ABORTED;
	s = sip_start(question->key);
	for (__u32 i = 0; i < MESSAGE_WORDS; i++) {
		word = take(&at, sizeof(*word));
		if (!word)
			break;
		sip_absorb(&s, *word);
		words++;
	}
	if (at.pos != at.end)
		return XDP_ABORTED;
	question->tag = sip_finish(&s, words * sizeof(*word));
	return XDP_TX;
}

char license_text[] SEC("license") = "Dual BSD/GPL";
