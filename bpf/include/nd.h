/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6 neighbour solicitation and advertisement, RFC 4861 4.3, 4.4, 7.1, 7.2. */
#ifndef STENTOR_ND_H
#define STENTOR_ND_H

#include <linux/in6.h>
#include <linux/ipv6.h>

#include "cursor.h"

enum {
	NEXT_HEADER_ICMPV6 = 58, /* RFC 4443 1 */
	ND_SOLICITATION = 135,	 /* RFC 4861 4.3 */
	ND_ADVERTISEMENT = 136,	 /* RFC 4861 4.4 */
	ND_OPT_SLLAO = 1,	 /* RFC 4861 4.6.1 */
	ND_OPT_TLLAO = 2,
	ND_HOP_LIMIT = 255, /* RFC 4861 7.1.1 */
	ND_OPTION_UNIT = 8, /* RFC 4861 4.6: lengths count units of 8 octets */
	ND_MAX_UNITS = 8,   /* longer ones are left to the kernel; hosts send one or two units */
};

#define ND_FLAG_SOLICITED 0x40000000U /* RFC 4861 4.4, host order */
#define ND_FLAG_OVERRIDE  0x20000000U
#define LLADDR_ALL_NODES  0x010000003333ULL /* 33:33:00:00:00:01, RFC 2464 7 */

/* Solicitation and advertisement have the same 24 octets. */
struct nd_message {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 flags; /* reserved in a solicitation */
	__be32 target[4];
};
_Static_assert(sizeof(struct nd_message) == 24, "RFC 4861 4.3");

struct nd_option {
	__u8 type;
	__u8 units;
	__u8 lladdr[ETH_ALEN];
};
_Static_assert(sizeof(struct nd_option) == ND_OPTION_UNIT, "RFC 4861 4.6.1");

/* What a valid message says. */
struct nd_facts {
	__u64 lladdr; /* of the SLLAO or TLLAO; 0 when it has none */
	__u32 length; /* of the ICMPv6 message, bytes */
};

static __always_inline bool is_unspecified(const void *address)
{
	const wire64 *x = address;

	return !(x[0] | x[1]);
}

static __always_inline bool is_multicast(const void *address)
{
	return *(const __u8 *)address == 0xff; /* RFC 4291 2.7 */
}

/* ff02::1:ffXX:XXXX with the target's last three octets, RFC 4291 2.7.1. */
static __always_inline bool is_solicited_node(const void *address, const void *target)
{
	const wire32 *x = address, *y = target;

	return x[0] == bpf_htonl(0xff020000) && !x[1] && x[2] == bpf_htonl(1) &&
	       x[3] == (bpf_htonl(0xff000000) | (y[3] & bpf_htonl(0x00ffffff)));
}

/* The sum of an address's words, to be folded. */
static __always_inline __u64 sum_address(const void *address)
{
	const wire32 *x = address;

	return (__u64)x[0] + x[1] + x[2] + x[3];
}

/* One's complement sum of 32-bit words down to 16 bits with end-around carry, RFC 1071. */
static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

/* Pseudo-header of RFC 8200 8.1 without the addresses. */
static __always_inline __u64 sum_pseudo(__u32 length)
{
	return (__u64)bpf_htonl(length) + bpf_htonl(NEXT_HEADER_ICMPV6);
}

/*
 * Whether the message is valid by RFC 4861 7.1.1 (solicitation, `wanted` = SLLAO) or 7.1.2
 * (advertisement, TLLAO). On true `facts` holds the first option of the wanted type, as the
 * kernel takes the first. Reads the message once: the walk over the options also sums them up.
 */
static __always_inline bool check_nd(const struct ipv6hdr *ip6, const struct nd_message *nd,
				     void *end, __u8 wanted, struct nd_facts *facts)
{
	const wire32 *words = (const wire32 *)nd;
	const struct nd_option *unit = (const void *)(nd + 1);
	__u32 length = bpf_ntohs(ip6->payload_len);
	__u32 units, left = 0;
	__u64 sum;

	if (ip6->hop_limit != ND_HOP_LIMIT || nd->code)
		return false;
	if (length < sizeof(*nd) || length % ND_OPTION_UNIT)
		return false;
	units = (length - sizeof(*nd)) / ND_OPTION_UNIT;
	if (units > ND_MAX_UNITS || is_multicast(nd->target) || is_multicast(&ip6->saddr))
		return false;

	sum = sum_address(&ip6->saddr) + sum_address(&ip6->daddr) + sum_pseudo(length);
	sum += (__u64)words[0] + words[1] + sum_address(nd->target);

	facts->length = length;
	facts->lladdr = 0;
	for (__u32 i = 0; i < ND_MAX_UNITS; i++) {
		if (i >= units)
			break;
		if ((void *)(unit + 1) > end)
			return false;
		sum += (__u64)((const wire32 *)unit)[0] + ((const wire32 *)unit)[1];
		if (!left) {
			left = unit->units;
			if (!left)
				return false;
			if (unit->type == wanted && !facts->lladdr) {
				facts->lladdr = load_lladdr(unit->lladdr);
				if (left != 1 || !is_unicast(facts->lladdr))
					return false;
			}
		}
		left--;
		unit++;
	}
	return !left && fold(sum) == 0xffff;
}

/*
 * Turn a solicitation into the advertisement; the frame already ends behind its one option.
 * `lladdr` is the target's, `source` sends, `asker` receives it.
 */
static __always_inline void write_advertisement(struct ethhdr *eth, struct ipv6hdr *ip6,
						struct nd_message *nd, __u64 lladdr, __u64 source,
						__u64 asker)
{
	struct nd_option *tllao = (void *)(nd + 1);
	wire32 *src = (wire32 *)&ip6->saddr, *dst = (wire32 *)&ip6->daddr;
	wire32 *target = (wire32 *)nd->target, *words = (wire32 *)nd;
	__u32 flags = ND_FLAG_SOLICITED | ND_FLAG_OVERRIDE;
	const __u32 length = sizeof(*nd) + sizeof(*tllao);
	/* Kept in a register: reading back what narrower stores wrote stalls. */
	__u64 option = ND_OPT_TLLAO | 1 << 8 | lladdr << 16;
	__u64 sum;

	if (is_unspecified(src)) { /* duplicate address detection, RFC 4861 7.2.4 */
		flags = ND_FLAG_OVERRIDE;
		asker = LLADDR_ALL_NODES;
		dst[0] = bpf_htonl(0xff020000);
		dst[1] = 0;
		dst[2] = 0;
		dst[3] = bpf_htonl(1);
	} else {
		dst[0] = src[0];
		dst[1] = src[1];
		dst[2] = src[2];
		dst[3] = src[3];
	}
	src[0] = target[0];
	src[1] = target[1];
	src[2] = target[2];
	src[3] = target[3];
	store_lladdr(eth->h_dest, asker);
	store_lladdr(eth->h_source, source);
	/* Traffic class and flow label are the asker's business: an answer starts afresh. */
	*(wire32 *)ip6 = bpf_htonl(0x60000000);
	ip6->payload_len = bpf_htons(length);
	words[0] = bpf_htonl((__u32)ND_ADVERTISEMENT << 24);
	words[1] = bpf_htonl(flags);
	*(wire64 *)tllao = option;

	sum = sum_address(dst) + 2 * sum_address(target) + sum_pseudo(length);
	sum += (__u64)words[0] + words[1];
	sum += (option & 0xffffffff) + (option >> 32);
	nd->checksum = ~fold(sum);
}

#endif
