"""VIPs on lo, in a network namespace of the test's own."""

import ctypes
import json
import os
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from speaker.dataplane.netlink import Netlink
from speaker.herald.lo import LIFETIME_S, REFRESH_S, LoBinder, remove_all
from stentor.logging import FdSink, Level, Log
from tests.process.rig import sh

pytestmark = pytest.mark.root

VIP4, VIP6 = IPv4Address("192.0.2.100"), IPv6Address("2001:db8::100")
START = 1000.0


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace that this thread is in during the test."""
    name = f"st-lo{os.getpid()}"
    here = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    sh("ip", "netns", "add", name)
    try:
        sh("ip", "-n", name, "link", "set", "lo", "up")
        there = os.open(f"/run/netns/{name}", os.O_RDONLY)
        setns(there)
        os.close(there)
        yield name
    finally:
        setns(here)
        os.close(here)
        sh("ip", "netns", "del", name)


def setns(fd: int) -> None:
    """Enter the network namespace of a descriptor; os.setns came with Python 3.12."""
    assert ctypes.CDLL(None, use_errno=True).setns(fd, 0) == 0


@pytest.fixture
def binder(namespace: str, tmp_path: Path) -> Iterator[LoBinder]:
    with Netlink.open() as netlink:
        yield LoBinder(netlink, tmp_path, Log(FdSink(2), lambda: 0.0, Level.NONE))


def drain(binder: LoBinder, now: float) -> None:
    while binder.is_due(now):
        binder.step(now)
    binder.keep_list()


def bound(namespace: str) -> dict[str, dict[str, Any]]:
    [link] = json.loads(sh("ip", "-json", "-n", namespace, "addr", "show", "lo"))
    return {a["local"]: a for a in link["addr_info"] if a["local"] not in {"127.0.0.1", "::1"}}


def test_a_held_vip_is_a_host_address_that_ends_by_itself(namespace: str, binder: LoBinder) -> None:
    for vip in (VIP4, VIP6):
        binder.hold(vip, START)
    drain(binder, START)

    found = bound(namespace)
    assert {str(VIP4), str(VIP6)} == found.keys()
    assert (found[str(VIP4)]["prefixlen"], found[str(VIP6)]["prefixlen"]) == (32, 128)
    for address in found.values():
        assert LIFETIME_S - 5 <= address["valid_life_time"] <= LIFETIME_S


def test_it_is_refreshed_in_time(namespace: str, binder: LoBinder) -> None:
    binder.hold(VIP4, START)
    drain(binder, START)

    assert binder.next_due() == START + REFRESH_S
    assert REFRESH_S < LIFETIME_S / 3


def test_after_a_planned_move_it_stays_for_the_grace(namespace: str, binder: LoBinder) -> None:
    binder.hold(VIP4, START)
    drain(binder, START)

    binder.release(VIP4, START + 1, grace_s=120)
    drain(binder, START + 120)
    kept = bound(namespace)
    drain(binder, START + 121)

    assert str(VIP4) in kept
    assert bound(namespace) == {}


def test_a_vip_taken_back_during_the_grace_stays(namespace: str, binder: LoBinder) -> None:
    binder.hold(VIP4, START)
    drain(binder, START)
    binder.release(VIP4, START, grace_s=10)

    binder.hold(VIP4, START + 5)
    drain(binder, START + 20)

    assert str(VIP4) in bound(namespace)


def test_a_lost_vip_goes_at_once(namespace: str, binder: LoBinder) -> None:
    binder.hold(VIP4, START)
    binder.hold(VIP6, START)
    drain(binder, START)

    binder.drop(VIP4)
    drain(binder, START)

    assert {str(VIP6)} == bound(namespace).keys()


def test_a_vip_dropped_and_held_in_one_instant_is_bound(namespace: str, binder: LoBinder) -> None:
    binder.hold(VIP4, START)
    drain(binder, START)

    binder.drop(VIP4)
    binder.hold(VIP4, START)
    drain(binder, START)

    assert str(VIP4) in bound(namespace)


def test_holding_twice_is_holding_once(namespace: str, binder: LoBinder) -> None:
    for _ in range(2):
        binder.hold(VIP4, START)
        drain(binder, START)

    assert {str(VIP4)} == bound(namespace).keys()


def test_taking_a_vip_again_and_again_does_not_multiply_its_refreshes(
    namespace: str, binder: LoBinder
) -> None:
    for turn in range(5):
        binder.hold(VIP4, START + turn)
        drain(binder, START + turn)
        binder.drop(VIP4)
        drain(binder, START + turn)
    binder.hold(VIP4, START + 5)
    drain(binder, START + 5)

    steps = 0
    while binder.is_due(START + 5 + REFRESH_S):
        before = binder.next_due()
        binder.step(START + 5 + REFRESH_S)
        steps += before == START + 5 + REFRESH_S

    assert steps == 1


def test_cleanup_takes_away_what_a_dead_herald_left(
    namespace: str, binder: LoBinder, tmp_path: Path
) -> None:
    sh("ip", "-n", namespace, "addr", "add", "198.51.100.1/32", "dev", "lo")
    binder.hold(VIP4, START)
    drain(binder, START)

    assert remove_all(tmp_path) == [f"removed {VIP4} from lo"]

    assert {"198.51.100.1"} == bound(namespace).keys()
