"""`stentor lab chaos`: the same faults over and over, and how long each took, as a distribution."""

import shutil
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import attrs
import click

from stentor.lab import chaos_report, chaos_trial
from stentor.lab.chaos_aims import aims_table
from stentor.lab.chaos_bench import Bench, TrialFailed, running
from stentor.lab.chaos_figures import (
    Setting,
    Trial,
    doubts,
    ratio_table,
    times_table,
    totals_table,
)
from stentor.lab.chaos_plan import (
    Job,
    chosen,
    counts,
    estimate_s,
    jobs,
    left,
    names,
    numbers,
    total_s,
)
from stentor.lab.chaos_report import Report
from stentor.lab.chaos_strike import Fault
from stentor.lab.console import end_on_signals, say
from stentor.lab.errors import LabError
from stentor.lab.lab import require_root
from stentor.lab.topology import MAX_NODES, Topology
from stentor.lab.views import render

FAILOVER_FLAG = "--failover"
DETECTS = ("beats", "memberlist")
MAX_LOAD = 1000
SLOW_CLIENT_MS = 500.0  # the client waits for so much longer than the segment was silent
MAX_FAILED_IN_ROW = 3  # a lab that does not settle any more never will


class TimeIsUp(Exception):  # noqa: N818 - the end that was asked for
    """The next trial would not end in time."""


@attrs.define
class Chaos:
    """Trials to be done on labs with `prefix`, and those that were done, in this run or before."""

    prefix: str
    planned: Sequence[Job]
    json_file: Path | None = None
    within_s: float | None = None
    logs: Path | None = None  # for what the nodes of a trial logged that has to be explained
    done: list[Trial] = attrs.field(factory=list)
    problem: str = ""
    took_before_s: float = 0.0
    _began: float = attrs.field(factory=time.monotonic)
    _began_unix_s: float = attrs.field(factory=time.time)

    def run(self) -> int:
        """Do what is left, print the tables, and return 0 when every trial was measured."""
        todo = left(self.planned, self.done)
        say(
            f"{len(self.planned)} trials, {len(todo)} to do,"
            f" about {_minutes(total_s(todo, self.done))}"
        )
        end_on_signals()
        try:
            for setting, batch in groupby(todo, key=lambda job: job.setting):
                self._check_time(list(batch)[:1], todo)
                flags = (f"{FAILOVER_FLAG}={setting.detect}",)
                with running(topology(self.prefix, setting), flags, setting.load) as bench:
                    say(f"{setting.place}, {setting.detect}")
                    bench.settle()
                    self._on(bench, [job for job in todo if job.setting == setting])
        except TimeIsUp:
            say("the next trial would not end in time; --resume goes on from here")
        except (LabError, TrialFailed) as exc:
            self.problem = str(exc)
            say(f"stopped: {exc}")
        finally:
            self.write()
            self.show()
        return 0 if self._is_complete else 1

    def _on(self, bench: Bench, batch: Sequence[Job]) -> None:
        """The trials of one lab."""
        failed_in_row = 0
        for job in batch:
            self._check_time([job], ())
            try:
                trial = chaos_trial.run(bench, job)
            except (TrialFailed, LabError) as exc:
                trial = Trial(job.setting, str(job.fault), job.number, "", problem=str(exc))
            self.done.append(trial)
            self._keep_logs(bench, trial)
            todo = left(self.planned, self.done)
            say(
                f"{len(self.planned) - len(todo)}/{len(self.planned)},"
                f" {_minutes(total_s(todo, self.done))} left  {describe(trial)}"
            )
            self.write()
            failed_in_row = failed_in_row + 1 if trial.problem else 0
            if failed_in_row == MAX_FAILED_IN_ROW:
                raise LabError(f"{MAX_FAILED_IN_ROW} trials in a row failed: {trial.problem}")
            if failed_in_row:
                bench.revive(all_nodes=job.fault is Fault.ROLLING_UPGRADE)

    def _check_time(self, batch: Sequence[Job], starting: Sequence[Job]) -> None:
        """Raise TimeIsUp when `batch`, and before it the start of a lab if any, takes longer."""
        if self.within_s is None:
            return
        needed_s = (
            total_s(batch, self.done)
            if starting
            else sum(estimate_s(job, self.done) for job in batch)
        )
        if time.monotonic() - self._began + needed_s > self.within_s:
            raise TimeIsUp

    def _keep_logs(self, bench: Bench, trial: Trial) -> None:
        if self.logs is None or not is_odd(trial):
            return
        number = sum(1 for _ in self.logs.glob("*")) if self.logs.is_dir() else 0
        kept = self.logs / f"{number:03d}-{trial.fault}"
        kept.mkdir(parents=True)
        directory = bench.lab.directory
        written = (*directory.glob("n*/speaker.log"), *directory.glob("client/*.jsonl"))
        for path in (*written, bench.tape.path):
            shutil.copy(path, kept / f"{path.parent.name}-{path.name}")

    @property
    def _is_complete(self) -> bool:
        return not left(self.planned, self.done)

    def write(self) -> None:
        """Write the JSON file."""
        if self.json_file is None:
            return
        report = Report(
            complete=self._is_complete,
            planned=len(self.planned),
            began_unix_s=self._began_unix_s,
            took_s=round(self.took_before_s + time.monotonic() - self._began, 1),
            trials=tuple(self.done),
            problem=self.problem,
        )
        chaos_report.write(self.json_file, report)

    def show(self) -> None:
        """Print the tables of every place, then what was aimed at."""
        for place in dict.fromkeys(trial.setting.place for trial in self.done):
            here = [trial for trial in self.done if trial.setting.place == place]
            click.echo(f"{place}\n\n{render(times_table(here))}\n")
            click.echo(f"{render(totals_table(here))}\n")
            if {trial.detect for trial in here} == set(DETECTS):
                click.echo(f"{render(ratio_table(here, 'memberlist', 'beats'))}\n")
        click.echo(f"{render(aims_table(self.done))}\n")
        click.echo("\n".join(doubts(self.done)))


def is_odd(trial: Trial) -> bool:
    """Whether somebody will ask why it went so."""
    is_calm = not Fault(trial.fault).moves_vips or trial.fault == Fault.PLANNED_LEAVE
    lost = sum(http.lost for http in trial.http) + trial.unanswered
    healing = trial.healing_http_lost + trial.healing_unanswered
    client_ms, segment_ms = trial.http_gap_ms or 0.0, trial.silence_ms
    is_slow = client_ms - segment_ms > SLOW_CLIENT_MS
    wrong = (trial.problem, trial.strayed, trial.broke_beyond, healing, is_calm and lost, is_slow)
    return any(wrong) or any(ms is None for ms in trial.first_words_ms.values())


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


def topology(prefix: str, setting: Setting) -> Topology:
    """The lab of a setting."""
    directory = Path("/run") / prefix
    return Topology(setting.nodes, prefix, directory, has_router=setting.router)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def command(
    json_file: Path | None,
    *,
    nodes: str,
    trials: str,
    faults: str | None,
    load: str,
    detect: str | None,
    no_router: bool,
    minutes: float | None,
    resume: bool,
    logs: Path | None,
    prefix: str,
) -> int:
    """Carry out what the command line says; returns the exit status. Raises LabError."""
    require_root()
    settings = [
        Setting(count, loops, not no_router, how)
        for how in names("detection", detect, DETECTS)
        for count in numbers("nodes", nodes, 2, MAX_NODES)
        for loops in numbers("busy loops", load, 0, MAX_LOAD)
    ]
    planned = jobs(settings, counts(trials, chosen("fault", faults, list(Fault))))
    before = chaos_report.read(json_file) if resume else None
    run = Chaos(prefix, planned, json_file, minutes and minutes * 60, logs)
    if before is not None:
        run.done.extend(before.trials)
        run.took_before_s = before.took_s
    return run.run()
