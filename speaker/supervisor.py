"""
PID 1 of the speaker: keeps herald and agent running, and stops them in order.

    child:   starting ──ready──> running ──exit──> waiting ──delay over──> starting
                 └────exit: a fatal code before it was ever ready────> the speaker ends with it

The herald comes back at once (its lease is 3 s), the agent with back-off. SIGTERM and SIGINT stop
the herald first, which hands its seats over, then the agent. If this process is killed the kernel
kills both children (lifeline.py); the next speaker adopts what the lease still covers.

Children log into a pipe each. A thread copies the pipes to our stderr, so that a reader who stops
reading can stall neither the herald's lease nor the restarts here.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs

from speaker import lifeline
from speaker.config import Settings, from_json
from speaker.state_dir import lock
from stentor.exits import FATAL_ALWAYS, FATAL_AT_START, ExitCode, FatalError
from stentor.logging import FdSink, Level, Log, readable

HEALTHY_AFTER_S = 60.0  # running for so long forgets earlier crashes
AGENT_STOP_S = 5.0
STOP_MARGIN_S = 3.0  # beyond the herald's own limit for handing over, then SIGKILL


@attrs.frozen
class Program:
    """How one child is started: `delays_s` before the first, second, ... restart in a row."""

    name: str
    module: str
    delays_s: tuple[float, ...]


# The herald's delays stay far below its lease of 3 s; a crash loop still costs little CPU.
HERALD = Program("herald", "speaker.herald.main", (0.0, 0.05, 0.2, 0.5, 1.0))
AGENT = Program("agent", "speaker.agent", (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0))


def next_delay(program: Program, crashes: int) -> float:
    """Return the delay before the restart after `crashes` crashes in a row, 1 or more."""
    return program.delays_s[min(crashes, len(program.delays_s)) - 1]


@attrs.define
class Child:
    """One child and its history."""

    program: Program
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    restart_at: float = 0.0
    crashes: int = 0
    was_ready: bool = False
    ready_fd: int = -1

    def note_exit(self, code: int, now: float) -> ExitCode | None:
        """Plan the restart; or return the code the speaker must end with."""
        self.process = None
        if code in FATAL_ALWAYS or (code in FATAL_AT_START and not self.was_ready):
            return ExitCode(code)
        self.crashes = 1 if now - self.started_at >= HEALTHY_AFTER_S else self.crashes + 1
        self.restart_at = now + next_delay(self.program, self.crashes)
        return None


@attrs.define
class Forwarder:
    """Copies the children's logs to our stderr, line by line, in a thread of its own."""

    out_fd: int = 2
    _selector: selectors.BaseSelector = attrs.field(factory=selectors.DefaultSelector)
    _rests: dict[int, bytes] = attrs.field(factory=dict)
    _wake: tuple[int, int] = attrs.field(factory=os.pipe)
    _added: list[int] = attrs.field(factory=list)
    _closing: bool = False

    def add(self, fd: int) -> None:
        """Copy what comes out of the pipe `fd`, until its writers have closed it."""
        self._added.append(fd)
        os.write(self._wake[1], b"+")

    def close(self) -> None:
        """Return from `run` when every pipe is drained."""
        self._closing = True
        os.write(self._wake[1], b"-")

    def run(self) -> None:
        """Copy until `close` was called and every pipe has ended."""
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        pretty = os.isatty(self.out_fd)
        while not (self._closing and len(self._selector.get_map()) == 1 and not self._added):
            for key, _ in self._selector.select():
                if key.fd == self._wake[0]:
                    os.read(key.fd, 64)
                else:
                    self._copy(key.fd, pretty=pretty)
            while self._added:
                self._selector.register(self._added.pop(), selectors.EVENT_READ)

    def _copy(self, fd: int, *, pretty: bool) -> None:
        octets = os.read(fd, 65536)
        *lines, rest = (self._rests.pop(fd, b"") + octets).split(b"\n")
        if octets:
            self._rests[fd] = rest
        else:
            lines += [rest] if rest else []
            self._selector.unregister(fd)
            os.close(fd)
        text = b"".join(readable(line + b"\n") if pretty else line + b"\n" for line in lines)
        with contextlib.suppress(OSError):  # nobody reads our stderr any more: go on without
            while text:
                text = text[os.write(self.out_fd, text) :]


@attrs.define
class Supervisor:
    """Owns the children. `run` returns the exit code of the speaker."""

    settings: Settings
    log: Log
    forwarder: Forwarder
    signals_fd: int  # becomes readable with every signal (signal.set_wakeup_fd)
    children: list[Child] = attrs.field(factory=lambda: [Child(HERALD), Child(AGENT)])
    _stop: bool = False

    def ask_to_stop(self, *_: object) -> None:
        """Stop the children in order and return from `run`; a signal handler."""
        self._stop = True

    def run(self) -> int:
        """Keep the children running until a signal or a fatal exit."""
        code: ExitCode = ExitCode.OK
        while not self._stop:
            now = time.monotonic()
            for child in self.children:
                if child.process is None and child.restart_at <= now:
                    self._start(child, now)
            self._wait(self._next_event(now))
            fatal = [self._reap(child, time.monotonic()) for child in self.children]
            reasons = [reason for reason in fatal if reason is not None]
            if reasons:
                code = reasons[0]
                break
        self._stop_children()
        return code

    def _next_event(self, now: float) -> float:
        waits = [c.restart_at - now for c in self.children if c.process is None]
        return max(0.0, min(waits, default=3600.0))

    def _wait(self, seconds: float) -> None:
        """Return when a child exits or gets ready, a signal arrives, or `seconds` have passed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.signals_fd, selectors.EVENT_READ)
            for child in self.children:
                if child.ready_fd >= 0:
                    selector.register(child.ready_fd, selectors.EVENT_READ)
            for key, _ in selector.select(seconds):
                if key.fd == self.signals_fd:
                    os.read(key.fd, 64)

    def _start(self, child: Child, now: float) -> None:
        log_read, log_write = os.pipe()
        ready_read, ready_write = os.pipe()
        environment = {
            **os.environ,
            lifeline.PARENT_VARIABLE: str(os.getpid()),
            lifeline.READY_FD_VARIABLE: str(ready_write),
        }
        child.process = subprocess.Popen(
            [sys.executable, "-m", child.program.module, self.settings.to_json()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log_write,
            stderr=log_write,
            pass_fds=(ready_write,),
        )
        os.close(log_write)
        os.close(ready_write)
        self.forwarder.add(log_read)
        child.started_at, child.ready_fd = now, ready_read
        self.log.info("process_started", name=child.program.name, pid=child.process.pid)

    def _reap(self, child: Child, now: float) -> ExitCode | None:
        self._note_ready(child)
        if child.process is None or child.process.poll() is None:
            return None
        status = child.process.returncode
        fatal = child.note_exit(status, now)
        fields = {"name": child.program.name, "status": describe(status)}
        if fatal is not None:
            self.log.error("process_failed", **fields)
        else:
            wait = round(child.restart_at - now, 3)
            self.log.warn("process_ended", **fields, restart_in_s=wait, crashes=child.crashes)
        return fatal

    def _note_ready(self, child: Child) -> None:
        if child.ready_fd < 0:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(child.ready_fd, selectors.EVENT_READ)
            if not selector.select(0):
                return
        if os.read(child.ready_fd, 1):
            child.was_ready = True
            self.log.info("process_ready", name=child.program.name)
        os.close(child.ready_fd)
        child.ready_fd = -1

    def _stop_children(self) -> None:
        limits = {"herald": self.settings.leave_timeout_s + STOP_MARGIN_S, "agent": AGENT_STOP_S}
        for child in self.children:
            if child.process is None:
                continue
            child.process.terminate()
            try:
                status = child.process.wait(limits[child.program.name])
            except subprocess.TimeoutExpired:
                child.process.kill()
                status = child.process.wait()
            name = child.program.name
            self.log.info("process_stopped", name=name, status=describe(status))


def describe(status: int) -> str:
    """Return an exit status as people say it: a name of ExitCode, a number, or a signal."""
    if status < 0:
        return signal.Signals(-status).name
    return ExitCode(status).name.lower() if status in set(ExitCode) else str(status)


def main() -> int:
    """Run the supervisor for the settings in argv[1]; returns the exit code."""
    settings = from_json(sys.argv[1])
    forwarder = Forwarder()
    copier = threading.Thread(target=forwarder.run, name="logs", daemon=True)
    copier.start()
    own_read, own_write = os.pipe()
    os.set_blocking(own_write, False)
    forwarder.add(own_read)
    context = {"process": "supervisor", "node": settings.node}
    log = Log(FdSink(own_write), time.time, Level.named(settings.log_level), context)
    try:
        with lock(Path(settings.state_dir), "supervisor"):
            code = _supervise(settings, log, forwarder)
    except FatalError as exc:
        log.error(exc.event, message=str(exc))
        code = exc.code
    os.close(own_write)
    forwarder.close()
    copier.join(timeout=2.0)
    return code


def _supervise(settings: Settings, log: Log, forwarder: Forwarder) -> int:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    supervisor = Supervisor(settings, log, forwarder, wake_read)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.ask_to_stop)
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
