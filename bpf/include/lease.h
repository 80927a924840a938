/* SPDX-License-Identifier: Apache-2.0 */
/* What a cell allows its slots, and reports of foreign voices. */
#ifndef STENTOR_LEASE_H
#define STENTOR_LEASE_H

#include "maps.h"

enum judgement { JUDGED_PASS, JUDGED_ANSWER, JUDGED_DROP, JUDGED_SILENT };

static __always_inline enum exit_reason arp_exit(enum judgement judged)
{
	if (judged == JUDGED_ANSWER)
		return EXIT_ARP_ANSWERED;
	if (judged == JUDGED_DROP)
		return EXIT_ARP_DROPPED;
	return judged == JUDGED_SILENT ? EXIT_ARP_SILENT : EXIT_ARP_PASSED;
}

static __always_inline enum exit_reason nd_exit(enum judgement judged)
{
	if (judged == JUDGED_ANSWER)
		return EXIT_ND_ANSWERED;
	if (judged == JUDGED_DROP)
		return EXIT_ND_DROPPED;
	return judged == JUDGED_SILENT ? EXIT_ND_SILENT : EXIT_ND_PASSED;
}

static __always_inline __u64 cell_lladdr(const struct cell *cell)
{
	return *(const wire64 *)cell->lladdr & LLADDR_MASK;
}

/*
 * Whether the lease of an owning or holding cell runs. Past its deadline the cell expires here
 * and for good; compare-and-swap, so that a suspension in the same instant is not undone.
 */
static __always_inline bool lease_runs(struct cell *cell, __u32 state, __u64 now_ns)
{
	if (state != CELL_OWNING && state != CELL_HOLDING)
		return false;
	if (now_ns <= *(volatile __u64 *)&cell->deadline_ns)
		return true;
	__sync_val_compare_and_swap(&cell->state, state, CELL_EXPIRED);
	return false;
}

/* Whether the last lease ended less than SILENCE_NS ago, or was cut short. */
static __always_inline bool in_silence(const struct cell *cell, __u64 now_ns)
{
	__u64 end_ns = *(const volatile __u64 *)&cell->deadline_ns;

	return end_ns && (now_ns < end_ns || now_ns - end_ns < SILENCE_NS);
}

/* Whether questions for a slot in this state are ours to answer. */
static __always_inline bool speaks(__u8 slot_state)
{
	return slot_state == SLOT_HELD || slot_state == SLOT_GIVEN || slot_state == SLOT_WEAK;
}

/* What becomes of a question for `seat`; counted for its VIP by the caller. */
static __always_inline enum judgement judge(struct cell *cell, __u64 voice)
{
	__u8 slot_state = voice_state(voice);
	__u32 cell_state;
	__u64 now_ns;

	if (slot_state != SLOT_ELSEWHERE && !speaks(slot_state))
		return JUDGED_PASS;
	now_ns = bpf_ktime_get_coarse_ns();
	cell_state = *(volatile __u32 *)&cell->state;
	if (lease_runs(cell, cell_state, now_ns)) {
		if (slot_state != SLOT_ELSEWHERE)
			return JUDGED_ANSWER;
		return cell_state == CELL_OWNING ? JUDGED_DROP : JUDGED_PASS;
	}
	if (slot_state != SLOT_ELSEWHERE && in_silence(cell, now_ns))
		return JUDGED_SILENT;
	return JUDGED_PASS;
}

/* Not inlined: events are rare, and a parameter puts their layout into the object's BTF. */
static __noinline long emit(struct event *event)
{
	return bpf_ringbuf_output(&events, event, sizeof(*event), 0);
}

/*
 * Tell user space who speaks for a VIP. Limited twice: one event per VIP and CPU in
 * EVENT_VIP_INTERVAL_NS, one conflict per cell in EVENT_CELL_INTERVAL_NS. What the limits or a
 * full ring swallow is still in the exit counters.
 */
static __always_inline void report(const struct frame *f, struct cell *cell,
				   const struct seat *seat, enum event_kind kind, __u64 lladdr,
				   const wire32 *vip, __u8 family)
{
	struct vip_stats *vip_stats = bpf_map_lookup_elem(&stats, &seat->stat);
	__u64 now_ns = bpf_ktime_get_coarse_ns(), last_ns;
	struct event event = { .time_ns = now_ns, .kind = kind, .ifindex = f->ifindex };

	if (!vip_stats)
		return;
	if (vip_stats->last_event_ns && now_ns - vip_stats->last_event_ns < EVENT_VIP_INTERVAL_NS)
		return;
	if (kind == EVENT_CONFLICT) {
		last_ns = *(volatile __u64 *)&cell->last_event_ns;
		if (now_ns - last_ns < EVENT_CELL_INTERVAL_NS ||
		    __sync_val_compare_and_swap(&cell->last_event_ns, last_ns, now_ns) != last_ns)
			return;
	}
	vip_stats->last_event_ns = now_ns;
	event.vlan = f->vlan;
	event.family = family;
	event.cell = seat->cell;
	event.state = voice_state(seat->voice);
	__builtin_memcpy(event.lladdr, &lladdr,
			 sizeof(event.lladdr)); /* the stack wants alignment */
	__builtin_memcpy(event.vip, vip, family == 6 ? sizeof(event.vip) : sizeof(__be32));
	emit(&event);
}

/*
 * A frame whose sender claims a VIP of the table. It always passes: the kernel learns from it.
 * Ours come back over loops and mirrors; while a GIVE runs the new holder's are expected.
 */
static __always_inline enum exit_reason hear(const struct frame *f, const struct seat *seat,
					     __u64 lladdr, const void *vip, __u8 family)
{
	enum exit_reason passed = family == 4 ? EXIT_ARP_PASSED : EXIT_ND_PASSED;
	struct cell *cell = bpf_map_lookup_elem(&cells, &seat->cell);
	__u8 state = voice_state(seat->voice);

	if (!cell)
		return passed;
	if (lladdr == cell_lladdr(cell))
		return EXIT_OWN_ECHO;
	if (state == SLOT_GIVEN && lladdr == (seat->voice & LLADDR_MASK))
		return passed;
	if (speaks(state)) {
		report(f, cell, seat, EVENT_CONFLICT, lladdr, vip, family);
		return EXIT_CONFLICT;
	}
	if (voice_flags(seat->voice) & VOICE_LISTEN)
		report(f, cell, seat, EVENT_HEARD, lladdr, vip, family);
	return passed;
}

static __always_inline void count_question(const struct seat *seat, enum judgement judged)
{
	struct vip_stats *vip_stats = bpf_map_lookup_elem(&stats, &seat->stat);

	if (!vip_stats)
		return;
	vip_stats->requests++;
	vip_stats->answers += judged == JUDGED_ANSWER;
	vip_stats->drops += judged == JUDGED_DROP || judged == JUDGED_SILENT;
}

#endif
