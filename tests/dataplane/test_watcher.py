"""What the kernel reports of links, addresses and routes."""

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.dataplane import netlink as nl
from speaker.dataplane.watcher import Changed, Watcher, parse_link, route_hops
from tests.dataplane.net import Pair, inside
from tests.eventually import DEADLINES, eventually


@pytest.fixture
def watcher(net: Pair) -> Iterator[Watcher]:
    with inside(net.node):
        made = Watcher.open()
        yield made
        made.close()


def changes(watcher: Watcher, expected: Changed) -> None:
    eventually(watcher.read, until=lambda seen: expected in seen, within_s=DEADLINES.answered)


@pytest.mark.root
def test_addresses_and_next_hops_are_untouchable(net: Pair, watcher: Watcher) -> None:
    net.in_node("ip", "addr", "add", "192.0.2.10/24", "dev", "eth0")
    changes(watcher, Changed.ADDRESSES)
    net.in_node("ip", "route", "add", "default", "via", "192.0.2.1")
    changes(watcher, Changed.NEXT_HOPS)

    assert {ip_address("192.0.2.10"), ip_address("192.0.2.1")} <= watcher.untouchable()


@pytest.mark.root
def test_a_removed_route_frees_its_next_hop(net: Pair, watcher: Watcher) -> None:
    net.in_node("ip", "addr", "add", "192.0.2.10/24", "dev", "eth0")
    net.in_node("ip", "route", "add", "198.51.100.0/24", "nexthop", "via", "192.0.2.1",
                "nexthop", "via", "192.0.2.2")  # fmt: skip
    changes(watcher, Changed.NEXT_HOPS)
    assert watcher.next_hops() == {ip_address("192.0.2.1"), ip_address("192.0.2.2")}

    net.in_node("ip", "route", "replace", "198.51.100.0/24", "via", "192.0.2.3")
    changes(watcher, Changed.NEXT_HOPS)
    assert watcher.next_hops() == {ip_address("192.0.2.3")}
    net.in_node("ip", "route", "del", "198.51.100.0/24")
    changes(watcher, Changed.NEXT_HOPS)

    assert watcher.next_hops() == frozenset()


@pytest.mark.root
def test_ten_thousand_vips_on_lo_are_not_kept(net: Pair, watcher: Watcher) -> None:
    """--bind-vips puts them there; they change every 15 s."""
    batch = "\n".join(
        f"addr add 198.18.{n >> 8}.{n & 255}/32 dev lo valid_lft 60 preferred_lft 60"
        for n in range(2_000)
    )
    net.in_node("sh", "-c", f"echo '{batch}' | ip -batch -")

    while watcher.read():
        pass

    assert not {address for address in watcher.addresses() if address.ifname == "lo"}
    watcher.refresh()
    assert not {address for address in watcher.addresses() if address.ifname == "lo"}


@pytest.mark.root
def test_a_link_that_comes_and_goes_is_a_change_of_links(net: Pair, watcher: Watcher) -> None:
    net.add_link("eth1", "02:00:00:00:00:02")
    changes(watcher, Changed.LINKS)
    [link] = [link for link in watcher.links() if link.name == "eth1"]
    assert link.lladdr.hex(":") == "02:00:00:00:00:02"
    assert link.carrier

    net.in_node("ip", "link", "del", "eth1")
    changes(watcher, Changed.LINKS)

    assert "eth1" not in [link.name for link in watcher.links()]


@pytest.mark.root
def test_lost_reports_are_made_good_by_listing_anew(net: Pair, watcher: Watcher) -> None:
    net.in_node("ip", "addr", "add", "192.0.2.10/24", "dev", "eth0")
    eventually(lambda: net.in_node("ip", "addr"), within_s=1, until=lambda t: "2.10" in t)
    watcher._changes.overrun = True

    assert watcher.read() == frozenset(Changed)

    assert ip_address("192.0.2.10") in watcher.untouchable()


@given(st.binary(max_size=200))
def test_no_octets_trouble_the_parsers(octets: bytes) -> None:
    """The kernel is trusted, its next version's attributes are not."""
    body = memoryview(octets)
    items = nl.attributes(body)

    list(nl.messages(body))
    route_hops(2, items)
    route_hops(10, items)
    if len(octets) >= 16:
        parse_link(body)
