"""Addresses with a hash of their own are the addresses they stand for."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.herald.vips import read_vip


@given(st.ip_addresses())
def test_a_vip_is_the_address_in_its_text(address: IPv4Address | IPv6Address) -> None:
    vip = read_vip(str(address))

    assert (vip, hash(vip), vip.packed, str(vip)) == (
        address,
        hash(address),
        address.packed,
        str(address),
    )
    assert {address: 1}[vip] == {vip: 1}[address] == 1
    assert isinstance(vip, type(address))


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.256"):
        read_vip("192.0.2.256")


def test_a_sum_is_an_address_again() -> None:
    assert read_vip("192.0.2.1") + 1 == ip_address("192.0.2.2")
