"""A listener and a prober on a lab's segment: whether its VIPs have one voice, and an answer."""

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from stentor.lab import chaos_bench
from stentor.lab.chaos_frames import Tape
from stentor.lab.chaos_voices import Quarrel, by_vip, quarrels
from stentor.lab.lab import Lab
from tests.eventually import DEADLINES, eventually
from tests.lab.seen import settled

# The rules allow 200 ms after a healed cut (OWNERSHIP.md, One voice). Tests assert no times: what
# is longer than this has not been settled by the rules at all.
ENDLESS_NS = 1_500_000_000
# The test before may have ended with a node that boots: all of it, and then a failover.
SETTLED_WITHIN_S = DEADLINES.process_up + DEADLINES.failed_over


@attrs.frozen
class Watched:
    """A lab whose segment is listened to all the time."""

    lab: Lab
    tape: Tape

    def endless(self) -> list[Quarrel]:
        """Spans in which two spoke for a VIP for longer than any rule takes to settle."""
        return [q for q in quarrels(self.tape.read()) if q.length_ns > ENDLESS_NS]

    def voices(self) -> dict[str, set[str]]:
        """VIP -> LLADDRs that spoke for it since `begin`, once every VIP was asked for."""
        return eventually(
            self._voices,
            until=lambda heard: len(heard) == 2 * len(self.lab.topology.vips),
            within_s=DEADLINES.answered,
            what="a voice for every VIP",
        )

    def _voices(self) -> dict[str, set[str]]:
        known = {vip for pair in self.lab.topology.vips for vip in pair}
        return {
            str(vip): {one.lladdr.hex(":") for one in heard}
            for vip, heard in by_vip(self.tape.read()).items()
            if vip in known
        }

    def begin(self) -> dict[str, str]:
        """Forget what was heard; VIP -> owner of the lab, which has settled on the wire too."""
        owners = eventually(
            lambda: settled(self.lab), within_s=SETTLED_WITHIN_S, what="owners agreed"
        )
        expected = self.only(owners)

        def is_calm() -> bool:
            heard = self._voices()
            if any(voices != expected[vip] for vip, voices in heard.items()):
                self.tape.rewind()
            return heard == expected

        self.tape.rewind()
        eventually(is_calm, within_s=DEADLINES.answered, what="one voice for every VIP")
        return owners

    def only(self, owners: dict[str, str]) -> dict[str, set[str]]:
        """What `voices` is where nobody but `owners` has spoken."""
        return {vip: {self.lab.topology.node(name).lladdr_text} for vip, name in owners.items()}


@contextmanager
def watched(lab: Lab) -> Iterator[Watched]:
    """Listen to the segment of `lab`, and ask for its VIPs, inside the `with` block."""
    tape = Tape(lab.directory / "switch" / "heard.bin")
    with chaos_bench.listening(lab, tape), chaos_bench.probing(lab):
        yield Watched(lab, tape)
