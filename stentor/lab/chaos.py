"""`stentor lab chaos`: the same faults over and over, and how long each took, as a distribution."""

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import attrs
import click
import msgspec

from stentor.lab import chaos_trial
from stentor.lab.chaos_bench import Bench, TrialFailed, running
from stentor.lab.chaos_figures import Trial, doubts, ratio_table, times_table, totals_table
from stentor.lab.chaos_strike import Fault
from stentor.lab.errors import LabError
from stentor.lab.lab import require_root
from stentor.lab.topology import Topology
from stentor.lab.views import render

START_S = 8.0  # of a lab, seen with 3 nodes
# Seconds of a trial around the time that detection takes: settling, baseline, restoring. Measured.
AROUND_S = {
    Fault.HOST_DEATH: 6.5,
    Fault.HERALD_KILLED: 4.0,
    Fault.HERALD_STOPPED: 4.5,
    Fault.AGENT_KILLED: 3.5,
    Fault.LINK_CUT: 5.5,
    Fault.PLANNED_LEAVE: 6.5,
    Fault.ROLLING_RESTART: 14.0,
}
DETECTS_S = {"memberlist": 6.0, "beats": 0.1}
LEASE_S = 3.0  # OWNERSHIP.md, 7
FAILOVER_FLAG = "--failover"
MAX_FAILED_IN_ROW = 3  # a lab that does not settle any more never will


class Report(msgspec.Struct, frozen=True):
    """What --json writes. `complete` is false while trials are missing."""

    complete: bool
    nodes: int
    load: int
    trials_each: int
    began_unix_s: float
    took_s: float
    trials: tuple[Trial, ...]
    problem: str = ""


@attrs.define
class Chaos:
    """Trials to be done on labs of one shape, and those that were done."""

    topology: Topology
    faults: Sequence[Fault]
    count: int
    load: int = 0
    detects: Sequence[str] = ("memberlist",)
    json_file: Path | None = None
    done: list[Trial] = attrs.field(factory=list)
    problem: str = ""
    _began: float = 0.0
    _began_unix_s: float = 0.0

    @property
    def total(self) -> int:
        """How many trials there are to do."""
        return len(self.detects) * len(self.faults) * self.count

    def estimate_s(self) -> float:
        """How long all of it will take, about."""
        each = sum(
            AROUND_S[fault] + self._detection_s(fault, detect)
            for fault in self.faults
            for detect in self.detects
        )
        return each * self.count + START_S * len(self.detects)

    def _detection_s(self, fault: Fault, detect: str) -> float:
        if not fault.moves_vips or fault is Fault.PLANNED_LEAVE:
            return 0.0
        return max(DETECTS_S[detect], LEASE_S if fault is Fault.HERALD_STOPPED else 0.0)

    def run(self, flags: Mapping[str, tuple[str, ...]]) -> int:
        """Do them all, print the tables, and return the exit status: 0 when every one counted."""
        self._began, self._began_unix_s = time.monotonic(), time.time()
        _say(f"{self.total} trials, about {_minutes(self.estimate_s())}")
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        try:
            for detect in self.detects:
                with running(self.topology, flags[detect], self.load) as bench:
                    self._on(bench, detect)
        except (LabError, TrialFailed) as exc:
            self.problem = str(exc)
            _say(f"stopped: {exc}")
        finally:
            self.write()
            self.show()
        return 0 if self._is_complete and not any(trial.problem for trial in self.done) else 1

    def _on(self, bench: Bench, detect: str) -> None:
        """All trials of one kind of detection; the faults take turns, so that drift hits all."""
        bench.settle()
        failed_in_row = 0
        for number in range(self.count):
            for fault in self.faults:
                try:
                    trial = chaos_trial.run(bench, fault, number, detect)
                except (TrialFailed, LabError) as exc:
                    trial = Trial(detect, str(fault), number, victim="", problem=str(exc))
                self.done.append(trial)
                _say(f"{len(self.done)}/{self.total} {self._left()}  {describe(trial)}")
                self.write()
                failed_in_row = failed_in_row + 1 if trial.problem else 0
                if failed_in_row == MAX_FAILED_IN_ROW:
                    raise LabError(f"{MAX_FAILED_IN_ROW} trials in a row failed: {trial.problem}")
                if failed_in_row:
                    bench.revive()

    def _left(self) -> str:
        """The time that the rest will take at the pace so far."""
        pace_s = (time.monotonic() - self._began) / len(self.done)
        return f"{_minutes(pace_s * (self.total - len(self.done)))} left"

    @property
    def _is_complete(self) -> bool:
        return len(self.done) == self.total

    def write(self) -> None:
        """Write the JSON file, whole at every moment."""
        if self.json_file is None:
            return
        report = Report(
            complete=self._is_complete,
            nodes=self.topology.count,
            load=self.load,
            trials_each=self.count,
            began_unix_s=self._began_unix_s,
            took_s=round(time.monotonic() - self._began, 1),
            trials=tuple(self.done),
            problem=self.problem,
        )
        self.json_file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.json_file.with_name(self.json_file.name + ".new")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        draft.replace(self.json_file)

    def show(self) -> None:
        """Print the tables."""
        click.echo(render(times_table(self.done)))
        click.echo()
        click.echo(render(totals_table(self.done)))
        click.echo("\n" + "\n".join(doubts(self.done)))
        if len(self.detects) > 1:
            click.echo()
            click.echo(render(ratio_table(self.done, "memberlist", "beats")))


def describe(trial: Trial) -> str:
    """One line about a trial."""
    if trial.problem:
        return f"{trial.fault}: FAILED: {trial.problem}"
    first = "" if trial.first_ms is None else f"first frame {trial.first_ms:.1f} ms, "
    gap = "" if trial.http_gap_ms is None else f"HTTP gap {trial.http_gap_ms:.0f} ms, "
    lost = sum(http.lost for http in trial.http)
    return (
        f"{trial.fault} of {trial.victim}: {first}{gap}{lost} requests lost, "
        f"{trial.unanswered}/{trial.asked} unanswered, {trial.broke_one_voice} broke One voice"
    )


def _stop(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def command(
    json_file: Path | None,
    *,
    nodes: int,
    trials: int,
    faults: str | None,
    load: int,
    detect: str | None,
    prefix: str,
) -> int:
    """Carry out what the command line says; returns the exit status. Raises LabError."""
    require_root()
    topology = Topology(count=nodes, prefix=prefix, directory=Path("/run") / prefix)
    chosen = [Fault(name) for name in names("fault", faults, [str(fault) for fault in Fault])]
    known = ["beats", "memberlist"] if _knows_failover() else ["memberlist"]
    detects = names("detection", detect, known) if detect else known[:1]
    flags = {name: (f"{FAILOVER_FLAG}={name}",) if _knows_failover() else () for name in detects}
    return Chaos(topology, chosen, trials, load, detects, json_file).run(flags)


def names(what: str, given: str | None, known: Sequence[str]) -> list[str]:
    """The names in a comma-separated list, all by default. Raises LabError for an unknown one."""
    names = list(dict.fromkeys(given.split(","))) if given else list(known)
    for name in names:
        if name not in known:
            raise LabError(f"no {what} {name!r}; there are {', '.join(known)}")
    return names


def _knows_failover() -> bool:
    """Whether the speaker takes --failover."""
    from stentor.cli.speaker import speaker  # noqa: PLC0415 - the command line imports the lab

    return any(FAILOVER_FLAG in option.opts for option in speaker.params)
