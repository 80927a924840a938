"""
The life of a VIP, step by step.

Each step does one thing to the lab, waits for what must follow, and notes how long that took and
what the client lost meanwhile. The first step that fails ends the story, with the reason.
"""

import contextlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import attrs
import click
import msgspec

from speaker.herald.frames import Vip
from stentor.lab import client, samples, views
from stentor.lab.client import Asking
from stentor.lab.errors import LabError
from stentor.lab.lab import Lab, Target
from stentor.lab.network import namespaces
from stentor.lab.probe import Kind, Sample
from stentor.lab.samples import Tally
from stentor.lab.topology import Host

T = TypeVar("T")
START_WITHIN_S = 30.0
ANSWER_WITHIN_S = 5.0
RESTART_WITHIN_S = 10.0
TAKE_OVER_WITHIN_S = 15.0  # plain memberlist, LAN: 4 to 10 s
RETURN_WITHIN_S = 20.0
BASELINE_S = 1.5
SETTLE_S = 1.0  # watched on after a step, for what it may break late
_POLL_S = 0.05


class Step(msgspec.Struct, frozen=True):
    """One line of the story. `lost` and `asked` count the client's requests during the step."""

    name: str
    ok: bool
    seen: str
    took_s: float
    asked: int = 0
    lost: int = 0
    gap_s: float = 0.0


class StepFailed(Exception):  # noqa: N818 - the end of a story, not a fault of this program
    """What was waited for did not come; the text says what was seen instead."""


@attrs.define
class Story:
    """The steps in order, and what has come of them so far."""

    lab: Lab
    steps: list[Step] = attrs.field(factory=list)
    owners: dict[str, str] = attrs.field(factory=dict)
    failed: bool = False
    _probes: list[Asking] = attrs.field(factory=list)
    _stack: ExitStack = attrs.field(factory=ExitStack)

    def tell(self) -> None:
        """Run every step until one fails."""
        click.echo(HEAD)
        chapters: tuple[tuple[str, Callable[[], str]], ...] = (
            ("start", self.start),
            ("ARP and NDP answered", self.answered),
            ("HTTP through the VIP", self.served),
            ("agent killed", lambda: self.killed(Target.AGENT)),
            ("herald killed", lambda: self.killed(Target.HERALD)),
            ("owner's cable pulled", self.cut),
            ("owner back", self.healed),
        )
        for name, chapter in chapters:
            self._step(name, chapter)
            if self.failed:
                return

    def _step(self, name: str, chapter: Callable[[], str]) -> None:
        began = time.monotonic()
        try:
            seen, ok = chapter(), True
        except StepFailed as exc:
            seen, ok = str(exc), False
        ended = time.monotonic()
        lost = [probe.tally(began, ended) for probe in self._probes if probe.kind is Kind.HTTP]
        self._note(
            Step(
                name=name,
                ok=ok,
                seen=seen,
                took_s=round(ended - began, 2),
                asked=sum(tally.asked for tally in lost),
                lost=sum(tally.lost for tally in lost),
                gap_s=round(max((tally.gap_s for tally in lost), default=0.0), 3),
            )
        )

    def fail(self, why: str) -> None:
        """Note that the lab itself failed."""
        self._note(Step("lab", ok=False, seen=why, took_s=0.0))

    def _note(self, step: Step) -> None:
        self.steps.append(step)
        self.failed = self.failed or not step.ok
        click.echo(line(step))

    def close(self) -> None:
        """End the client's questions."""
        self._stack.close()

    def clean_up(self) -> None:
        """Take the lab down, which is a step like any other."""
        self._probes.clear()
        self._step("all removed", self.removed)

    # -- the steps -------------------------------------------------------------------------------

    @property
    def vip(self) -> Vip:
        """The VIP that the story is about."""
        return self.lab.topology.vips[0][0]

    @property
    def vip6(self) -> Vip:
        """The other VIP of the same Service."""
        return self.lab.topology.vips[0][1]

    @property
    def owner(self) -> Host:
        """The node that owns the VIP at the start."""
        return self.lab.topology.node(self.owners[str(self.vip)])

    def start(self) -> str:
        """Bring the lab up and wait until all nodes agree who owns what."""
        self.lab.up()
        self.owners = views.planned_owners(self.lab)
        self._await_owners(START_WITHIN_S, "the planned owners do not own")
        each = {
            node.name: sum(holder == node.name for holder in self.owners.values())
            for node in self.lab.topology.nodes
        }
        shares = ", ".join(f"{name} {number}" for name, number in each.items())
        return f"{len(self.owners)} VIPs owned: {shares}; {self.vip} by {self.owner.name}"

    def answered(self) -> str:
        """Ask once with arping and ndisc6, and compare the counters."""
        before = views.totals(self.lab)
        for vip in (self.vip, self.vip6):
            heard = client.answers(self.lab, vip)
            if heard != (self.owner.lladdr_text,):
                raise StepFailed(f"{vip} is answered by {' and '.join(heard) or 'nobody'}")
        after = views.totals(self.lab)
        moved = []
        for name in map(str, (self.vip, self.vip6)):
            more = after[name].answers - (before[name].answers if name in before else 0)
            if more < 1:
                raise StepFailed(f"the answers to {name} did not come from XDP: counters stand")
            moved.append(f"+{more}")
        view = views.view(self.lab, self.owner)
        rungs = {at.interface: at.rung for at in view.attachments} if view is not None else {}
        listed = ", ".join(f"{name} {rung}" for name, rung in rungs.items())
        return (
            f"by {self.owner.lladdr_text} = {self.owner.name}; rung: {listed}; counters "
            + " and ".join(moved)
        )

    def served(self) -> str:
        """Start asking for good, and see that all is answered at rest."""
        for kind, vip in (
            (Kind.HTTP, self.vip),
            (Kind.HTTP, self.vip6),
            (Kind.ARP, self.vip),
            (Kind.ND, self.vip6),
        ):
            self._probes.append(self._stack.enter_context(client.asking(self.lab, kind, vip)))
        self._await(
            lambda: [probe.tally(0.0) for probe in self._probes],
            lambda now: all(t.asked > t.lost for t in now),
            ANSWER_WITHIN_S,
            "no answer to the client",
        )
        since = time.monotonic()
        time.sleep(BASELINE_S)
        tallies = self._nothing_lost(since)
        rate = tallies[0].asked / BASELINE_S
        return f"{rate:.0f} requests/s each to {self.vip} and {self.vip6}, from {tallies[0].by[0]}"

    def killed(self, target: Target) -> str:
        """Kill a process of the owner; it comes back and the client notices nothing."""
        before = self.lab.process(self.owner, target)
        since = time.monotonic()
        self.lab.kill(self.owner, target)
        self._await(
            lambda: self._running(target),
            lambda pid: pid not in (None, before.pid),
            RESTART_WITHIN_S,
            f"no new {target}",
        )
        back_s = time.monotonic() - since
        seen = self._await_owners(RESTART_WITHIN_S, "VIPs moved")
        time.sleep(SETTLE_S)
        tallies = self._nothing_lost(since)
        questions = sum(tally.asked for tally in tallies)
        return (
            f"restarted after {back_s:.1f} s; {len(seen.agreed)} VIPs stayed; "
            f"{questions} questions, none unanswered"
        )

    def cut(self) -> str:
        """Pull the owner's cable; others take over what it held."""
        since = time.monotonic()
        self.lab.cut(self.owner)
        firsts = [
            self._await(
                lambda probe=probe: self._taken(probe, since),  # type: ignore[misc]
                lambda sample: sample is not None,
                TAKE_OVER_WITHIN_S,
                f"nobody took {probe.vip} over",
            )
            for probe in self._probes
            if probe.kind is Kind.HTTP
        ]
        taken_s = max(sample.asked_at - since for sample in firsts if sample is not None)
        others = tuple(node for node in self.lab.topology.nodes if node != self.owner)
        seen = self._await(
            lambda: views.holders(self.lab, others),
            lambda now: self._all_moved(now.agreed),
            TAKE_OVER_WITHIN_S,
            "VIPs left behind",
        )
        return f"{seen.agreed[str(self.vip)]} answers HTTP after {taken_s:.1f} s"

    def healed(self) -> str:
        """Plug the owner in again; in the end all agree on one owner for each VIP."""
        self.lab.heal(self.owner)
        seen = self._await_owners(RETURN_WITHIN_S, "the VIPs did not return")
        time.sleep(SETTLE_S)
        heard = client.answers(self.lab, self.vip)
        if heard != (self.owner.lladdr_text,):
            raise StepFailed(f"{self.vip} is answered by {' and '.join(heard) or 'nobody'}")
        return f"{seen.agreed[str(self.vip)]} owns {self.vip} again, all nodes agree"

    def removed(self) -> str:
        """Nothing is left of the lab."""
        topology = self.lab.topology
        self.lab.down()
        left = [name for name in namespaces() if topology.owns_namespace(name)]
        if left or topology.directory.exists():
            raise StepFailed(f"left behind: {' '.join(left)} {topology.directory}")
        return "no namespace, process, mount or file left"

    # -- parts -----------------------------------------------------------------------------------

    def _await_owners(self, within_s: float, otherwise: str) -> views.Holders:
        """Wait until every node names the same owners as at the start."""
        return self._await(
            self._holders_while_all_run,
            lambda now: not now.silent and now.agreed == self.owners,
            within_s,
            otherwise,
        )

    def _holders_while_all_run(self) -> views.Holders:
        """Who holds what. Raises StepFailed as soon as a speaker has given up: no use to wait."""
        for node in self.lab.topology.nodes:
            if self.lab.speaker(node) is None:
                raise StepFailed(f"the speaker of {node.name} ended; its log says why")
        return views.holders(self.lab)

    def _running(self, target: Target) -> int | None:
        with contextlib.suppress(LabError):
            return self.lab.process(self.owner, target).pid
        return None

    def _taken(self, probe: Asking, since: float) -> Sample | None:
        return samples.first_answer(probe.samples(), since, not_by=self.owner.name)

    def _all_moved(self, now: dict[str, str]) -> bool:
        return len(now) == len(self.owners) and self.owner.name not in now.values()

    def _nothing_lost(self, since: float) -> list[Tally]:
        """The tallies since then. Raises StepFailed when a question was lost or a VIP moved."""
        tallies = []
        for probe in self._probes:
            tally = probe.tally(since)
            if tally.lost or not tally.asked:
                raise StepFailed(
                    f"{tally.lost} of {tally.asked} {probe.kind} questions for {probe.vip} "
                    f"unanswered, longest gap {tally.gap_s:.2f} s"
                )
            if len(tally.by) > 1:
                raise StepFailed(f"{probe.vip} moved: answered by {' then '.join(tally.by)}")
            tallies.append(tally)
        return tallies

    def _await(
        self, probe: Callable[[], T], enough: Callable[[T], bool], within_s: float, otherwise: str
    ) -> T:
        """Probe until it is enough. Raises StepFailed with the last value at the deadline."""
        deadline = time.monotonic() + within_s
        while not enough(value := probe()):
            if time.monotonic() > deadline:
                raise StepFailed(f"{otherwise} within {within_s:.0f} s; last seen: {value}")
            time.sleep(_POLL_S)
        return value


HEAD = f"{'STEP':22} {'':4} {'TOOK':>7} {'LOST/REQUESTS':>14} {'GAP':>7}  SEEN"


def line(step: Step) -> str:
    lost = f"{step.lost}/{step.asked}" if step.asked else ""
    gap = f"{step.gap_s:.2f} s" if step.asked else ""
    mark = "ok" if step.ok else "FAIL"
    return f"{step.name:22} {mark:4} {step.took_s:5.1f} s {lost:>14} {gap:>7}  {step.seen}"
