/* SPDX-License-Identifier: Apache-2.0 */
/* Every map of the responder, and how the tables are searched. */
#ifndef STENTOR_MAPS_H
#define STENTOR_MAPS_H

#include "cursor.h"
#include "layout.h"

/*
 * Set by the loader before load, together with the tables' max_entries: slots in one half less
 * one. The verifier sees them as constants.
 */
const volatile __u32 table_mask4 = 1023;
const volatile __u32 table_mask6 = 1023;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2048);
	__type(key, __u32);
	__type(value, struct slot4);
} vips4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2048);
	__type(key, __u32);
	__type(value, struct slot6);
} vips6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_CELLS);
	__type(key, __u32);
	__type(value, struct cell);
} cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_HEARD);
	__type(key, __u32);
	__type(value, struct heard);
} heard_beats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024); /* the loader sizes it to the VIPs */
	__type(key, __u32);
	__type(value, struct vip_stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EXIT_MAX);
	__type(key, __u32); /* enum exit_reason */
	__type(value, __u64);
} exits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

/*
 * A bit per filter hash of an address: clear means that it is no VIP on any interface, so that a
 * bystander's packet costs one load and no table. Only counting asks it. All ones until a loader
 * keeps it: it zeroes the filter, then sets a VIP's bit before it enters the slot. Bits may stay
 * set for VIPs that are gone. A global, since only those are reached without a lookup.
 */
struct filter filter SEC(".data.filter") = { { [0 ... FILTER_WORDS - 1] = ~0ULL } };

/* struct voice as one number: the LLADDR in the low 48 bits. */
static __always_inline __u64 load_voice(const struct voice *voice)
{
	return *(const volatile wire64 *)voice;
}

static __always_inline __u8 voice_state(__u64 voice)
{
	return voice >> 48;
}

static __always_inline __u8 voice_flags(__u64 voice)
{
	return voice >> 56;
}

/*
 * Multiplicative hashing: bits 32 and up of the product, of which the lowest are used. Whatever
 * sits in the low half of the word, as the last octets do in which VIPs differ, reaches all of
 * them; interface and VLAN are in the low bits of the high half, which reach all of them too.
 */
static __always_inline __u32 hash_word(__u64 word)
{
	return (word * 0x9E3779B97F4A7C15ULL) >> 32;
}

static __always_inline __u64 where(__u32 ifindex, __u16 vlan)
{
	return (__u64)(ifindex + vlan * 0x85EBCA6BU) << 32;
}

static __always_inline __u32 hash4(__u32 ifindex, __u16 vlan, __be32 addr)
{
	return hash_word(where(ifindex, vlan) | addr);
}

static __always_inline __u32 hash6(__u32 ifindex, __u16 vlan, const void *address)
{
	const wire64 *halves = address;
	__u64 prefix = bpf_be64_to_cpu(halves[0]) * 0xC2B2AE3D27D4EB4FULL;

	return hash_word((prefix + bpf_be64_to_cpu(halves[1])) ^ where(ifindex, vlan));
}

static __always_inline bool filter_has(__u32 bit)
{
	return filter.words[bit >> 6] >> (bit & 63) & 1;
}

/* The last octets end up in the highest bits of the product, and those are taken. */
static __always_inline bool may_be_vip4(__be32 addr)
{
	return filter_has(addr * 0x9E3779B1U >> (32 - FILTER_BITS));
}

static __always_inline bool may_be_vip6(const void *address)
{
	const wire64 *halves = address;

	return filter_has((halves[0] ^ halves[1]) * 0x9E3779B97F4A7C15ULL >> (64 - FILTER_BITS));
}

/* Start of the half in use. */
static __always_inline __u32 half4(__u32 mask)
{
	__u32 zero = 0;
	struct control *halves = bpf_map_lookup_elem(&control, &zero);

	return halves && halves->active4 ? mask + 1 : 0;
}

static __always_inline __u32 half6(__u32 mask)
{
	__u32 zero = 0;
	struct control *halves = bpf_map_lookup_elem(&control, &zero);

	return halves && halves->active6 ? mask + 1 : 0;
}

/* The slot of (interface, VLAN, address), or NULL when that is no VIP. */
static __always_inline struct slot4 *find4(__u32 ifindex, __u16 vlan, __be32 addr)
{
	__u32 mask = table_mask4, base = half4(mask), at = hash4(ifindex, vlan, addr);

	for (__u32 step = 1; step <= MAX_PROBES; step++) {
		__u32 index = base + (at & mask);
		struct slot4 *slot = bpf_map_lookup_elem(&vips4, &index);

		if (!slot)
			return NULL;
		if (slot->addr == addr && slot->ifindex == ifindex && slot->vlan == vlan &&
		    slot->voice.state != SLOT_DEAD)
			return slot;
		if (!slot->ifindex)
			return NULL;
		at += step;
	}
	return NULL;
}

static __always_inline struct slot6 *find6(__u32 ifindex, __u16 vlan, const void *address)
{
	__u32 mask = table_mask6, base = half6(mask), at = hash6(ifindex, vlan, address);

	for (__u32 step = 1; step <= MAX_PROBES; step++) {
		__u32 index = base + (at & mask);
		struct slot6 *slot = bpf_map_lookup_elem(&vips6, &index);

		if (!slot)
			return NULL;
		if (same_address(slot->addr, address) && slot->ifindex == ifindex &&
		    slot->vlan == vlan && slot->voice.state != SLOT_DEAD)
			return slot;
		if (!slot->ifindex)
			return NULL;
		at += step;
	}
	return NULL;
}

/* What both families' slots have in common. */
struct seat {
	__u64 voice;
	__u32 cell;
	__u32 stat;
};

static __always_inline bool seat4(__u32 ifindex, __u16 vlan, __be32 addr, struct seat *seat)
{
	struct slot4 *slot = find4(ifindex, vlan, addr);

	if (slot)
		*seat = (struct seat){ load_voice(&slot->voice), slot->cell, slot->stat };
	return slot;
}

static __always_inline bool seat6(__u32 ifindex, __u16 vlan, const void *addr, struct seat *seat)
{
	struct slot6 *slot = find6(ifindex, vlan, addr);

	if (slot)
		*seat = (struct seat){ load_voice(&slot->voice), slot->cell, slot->stat };
	return slot;
}

static __always_inline void count_exit(__u32 reason)
{
	__u64 *counter = bpf_map_lookup_elem(&exits, &reason);

	if (counter)
		(*counter)++;
}

#endif
