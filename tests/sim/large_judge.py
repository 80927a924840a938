"""The judge of a large cluster: the same bounds, asked without a look at every pair of nodes."""

import attrs

from speaker.herald.actions import Vip
from tests.sim.host import Host
from tests.sim.judge import Ear, Judge


@attrs.define
class LargeJudge(Judge):
    """Judges as `Judge`, and keeps how long each failover took."""

    silences: dict[tuple[Vip, float], float] = attrs.field(factory=dict)  # (VIP, begun): how long
    _seen: dict[Vip, tuple[object, ...]] = attrs.field(factory=dict)
    _owners: dict[bytes, str] = attrs.field(factory=dict)
    _plans: dict[int, tuple[object, dict[Vip, frozenset[str]]]] = attrs.field(factory=dict)

    def open(self) -> None:
        """Take one's place beside every node."""
        Judge.open(self)
        self._owners = {host.table.lladdr: name for name, host in self.world.hosts.items()}

    def look(self, vip: Vip) -> None:
        """Ask for one VIP at every place, and judge what has changed."""
        world, now = self.world, self.world.engine.now
        answers = {
            name: self._owners[lladdr]
            for name, host in world.hosts.items()
            if host.is_up and host.carrier and (lladdr := host.table.question(vip, now))
        }
        hosts = world.hosts.values()
        if world.segment.is_whole:
            voices = tuple(sorted(set(answers.values())))
            eligible = any(self.can_answer(host, vip) for host in hosts)
            seen = (voices, eligible)
            if self._seen.get(vip) == seen and len(voices) == 1:
                return  # as it was, and one voice may last
            self._seen[vip] = seen
            for ear in self.ears[vip]:
                self._judge_ear(ear, voices, list(answers), eligible, now)
            return
        self._seen.pop(vip, None)
        able = [host.name for host in hosts if self.can_answer(host, vip)]
        reach = world.segment.reaches
        for ear in self.ears[vip]:
            speakers = [name for name in answers if reach(ear.view, name)]
            voices = tuple(sorted({answers[name] for name in speakers}))
            eligible = any(reach(ear.view, name) for name in able)
            self._judge_ear(ear, voices, speakers, eligible, now)

    def can_answer(self, host: Host, vip: Vip) -> bool:
        """Whether a node could answer for the VIP now, by what it was told."""
        herald = host.herald
        if herald is None or not host.is_up or not host.carrier or not host.runs:
            return False
        if not herald.core.is_started or herald.core.is_leaving:
            return False
        known = self._plans.get(id(host.plan))
        if known is None:  # the plan is kept with it, so that its id stays its own
            known = host.plan, {seat.vip: frozenset(seat.candidates) for seat in host.plan}
            self._plans[id(host.plan)] = known
        return host.name in known[1].get(vip, frozenset())

    def _close_interval(self, ear: Ear, now: float) -> None:
        Judge._close_interval(self, ear, now)
        if not ear.voices and ear.is_eligible and ear.last:
            start = max(ear.since, ear.eligible_since)
            key = ear.vip, round(start, 3)
            self.silences[key] = max(now - start, self.silences.get(key, 0.0))

    def restless(self, names: list[str]) -> None:
        """All is over, all agree on the seats, and these have yet not come to rest."""
        if names:
            text = f"{len(names)} nodes do not come to rest: {', '.join(names[:5])}"
            self._broke("restless", self.world.vips[0], text)

    def is_agreed(self) -> bool:
        """Whether every seat is with its best candidate, and all heralds say so."""
        world = self.world
        for vip in world.vips:
            able = [host for host in world.hosts.values() if self.can_answer(host, vip)]
            names = {host.name for host in able}
            best = next((name for name in world.rankings[vip] if name in names), None)
            voices = {ear.voices for ear in self.ears[vip]}
            if voices != {(best,) if best else ()}:
                return False
            if any(h.herald is None or h.herald.core.holder(vip) != best for h in able):
                return False
        return True
