"""Fixtures of the data plane's tests: namespaces, and a plane in one of them."""

import itertools
import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from ipaddress import ip_address
from pathlib import Path

import attrs
import pytest

from speaker.dataplane import DataPlane, Link, Options, VipRow, Voice, XdpMode
from speaker.dataplane.watcher import Watcher
from tests.dataplane.net import Pair, compile_pass, inside, pair

_NUMBERS = itertools.count(1)
TURN_S = 0.01
NO_EXCLUDES = (re.compile("^lo$"),)


@pytest.fixture(scope="session")
def pass_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_pass(tmp_path_factory.mktemp("pass"))


@pytest.fixture
def net(tmp_path: Path, pass_object: Path) -> Iterator[Pair]:
    with pair(str(next(_NUMBERS)), tmp_path, pass_object) as made:
        yield made


@attrs.define
class Herald:
    """As little of a herald as the data plane needs. `turning` answers beside the test's thread."""

    plane: DataPlane
    watcher: Watcher
    lock: threading.RLock = attrs.field(factory=threading.RLock)

    def sync(self, uppers: tuple[Link, ...] = ()) -> bool:
        """`uppers`: VLAN devices that a kernel with 8021q would list too."""
        with self.lock:
            self.watcher.refresh()
            links = (*self.watcher.links(), *uppers)
            return self.plane.sync(links, now_ns=time.monotonic_ns())

    def beat(self) -> int:
        with self.lock:
            return len(self.plane.push_lease(now_ns=time.monotonic_ns()))

    def work(self) -> None:
        """All that waits."""
        with self.lock:
            while self.plane.step(time.monotonic()):
                self.beat()

    def put(self, vip: str, voice: Voice = Voice.HELD, interfaces: set[str] | None = None) -> None:
        names = None if interfaces is None else frozenset(interfaces)
        with self.lock:
            self.plane.put([VipRow(ip_address(vip), voice, names)])
            self.work()

    def turn(self) -> None:
        """One turn of a herald's loop."""
        if select.select([self.plane.packets_fd], [], [], TURN_S)[0]:
            with self.lock:
                self.plane.answer_packets()
        self.beat()

    @contextmanager
    def turning(self) -> Iterator[None]:
        """Turn in a thread, which is in the namespace that this one is in."""
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                self.turn()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


Start = Callable[..., Herald]


@contextmanager
def started(net: Pair, options: Options) -> Iterator[Herald]:
    """A plane on the node, entered; closed afterwards, which leaves its pins."""
    with inside(net.node):
        watcher = Watcher.open()
        plane = DataPlane.open(options, instance_id=1, generation=1, now_ns=time.monotonic_ns())
        herald = Herald(plane, watcher)
        try:
            herald.sync()
            plane.enter(now_ns=time.monotonic_ns())
            with herald.turning() if options.mode is XdpMode.USERSPACE else nullcontext():
                yield herald
        finally:
            plane.close()
            watcher.close()


@pytest.fixture
def start(net: Pair) -> Iterator[Start]:
    """Start heralds on the node; the test's thread is in the node's namespace from then on."""
    with ExitStack() as stack:

        def begin(
            mode: XdpMode = XdpMode.NATIVE, slots: int = 2048, *, manage_sysctls: bool = True
        ) -> Herald:
            options = Options(
                bpffs=net.bpffs,
                state_dir=net.state_dir,
                mode=mode,
                excludes=NO_EXCLUDES,
                slots=slots,
                manage_sysctls=manage_sysctls,
            )
            return stack.enter_context(started(net, options))

        yield begin
