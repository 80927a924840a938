"""
A seat as one node sees it: a VIP on the segments that its plan's interfaces give, all of which
have one holder.

    ELSEWHERE ──take──> HELD ──give──> GIVEN ──TAKE heard──> ELSEWHERE
        ^                ^  │            │
        └──yield, drop───┘  └──────<─────┘ the new holder died, declined, or is silent for 3 s
                 (from HELD and GIVEN alike)

The voice of the table follows: HELD (WEAK while `weak_of` names somebody), GIVEN with the LLADDR of
the new holder, else ELSEWHERE.
"""

import enum
from collections.abc import Iterable
from math import inf

import attrs

from speaker.herald.actions import Vip, Voice
from speaker.herald.facts import Claim


@attrs.frozen
class PlannedSeat:
    """What the plan says about one VIP: the ranked candidates, best first, dead ones included."""

    vip: Vip
    candidates: tuple[str, ...]
    interfaces: frozenset[str] | None = None  # None = every attached one
    failback: bool = True


class SeatReason(enum.StrEnum):
    """Why this node holds a seat or does not: status, events, log field and metric label alike."""

    HELD = "held"  # we answer
    GIVING = "giving"  # on its way to another node: answered with that node's LLADDR
    HELD_BY_PEER = "held_by_peer"  # another Stentor node answers
    HELD_ELSEWHERE = "held_elsewhere"  # an LLADDR that is nobody's of the ring answered a probe
    VACANT = "vacant"  # nobody holds it: waiting, probing, or a better candidate's turn
    STARTING = "starting"  # the start rules are not done
    LEAVING = "leaving"  # this node leaves
    NO_PLAN = "no_plan"  # the agent has not sent a plan yet
    NOT_CANDIDATE = "not_candidate"  # the plan does not list this node
    NO_INTERFACE = "no_interface"  # no attached interface of the VIP has carrier
    LEASE_EXPIRED = "lease_expired"  # the lease ran out; re-entering by the rule for empty seats
    DUPLICATE_NODE = "duplicate_node"  # another live instance has this node's name
    ADDRESS_OF_A_HOST = "address_of_a_host"  # an address of a host or next hop: never touched
    MIXED_RING = "mixed_ring"  # a candidate is not Stentor: MetalLB's rule decides, not for us
    MIXED_RING_HELD = "mixed_ring_held"  # the same, and it decides for us


@attrs.define
class Seat:
    """
    Our own state of one seat. 10,000 of them cost about 3 MB.

    Times are monotonic seconds, 0.0 = never.
    """

    key: bytes  # the VIP's 4 or 16 octets
    vip: Vip
    plan: PlannedSeat | None = None
    mine: Claim = Claim.NONE
    my_counter: int = 0  # of our claim
    counter: int = 0  # highest known of anybody
    to: str = ""  # while giving: to whom
    since: float = 0.0  # of our claim
    moved_at: float = 0.0  # when its holder last changed, as far as we saw
    vacant_since: float | None = None  # no living holder since
    let_go: bool = False  # vacant by its holder's word or its proven death: no need to probe
    weak_of: str = ""  # whose silence nobody but us has witnessed: we give way to it
    expired: bool = False  # we lost it to our own lease and have not been back
    probed: int = 0  # probes sent in this round
    probe_at: float = 0.0  # next probe or the end of the round
    foreign: bytes | None = None  # who answered our last probe
    defended_at: float = -inf
    asked_by: str = ""  # who asked us for it
    asked_at: float = 0.0
    ask_at: float = 0.0  # when we may ask next
    asks: int = 0
    declined: tuple[tuple[str, float], ...] = ()  # who would not have it, until when not to offer
    said: tuple[Voice, bytes | None] | None = None  # last Speak; None = no row in the table
    reason: SeatReason = SeatReason.STARTING
    holder: str | None = None

    @property
    def interfaces(self) -> frozenset[str] | None:
        """Names of the interfaces that serve it, on whatever node; None = all."""
        return None if self.plan is None else self.plan.interfaces

    def is_served_by(self, interface: str) -> bool:
        """Whether it is answered on an interface of that name."""
        return self.interfaces is None or interface in self.interfaces


def serving(plans: Iterable[PlannedSeat]) -> frozenset[str] | None:
    """Names of the interfaces that serve any of these seats; None = all, or no seat is planned."""
    distinct = {plan.interfaces for plan in plans}
    if None in distinct or not distinct:
        return None
    return frozenset().union(*(names for names in distinct if names is not None))
