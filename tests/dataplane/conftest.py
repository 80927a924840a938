"""Fixtures of the data plane's tests: namespaces, and a plane in one of them."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import attrs
import pytest

from speaker.dataplane import DataPlane, Link, Options, VipRow, Voice, XdpMode
from speaker.dataplane.watcher import Watcher
from tests.dataplane.net import Pair, compile_pass, inside, pair

_NUMBERS = itertools.count(1)
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
    """As little of a herald as the data plane needs."""

    plane: DataPlane
    watcher: Watcher

    def sync(self, uppers: tuple[Link, ...] = ()) -> bool:
        """`uppers`: VLAN devices that a kernel with 8021q would list too."""
        self.watcher.refresh()
        links = (*self.watcher.links(), *uppers)
        return self.plane.sync(links, now_ns=time.monotonic_ns())

    def beat(self) -> int:
        return len(self.plane.push_lease(now_ns=time.monotonic_ns()))

    def work(self) -> None:
        """All that waits."""
        while self.plane.step(time.monotonic()):
            self.beat()

    def put(self, vip: str, voice: Voice = Voice.HELD, interfaces: set[str] | None = None) -> None:
        names = None if interfaces is None else frozenset(interfaces)
        self.plane.put([VipRow(ip_address(vip), voice, names)])
        self.work()


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
