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

/* A VIP as found in a table. */
struct seat {
	__u64 voice; /* struct voice as one number: LLADDR in the low 48 bits */
	__u32 cell;
	__u32 stat;
};

static __always_inline __u8 voice_state(__u64 voice)
{
	return voice >> 48;
}

static __always_inline __u8 voice_flags(__u64 voice)
{
	return voice >> 56;
}

/*
 * Multiplicative hashing. The last octets of an address, in which VIPs differ, sit in the upper
 * bits of a little-endian word; bits 32 and up of the product depend on all of them, and folding
 * the top 16 bits in makes the low bits depend on interface and VLAN too.
 */
static __always_inline __u32 hash_word(__u64 word)
{
	__u32 high = (word * 0x9E3779B97F4A7C15ULL) >> 32;

	return high ^ high >> 16;
}

static __always_inline __u64 where(__u32 ifindex, __u16 vlan)
{
	return (__u64)(ifindex ^ (__u32)vlan << 16) << 32;
}

static __always_inline __u32 hash4(__u32 ifindex, __u16 vlan, __be32 addr)
{
	return hash_word(where(ifindex, vlan) | addr);
}

static __always_inline __u32 hash6(__u32 ifindex, __u16 vlan, const wire32 *addr)
{
	__u64 prefix = (__u64)addr[0] << 32 | addr[1];
	__u64 rest = (__u64)addr[2] << 32 | addr[3];

	return hash_word((prefix * 0xC2B2AE3D27D4EB4FULL) ^ rest ^ where(ifindex, vlan));
}

/* Whether (interface, VLAN, address) is a VIP of ours; then `seat` says where. */
static __always_inline bool find4(__u32 ifindex, __u16 vlan, __be32 addr, struct seat *seat)
{
	__u32 zero = 0, at = hash4(ifindex, vlan, addr), base;
	struct control *halves = bpf_map_lookup_elem(&control, &zero);

	if (!halves)
		return false;
	base = halves->active4 ? table_mask4 + 1 : 0;
	for (__u32 step = 1; step <= MAX_PROBES; step++) {
		__u32 index = base + (at & table_mask4);
		struct slot4 *slot = bpf_map_lookup_elem(&vips4, &index);

		if (!slot || !slot->ifindex)
			return false;
		if (slot->addr == addr && slot->ifindex == ifindex && slot->vlan == vlan) {
			seat->voice = *(volatile wire64 *)&slot->voice;
			seat->cell = slot->cell;
			seat->stat = slot->stat;
			if (voice_state(seat->voice) != SLOT_DEAD)
				return true;
		}
		at += step;
	}
	return false;
}

static __always_inline bool find6(__u32 ifindex, __u16 vlan, const void *address, struct seat *seat)
{
	const wire32 *addr = address;
	__u32 zero = 0, at = hash6(ifindex, vlan, addr), base;
	struct control *halves = bpf_map_lookup_elem(&control, &zero);

	if (!halves)
		return false;
	base = halves->active6 ? table_mask6 + 1 : 0;
	for (__u32 step = 1; step <= MAX_PROBES; step++) {
		__u32 index = base + (at & table_mask6);
		struct slot6 *slot = bpf_map_lookup_elem(&vips6, &index);

		if (!slot || !slot->ifindex)
			return false;
		if (slot->addr[3] == addr[3] && slot->addr[2] == addr[2] &&
		    slot->addr[1] == addr[1] && slot->addr[0] == addr[0] &&
		    slot->ifindex == ifindex && slot->vlan == vlan) {
			seat->voice = *(volatile wire64 *)&slot->voice;
			seat->cell = slot->cell;
			seat->stat = slot->stat;
			if (voice_state(seat->voice) != SLOT_DEAD)
				return true;
		}
		at += step;
	}
	return false;
}

static __always_inline void count_exit(__u32 reason)
{
	__u64 *counter = bpf_map_lookup_elem(&exits, &reason);

	if (counter)
		(*counter)++;
}

#endif
