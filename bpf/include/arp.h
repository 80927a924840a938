/* SPDX-License-Identifier: Apache-2.0 */
/* ARP for IPv4 over Ethernet. linux/if_arp.h drags libc in, so its few constants are here. */
#ifndef STENTOR_ARP_H
#define STENTOR_ARP_H

#include "cursor.h"

enum { ARP_HRD_ETHERNET = 1, ARP_OP_REQUEST = 1, ARP_OP_REPLY = 2 }; /* RFC 826 */

/* RFC 826. Packed: it starts 14 bytes into the frame. */
struct arp_ipv4 {
	__be16 hrd;	    /*  0  hardware type, 1 = Ethernet */
	__be16 pro;	    /*  2  protocol type, 0x0800 = IPv4 */
	__u8 hln;	    /*  4  LLADDR length, 6 */
	__u8 pln;	    /*  5  protocol address length, 4 */
	__be16 op;	    /*  6  1 = request, 2 = reply */
	__u8 sha[ETH_ALEN]; /*  8  sender LLADDR */
	__be32 spa;	    /* 14  sender IPv4 address; 0 in a probe, RFC 5227 1.1 */
	__u8 tha[ETH_ALEN]; /* 18  target LLADDR, meaningless in a request */
	__be32 tpa;	    /* 24  target IPv4 address: the VIP asked for */
} __attribute__((packed));
_Static_assert(sizeof(struct arp_ipv4) == 28, "RFC 826, Ethernet and IPv4");

/* hrd, pro, hln, pln of every packet we understand, as one number in wire order. */
#define ARP_FIXED_PART                                                                             \
	bpf_cpu_to_be64((__u64)ARP_HRD_ETHERNET << 48 | (__u64)ETH_P_IP << 32 | ETH_ALEN << 24 |   \
			4 << 16)
#define ARP_FIXED_MASK bpf_cpu_to_be64(0xffffffffffff0000ULL)

/* The ARP packet at the cursor, or NULL when it is short or not IPv4 over Ethernet. */
static __always_inline struct arp_ipv4 *parse_arp_ipv4(struct cursor *at)
{
	struct arp_ipv4 *arp = take(at, sizeof(*arp));

	if (!arp || (*(wire64 *)arp & ARP_FIXED_MASK) != ARP_FIXED_PART)
		return NULL;
	if (arp->op != bpf_htons(ARP_OP_REQUEST) && arp->op != bpf_htons(ARP_OP_REPLY))
		return NULL;
	return arp;
}

/*
 * Turn a request into the reply: `lladdr` answers, `source` sends. Neither the padding nor a VLAN
 * tag is touched.
 */
static __always_inline void write_arp_reply(struct ethhdr *eth, struct arp_ipv4 *arp, __u64 lladdr,
					    __u64 source)
{
	__be32 vip = load_address(&arp->tpa);
	__be32 asker = load_address(&arp->spa);
	__u64 asker_lladdr = load_lladdr(arp->sha);

	store_lladdr(eth->h_dest, asker_lladdr);
	store_lladdr(eth->h_source, source);
	arp->op = bpf_htons(ARP_OP_REPLY);
	store_lladdr(arp->sha, lladdr);
	store_address(&arp->spa, vip);
	store_lladdr(arp->tha, asker_lladdr);
	store_address(&arp->tpa, asker);
}

#endif
