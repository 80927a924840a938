/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every struct that user space reads or writes too. speaker/dataplane/layout.py mirrors it and a
 * test compares the two through BTF. A change here raises LAYOUT_VERSION, which names the bpffs
 * directory, so that a new version never misreads the pins of an old one.
 */
#ifndef STENTOR_LAYOUT_H
#define STENTOR_LAYOUT_H

#include <linux/if_ether.h>
#include <linux/types.h>

#define LAYOUT_VERSION 2
#define MAX_CELLS      64   /* attached (interface, VLAN) pairs on one node */
#define MAX_HEARD      1024 /* entries of heard_beats, a power of two */
#define MAX_PROBES     16   /* slots looked at before a lookup gives up; the writer keeps to it */
#define SILENCE_NS 60000000000ULL /* what was ours stays dropped so long after the lease's end */
#define EVENT_VIP_INTERVAL_NS  100000000ULL /* events of one VIP on one CPU are so far apart */
#define EVENT_CELL_INTERVAL_NS 1000000ULL   /* and conflicts of one cell so far */

/* What the program does with a question about a VIP. One byte, flipped by user space. */
enum slot_state {
	SLOT_PASS = 0,	/* known, counted, not ours to judge: the kernel decides */
	SLOT_HELD = 1,	/* we hold it here: answer with the slot's LLADDR under a valid lease */
	SLOT_GIVEN = 2, /* given away, TAKE not heard yet: answer with the new holder's LLADDR */
	SLOT_ELSEWHERE = 3, /* held by another node or interface: drop under a valid lease */
	SLOT_COUNT = 4,	    /* announced by BGP alone: count, never answer nor drop */
	SLOT_WEAK = 5,	    /* taken without a witness: answers, never claims (OWNERSHIP.md 4) */
	SLOT_DEAD = 6,	    /* removed, keeps the probe chain: nothing matches it */
};

#define VOICE_LISTEN 1 /* voice flag: report whoever speaks for this VIP (probing) */

/*
 * LLADDR and state in one aligned word, so that a flip is a single store that no frame can see
 * half done.
 */
struct voice {
	__u8 lladdr[ETH_ALEN]; /* the answer's LLADDR, wire order */
	__u8 state;	       /* enum slot_state */
	__u8 flags;	       /* VOICE_LISTEN or 0 */
};
_Static_assert(sizeof(struct voice) == 8, "one store");

/*
 * Open-addressed tables of two halves, 2 * N slots, N a power of two. Key: (ifindex, VLAN,
 * address). Slot number i of a chain is (hash + i * (i + 1) / 2) mod N, in the half that `control`
 * names; ifindex 0 ends the chain. A writer stores ifindex last.
 */
struct slot4 {
	__be32 addr;
	__u32 ifindex;
	struct voice voice __attribute__((aligned(8)));
	__u16 vlan; /* 0 = untagged */
	__u16 cell; /* index into cells */
	__u32 stat; /* index into stats */
};
_Static_assert(sizeof(struct slot4) == 24, "stride of vips4");

struct slot6 {
	__be32 addr[4];
	struct voice voice __attribute__((aligned(8)));
	__u32 ifindex;
	__u16 vlan;
	__u16 cell;
	__u32 stat;
	__u32 pad;
};
_Static_assert(sizeof(struct slot6) == 40, "stride of vips6");

/* State of an attached (interface, VLAN), OWNERSHIP.md Words. */
enum cell_state {
	CELL_RELEASED = 0, /* the herald left, or none ever spoke here (deadline 0) */
	CELL_OWNING = 1,   /* a herald beats and pushes the deadline */
	CELL_HOLDING =
		2, /* the herald stopped with hold: answer until the deadline, drop nothing */
	CELL_SUSPENDED = 3, /* fenced: answer nothing until the herald re-enters */
	CELL_EXPIRED = 4,   /* the deadline passed: sticky, set by the program or the herald */
};

#define CELL_BEATS_OPEN 1 /* no gossip key: an all-zero key in slot 0 is meant to be used */

struct cell {
	__u64 deadline_ns;     /* CLOCK_MONOTONIC; read against the coarse clock */
	__u64 last_beat_ns;    /* when the herald last pushed it */
	enum cell_state state; /* SUSPENDED and EXPIRED change only by compare-and-swap */
	__u32 epoch;
	__u64 generation;
	__u64 instance_id;
	__u32 ifindex;
	__u16 vlan;
	__u8 pad0[2];
	__u8 lladdr[ETH_ALEN]; /* our own here: source of answers; a sender with another conflicts
				*/
	__u8 pad1[2];
	__u8 key[2][16];     /* SipHash keys of beats: either verifies; all zero = none */
	__u64 last_event_ns; /* written by the program: limits events */
	__u32 fenced_epoch;  /* written by the program: the highest claim that it obeyed */
	__u8 beats;	     /* CELL_BEATS_OPEN or 0 */
	__u8 reserved[27];
};
_Static_assert(sizeof(struct cell) == 128, "stride of cells");

/*
 * Who beats at us: entry hash_word(sender + cell) mod MAX_HEARD of `heard_beats`. Of two nodes
 * that share an entry the last one is in it. Integers in host order.
 */
struct heard {
	__u64 sender;	       /* instance id, 0 = nobody yet */
	__u64 heard_ns;	       /* CLOCK_MONOTONIC, coarse; written last */
	__u64 sent_ns;	       /* of its request; requests that are no younger are not heard */
	__u8 lladdr[ETH_ALEN]; /* it came from */
	__u8 flags;	       /* BEAT_HAS_WITNESS, BEAT_CLAIMS, BEAT_HEARS */
	__u8 cell;	       /* it came to */
};
_Static_assert(sizeof(struct heard) == 32, "stride of heard_beats");

/* The single element of `control`. `active*` are changed by bpf(2) update, never by a store. */
struct control {
	__u32 active4; /* half of vips4 in use: 0 or 1 */
	__u32 active6;
};

/* Which addresses may be VIPs, one bit each, in the map `.data.filter`. */
#define FILTER_BITS  16 /* of the hash */
#define FILTER_WORDS ((1 << FILTER_BITS) / 64)

struct filter {
	__u64 words[FILTER_WORDS]; /* bit b is bit b % 8 of octet b / 8 */
};

/* Per VIP and CPU. */
struct vip_stats {
	__u64 requests; /* ARP requests and neighbour solicitations for it */
	__u64 answers;
	__u64 drops;
	__u64 packets;	     /* IP packets to it */
	__u64 bytes;	     /* of those, whole frames */
	__u64 last_event_ns; /* limits events of one VIP */
};
_Static_assert(sizeof(struct vip_stats) == 48, "value of stats");

/*
 * Every way out of the program; one per-CPU counter each, their sum is the frames seen. In the
 * order of what becomes of the frame, so that one comparison finds the many that pass.
 */
enum exit_reason {
	/* passed untouched */
	EXIT_OTHER,	/* neither ARP, ND nor to a VIP */
	EXIT_COUNTED,	/* IP packet to a VIP */
	EXIT_MALFORMED, /* ARP, ND or VLAN we do not fully understand */
	EXIT_ARP_NOT_VIP,
	EXIT_ARP_PASSED, /* a VIP, but the slot or the cell says to leave it to the kernel */
	EXIT_ND_NOT_VIP,
	EXIT_ND_PASSED,
	EXIT_CONFLICT,	   /* a foreign LLADDR speaks for a VIP that we speak for: event */
	EXIT_OWN_ECHO,	   /* our own announcement or question came back */
	EXIT_NO_ROOM,	   /* the frame could not grow for the TLLAO */
	EXIT_BEAT_PASSED,  /* a reply, or a request not to us, or no key was set */
	EXIT_BEAT_REFUSED, /* short, unknown or badly signed */
	/* dropped */
	EXIT_ARP_DROPPED, /* held elsewhere */
	EXIT_ARP_SILENT,  /* ours, but the lease ended less than 60 s ago: nobody here answers */
	EXIT_ND_DROPPED,
	EXIT_ND_SILENT,
	/* sent back */
	EXIT_ARP_ANSWERED,
	EXIT_ND_ANSWERED,
	EXIT_BEAT_REFLECTED,
	EXIT_ECHO, /* reserved for BFD echo */
	EXIT_MAX,
};
#define EXIT_FIRST_DROPPED EXIT_ARP_DROPPED
#define EXIT_FIRST_SENT	   EXIT_ARP_ANSWERED

/* Ring buffer `events`. */
enum event_kind {
	EVENT_CONFLICT = 1, /* a foreign LLADDR speaks for a VIP that we speak for */
	EVENT_HEARD = 2,    /* somebody speaks for a VIP whose slot listens */
	EVENT_FENCED = 3,   /* a claim suspended a cell */
};

struct event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	enum event_kind kind;
	__u32 ifindex;
	__u16 vlan;
	__u8 lladdr[ETH_ALEN]; /* who speaks or claims */
	__u8 family;	       /* 4 or 6; 0 = FENCED */
	__u8 pad;
	__u16 cell;
	enum slot_state state; /* when it was heard */
	__u8 vip[16]; /* IPv4 in the first four bytes; FENCED: claimed epoch, 4 zeroes, claimant */
};
_Static_assert(sizeof(struct event) == 48, "ring buffer record");

#endif
