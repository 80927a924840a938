"""The Python mirror against the object's own BTF, and its hashes against what the program finds."""

import json
import re
import subprocess
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speaker.dataplane import layout
from tests.bpf.frames import Arp, Nd
from tests.bpf.harness import OBJECTS, ROOT, Program, Responder, Verdict

ENUMS = {
    "slot_state": ("SLOT_", layout.Voice),
    "cell_state": ("CELL_", layout.CellState),
    "exit_reason": ("EXIT_", layout.ExitReason),
    "event_kind": ("EVENT_", layout.EventKind),
}
LINK_LOCAL = IPv6Address("fe80::1").packed
NOT_EXITS = {"MAX"}  # the bound of enum exit_reason


@pytest.fixture(scope="module")
def btf() -> list[dict[str, Any]]:
    dump = subprocess.run(
        ["bpftool", "-j", "btf", "dump", "file", str(OBJECTS / "responder.bpf.o")],
        capture_output=True,
        check=True,
    )
    types: list[dict[str, Any]] = json.loads(dump.stdout)["types"]
    return types


def c_struct(btf: list[dict[str, Any]], name: str) -> dict[str, Any]:
    [found] = [t for t in btf if t["kind"] == "STRUCT" and t["name"] == name]
    return found


@pytest.mark.parametrize("mirror", layout.LAYOUTS, ids=lambda mirror: mirror.name)
def test_a_mirrored_struct_has_the_members_offsets_and_size_of_c(
    btf: list[dict[str, Any]], mirror: layout.Layout
) -> None:
    compiled = c_struct(btf, mirror.name)

    offsets = {m["name"]: m["bits_offset"] // 8 for m in compiled["members"]}

    assert offsets == mirror.offsets
    assert compiled["size"] == mirror.size_bytes


@pytest.mark.parametrize("name", ENUMS)
def test_a_mirrored_enumeration_has_the_names_and_values_of_c(
    btf: list[dict[str, Any]], name: str
) -> None:
    prefix, mirror = ENUMS[name]
    [compiled] = [t for t in btf if t["kind"] == "ENUM" and t["name"] == name]

    values = {v["name"].removeprefix(prefix): v["val"] for v in compiled["values"]}

    assert {member.name: member.value for member in mirror} == {
        key: value for key, value in values.items() if key not in NOT_EXITS
    }


def test_the_mirrored_constants_are_those_of_c() -> None:
    header = (ROOT / "bpf" / "include" / "layout.h").read_text()
    defined = {
        name: int(value)
        for name, value in re.findall(r"^#define (\w+)\s+(\d+)(?:ULL)?(?:\s+/\*.*)?$", header, re.M)
    }

    assert defined.pop("VOICE_LISTEN") == layout.VoiceFlag.LISTEN
    assert defined.pop("CELL_BEATS_OPEN") == layout.BeatFlag.OPEN
    assert defined == {name: getattr(layout, name) for name in defined}
    assert defined.keys() >= {"LAYOUT_VERSION", "MAX_CELLS", "MAX_PROBES", "FILTER_BITS"}


def test_the_filter_has_as_many_bits_as_the_mirror_says(btf: list[dict[str, Any]]) -> None:
    assert c_struct(btf, "filter")["size"] * 8 == 1 << layout.FILTER_BITS


@pytest.mark.root
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    vips=st.sets(st.integers(min_value=1, max_value=2**32 - 1), min_size=1, max_size=60),
    half=st.sampled_from([0, 1]),
    vlan=st.integers(min_value=0, max_value=4094),
)
def test_the_program_finds_every_vip_that_python_has_entered(
    responder: Responder, vips: set[int], half: int, vlan: int
) -> None:
    """Both hash alike: otherwise some chain starts elsewhere, in one of the families."""
    responder.reset()
    responder.activate(half)
    tag = vlan or None
    wanted4 = [IPv4Address(vip).packed for vip in vips]
    wanted6 = [IPv6Address((0x20010DB8 << 96) + vip * vip).packed for vip in vips]
    for vip in (*wanted4, *wanted6):
        responder.put(vip, vlan=vlan)

    verdicts = {
        responder.run(Program.XDP, frame).verdict
        for frame in (
            *(Arp(tpa=vip, spa=bytes(4), vlan=tag).build() for vip in wanted4),
            *(Nd(src=LINK_LOCAL, target=vip, vlan=tag).build() for vip in wanted6),
        )
    }

    assert verdicts == {Verdict.TX}


def test_a_voice_is_one_little_endian_word() -> None:
    word = layout.pack_voice(layout.Voice.GIVEN, bytes.fromhex("020000000001"))

    assert word.to_bytes(8, "little") == bytes.fromhex("0200000000010200")


def test_packing_a_member_that_the_struct_lacks_is_refused() -> None:
    with pytest.raises(KeyError, match="ip"):
        layout.SLOT4.pack(ip=b"")


@given(
    hashed=st.integers(min_value=0, max_value=2**32 - 1),
    bits=st.integers(min_value=5, max_value=16),
)
def test_a_probe_chain_never_looks_twice_at_a_slot(hashed: int, bits: int) -> None:
    chain = list(layout.probes(hashed, (1 << bits) - 1))

    assert len(set(chain)) == layout.MAX_PROBES
