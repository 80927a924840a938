"""The data plane of a simulated node: what the BPF program would answer, whoever lives above it."""

from math import inf

import attrs

from speaker.beats import BeatState
from speaker.herald.actions import Speak, Vip, Voice
from speaker.herald.holding import HOLD_S

LEASE_S = 3.0


@attrs.define
class Table:
    """Slots and one cell. It outlives the herald, not the host."""

    lladdr: bytes
    rows: dict[Vip, Speak] = attrs.field(factory=dict)
    deadline: float = -inf  # of the lease; inf while a herald pushes it
    has_expired: bool = False  # sticky
    is_suspended: bool = False  # by a claim
    epoch: int = 0
    is_holding: bool = False  # until the deadline

    def question(self, vip: Vip, now: float) -> bytes | None:
        """The LLADDR in the answer to an ARP request or solicitation; None = no answer."""
        if now > self.deadline or self.has_expired or self.is_suspended:
            return None
        row = self.rows.get(vip)
        if row is None:
            return None
        if row.voice in {Voice.HELD, Voice.WEAK}:
            return self.lladdr
        return row.lladdr if row.voice is Voice.GIVEN else None

    def reflect(self, claimed: int | None, now: float) -> tuple[BeatState, int]:
        """What a beat is sent back with; a claim of this epoch or a later one suspends the cell."""
        if self.deadline == -inf:
            return BeatState.RELEASED, self.epoch
        self.has_expired = self.has_expired or now > self.deadline
        if not self.has_expired and claimed is not None and claimed >= self.epoch:
            self.is_suspended = True
        if self.is_suspended:
            return BeatState.SUSPENDED, self.epoch
        if self.has_expired:
            return BeatState.EXPIRED, self.epoch
        return BeatState.HOLDING if self.is_holding else BeatState.OWNING, self.epoch

    def beat_age_ms(self, now: float) -> int:
        """Since a herald pushed the lease."""
        length_s = HOLD_S if self.is_holding else LEASE_S
        return 0 if self.deadline == inf else round(1000 * (length_s - (self.deadline - now)))

    def push(self, now: float) -> bool:
        """A herald begins to push the lease; returns whether the old one had not run out."""
        held = now <= self.deadline and not self.has_expired and not self.is_suspended
        self.has_expired, self.is_holding = not held, False
        if held:
            self.deadline = inf
        return held

    def enter(self, *, keep_epoch: bool = False) -> None:
        """The herald has dropped every seat and begins anew."""
        self.has_expired, self.is_suspended, self.deadline = False, False, inf
        self.is_holding = False
        self.epoch += not keep_epoch

    def hold(self, now: float) -> None:
        """The herald stops with hold."""
        self.is_holding, self.deadline = True, now + HOLD_S

    def orphan(self, now: float) -> None:
        """Nobody pushes the lease any more."""
        if self.deadline == inf:
            self.deadline = now + LEASE_S

    def burn(self) -> None:
        """The host is off, and its memory lost."""
        self.rows.clear()
        self.deadline, self.epoch = -inf, 0
        self.has_expired = self.is_suspended = self.is_holding = False
