"""Ranges of addresses, and the index over them."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.errors import AddressError
from stentor.address_sets import AddressIndex, AddressRange, Vip

# Small worlds, so that ranges meet often; one family lies where the other's numbers do not reach.
_BASES = {4: int(IPv4Address("192.0.2.0")), 6: int(IPv6Address("2001:db8::"))}


def _address(version: int, offset: int) -> Vip:
    number = _BASES[version] + offset
    return IPv4Address(number) if version == 4 else IPv6Address(number)


@st.composite
def addresses(draw: st.DrawFn) -> Vip:
    return _address(draw(st.sampled_from((4, 6))), draw(st.integers(0, 63)))


@st.composite
def ranges(draw: st.DrawFn) -> AddressRange:
    version = draw(st.sampled_from((4, 6)))
    ends = sorted((draw(st.integers(0, 63)), draw(st.integers(0, 63))))
    return AddressRange(_address(version, ends[0]), _address(version, ends[1]))


@given(ranges())
def test_a_range_reads_back_what_it_prints(span: AddressRange) -> None:
    assert span == AddressRange.parse(str(span))


@given(ranges(), addresses())
def test_a_range_holds_what_it_walks(span: AddressRange, address: Vip) -> None:
    walked = list(span)

    assert (address in span) == (address in walked)
    assert span.size == len(walked)
    assert walked == sorted(walked, key=int)


@given(ranges(), ranges())
def test_ranges_overlap_when_they_share_an_address(one: AddressRange, other: AddressRange) -> None:
    shares = bool(set(one) & set(other))

    assert shares == one.overlaps(other)
    assert shares == other.overlaps(one)


@given(st.lists(ranges(), max_size=12), addresses())
def test_the_index_finds_what_a_search_finds(spans: list[AddressRange], address: Vip) -> None:
    """An entry that overlaps an earlier one that was taken is left out, and listed."""
    taken: list[int] = []
    for place, span in enumerate(spans):
        if not any(span.overlaps(spans[earlier]) for earlier in taken):
            taken.append(place)

    index = AddressIndex((span, place) for place, span in enumerate(spans))

    found = [place for place in taken if address in spans[place]]
    assert (found[0] if found else None) == index.find(address)
    assert sorted(set(range(len(spans))) - set(taken)) == [o.refused for o in index.overlaps]
    assert all(o.kept in taken and o.kept_range.overlaps(o.refused_range) for o in index.overlaps)


def test_an_ipv6_pool_of_a_whole_network_costs_nothing_to_ask() -> None:
    span = AddressRange.parse("2001:db8::/32")

    assert span.size == 2**96
    assert ip_address("2001:db8:ffff::1") in span
    assert next(iter(span)) == ip_address("2001:db8::")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        pytest.param("192.0.2.0/24", "192.0.2.0/24", id="a_prefix"),
        pytest.param("192.0.2.77/24", "192.0.2.0/24", id="host_bits_are_ignored"),
        pytest.param("192.0.2.4-192.0.2.7", "192.0.2.4/30", id="a_range_that_is_a_prefix"),
        pytest.param("192.0.2.4 - 192.0.2.8", "192.0.2.4-192.0.2.8", id="blanks_around_the_dash"),
        pytest.param("192.0.2.5-192.0.2.6", "192.0.2.5-192.0.2.6", id="two_across_a_boundary"),
        pytest.param("0.0.0.0/0", "0.0.0.0/0", id="everything"),
        pytest.param("2001:DB8::/120", "2001:db8::/120", id="ipv6_in_capitals"),
        pytest.param("2001:db8::1-2001:db8::1", "2001:db8::1/128", id="one_address"),
    ],
)
def test_ranges_read_as_metallb_reads_them(text: str, printed: str) -> None:
    assert printed == str(AddressRange.parse(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "'' is not an IPv4 or IPv6 address", id="nothing"),
        pytest.param("192.0.2.1", "write 192.0.2.1/32", id="a_bare_ipv4_address"),
        pytest.param("2001:db8::1", "write 2001:db8::1/128", id="a_bare_ipv6_address"),
        pytest.param("192.0.2.0/33", "need a number of 0 to 32", id="a_prefix_too_long"),
        pytest.param("192.0.2.0/", "prefix length ''", id="no_prefix_length"),
        pytest.param("192.0.2.0/-1", "'192.0.2.0/' is not", id="a_negative_length"),
        pytest.param("192.0.2.0/255.255.255.0", "prefix length '255.255.255.0'", id="a_mask"),
        pytest.param("192.0.2.0/٢٤", "need a number", id="digits_of_another_script"),
        pytest.param("192.0.2.300/24", "'192.0.2.300' is not", id="an_octet_too_large"),
        pytest.param("192.0.02.0/24", "'192.0.02.0' is not", id="a_leading_zero"),
        pytest.param("192.0.2.9-192.0.2.1", "write 192.0.2.1-192.0.2.9", id="backwards"),
        pytest.param("192.0.2.1-2001:db8::1", "starts in IPv4, ends in IPv6", id="two_families"),
        pytest.param("192.0.2.1-", "'' is not", id="an_open_range"),
        pytest.param("fe80::1%eth0/64", "write fe80::1", id="a_zone"),
        pytest.param("::ffff:192.0.2.0/120", "write 192.0.2.0", id="ipv4_as_ipv6"),
    ],
)
def test_what_is_no_range_is_refused_with_what_would_be(text: str, message: str) -> None:
    with pytest.raises(AddressError) as caught:
        AddressRange.parse(text)

    assert message in str(caught.value)


@given(st.text(alphabet="0123456789abcdef.:/-% ", max_size=24))
def test_any_text_gives_a_range_or_an_address_error(text: str) -> None:
    try:
        span = AddressRange.parse(text)
    except AddressError:
        return
    assert span.size >= 1
