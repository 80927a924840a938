"""BTF as the kernel gives it, and as it never should."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.dataplane.btf import Btf, BtfError, Leaf

NAMES = b"\0u32\0u8\0cell\0state\0lladdr\0STATE_A\0STATE_B\0inner\0bits\0"
INT, ARRAY, STRUCT, ENUM, TYPEDEF = 1, 3, 4, 6, 8


def name(text: str) -> int:
    return NAMES.index(b"\0" + text.encode() + b"\0") + 1 if text else 0


def entry(
    kind: int, text: str, vlen: int, size: int, extra: bytes = b"", *, flag: int = 0
) -> bytes:
    return struct.pack("<III", name(text), flag << 31 | kind << 24 | vlen, size) + extra


def member(text: str, number: int, bits: int) -> bytes:
    return struct.pack("<III", name(text), number, bits)


def btf(*types: bytes, magic: int = 0xEB9F, version: int = 1) -> bytes:
    body = b"".join(types)
    header = struct.pack("<HBBIIIII", magic, version, 0, 24, 0, len(body), len(body), len(NAMES))
    return header + body + NAMES


U32 = entry(INT, "u32", 0, 4, bytes(4))
U8 = entry(INT, "u8", 0, 1, bytes(4))
LLADDR = entry(ARRAY, "", 0, 0, struct.pack("<III", 2, 1, 6))
STATES = entry(ENUM, "state", 2, 4, struct.pack("<IiIi", name("STATE_A"), 0, name("STATE_B"), 7))
INNER = entry(STRUCT, "inner", 2, 8, member("lladdr", 3, 0) + member("state", 2, 48))
CELL = entry(
    STRUCT, "cell", 3, 16, member("state", 4, 0) + member("inner", 5, 32) + member("u32", 1, 96)
)
GOOD = btf(U32, U8, LLADDR, STATES, INNER, CELL)


def test_members_have_paths_offsets_and_sizes() -> None:
    assert Btf.parse(GOOD).leaves(6) == {
        "state": Leaf(0, 4),
        "inner.lladdr": Leaf(4, 6),
        "inner.state": Leaf(10, 1),
        "u32": Leaf(12, 4),
    }


def test_enumerators_have_their_values() -> None:
    parsed = Btf.parse(GOOD)

    assert parsed.enumerators("state") == {0: "STATE_A", 7: "STATE_B"}
    assert parsed.enumerators("nobody") == {}


def test_what_is_no_struct_is_one_member_without_a_name() -> None:
    assert Btf.parse(GOOD).leaves(1) == {"": Leaf(0, 4)}


def test_bit_fields_and_arrays_of_structs_are_left_out() -> None:
    fields = entry(STRUCT, "bits", 2, 8, member("u32", 1, 3 << 24) + member("u8", 1, 32), flag=1)
    many = entry(ARRAY, "", 0, 0, struct.pack("<III", 2, 1, 4))
    outer = entry(STRUCT, "cell", 1, 32, member("inner", 3, 0))

    parsed = Btf.parse(btf(U32, fields, many, outer))

    assert parsed.leaves(2) == {"u8": Leaf(4, 4)}
    assert parsed.leaves(4) == {}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GOOD[:23], id="half_a_header"),
        pytest.param(GOOD[:-1], id="names_cut_off"),
        pytest.param(btf(U32, magic=0xEB9E), id="another_magic"),
        pytest.param(btf(U32, version=2), id="another_version"),
        pytest.param(btf(U32[:-1]), id="a_type_cut_off"),
        pytest.param(btf(entry(20, "u32", 0, 4)), id="an_unknown_kind"),
        pytest.param(btf(entry(STRUCT, "cell", 9, 4)), id="fewer_members_than_said"),
        pytest.param(btf(struct.pack("<III", 9999, INT << 24, 4) + bytes(4)), id="a_name_nowhere"),
    ],
)
def test_what_is_no_btf_is_refused(data: bytes) -> None:
    with pytest.raises(BtfError):
        Btf.parse(data)


@pytest.mark.parametrize(
    "types",
    [
        pytest.param([entry(TYPEDEF, "u32", 0, 1)], id="an_alias_of_itself"),
        pytest.param([entry(STRUCT, "cell", 1, 4, member("u32", 1, 0))], id="a_struct_in_itself"),
        pytest.param([entry(STRUCT, "cell", 1, 4, member("u32", 7, 0))], id="a_type_nowhere"),
        pytest.param(
            [entry(ARRAY, "", 0, 0, struct.pack("<III", 2, 2, 1 << 31)), U8], id="a_huge_array"
        ),
    ],
)
def test_a_type_without_an_end_is_refused(types: list[bytes]) -> None:
    with pytest.raises(BtfError):
        Btf.parse(btf(*types)).leaves(1)


@given(at=st.integers(0, len(GOOD) - 1), octet=st.integers(0, 255))
def test_a_broken_octet_is_understood_or_refused(at: int, octet: int) -> None:
    data = bytearray(GOOD)
    data[at] = octet
    with contextlib.suppress(BtfError):
        parsed = Btf.parse(bytes(data))
        parsed.enumerators("state")
        parsed.leaves(6)


@given(data=st.binary(max_size=200))
def test_arbitrary_octets_after_a_header_are_understood_or_refused(data: bytes) -> None:
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(data), 0, len(data))
    with contextlib.suppress(BtfError):
        Btf.parse(header + data).leaves(1)
