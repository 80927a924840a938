"""What a calm lab did that it should not have done, summed up piece by piece. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

import attrs
import msgspec

from speaker.herald.frames import Vip
from stentor.lab.chaos_frames import Heard, Kind
from stentor.lab.chaos_voices import ANSWER_WITHIN_NS, by_vip, outcomes

# What a herald logs when it takes another node, or itself, for gone.
VERDICTS = ("node_silent", "node_silent_without_witness")
ACCUSED = "node_accused"
SELF = "lease_lost"
GOSSIP = ("member_suspected", "member_died")
TAKEN = "seats_taken"
EVENTS = (ACCUSED, *VERDICTS, SELF, *GOSSIP, TAKEN, "beats_heard_again", "vip_conflicted")


class Move(msgspec.Struct, frozen=True):
    """A VIP for which another LLADDR than before spoke. `at_s` counts from the beginning."""

    vip: str
    at_s: float
    before: str
    now: str


@attrs.define
class Tallies:
    """
    The sums so far. `add` takes what was heard since it was called last.

    A question counts once its answer is overdue. `in_a_row`: the most questions for one VIP that
    stayed without an answer one after the other; lost frames alone make that two, seldom three.
    """

    began_ns: int
    moves: list[Move] = attrs.field(factory=list)
    asked: int = 0
    unanswered: int = 0
    in_a_row: int = 0
    listener_lost: int = 0
    events: "Counter[str]" = attrs.field(factory=Counter)
    _voices: dict[Vip, bytes] = attrs.field(factory=dict)
    _missed: "Counter[Vip]" = attrs.field(factory=Counter)  # in a row, until now
    _kept: list[Heard] = attrs.field(factory=list)  # around questions that are not yet overdue
    _counted_ns: int = 0

    def add(self, heard: Sequence[Heard], now_ns: int) -> None:
        """Sum up what was heard until now."""
        self._follow(heard)
        self.listener_lost += sum(int(one.vip) for one in heard if one.kind is Kind.LOST)
        self._kept.extend(heard)
        # What the kernel has heard may reach us late: twice the time of an answer.
        until_ns = now_ns - 2 * ANSWER_WITHIN_NS
        since_ns = max(self._counted_ns + 1, self.began_ns)
        for one, is_answered in outcomes(self._kept, since_ns=since_ns, until_ns=until_ns):
            self.asked += 1
            self.unanswered += not is_answered
            missed = self._missed[one.vip] = 0 if is_answered else self._missed[one.vip] + 1
            self.in_a_row = max(self.in_a_row, missed)
        self._counted_ns = until_ns
        self._kept = [one for one in self._kept if one.at_ns > until_ns]

    def _follow(self, heard: Iterable[Heard]) -> None:
        for vip, voices in by_vip(heard).items():
            for voice in voices:
                before = self._voices.get(vip, voice.lladdr)
                self._voices[vip] = voice.lladdr
                if voice.lladdr != before:
                    at_s = round((voice.at_ns - self.began_ns) / 1e9, 3)
                    told = before.hex(":"), voice.lladdr.hex(":")
                    self.moves.append(Move(str(vip), at_s, *told))

    @property
    def vips_moved(self) -> int:
        """How many VIPs another node spoke for, at least once."""
        return len({move.vip for move in self.moves})

    @property
    def verdicts(self) -> int:
        """How often a node was found dead that was not."""
        return sum(self.events[event] for event in VERDICTS)

    @property
    def false_failovers(self) -> int:
        """What should be 0: verdicts, leases lost, VIPs that moved."""
        return self.verdicts + self.events[SELF] + self.vips_moved

    @property
    def dismissed(self) -> int:
        """Accusations that led to no verdict of the accuser: vetoed, or heard again in time."""
        return max(0, self.events[ACCUSED] - self.verdicts)
