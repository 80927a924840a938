// SPDX-License-Identifier: Apache-2.0
/*
 * What the responder is measured against, and what makes and swallows frames for that: an empty
 * program, a bare MAC-swap reflector, a generator and a sink. Never attached outside benchmarks.
 */
#include "cursor.h"

enum { TEMPLATE_BYTES = 128, TEMPLATES = 16384 };

struct template {
	__u32 size_bytes;
	__u8 octets[TEMPLATE_BYTES];
};

/* Number of templates in turn, a power of two, less one; set before load. */
const volatile __u32 template_mask = 0;
/* Bytes of each of them; the generator copies in words of eight. */
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

SEC("xdp")
int bench_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int bench_reflect(struct xdp_md *ctx)
{
	struct cursor at = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct ethhdr *eth = take(&at, sizeof(*eth));
	__u64 dest;

	if (!eth)
		return XDP_DROP;
	dest = load_lladdr(eth->h_dest);
	store_lladdr(eth->h_dest, load_lladdr(eth->h_source));
	store_lladdr(eth->h_source, dest);
	return XDP_TX;
}

/* Live frames come back in the pages of earlier ones, so each is written anew. */
SEC("xdp")
int bench_generate(struct xdp_md *ctx)
{
	struct cursor at = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	__u32 index = count_frame(0) & template_mask;
	struct template *template = bpf_map_lookup_elem(&templates, &index);
	__u64 *words, *from;

	if (!template)
		return XDP_DROP;
	words = take(&at, template_bytes);
	if (!words)
		return XDP_DROP;
	from = (__u64 *)template->octets;
	for (__u32 i = 0; i < TEMPLATE_BYTES / sizeof(*words); i++) {
		if (i >= template_bytes / sizeof(*words))
			break;
		words[i] = from[i];
	}
	return XDP_TX;
}

SEC("xdp")
int bench_sink(struct xdp_md *ctx)
{
	count_frame(1);
	return XDP_DROP;
}

char license_text[] SEC("license") = "Dual BSD/GPL";
