// SPDX-License-Identifier: Apache-2.0
/*
 * What the responder is measured against, and what makes and swallows frames for that: an empty
 * program, a bare MAC-swap reflector, a generator and a sink. Never attached outside benchmarks.
 * It holds the responder too: a repeated test run feeds an answer back as the next question, so a
 * `restored` program first writes the question anew, the reflector's as well as ours.
 */
#include "responder.bpf.c"

enum { TEMPLATE_BYTES = 128, TEMPLATES = 16384 };

struct template {
	__u8 octets[TEMPLATE_BYTES];
};

/* Number of templates in turn, a power of two, less one; set before load. */
const volatile __u32 template_mask = 0;
/* Bytes of each of them, at least eight; set before load. */
const volatile __u32 template_bytes = 64;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TEMPLATES);
	__type(key, __u32);
	__type(value, struct template);
} templates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32); /* 0 = sent, 1 = swallowed */
	__type(value, __u64);
} frames SEC(".maps");

static __always_inline __u64 count_frame(__u32 which)
{
	__u64 *counter = bpf_map_lookup_elem(&frames, &which);

	return counter ? (*counter)++ : 0;
}

/* Make the frame the template number `index`. */
static __always_inline bool restore(struct xdp_md *ctx, __u32 index)
{
	struct template *template = bpf_map_lookup_elem(&templates, &index);
	int grown = (int)(ctx->data_end - ctx->data) - (int)template_bytes;
	__u64 *words, *from;
	struct cursor at;

	if (!template || (grown && bpf_xdp_adjust_tail(ctx, -grown)))
		return false;
	at.pos = (void *)(long)ctx->data;
	at.end = (void *)(long)ctx->data_end;
	words = take(&at, template_bytes);
	if (!words)
		return false;
	from = (__u64 *)template->octets;
	for (__u32 i = 0; i < TEMPLATE_BYTES / sizeof(*words); i++) {
		if (i >= template_bytes / sizeof(*words))
			break;
		words[i] = from[i];
	}
	/* What a length that is no multiple of eight leaves over: the last word, overlapping. */
	if (template_bytes >= sizeof(wire64) && template_bytes <= TEMPLATE_BYTES)
		*(wire64 *)((void *)words + template_bytes - sizeof(wire64)) =
			*(wire64 *)((void *)from + template_bytes - sizeof(wire64));
	return true;
}

static __always_inline int reflect(struct xdp_md *ctx)
{
	struct cursor at = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct ethhdr *eth = take(&at, sizeof(*eth));
	__u64 dest;

	if (!eth)
		return XDP_ABORTED;
	dest = load_lladdr(eth->h_dest);
	store_lladdr(eth->h_dest, load_lladdr(eth->h_source));
	store_lladdr(eth->h_source, dest);
	return XDP_TX;
}

SEC("xdp")
int bench_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int bench_reflect(struct xdp_md *ctx)
{
	return reflect(ctx);
}

SEC("xdp")
int bench_restored_reflect(struct xdp_md *ctx)
{
	return restore(ctx, 0) ? reflect(ctx) : XDP_ABORTED;
}

/* A reflector that grows the frame as an answer to a solicitation without SLLAO must. */
SEC("xdp")
int bench_restored_grow(struct xdp_md *ctx)
{
	if (!restore(ctx, 0) || bpf_xdp_adjust_tail(ctx, ND_OPTION_UNIT))
		return XDP_ABORTED;
	return reflect(ctx);
}

SEC("xdp")
int bench_restored_respond(struct xdp_md *ctx)
{
	return restore(ctx, 0) ? xdp_respond(ctx) : XDP_ABORTED;
}

/* Live frames come back in the pages of earlier ones, so each is written anew. */
SEC("xdp")
int bench_generate(struct xdp_md *ctx)
{
	return restore(ctx, count_frame(0) & template_mask) ? XDP_TX : XDP_ABORTED;
}

SEC("xdp")
int bench_sink(struct xdp_md *ctx)
{
	count_frame(1);
	return XDP_DROP;
}
