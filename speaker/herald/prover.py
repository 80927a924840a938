"""Trials of native XDP carried out: what the program heard goes in, the data plane is told."""

import time
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Final

import attrs

from speaker.dataplane import ApplyError, DataPlane, HeardBeat
from speaker.herald.core import HeraldCore
from speaker.herald.trial import LOOK_S, Phase, Seen, Step, Trial
from stentor.logging import Log

_RECENT_NS: Final = 200_000_000  # older beats tell of an earlier moment


@attrs.define(eq=False)
class Prover:
    """
    Called every beat. `changed` makes the herald look at its interfaces anew.

    `counts` gets `rung_trials` and `rung_trials_failed`.
    """

    trial: Trial
    core: HeraldCore
    plane: DataPlane
    changed: Callable[[], None]
    log: Log
    counts: "Counter[str]"
    _look_at: float = -inf

    def look(self, now: float) -> None:
        """One look; a second apart while there is nothing to try."""
        if now < self._look_at:
            return
        trial, trials = self.trial, self.plane.trials
        candidates = trials.candidates()
        if trial.phase is Phase.IDLE:
            self._look_at = now + LOOK_S
            if not trial.consider(candidates, now):
                return
        if trial.phase is Phase.TRYING and not trials.is_on(trial.ifindex):
            trial.failed(now)
        was_announced = trial.is_announced
        step = trial.tick(Seen(candidates, self.core.on_trial(), self._heard(trial.ifindex)), now)
        if trial.is_announced != was_announced:
            self._look_at = -inf
            self.core.set_trial(now, is_on=trial.is_announced)
        if step is not None:
            self._carry_out(step, now)

    def _carry_out(self, step: Step, now: float) -> None:
        trial, trials, ifindex = self.trial, self.plane.trials, self.trial.ifindex
        interface = next((a.name for a in self.plane.attachments() if a.ifindex == ifindex), "")
        try:
            match step:
                case Step.BEGIN:
                    self.counts["rung_trials"] += 1
                    self.log.info("rung_trial_begun", interface=interface)
                    trials.begin(ifindex)
                    trial.begun(now)
                case Step.PROVE:
                    trials.prove(ifindex)
                    trial.proven(now)
                    self.log.info("rung_proven", interface=interface)
                case Step.GIVE_UP:
                    self._fail(ifindex, now, "nobody has confirmed a reflection", interface)
        except ApplyError as exc:
            self._fail(ifindex, now, str(exc), interface)
        self.changed()

    def _fail(self, ifindex: int, now: float, message: str, interface: str) -> None:
        self.counts["rung_trials_failed"] += 1
        self.log.warn("rung_not_proven", interface=interface, message=message)
        self.plane.trials.give_up(ifindex)
        self.trial.failed(now)

    def _heard(self, ifindex: int) -> list[HeardBeat]:
        """The beats of live peers that came to an interface just now."""
        since_ns = time.monotonic_ns() - _RECENT_NS
        cells = [a.cell for a in self.plane.attachments() if a.ifindex == ifindex and a.cell >= 0]
        found = (self.plane.heard_beat(i, cell) for i in self.core.instances() for cell in cells)
        return [beat for beat in found if beat is not None and beat.heard_ns >= since_ns]
