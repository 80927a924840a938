"""`stentor lab watch`: leave a busy lab that loses frames in peace and count what it still does."""

import shutil
import time
from pathlib import Path

import attrs
import click
import msgspec

from stentor.lab import chaos_report
from stentor.lab.chaos_bench import Bench, TrialFailed, running
from stentor.lab.console import end_on_signals, say
from stentor.lab.errors import LabError
from stentor.lab.lab import require_root
from stentor.lab.topology import Topology
from stentor.lab.views import Row, render
from stentor.lab.watch_tallies import ACCUSED, EVENTS, GOSSIP, SELF, VERDICTS, Move, Tallies

LOOK_EVERY_S = 5.0
SAY_EVERY_S = 30.0


class Report(msgspec.Struct, frozen=True):
    """What --json writes. `events` counts log entries of all nodes by name."""

    complete: bool
    nodes: int
    load: int
    loss_percent: float
    took_s: float
    false_failovers: int
    moves: tuple[Move, ...]
    asked: int
    unanswered: int
    in_a_row: int
    listener_lost: int
    events: dict[str, int]
    problem: str = ""


@attrs.define
class LogReader:
    """Counts the events of logs that are still written to."""

    offsets: dict[Path, int] = attrs.field(factory=dict)

    def skip(self, path: Path) -> None:
        """Count nothing of what was logged so far."""
        self.offsets[path] = path.stat().st_size

    def news(self, path: Path) -> list[str]:
        """The names of the events logged since."""
        offset = self.offsets.get(path, 0)
        with path.open("rb") as file:
            file.seek(offset)
            octets = file.read()
        whole = octets[: octets.rfind(b"\n") + 1]
        self.offsets[path] = offset + len(whole)
        return [name for line in whole.splitlines() if (name := _event(line))]


def _event(line: bytes) -> str:
    """The name of the event in a line of a log; "" for what is no entry."""
    try:
        entry = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return ""
    return str(entry.get("event", "")) if isinstance(entry, dict) else ""


@attrs.define
class Watch:
    """One lab that is left in peace for `duration_s`."""

    topology: Topology
    duration_s: float
    load: int
    loss_percent: float
    json_file: Path | None = None
    logs: Path | None = None
    problem: str = ""
    took_s: float = 0.0
    tallies: Tallies = attrs.field(factory=lambda: Tallies(time.monotonic_ns()))

    def run(self) -> int:
        """Watch, print the table, and return 0 when it was long enough and nothing happened."""
        say(
            f"{self.duration_s / 60:.1f} min, {self.topology.count} nodes, {self.load} busy loops,"
            f" {self.loss_percent:g} % of all frames lost"
        )
        end_on_signals()
        try:
            with running(self.topology, (), self.load) as bench:
                bench.settle()
                bench.lab.network.lose(self.loss_percent)
                self._watch(bench)
        except (LabError, TrialFailed) as exc:
            self.problem = str(exc)
            say(f"stopped: {exc}")
        finally:
            self._write()
            click.echo(render(table(self.tallies)))
        return 0 if self._is_complete and not self.tallies.false_failovers else 1

    @property
    def _is_complete(self) -> bool:
        return not self.problem and self.took_s >= self.duration_s

    def _watch(self, bench: Bench) -> None:
        logs = [bench.lab.log(node) for node in bench.lab.topology.nodes]
        reader = LogReader()
        for log in logs:
            reader.skip(log)
        bench.tape.rewind()
        began = said_at = time.monotonic()
        self.tallies = tallies = Tallies(time.monotonic_ns())
        try:
            while self.took_s < self.duration_s:
                time.sleep(min(LOOK_EVERY_S, max(0.1, self.duration_s - self.took_s)))
                self.took_s = time.monotonic() - began
                self._look(bench, reader, logs)
                if time.monotonic() - said_at >= SAY_EVERY_S:
                    said_at = time.monotonic()
                    say(describe(tallies, self.took_s))
        finally:
            if self.logs is not None:
                self._keep(bench)

    def _look(self, bench: Bench, reader: LogReader, logs: list[Path]) -> None:
        tallies = self.tallies
        heard = bench.tape.news()
        tallies.add(heard, time.monotonic_ns())
        bench.tape.heard.clear()  # 20 minutes of it would not fit memory
        for log in logs:
            tallies.events.update(name for name in reader.news(log) if name in EVENTS)

    def _keep(self, bench: Bench) -> None:
        assert self.logs is not None
        self.logs.mkdir(parents=True, exist_ok=True)
        for path in bench.lab.directory.glob("n*/speaker.log"):
            shutil.copy(path, self.logs / f"{path.parent.name}-{path.name}")

    def _write(self) -> None:
        if self.json_file is None:
            return
        tallies = self.tallies
        report = Report(
            complete=self._is_complete,
            nodes=self.topology.count,
            load=self.load,
            loss_percent=self.loss_percent,
            took_s=round(self.took_s, 1),
            false_failovers=tallies.false_failovers,
            moves=tuple(tallies.moves),
            asked=tallies.asked,
            unanswered=tallies.unanswered,
            in_a_row=tallies.in_a_row,
            listener_lost=tallies.listener_lost,
            events=dict(tallies.events),
            problem=self.problem,
        )
        chaos_report.write(self.json_file, report)


def describe(tallies: Tallies, took_s: float) -> str:
    """One line about the sums so far."""
    return (
        f"{took_s / 60:.1f} min: {tallies.false_failovers} false failovers,"
        f" {tallies.events[ACCUSED]} accusations, {tallies.vips_moved} VIPs moved,"
        f" {tallies.unanswered}/{tallies.asked} questions unanswered"
    )


def table(tallies: Tallies) -> list[Row]:
    """What happened, one line each; all but the questions should be 0."""
    gossip = sum(tallies.events[event] for event in GOSSIP)
    verdicts = " + ".join(str(tallies.events[event]) for event in VERDICTS)
    return [
        ("WHAT", "SEEN"),
        ("false failovers", str(tallies.false_failovers)),
        ("VIPs that moved", f"{tallies.vips_moved}, in {len(tallies.moves)} changes of voice"),
        ("verdicts, with and without a witness", verdicts),
        ("leases lost", str(tallies.events[SELF])),
        ("accusations", str(tallies.events[ACCUSED])),
        ("accusations dismissed", str(tallies.dismissed)),
        ("suspicions and deaths by gossip", str(gossip)),
        ("questions unanswered", f"{tallies.unanswered}/{tallies.asked}"),
        ("most of them in a row for one VIP", str(tallies.in_a_row)),
        ("frames that the listener lost", str(tallies.listener_lost)),
    ]


def command(
    json_file: Path | None,
    *,
    nodes: int,
    minutes: float,
    load: int,
    loss: float,
    logs: Path | None,
    prefix: str,
) -> int:
    """Carry out what the command line says; returns the exit status. Raises LabError."""
    require_root()
    topology = Topology(count=nodes, prefix=prefix, directory=Path("/run") / prefix)
    return Watch(topology, minutes * 60, load, loss, json_file, logs).run()
