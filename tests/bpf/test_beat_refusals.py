"""What is no beat for us leaves untouched, changes nothing, and has its exit."""

from typing import Any

import attrs
import pytest

from speaker.beats import Keys, encode_request
from speaker.dataplane.layout import BeatFlag, ExitReason
from tests.bpf.beats import (
    CARRIERS,
    KEYS,
    OLD_KEYS,
    OWN4,
    OWN6,
    REQUEST,
    Beat,
    Beat4,
    Beat6,
    set_cell,
)
from tests.bpf.frames import BROADCAST, CLIENT_LLADDR
from tests.bpf.harness import OWN_LLADDR, Program, Responder, Verdict

PAYLOAD = encode_request(attrs.evolve(REQUEST, claimed=2**32 - 1), KEYS)
Carrier = type[Beat | Beat4 | Beat6]

pytestmark = pytest.mark.root


def left_alone(responder: Responder, program: Program, frame: bytes) -> dict[ExitReason, int]:
    """The exits of a frame that must pass as it is and leave cells and notes as they are."""
    before = {name: responder.tables[name][:] for name in ("cells", "heard_beats")}

    outcome = responder.run(program, frame)

    assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)
    assert {name: responder.tables[name][:] for name in before} == before
    assert responder.events() == []
    return responder.exits()


def resigned(offset: int, octet: int) -> bytes:
    octets = bytearray(PAYLOAD[:-8])
    octets[offset] = octet
    return bytes(octets) + KEYS.sign(bytes(octets))


def test_the_frame_that_the_others_differ_from_is_reflected(
    responder: Responder, program: Program
) -> None:
    for carrier in CARRIERS:
        set_cell(responder)
        assert responder.run(program, carrier(payload=PAYLOAD).build()).verdict is Verdict.TX


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("octet", range(96))
def test_a_changed_octet_is_refused(responder: Responder, carrier: Carrier, octet: int) -> None:
    set_cell(responder)
    changed = bytearray(PAYLOAD)
    changed[octet] ^= 0x10
    refused = {ExitReason.BEAT_REFUSED: 1}
    ordinary = {ExitReason.OTHER: 1} if octet < 5 and carrier is not Beat else refused

    exits = left_alone(responder, Program.XDP, carrier(payload=bytes(changed)).build())

    assert exits == ordinary


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(PAYLOAD[:95], ExitReason.BEAT_REFUSED, id="an_octet_short"),
        pytest.param(PAYLOAD[:40], ExitReason.BEAT_REFUSED, id="only_the_question"),
        pytest.param(b"", ExitReason.BEAT_REFUSED, id="empty"),
        pytest.param(PAYLOAD + b"\0", ExitReason.BEAT_REFUSED, id="an_octet_long"),
        pytest.param(PAYLOAD + PAYLOAD, ExitReason.BEAT_REFUSED, id="twice"),
        pytest.param(resigned(0, 0), ExitReason.BEAT_REFUSED, id="magic"),
        pytest.param(resigned(4, 2), ExitReason.BEAT_REFUSED, id="version"),
        pytest.param(resigned(40, 0), ExitReason.BEAT_REFUSED, id="type_0"),
        pytest.param(resigned(40, 3), ExitReason.BEAT_REFUSED, id="type_3"),
        pytest.param(resigned(40, 2), ExitReason.BEAT_PASSED, id="reply"),
    ],
)
@pytest.mark.parametrize("vlan", [None, 5])
def test_an_unknown_payload_is_left_alone(
    responder: Responder, program: Program, payload: bytes, reason: ExitReason, vlan: int | None
) -> None:
    set_cell(responder, vlan=vlan or 0)

    exits = left_alone(responder, program, Beat(payload=payload, vlan=vlan).build())

    assert exits == {reason: 1}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"dest": BROADCAST}, ExitReason.BEAT_PASSED, id="to_all"),
        pytest.param({"dest": b"\x33\x33\0\0\0\1"}, ExitReason.BEAT_PASSED, id="to_a_group"),
        pytest.param({"dest": CLIENT_LLADDR}, ExitReason.BEAT_PASSED, id="to_another"),
        pytest.param({"source": OWN_LLADDR}, ExitReason.OWN_ECHO, id="looped_back"),
        pytest.param({"source": BROADCAST}, ExitReason.BEAT_REFUSED, id="from_all"),
        pytest.param({"source": bytes(6)}, ExitReason.BEAT_REFUSED, id="from_nobody"),
        pytest.param({"vlan": 7}, ExitReason.BEAT_PASSED, id="vlan_without_a_cell"),
    ],
)
def test_only_a_stranger_to_our_lladdr_is_reflected(
    responder: Responder,
    program: Program,
    carrier: Carrier,
    change: dict[str, Any],
    reason: ExitReason,
) -> None:
    set_cell(responder)

    exits = left_alone(responder, program, attrs.evolve(carrier(PAYLOAD), **change).build())

    assert exits == {reason: 1}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_cell_without_an_lladdr_reflects_nothing(
    responder: Responder, program: Program, carrier: Carrier
) -> None:
    set_cell(responder, lladdr=bytes(6))

    exits = left_alone(responder, program, carrier(PAYLOAD, dest=bytes(6)).build())

    assert exits == {ExitReason.BEAT_PASSED: 1}


@pytest.mark.parametrize(
    ("slots", "flags", "signer", "reason"),
    [
        pytest.param(KEYS, 0, OLD_KEYS, ExitReason.BEAT_REFUSED, id="another_key"),
        pytest.param(KEYS, 0, Keys(), ExitReason.BEAT_REFUSED, id="the_empty_slot_is_no_key"),
        pytest.param(KEYS, 1, Keys(), ExitReason.BEAT_REFUSED, id="nor_is_it_in_an_open_ring"),
        pytest.param(Keys(), 0, Keys(), ExitReason.BEAT_PASSED, id="keys_not_set_up"),
        pytest.param(Keys(), 1, KEYS, ExitReason.BEAT_REFUSED, id="open_here_keyed_there"),
    ],
)
def test_only_a_key_of_the_cell_verifies(
    responder: Responder,
    program: Program,
    *,
    slots: Keys,
    flags: int,
    signer: Keys,
    reason: ExitReason,
) -> None:
    set_cell(responder, keys=slots, flags=BeatFlag(flags))
    payload = encode_request(attrs.evolve(REQUEST, claimed=2**32 - 1), signer)

    assert left_alone(responder, program, Beat(payload).build()) == {reason: 1}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(Beat4(PAYLOAD, ttl=254), ExitReason.BEAT_REFUSED, id="ttl"),
        pytest.param(Beat6(PAYLOAD, hop_limit=254), ExitReason.BEAT_REFUSED, id="hop_limit"),
        pytest.param(Beat4(PAYLOAD, ports=(7947, 7946)), ExitReason.OTHER, id="port4"),
        pytest.param(Beat6(PAYLOAD, ports=(7947, 7946)), ExitReason.OTHER, id="port6"),
        pytest.param(Beat4(PAYLOAD[:95]), ExitReason.OTHER, id="short4"),
        pytest.param(Beat6(PAYLOAD[:95]), ExitReason.OTHER, id="short6"),
        pytest.param(Beat4(PAYLOAD + b"\0"), ExitReason.OTHER, id="long4"),
        pytest.param(Beat6(PAYLOAD + b"\0"), ExitReason.OTHER, id="long6"),
        pytest.param(Beat4(PAYLOAD, fragment=0x2000), ExitReason.OTHER, id="first_fragment"),
        pytest.param(Beat4(PAYLOAD, fragment=1), ExitReason.OTHER, id="later_fragment"),
        pytest.param(Beat4(PAYLOAD, first=0x46), ExitReason.OTHER, id="options"),
        pytest.param(Beat4(PAYLOAD, first=0x65), ExitReason.OTHER, id="version"),
        pytest.param(Beat4(PAYLOAD, protocol=6), ExitReason.OTHER, id="tcp"),
        pytest.param(Beat4(PAYLOAD, total_length=123), ExitReason.OTHER, id="total_length"),
        pytest.param(Beat6(PAYLOAD, length=103), ExitReason.OTHER, id="payload_length"),
    ],
)
@pytest.mark.parametrize("vlan", [None, 5])
def test_a_datagram_that_is_no_beat_of_a_neighbour_is_left_alone(
    responder: Responder,
    program: Program,
    frame: Beat4 | Beat6,
    reason: ExitReason,
    vlan: int | None,
) -> None:
    set_cell(responder, vlan=vlan or 0)

    exits = left_alone(responder, program, attrs.evolve(frame, vlan=vlan).build())

    assert exits == {reason: 1}


@pytest.mark.parametrize("careful", [False, True])
def test_a_service_on_our_port_is_counted_like_any_other(
    responder: Responder, program: Program, *, careful: bool
) -> None:
    """The port is ours only together with the magic."""
    set_cell(responder)
    responder.put(OWN4)
    responder.put(OWN6, stat=1)
    if careful:
        responder.keep_filter([OWN4, OWN6])

    for frame in (Beat4(b"x" * 96), Beat6(b"x" * 96)):
        assert responder.run(program, frame.build()).verdict is Verdict.PASS

    assert responder.exits() == {ExitReason.COUNTED: 2}
    assert (responder.stats(0)["packets"], responder.stats(1)["packets"]) == (1, 1)


@pytest.mark.parametrize("carrier", [Beat4, Beat6])
def test_a_beat_to_an_address_that_the_filter_knows_not_is_reflected(
    responder: Responder, program: Program, carrier: type[Beat4 | Beat6]
) -> None:
    """A node's own address is no VIP."""
    set_cell(responder)
    responder.keep_filter([])

    assert responder.run(program, carrier(PAYLOAD).build()).verdict is Verdict.TX
