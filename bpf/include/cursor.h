/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded position in a frame, and the Ethernet and 802.1Q headers it starts with. */
#ifndef STENTOR_CURSOR_H
#define STENTOR_CURSOR_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	ETHERTYPE_BEAT = 0x88B5, /* IEEE 802 local experimental 1, OWNERSHIP beats */
	VLAN_ID_MASK = 0x0fff,	 /* IEEE 802.1Q 9.6 */
};

#define LLADDR_MASK	 0x0000ffffffffffffULL
#define LLADDR_BROADCAST LLADDR_MASK
#define LLADDR_GROUP_BIT 1ULL /* IEEE 802 8.2: first bit on the wire */

/*
 * Wide loads of packed headers. Clang splits an access to a packed field into bytes; the machines
 * whose JIT we use load unaligned words well, and the verifier knows which those are.
 */
typedef __u16 __attribute__((may_alias)) wire16;
typedef __u32 __attribute__((may_alias)) wire32;
typedef __u64 __attribute__((may_alias)) wire64;

struct cursor {
	void *pos;
	void *end;
};

/* 802.1Q tag as it follows the source LLADDR's EtherType 0x8100. */
struct vlan_tag {
	__be16 tci;
	__be16 proto;
};
_Static_assert(sizeof(struct vlan_tag) == 4, "IEEE 802.1Q 9.5");

/* One frame on its way through the program. */
struct frame {
	struct cursor at; /* behind what has been parsed */
	struct ethhdr *eth;
	void *ctx; /* struct xdp_md or struct __sk_buff */
	__u32 ifindex;
	__u32 size_bytes; /* whole frame, as counted */
	__u32 packets;	  /* that it stands for: more than one after GRO */
	__u16 vlan;	  /* 0 = untagged or priority-tagged */
	bool is_skb;
};

/* The next `size` bytes, or NULL when the frame is shorter. */
static __always_inline void *take(struct cursor *at, __u32 size)
{
	void *taken = at->pos;

	if (taken + size > at->end)
		return NULL;
	at->pos = taken + size;
	return taken;
}

/* Six octets as the low 48 bits of a number: first octet lowest. */
static __always_inline __u64 load_lladdr(const void *octets)
{
	return *(const wire32 *)octets | (__u64) * (const wire16 *)(octets + 4) << 32;
}

static __always_inline void store_lladdr(void *octets, __u64 lladdr)
{
	*(wire32 *)octets = (__u32)lladdr;
	*(wire16 *)(octets + 4) = (__u16)(lladdr >> 32);
}

static __always_inline __be16 load_proto(const struct ethhdr *eth)
{
	return *(const wire16 *)((const void *)eth + offsetof(struct ethhdr, h_proto));
}

/* An IPv4 address in wire order. */
static __always_inline __be32 load_address(const void *octets)
{
	return *(const wire32 *)octets;
}

static __always_inline void store_address(void *octets, __be32 address)
{
	*(wire32 *)octets = address;
}

/* Two IPv6 addresses, by halves. */
static __always_inline bool same_address(const void *a, const void *b)
{
	const wire64 *x = a, *y = b;

	return x[0] == y[0] && x[1] == y[1];
}

/* An address one host can have: neither a group nor all zeroes. */
static __always_inline bool is_unicast(__u64 lladdr)
{
	return lladdr && !(lladdr & LLADDR_GROUP_BIT);
}

#endif
