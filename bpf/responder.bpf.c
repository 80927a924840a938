// SPDX-License-Identifier: Apache-2.0
/*
 * The responder: answers ARP and neighbour solicitations for VIPs in place, drops those for VIPs
 * held elsewhere, reports foreign voices, reflects and obeys beats of other nodes, counts packets
 * to VIPs, and passes all else untouched.
 * The same source is an XDP program and a tc program; user space attaches one of them per
 * interface and speaks to it through the maps of maps.h. A third program tries an interface out.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include "arp.h"
#include "beat.h"
#include "beat_udp.h"
#include "cursor.h"
#include "layout.h"
#include "lease.h"
#include "maps.h"
#include "nd.h"

static __always_inline enum exit_reason count_packet(const struct frame *f, const __u32 *stat)
{
	struct vip_stats *vip_stats = bpf_map_lookup_elem(&stats, stat);

	if (vip_stats) {
		vip_stats->packets += f->packets;
		vip_stats->bytes += f->size_bytes;
	}
	return EXIT_COUNTED;
}

/* An IP packet is counted when it goes to a VIP. */
static __always_inline enum exit_reason count4(const struct frame *f, const struct iphdr *ip)
{
	__be32 daddr = load_address(&ip->daddr);
	struct slot4 *slot;

	if (!may_be_vip4(daddr))
		return EXIT_OTHER;
	slot = find4(f->ifindex, f->vlan, daddr);
	return slot ? count_packet(f, &slot->stat) : EXIT_OTHER;
}

static __always_inline enum exit_reason count6(const struct frame *f, const struct ipv6hdr *ip6)
{
	struct slot6 *slot;

	if (!may_be_vip6(&ip6->daddr))
		return EXIT_OTHER;
	slot = find6(f->ifindex, f->vlan, &ip6->daddr);
	return slot ? count_packet(f, &slot->stat) : EXIT_OTHER;
}

static __always_inline enum exit_reason on_ipv4(struct frame *f)
{
	struct iphdr *ip = take(&f->at, sizeof(*ip));

	if (!ip)
		return EXIT_OTHER;
	/* Branch point: a BFD echo (UDP 3785 to our LLADDR) is reflected here once it exists. */
	if (ip->protocol == NEXT_HEADER_UDP && may_be_beat(&f->at)) {
		struct frame copy = *f; /* so that `f` stays in registers */
		enum exit_reason reason = on_beat4(&copy, ip);

		if (reason != EXIT_OTHER)
			return reason;
	}
	return count4(f, ip);
}

static __always_inline enum exit_reason on_arp(struct frame *f)
{
	struct arp_ipv4 *arp = parse_arp_ipv4(&f->at);
	struct cell *cell;
	struct seat seat;
	enum judgement judged;
	__be32 sender, target;
	__u64 sha, dest, own;

	if (!arp)
		return EXIT_MALFORMED;
	sha = load_lladdr(arp->sha);
	if (!is_unicast(sha))
		return EXIT_MALFORMED;

	sender = load_address(&arp->spa);
	target = load_address(&arp->tpa);
	if (sender && may_be_vip4(sender) && seat4(f->ifindex, f->vlan, sender, &seat))
		return hear(f, &seat, sha, &arp->spa, 4);
	if (arp->op != bpf_htons(ARP_OP_REQUEST) || !seat4(f->ifindex, f->vlan, target, &seat))
		return EXIT_ARP_NOT_VIP;

	cell = bpf_map_lookup_elem(&cells, &seat.cell);
	if (!cell)
		return EXIT_ARP_PASSED;
	own = cell_lladdr(cell);
	if (sha == own)
		return EXIT_OWN_ECHO;
	dest = load_lladdr(f->eth->h_dest);
	if (dest != LLADDR_BROADCAST && dest != own)
		return EXIT_ARP_PASSED;

	judged = judge(cell, seat.voice);
	count_question(&seat, judged);
	if (judged == JUDGED_ANSWER)
		write_arp_reply(f->eth, arp, seat.voice & LLADDR_MASK, own);
	return arp_exit(judged);
}

/* An advertisement claims its target for its TLLAO. */
static __always_inline enum exit_reason on_advertisement(struct frame *f, struct ipv6hdr *ip6,
							 struct nd_message *nd)
{
	struct nd_facts facts;
	struct seat seat;

	if (!seat6(f->ifindex, f->vlan, nd->target, &seat))
		return EXIT_ND_NOT_VIP;
	if (!check_nd(ip6, nd, f->at.end, ND_OPT_TLLAO, &facts))
		return EXIT_MALFORMED;
	if (is_multicast(&ip6->daddr) && (nd->flags & bpf_htonl(ND_FLAG_SOLICITED)))
		return EXIT_MALFORMED; /* RFC 4861 7.1.2 */
	if (!facts.lladdr)
		facts.lladdr = load_lladdr(f->eth->h_source);
	return hear(f, &seat, facts.lladdr, nd->target, 6);
}

/* Make the frame end `size_bytes` behind its start: one TLLAO and no more behind the message. */
static __always_inline bool resize(struct frame *f, __u32 size_bytes)
{
	if (f->is_skb)
		return !bpf_skb_change_tail(f->ctx, size_bytes, 0);
	return !bpf_xdp_adjust_tail(f->ctx, (int)size_bytes - (int)f->size_bytes);
}

static __always_inline void *frame_start(const struct frame *f)
{
	if (f->is_skb)
		return (void *)(long)((struct __sk_buff *)f->ctx)->data;
	return (void *)(long)((struct xdp_md *)f->ctx)->data;
}

static __always_inline void *frame_end(const struct frame *f)
{
	if (f->is_skb)
		return (void *)(long)((struct __sk_buff *)f->ctx)->data_end;
	return (void *)(long)((struct xdp_md *)f->ctx)->data_end;
}

#define ADVERTISEMENT_BYTES                                                                        \
	(sizeof(struct ipv6hdr) + sizeof(struct nd_message) + sizeof(struct nd_option))

/* Grow or trim the frame to an advertisement's size, then rewrite it. */
static __always_inline bool advertise(struct frame *f, __u32 header_bytes, __u64 lladdr, __u64 own,
				      __u64 asker)
{
	__u32 size_bytes = header_bytes + ADVERTISEMENT_BYTES;
	struct ipv6hdr *ip6;
	void *start;

	if (f->size_bytes != size_bytes && !resize(f, size_bytes))
		return false;
	start = frame_start(f);
	ip6 = start + header_bytes;
	if ((void *)ip6 + ADVERTISEMENT_BYTES > frame_end(f))
		return false;
	write_advertisement(start, ip6, (void *)(ip6 + 1), lladdr, own, asker);
	return true;
}

static __always_inline enum exit_reason on_solicitation(struct frame *f, struct ipv6hdr *ip6,
							struct nd_message *nd, __u32 header_bytes)
{
	bool is_dad = is_unspecified(&ip6->saddr);
	struct seat sender, seat;
	bool from_vip, for_vip;
	struct nd_facts facts;
	enum judgement judged;
	struct cell *cell;
	__u64 asker, dest, own;

	from_vip = !is_dad && may_be_vip6(&ip6->saddr) &&
		   seat6(f->ifindex, f->vlan, &ip6->saddr, &sender);
	for_vip = seat6(f->ifindex, f->vlan, nd->target, &seat);
	if (!from_vip && !for_vip)
		return EXIT_ND_NOT_VIP;
	if (!check_nd(ip6, nd, f->at.end, ND_OPT_SLLAO, &facts))
		return EXIT_MALFORMED;
	asker = facts.lladdr ? facts.lladdr : load_lladdr(f->eth->h_source);
	if (!is_unicast(asker))
		return EXIT_MALFORMED;
	/* RFC 4861 7.1.1: without a source address, to the solicited-node group and without SLLAO.
	 */
	if (is_dad && (facts.lladdr || !is_solicited_node(&ip6->daddr, nd->target)))
		return EXIT_MALFORMED;
	if (from_vip)
		return hear(f, &sender, asker, &ip6->saddr, 6);

	cell = bpf_map_lookup_elem(&cells, &seat.cell);
	if (!cell)
		return EXIT_ND_PASSED;
	own = cell_lladdr(cell);
	if (asker == own)
		return EXIT_OWN_ECHO;
	dest = load_lladdr(f->eth->h_dest);
	if (dest != own && (__u16)dest != 0x3333) /* RFC 2464 7 */
		return EXIT_ND_PASSED;
	if (!is_multicast(&ip6->daddr) && !same_address(&ip6->daddr, nd->target))
		return EXIT_ND_PASSED;

	judged = judge(cell, seat.voice);
	if (judged == JUDGED_ANSWER &&
	    !advertise(f, header_bytes, seat.voice & LLADDR_MASK, own, asker)) {
		count_question(&seat, JUDGED_PASS);
		return EXIT_NO_ROOM;
	}
	count_question(&seat, judged);
	return nd_exit(judged);
}

static __always_inline enum exit_reason on_ipv6(struct frame *f, __u32 header_bytes)
{
	struct ipv6hdr *ip6 = take(&f->at, sizeof(*ip6));
	struct nd_message *nd;
	__u8 *type;

	if (!ip6)
		return EXIT_OTHER;
	if (ip6->nexthdr == NEXT_HEADER_ICMPV6) {
		type = f->at.pos;
		if ((void *)(type + 1) > f->at.end)
			return EXIT_MALFORMED;
		if (*type == ND_SOLICITATION || *type == ND_ADVERTISEMENT) {
			nd = take(&f->at, sizeof(*nd));
			if (!nd)
				return EXIT_MALFORMED;
			if (*type == ND_SOLICITATION)
				return on_solicitation(f, ip6, nd, header_bytes);
			return on_advertisement(f, ip6, nd);
		}
	}
	/* Branch point: a BFD echo over IPv6 is reflected here once it exists. */
	if (ip6->nexthdr == NEXT_HEADER_UDP && may_be_beat(&f->at)) {
		struct frame copy = *f;
		enum exit_reason reason = on_beat6(&copy, ip6);

		if (reason != EXIT_OTHER)
			return reason;
	}
	return count6(f, ip6);
}

static __always_inline enum exit_reason on_ethertype(struct frame *f, __be16 proto,
						     __u32 header_bytes)
{
	if (proto == bpf_htons(ETH_P_IP))
		return on_ipv4(f);
	if (proto == bpf_htons(ETH_P_IPV6))
		return on_ipv6(f, header_bytes);
	if (proto == bpf_htons(ETH_P_ARP))
		return on_arp(f);
	if (proto == bpf_htons(ETHERTYPE_BEAT)) {
		struct frame copy = *f;

		return on_beat(&copy);
	}
	return EXIT_OTHER;
}

/*
 * Everything, on a frame whose `at` stands at its start and whose `vlan` is the tag that the
 * kernel or the NIC has taken out. A second tag (QinQ) is not ours.
 */
static __always_inline enum exit_reason respond(struct frame *f, bool tag_taken)
{
	struct vlan_tag *tag;
	__be16 proto;

	f->eth = take(&f->at, sizeof(*f->eth));
	if (!f->eth)
		return EXIT_OTHER;
	proto = load_proto(f->eth);
	if (proto != bpf_htons(ETH_P_8021Q))
		return on_ethertype(f, proto, sizeof(*f->eth));
	tag = take(&f->at, sizeof(*tag));
	if (!tag)
		return EXIT_MALFORMED;
	if (tag_taken)
		return EXIT_OTHER;
	f->vlan = bpf_ntohs(tag->tci) & VLAN_ID_MASK;
	return on_ethertype(f, tag->proto, sizeof(*f->eth) + sizeof(*tag));
}

/*
 * Most frames, cheaply: whether this is an untagged IP packet to no VIP. True also tells that the
 * frame is neither an ND message nor a beat; false that one should look closer.
 */
static __always_inline bool is_bystander(struct cursor at)
{
	struct ethhdr *eth = at.pos;
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct iphdr *ip = (void *)(eth + 1);
	__be16 proto;

	if ((void *)(ip + 1) + BEAT_PORT_END > at.end)
		return false;
	proto = load_proto(eth);
	/* The port is looked at whatever the protocol: a load less for all but a few strangers. */
	if (proto == bpf_htons(ETH_P_IP))
		return !may_be_vip4(load_address(&ip->daddr)) && !names_beat_port(ip + 1);
	return proto == bpf_htons(ETH_P_IPV6) && (void *)(ip6 + 1) + BEAT_PORT_END <= at.end &&
	       ip6->nexthdr != NEXT_HEADER_ICMPV6 && !may_be_vip6(&ip6->daddr) &&
	       !names_beat_port(ip6 + 1);
}

static __always_inline struct frame xdp_frame(struct xdp_md *ctx)
{
	return (struct frame){
		.at = { (void *)(long)ctx->data, (void *)(long)ctx->data_end },
		.ctx = ctx,
		.ifindex = ctx->ingress_ifindex,
		.size_bytes = ctx->data_end - ctx->data,
		.packets = 1,
	};
}

/* A function of its own, so that bystanders do not pay for the registers that it saves. */
static __noinline int xdp_look_closer(struct xdp_md *ctx)
{
	struct frame f = xdp_frame(ctx);
	enum exit_reason reason = respond(&f, false);

	count_exit(reason);
	if (reason < EXIT_FIRST_DROPPED)
		return XDP_PASS;
	return reason < EXIT_FIRST_SENT ? XDP_DROP : XDP_TX;
}

static __always_inline int xdp_respond(struct xdp_md *ctx)
{
	struct cursor at = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };

	if (!is_bystander(at))
		return xdp_look_closer(ctx);
	count_exit(EXIT_OTHER);
	return XDP_PASS;
}

SEC("xdp")
int stentor_xdp(struct xdp_md *ctx)
{
	return xdp_respond(ctx);
}

/* A beat, by whatever carrier, and nothing else; EXIT_OTHER for that. */
static __always_inline enum exit_reason respond_to_beat(struct frame *f)
{
	struct vlan_tag *tag;
	struct ipv6hdr *ip6;
	struct iphdr *ip;
	__be16 proto;

	f->eth = take(&f->at, sizeof(*f->eth));
	if (!f->eth)
		return EXIT_OTHER;
	proto = load_proto(f->eth);
	if (proto == bpf_htons(ETH_P_8021Q)) {
		tag = take(&f->at, sizeof(*tag));
		if (!tag)
			return EXIT_OTHER;
		f->vlan = bpf_ntohs(tag->tci) & VLAN_ID_MASK;
		proto = tag->proto;
	}
	if (proto == bpf_htons(ETHERTYPE_BEAT))
		return on_beat(f);
	if (proto == bpf_htons(ETH_P_IP)) {
		ip = take(&f->at, sizeof(*ip));
		return ip && ip->protocol == NEXT_HEADER_UDP ? on_beat4(f, ip) : EXIT_OTHER;
	}
	if (proto != bpf_htons(ETH_P_IPV6))
		return EXIT_OTHER;
	ip6 = take(&f->at, sizeof(*ip6));
	return ip6 && ip6->nexthdr == NEXT_HEADER_UDP ? on_beat6(f, ip6) : EXIT_OTHER;
}

/*
 * What stands in native XDP until a peer has confirmed that XDP_TX from there arrives: beats go
 * back, all else is for the tc program behind, which answers and counts. So nothing but beats is
 * lost where it does not arrive, and no frame is counted twice.
 */
SEC("xdp")
int stentor_trial(struct xdp_md *ctx)
{
	struct frame f = xdp_frame(ctx);

	if (respond_to_beat(&f) != EXIT_BEAT_REFLECTED)
		return XDP_PASS;
	count_exit(EXIT_BEAT_REFLECTED);
	return XDP_TX;
}

/* Bytes that must be linear: the longest message we read, with a tag. */
#define HEADERS_BYTES (sizeof(struct ethhdr) + sizeof(struct vlan_tag) + sizeof(struct ipv6hdr))
#define ND_BYTES (HEADERS_BYTES + sizeof(struct nd_message) + (size_t)ND_MAX_UNITS * ND_OPTION_UNIT)

/*
 * Pull what we read out of page fragments; most drivers leave headers linear anyway. Frames no
 * longer than a beat are pulled whole.
 */
static __always_inline void make_linear(struct __sk_buff *skb)
{
	__u32 linear = skb->data_end - skb->data;
	__u32 wanted = skb->protocol == bpf_htons(ETH_P_IPV6) ? ND_BYTES : HEADERS_BYTES;

	if (wanted > skb->len || skb->len <= BEAT_FRAME_BYTES)
		wanted = skb->len;
	if (linear < wanted)
		bpf_skb_pull_data(skb, wanted);
}

/* Not inlined, so that the object's BTF has the exit reasons. */
static __noinline enum exit_reason tc_respond(struct __sk_buff *skb)
{
	bool tag_taken = skb->vlan_present;
	struct frame f = {};

	f.at.pos = (void *)(long)skb->data;
	f.at.end = (void *)(long)skb->data_end;
	f.ctx = skb;
	f.ifindex = skb->ifindex;
	f.size_bytes = skb->len;
	f.packets = skb->gso_segs ? skb->gso_segs : 1;
	f.is_skb = true;
	if (tag_taken) {
		if (skb->vlan_proto != bpf_htons(ETH_P_8021Q))
			return EXIT_OTHER;
		f.vlan = skb->vlan_tci & VLAN_ID_MASK;
	}
	return respond(&f, tag_taken);
}

SEC("tc")
int stentor_tc(struct __sk_buff *skb)
{
	enum exit_reason reason;

	make_linear(skb);
	reason = tc_respond(skb);
	count_exit(reason);
	if (reason < EXIT_FIRST_DROPPED)
		return TC_ACT_UNSPEC; /* not OK: programs attached behind us keep their say */
	return reason < EXIT_FIRST_SENT ? TC_ACT_SHOT : (int)bpf_redirect(skb->ifindex, 0);
}

char license_text[] SEC("license") = "Dual BSD/GPL";
