/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beats: a request of another node is verified, obeyed if it claims, and sent back with what our
 * cell says (OWNERSHIP.md 3 and 6). Frames of EtherType 0x88B5, or UDP to port 7947.
 */
#ifndef STENTOR_BEAT_H
#define STENTOR_BEAT_H

#include "lease.h"
#include "siphash.h"

enum { BEAT_VERSION = 1, BEAT_REQUEST = 1, BEAT_REPLY = 2 };
#define BEAT_MAGIC 0x53544254U /* "STBT" */

#define BEAT_HAS_WITNESS 1 /* flag: the sender has a witness of this segment */
#define BEAT_CLAIMS	 2 /* flag: `claimed` holds the epoch of a fence record */
#define BEAT_HEARS	 4 /* flag: the receiver's reflections reach the sender */

/*
 * Integers in network order. The first five words are the asker's and come back as they were; the
 * rest is the reflector's, zero in a request but for `type`. So the tags of request and reply
 * share the work on what they have in common.
 */
struct beat {
	__be32 magic;	/*  0 */
	__u8 version;	/*  4 */
	__u8 flags;	/*  5 */
	__be16 unused;	/*  6  zero */
	__be32 claimed; /*  8  epoch of the fence record acted on, with BEAT_CLAIMS */
	__be32 seq;	/* 12  of the sender, for its own use */
	__be64 sent_ns; /* 16  the sender's clock: grows from beat to beat of one instance */
	__be64 sender;	/* 24  instance id */
	__be64 target;	/* 32  instance id of whom it is meant for; 0 greets whoever is there */

	__u8 type;	     /* 40  BEAT_REQUEST or BEAT_REPLY */
	__u8 cell_state;     /* 41  enum cell_state */
	__be16 vlan;	     /* 42 */
	__be32 epoch;	     /* 44 */
	__be32 remaining_ms; /* 48  of the lease or hold, rounded down; 0 when there is none */
	__be32 beat_age_ms;  /* 52  since the herald last pushed the lease, rounded down */
	__be32 ifindex;	     /* 56 */
	__be32 fenced_epoch; /* 60  the highest claim obeyed, 0 = none */
	__be64 instance;     /* 64  of the herald that the cell belongs to */
	__be64 generation;   /* 72 */
	__u8 lladdr[6];	     /* 80  of the cell */
	__be16 unused_too;   /* 86  zero */

	__u64 tag; /* 88  SipHash-2-4 of all before, little-endian */
};
_Static_assert(sizeof(struct beat) == 96, "speaker/beats/wire.py");
_Static_assert(offsetof(struct beat, type) == 40, "the asker's words");
_Static_assert(offsetof(struct beat, tag) == 88, "what the tag is of");

#define BEAT_WORDS	 (sizeof(struct beat) / sizeof(wire64))
#define BEAT_ASKED_WORDS (offsetof(struct beat, type) / sizeof(wire64))
#define BEAT_TAG_WORD	 (offsetof(struct beat, tag) / sizeof(wire64))

/* magic and version of every beat we understand, as one number in wire order. */
#define BEAT_FIXED_PART bpf_cpu_to_be64((__u64)BEAT_MAGIC << 32 | (__u64)BEAT_VERSION << 24)
#define BEAT_FIXED_MASK bpf_cpu_to_be64(0xffffffffff000000ULL)

/*
 * The beat that fills the rest of the frame, or NULL. Cheap, so that floods of anything else never
 * reach the hash.
 */
static __always_inline struct beat *parse_beat(struct cursor *at)
{
	struct beat *beat = take(at, sizeof(*beat));

	if (!beat || at->pos != at->end)
		return NULL;
	return (*(wire64 *)beat & BEAT_FIXED_MASK) == BEAT_FIXED_PART ? beat : NULL;
}

/*
 * The cell of (interface, VLAN), or MAX_CELLS. The loader fills cells from the first on, so few
 * are looked at. Global: the verifier then looks at the rest of the program once, not per cell.
 */
__noinline __u32 find_cell(__u32 ifindex, __u32 vlan)
{
	for (__u32 index = 0; index < MAX_CELLS; index++) {
		__u32 key = index;
		struct cell *cell = bpf_map_lookup_elem(&cells, &key);

		if (!cell)
			break;
		if (cell->ifindex == ifindex && cell->vlan == vlan)
			return index;
	}
	return MAX_CELLS;
}

/*
 * Whether the tag is that of `key`; `asked` is then the hash behind the words to be echoed. Not
 * inlined: there are two keys.
 */
static __noinline bool verify(const struct beat *beat, const __u64 *key, struct siphash *asked)
{
	const wire64 *words = (const wire64 *)beat;
	struct siphash s = sip_start(key);

#pragma unroll
	for (__u32 i = 0; i < BEAT_ASKED_WORDS; i++)
		sip_absorb(&s, words[i]);
	*asked = s;
#pragma unroll
	for (__u32 i = BEAT_ASKED_WORDS; i < BEAT_TAG_WORD; i++)
		sip_absorb(&s, words[i]);
	return sip_finish(&s, offsetof(struct beat, tag)) == words[BEAT_TAG_WORD];
}

/* Nanoseconds in milliseconds, rounded down or one less; 2^42 ns (73 minutes) and more are that. */
static __always_inline __u32 to_ms(__u64 ns)
{
	const __u64 most = (1ULL << 42) - 1;

	/* A 64-bit division costs more than a round of the hash: times 1024 / 10^6 instead. */
	return ((ns < most ? ns : most) >> 10) * 4398046 >> 32;
}

/* State in the low half and epoch in the high half, at one instant. */
static __always_inline __u64 load_term(const struct cell *cell)
{
	return *(const volatile __u64 *)&cell->state;
}
_Static_assert(offsetof(struct cell, state) % 8 == 0, "one load of state and epoch");
_Static_assert(offsetof(struct cell, epoch) == offsetof(struct cell, state) + 4, "load_term");

static __always_inline bool answers(__u32 cell_state)
{
	return cell_state == CELL_OWNING || cell_state == CELL_HOLDING;
}

/*
 * Obey a claim: an answering cell whose epoch is not above it is suspended. State and epoch are
 * exchanged together, so that a claim never hits an epoch that began after it was looked at.
 */
static __always_inline void fence(const struct frame *f, struct cell *cell, __u32 cell_index,
				  __u32 claimed, __u64 sender)
{
	for (__u32 attempt = 0; attempt < 4; attempt++) { /* the herald swaps owning and holding */
		__u64 term = load_term(cell), epoch = term >> 32;
		__u64 suspended = epoch << 32 | CELL_SUSPENDED;

		if (!answers((__u32)term) || claimed < epoch)
			return;
		if (cell->fenced_epoch < claimed)
			cell->fenced_epoch =
				claimed; /* before the state: the herald reads it then */
		if (__sync_val_compare_and_swap((__u64 *)&cell->state, term, suspended) == term) {
			struct event event = {
				.time_ns = bpf_ktime_get_coarse_ns(),
				.kind = EVENT_FENCED,
				.ifindex = f->ifindex,
				.vlan = f->vlan,
				.cell = cell_index,
			};

			__builtin_memcpy(event.lladdr, f->eth->h_source, sizeof(event.lladdr));
			__builtin_memcpy(event.vip, &claimed, sizeof(claimed));
			__builtin_memcpy(event.vip + 8, &sender, sizeof(sender));
			emit(&event);
			return;
		}
	}
}

/* Remember that a node was heard, for the herald; what is older than the last is a replay. */
static __always_inline void remember(const struct beat *beat, __u64 lladdr, __u32 cell_index,
				     __u64 now_ns)
{
	__u64 sender = bpf_be64_to_cpu(beat->sender), sent_ns = bpf_be64_to_cpu(beat->sent_ns);
	__u32 index = hash_word(sender + cell_index) % MAX_HEARD;
	struct heard *heard = bpf_map_lookup_elem(&heard_beats, &index);

	if (!heard)
		return;
	if (heard->sender == sender && heard->cell == cell_index && heard->sent_ns >= sent_ns)
		return;
	heard->sender = sender;
	heard->sent_ns = sent_ns;
	*(__u64 *)heard->lladdr = lladdr | (__u64)beat->flags << 48 | (__u64)cell_index << 56;
	*(volatile __u64 *)&heard->heard_ns = now_ns;
}

/* Turn the request into the reply, signed like the request. */
static __always_inline void write_reply(struct beat *beat, const struct cell *cell,
					struct siphash asked, __u64 now_ns)
{
	__u64 term = load_term(cell), end_ns = cell->deadline_ns, beat_ns = cell->last_beat_ns;
	/* For an instant after a race the herald leaves a number beyond the last: no answers. */
	__u64 state = (__u32)term > CELL_EXPIRED ? CELL_EXPIRED : (__u32)term;
	bool is_leased = answers(state) && end_ns > now_ns;
	__u32 remaining_ms = is_leased ? to_ms(end_ns - now_ns) : 0;
	__u32 age_ms = now_ns > beat_ns ? to_ms(now_ns - beat_ns) : 0;
	wire64 *words = (wire64 *)beat + BEAT_ASKED_WORDS;
	__u64 said[BEAT_TAG_WORD - BEAT_ASKED_WORDS] = {
		BEAT_REPLY | state << 8 | (__u64)bpf_htons(cell->vlan) << 16 |
			(__u64)bpf_htonl(term >> 32) << 32,
		bpf_htonl(remaining_ms) | (__u64)bpf_htonl(age_ms) << 32,
		bpf_htonl(cell->ifindex) | (__u64)bpf_htonl(cell->fenced_epoch) << 32,
		bpf_cpu_to_be64(cell->instance_id),
		bpf_cpu_to_be64(cell->generation),
		cell_lladdr(cell),
	};

#pragma unroll
	for (__u32 i = 0; i < BEAT_TAG_WORD - BEAT_ASKED_WORDS; i++) {
		words[i] = said[i];
		sip_absorb(&asked, said[i]);
	}
	words[BEAT_TAG_WORD - BEAT_ASKED_WORDS] = sip_finish(&asked, offsetof(struct beat, tag));
}

/*
 * The beat at `f->at`: verified, obeyed, reflected. On BEAT_REFLECTED the frame goes back to its
 * sender; what is above Ethernet is still to be turned round by the caller.
 */
static __noinline enum exit_reason on_beat(struct frame *f)
{
	struct beat *beat = parse_beat(&f->at);
	struct siphash asked;
	__u64 now_ns, own, source;
	struct cell *cell;
	const __u64 *keys;
	__u32 index;

	if (!beat)
		return EXIT_BEAT_REFUSED;
	if (beat->type != BEAT_REQUEST)
		return beat->type == BEAT_REPLY ? EXIT_BEAT_PASSED : EXIT_BEAT_REFUSED;

	index = find_cell(f->ifindex, f->vlan);
	cell = bpf_map_lookup_elem(&cells, &index);
	if (!cell)
		return EXIT_BEAT_PASSED;
	own = cell_lladdr(cell);
	source = load_lladdr(f->eth->h_source);
	if (source == own)
		return EXIT_OWN_ECHO;
	if (load_lladdr(f->eth->h_dest) != own || !is_unicast(own))
		return EXIT_BEAT_PASSED;
	if (!is_unicast(source))
		return EXIT_BEAT_REFUSED;

	keys = (const __u64 *)cell->key;
	if (!(keys[0] | keys[1]) && !(cell->beats & CELL_BEATS_OPEN))
		return EXIT_BEAT_PASSED; /* the herald has not set it up */
	if (!verify(beat, keys, &asked) &&
	    (!(keys[2] | keys[3]) || !verify(beat, keys + 2, &asked)))
		return EXIT_BEAT_REFUSED;

	now_ns = bpf_ktime_get_coarse_ns();
	lease_runs(cell, (__u32)load_term(cell), now_ns);
	if (beat->flags & BEAT_CLAIMS)
		fence(f, cell, index, bpf_ntohl(beat->claimed), bpf_be64_to_cpu(beat->sender));
	remember(beat, source, index, now_ns);
	write_reply(beat, cell, asked, now_ns);
	store_lladdr(f->eth->h_dest, source);
	store_lladdr(f->eth->h_source, own);
	return EXIT_BEAT_REFLECTED;
}

#endif
