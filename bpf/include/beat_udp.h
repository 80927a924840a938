/* SPDX-License-Identifier: Apache-2.0 */
/* Beats in UDP to port 7947, for fabrics that drop their EtherType. */
#ifndef STENTOR_BEAT_UDP_H
#define STENTOR_BEAT_UDP_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "beat.h"
#include "nd.h"

enum {
	BEAT_PORT = 7947,
	BEAT_HOP_LIMIT = 255, /* nobody routed it here: RFC 5082 3 */
	NEXT_HEADER_UDP = 17, /* RFC 768 */
};

/* The longest frame that holds a beat: tagged, IPv6, UDP. */
#define BEAT_FRAME_BYTES                                                                           \
	(sizeof(struct ethhdr) + sizeof(struct vlan_tag) + sizeof(struct ipv6hdr) +                \
	 sizeof(struct udphdr) + sizeof(struct beat))

/* Whether a UDP header at `pos` would name our port; the caller has checked the bounds. */
static __always_inline bool names_beat_port(const void *pos)
{
	return *(const wire16 *)(pos + offsetof(struct udphdr, dest)) == bpf_htons(BEAT_PORT);
}
#define BEAT_PORT_END (offsetof(struct udphdr, dest) + sizeof(__be16))

static __always_inline bool may_be_beat(const struct cursor *at)
{
	return at->pos + BEAT_PORT_END <= at->end && names_beat_port(at->pos);
}

#define BEAT_DATAGRAM_BYTES (sizeof(struct udphdr) + sizeof(struct beat))

/* The UDP header before a beat, or NULL when what follows is none. */
static __always_inline struct udphdr *parse_beat_udp(struct frame *f)
{
	struct udphdr *udp = take(&f->at, sizeof(*udp));
	struct cursor payload = f->at;

	if (!udp || udp->len != bpf_htons(BEAT_DATAGRAM_BYTES) || !parse_beat(&payload))
		return NULL;
	return udp;
}

/*
 * Ports exchanged, checksum anew: that of the request may be one the sender left to its NIC.
 * `sum` is that of the pseudo-header.
 */
static __always_inline void turn_udp(struct udphdr *udp, __u64 sum)
{
	const wire32 *words = (const wire32 *)(udp + 1);
	__be16 source = udp->source;
	__u16 check;

	udp->source = udp->dest;
	udp->dest = source;
	sum += (__u64)udp->source + udp->dest + udp->len;
#pragma unroll
	for (__u32 i = 0; i < sizeof(struct beat) / sizeof(*words); i++)
		sum += words[i];
	check = ~fold(sum);
	udp->check = check ? check : 0xffff; /* RFC 768: zero says that there is none */
}

/* A beat over IPv4, `f->at` behind the header without options; EXIT_OTHER when it is none. */
static __noinline enum exit_reason on_beat4(struct frame *f, struct iphdr *ip)
{
	__be32 source = load_address(&ip->saddr), dest = load_address(&ip->daddr);
	struct udphdr *udp = parse_beat_udp(f);
	enum exit_reason reason;

	if (!udp || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff) ||
	    ip->tot_len != bpf_htons(sizeof(*ip) + BEAT_DATAGRAM_BYTES))
		return EXIT_OTHER;
	if (ip->ttl != BEAT_HOP_LIMIT)
		return EXIT_BEAT_REFUSED;
	reason = on_beat(f);
	if (reason != EXIT_BEAT_REFLECTED)
		return reason;
	/* The header's own checksum does not see who is source and who destination. */
	store_address(&ip->saddr, dest);
	store_address(&ip->daddr, source);
	turn_udp(udp, (__u64)source + dest + bpf_htons(NEXT_HEADER_UDP) + udp->len);
	return reason;
}

/* The same over IPv6, without extension headers. */
static __noinline enum exit_reason on_beat6(struct frame *f, struct ipv6hdr *ip6)
{
	wire64 *source = (wire64 *)&ip6->saddr, *dest = (wire64 *)&ip6->daddr;
	struct udphdr *udp = parse_beat_udp(f);
	enum exit_reason reason;
	__u64 high, low;

	if (!udp || ip6->payload_len != bpf_htons(BEAT_DATAGRAM_BYTES))
		return EXIT_OTHER;
	if (ip6->hop_limit != BEAT_HOP_LIMIT)
		return EXIT_BEAT_REFUSED;
	reason = on_beat(f);
	if (reason != EXIT_BEAT_REFLECTED)
		return reason;
	high = source[0];
	low = source[1];
	source[0] = dest[0];
	source[1] = dest[1];
	dest[0] = high;
	dest[1] = low;
	turn_udp(udp,
		 sum_address(source) + sum_address(dest) + bpf_htons(NEXT_HEADER_UDP) + udp->len);
	return reason;
}

#endif
