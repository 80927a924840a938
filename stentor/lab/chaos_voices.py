"""
What the record of a segment proves: who spoke for a VIP, when, and whether two did at once. Pure.

Two LLADDRs speak at once for a VIP when its voice changes back, or on to a third, within
SAME_QUARREL_NS of the last change: a move on purpose never follows another within 1 s
(OWNERSHIP.md, 1), and with a question every 20 ms a holder is heard all the time.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import attrs

from speaker.herald.frames import Vip
from stentor.lab.chaos_frames import Heard, Kind

SAME_QUARREL_NS = 900_000_000  # below the 1 s between two moves on purpose, with room for jitter
ANSWER_WITHIN_NS = 250_000_000


@attrs.frozen
class Quarrel:
    """
    A span in which more than one LLADDR spoke for `vip`.

    It goes from the first word of the second voice to the first word that nobody contradicted.
    `frames` are those within that were not by whoever had the last word.
    """

    vip: Vip
    began_ns: int
    ended_ns: int
    frames: int
    voices: tuple[bytes, ...]  # LLADDRs in order of first appearance within

    @property
    def length_ns(self) -> int:
        """How long both were heard."""
        return self.ended_ns - self.began_ns


def by_vip(heard: Iterable[Heard]) -> dict[Vip, list[Heard]]:
    """The voices for each VIP, oldest first."""
    voices: dict[Vip, list[Heard]] = {}
    for one in sorted(heard, key=lambda h: h.at_ns):
        if one.is_voice:
            voices.setdefault(one.vip, []).append(one)
    return voices


def quarrels(heard: Iterable[Heard]) -> list[Quarrel]:
    """Every span in which One voice was broken, by VIP and then time."""
    found: list[Quarrel] = []
    for vip, voices in by_vip(heard).items():
        changes = [now for before, now in pairwise(voices) if now.lladdr != before.lladdr]
        found.extend(_quarrel(vip, voices, chain) for chain in _chains(changes))
    return found


def _chains(changes: Sequence[Heard]) -> list[list[Heard]]:
    """Two and more changes of voice that follow each other closely."""
    chains: list[list[Heard]] = []
    for change in changes:
        if chains and change.at_ns - chains[-1][-1].at_ns <= SAME_QUARREL_NS:
            chains[-1].append(change)
        else:
            chains.append([change])
    return [chain for chain in chains if len(chain) > 1]


def _quarrel(vip: Vip, voices: Sequence[Heard], chain: Sequence[Heard]) -> Quarrel:
    began, ended, kept = chain[0].at_ns, chain[-1].at_ns, chain[-1].lladdr
    within = [voice for voice in voices if began <= voice.at_ns <= ended]
    return Quarrel(
        vip=vip,
        began_ns=began,
        ended_ns=ended,
        frames=sum(voice.lladdr != kept for voice in within),
        voices=tuple(dict.fromkeys(voice.lladdr for voice in within)),
    )


def first_words(
    heard: Iterable[Heard], vips: Collection[Vip], *, since_ns: int, not_by: bytes
) -> dict[Vip, Heard]:
    """For each of `vips`, the first frame from then on by which somebody else claims it."""
    firsts: dict[Vip, Heard] = {}
    for one in heard:
        if not one.is_voice or one.at_ns < since_ns or one.lladdr == not_by or one.vip not in vips:
            continue
        if one.vip not in firsts or one.at_ns < firsts[one.vip].at_ns:
            firsts[one.vip] = one
    return firsts


def strayed(heard: Iterable[Heard], owners: Mapping[Vip, bytes]) -> tuple[Vip, ...]:
    """Those of the VIPs in `owners` for which anybody but the owner spoke, sorted as text."""
    wrong = {
        one.vip
        for one in heard
        if one.is_voice and one.vip in owners and one.lladdr != owners[one.vip]
    }
    return tuple(sorted(wrong, key=str))


@attrs.frozen
class Questions:
    """What became of the prober's questions. `silence_ns`: the longest that a VIP was silent."""

    asked: int = 0
    unanswered: int = 0
    silence_ns: int = 0


def questions(heard: Sequence[Heard], *, since_ns: int, until_ns: int) -> Questions:
    """
    Count the questions asked in that span, and those not answered within ANSWER_WITHIN_NS.

    A silence of a VIP goes from its first unanswered question to its next answered one, or to the
    end of the span. The record has to go on for ANSWER_WITHIN_NS after the span.
    """
    silent_since: dict[Vip, int] = {}
    asked, unanswered, longest = 0, 0, 0
    for one, is_answered in outcomes(heard, since_ns=since_ns, until_ns=until_ns):
        asked += 1
        if is_answered:
            began = silent_since.pop(one.vip, one.at_ns)
            longest = max(longest, one.at_ns - began)
        else:
            unanswered += 1
            silent_since.setdefault(one.vip, one.at_ns)
    longest = max([longest, *(until_ns - began for began in silent_since.values())])
    return Questions(asked, unanswered, longest)


def outcomes(
    heard: Sequence[Heard], *, since_ns: int, until_ns: int
) -> Iterator[tuple[Heard, bool]]:
    """The prober's questions of that span, oldest first, and whether each was answered in time."""
    answered_at: dict[tuple[Vip, int], list[int]] = {}
    for one in heard:
        if one.asker and one.is_voice:
            answered_at.setdefault((one.vip, one.asker), []).append(one.at_ns)
    asked = [h for h in heard if h.kind is Kind.QUESTION and since_ns <= h.at_ns <= until_ns]
    for one in sorted(asked, key=lambda h: h.at_ns):
        ends = one.at_ns + ANSWER_WITHIN_NS
        at_times = answered_at.get((one.vip, one.asker), ())
        yield one, any(one.at_ns <= at <= ends for at in at_times)
