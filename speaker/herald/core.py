"""Who answers for a VIP: the ownership core of a herald. Pure: events and `now` in, actions out."""

import random
from collections.abc import Iterable, Mapping

import attrs

from speaker.herald.actions import Action, Vip, Voice


@attrs.frozen
class CoreConfig:
    """What a core is told once, at its start."""

    node: str  # our name in the ring
    instance: bytes  # 16 octets: machine-id, boot-id and start, hashed; new at every process start
    version: str = ""


@attrs.frozen
class PlannedSeat:
    """What the plan says about one VIP: the ranked candidates, best first, dead ones included."""

    vip: Vip
    candidates: tuple[str, ...]
    interfaces: frozenset[str] | None = None  # None = every attached one
    failback: bool = True


@attrs.frozen
class Link:
    """One attached interface."""

    name: str
    lladdr: bytes
    carrier: bool = True
    epoch: int = 0


@attrs.frozen
class AdoptedRow:
    """A row of the table as the last herald left it, under a lease that is still valid."""

    vip: Vip
    voice: Voice
    lladdr: bytes | None = None


@attrs.frozen
class SeatView:
    """One seat as status shows it."""

    vip: Vip
    holder: str | None  # a node name, ours when we hold it
    reason: str  # a Reason of seats.py
    counter: int
    foreign: bytes | None = None  # with held_elsewhere: the LLADDR that answered our probe


class HeraldCore:
    """
    Every input takes `now` (monotonic seconds) and leaves its actions in `take_actions()`.

    Order at a start: restore(), adopt() (only under a valid lease), set_interfaces(), then the ring;
    join_settled() once every join target was merged or has failed twice.
    """

    def __init__(self, config: CoreConfig, rng: random.Random, now: float) -> None:
        """Only stores; `now` is when the process started."""

    def restore(self, saved: bytes, now: float) -> None:
        """Take back counters, epoch, fences and moves under way; raises DecodeError."""

    def snapshot(self) -> bytes:
        """What restore() of the next herald needs; written beside the pins when it changed."""

    def adopt(self, rows: Iterable[AdoptedRow], now: float) -> None:
        """Go on with the seats of the table, without a word to the clients."""

    def set_plan(self, seats: Iterable[PlannedSeat], now: float) -> None:
        """Replace the whole plan."""

    def agent_heard(self, now: float) -> None:
        """The agent spoke (any frame on its socket)."""

    def set_interfaces(
        self, links: Iterable[Link], host_addresses: Iterable[Vip], next_hops: Iterable[Vip], now: float
    ) -> None:
        """Replace attached interfaces and the addresses of this host (without lo, kube-ipvs0)."""

    def join_settled(self, now: float) -> None:
        """Every join target was merged or has failed twice."""

    def member_joined(self, node: str, address: Vip, now: float, *, stentor: bool | None) -> None:
        """A member is alive (again); `stentor` says whether its Meta has our marker, None = unknown."""

    def member_updated(self, node: str, address: Vip, now: float, *, stentor: bool | None) -> None:
        """Address or Meta of a live member changed."""

    def member_left(self, node: str, now: float, *, dead: bool) -> None:
        """A member was declared dead, or left."""

    def name_conflict(self, node: str, address: str, now: float) -> None:
        """The ring saw `node` at a second address."""

    def received(self, sender: str, payload: bytes, now: float) -> None:
        """A user message came; `sender` is its source address as text. Hostile bytes are counted."""

    def remote_state(self, payload: bytes, now: float) -> None:
        """User state of a push/pull came."""

    def local_state(self, now: float) -> bytes:
        """User state for a push/pull: node facts and every seat held."""

    def probe_answered(self, vip: Vip, lladdr: bytes, now: float) -> None:
        """Somebody with a foreign LLADDR answered for `vip`, or a conflict event named it."""

    def lease_expired(self, now: float) -> None:
        """The data plane found a deadline passed: every seat is dropped, then re-entry."""

    def leave(self, now: float) -> None:
        """Hand every seat over; is_empty_handed says when nothing is left to give."""

    @property
    def is_empty_handed(self) -> bool:
        """Whether we hold nothing and give nothing any more."""

    def tick(self, now: float) -> None:
        """Do what has fallen due."""

    def next_wakeup(self) -> float:
        """When tick() is due, monotonic seconds; may be in the past."""

    def take_actions(self) -> list[Action]:
        """Actions since the last call, in the order to carry them out."""

    def view(self) -> list[SeatView]:
        """Every seat with holder, reason and counter, ordered by VIP."""

    def counters(self) -> Mapping[str, int]:
        """Counts by name: moves, takes, messages dropped by cause."""
