"""Three heralds whose links lose, delay, double and reorder frames, by netem in a VM."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.kernels.conftest import find_images
from tests.kernels.recipe import KERNELS
from tests.kernels.vm import Vm

RING = "tests.kernels.guest.ring"
RING_S = 2400.0  # three speakers start on one emulated processor, on a busy host
MEMORY_MIB = 1024
# To each of two watched peers 40 go out in a second.
BEATS = 400
IMPAIRMENTS = {
    "loss-1": "loss 1%",
    "loss-5": "loss 5%",
    "delay": "delay 20ms 10ms",
    "duplicates": "duplicate 10%",
    "reordering": "delay 5ms reorder 25% 50%",
}


@attrs.frozen
class Links:
    """The ring in the VM, and what to do to its links and hosts."""

    vm: Vm

    def calm(self) -> dict[str, str]:
        """VIP -> node, once all is repaired and all nodes agree."""
        return dict(self._call("calm"))

    def impair(self, how: str) -> None:
        """Have netem on every link; the kernel must have it as asked."""
        queues = self._call("impair", how=how)
        assert len(queues) == 5, queues  # three nodes, client and router

    def queues(self) -> list[dict[str, Any]]:
        """What each netem has counted."""
        return list(self._call("queues"))

    def watch(self, beats: int) -> dict[str, Any]:
        """What the ring does in peace until so many beats came back to each."""
        return dict(self._call("watch", beats=beats))

    def kill(self, node: str) -> dict[str, Any]:
        """End a host; who holds the VIPs then and who speaks for them, see guest/ring.py."""
        return dict(self._call("kill", name=node))

    def _call(self, function: str, **keywords: Any) -> Any:
        return self.vm.call(f"{RING}:{function}", within_s=RING_S, **keywords)


@pytest.fixture(scope="module", params=KERNELS, ids=lambda kernel: kernel.name)
def links(request: pytest.FixtureRequest, product: Path) -> Iterator[Links]:
    """A ring of three in a VM of each kernel, agreed on who holds what."""
    # As fast as its clock goes: three heralds are too much for the slow processor of the others.
    with Vm(find_images(request.param), product, shift=0, memory_mib=MEMORY_MIB) as vm:
        vm.call(f"{RING}:start", within_s=RING_S)
        yield Links(vm)


@pytest.mark.parametrize("how", list(IMPAIRMENTS))
def test_links_that_are_bad_make_no_false_failover(links: Links, how: str) -> None:
    """Nobody dies: no verdict, no lease lost, no VIP moves."""
    owners = links.calm()
    links.impair(IMPAIRMENTS[how])

    seen = links.watch(BEATS)

    assert seen["false_failovers"] == 0, seen
    assert seen["holders"] == owners
    if "loss" in how:  # client and router say next to nothing here
        drops = {queue["dev"]: queue["drops"] for queue in links.queues()}
        assert all(drops[node] for node in set(owners.values())), drops


@pytest.mark.parametrize("how", ["loss-5", "delay", "reordering"])
def test_a_host_that_dies_behind_bad_links_is_replaced_by_one_voice(links: Links, how: str) -> None:
    owners = links.calm()
    victim = min(owners.items())[1]
    links.impair(IMPAIRMENTS[how])

    after = links.kill(victim)

    heirs = after["holders"]
    assert victim not in heirs.values()
    assert after["spoke"] == {vip: [heir] for vip, heir in heirs.items()}
    assert after["endless"] == []
