"""Who beats at us is noted where a herald reads it without a system call."""

import time

import attrs
import pytest

from speaker.beats import BeatRequest, encode_request
from speaker.dataplane.layout import HEARD, Value, heard_index
from tests.bpf.beats import KEYS, PEER_INSTANCE, REQUEST, Beat, set_cell
from tests.bpf.frames import CLIENT_LLADDR
from tests.bpf.harness import Program, Responder, Verdict

OTHER_LLADDR = bytes.fromhex("020000000077")

pytestmark = pytest.mark.root


def send(
    responder: Responder,
    request: BeatRequest,
    *,
    program: Program = Program.XDP,
    source: bytes = CLIENT_LLADDR,
    vlan: int | None = None,
) -> Verdict:
    payload = encode_request(request, KEYS)
    return responder.run(program, Beat(payload, source=source, vlan=vlan).build()).verdict


def note(responder: Responder, sender: int = PEER_INSTANCE, cell: int = 0) -> dict[str, Value]:
    at = heard_index(sender, cell) * HEARD.size_bytes
    return HEARD.unpack(responder.tables["heard_beats"][at : at + HEARD.size_bytes])


@pytest.mark.parametrize(("has_witness", "claimed", "flags"), [(True, None, 1), (False, 3, 2)])
def test_a_verified_request_is_noted(
    responder: Responder, program: Program, *, has_witness: bool, claimed: int, flags: int
) -> None:
    set_cell(responder, index=2)
    responder.tables["cells"][:128] = bytes(128)
    request = attrs.evolve(REQUEST, has_witness=has_witness, claimed=claimed)
    before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    send(responder, request, program=program)

    found = note(responder, cell=2)
    tick_ns = 10_000_000
    assert before_ns - tick_ns <= int(found.pop("heard_ns")) <= time.monotonic_ns()
    assert found == {
        "sender": PEER_INSTANCE,
        "sent_ns": REQUEST.sent_ns,
        "lladdr": CLIENT_LLADDR,
        "flags": flags,
        "cell": 2,
    }


def test_a_replayed_request_is_reflected_but_not_noted(responder: Responder) -> None:
    """Otherwise a recording of a dead node would speak for it."""
    set_cell(responder)
    for sent_ns in (5, 6):
        send(responder, attrs.evolve(REQUEST, sent_ns=sent_ns))
    last = note(responder)

    verdicts = {
        send(responder, attrs.evolve(REQUEST, sent_ns=sent_ns), source=OTHER_LLADDR)
        for sent_ns in (5, 6)
    }

    assert verdicts == {Verdict.TX}
    assert note(responder) == last


def test_a_later_request_takes_the_place_of_the_one_before(responder: Responder) -> None:
    set_cell(responder)
    send(responder, REQUEST)

    send(responder, attrs.evolve(REQUEST, sent_ns=2_000, has_witness=False), source=OTHER_LLADDR)

    found = note(responder)
    assert (found["sent_ns"], found["flags"], found["lladdr"]) == (2_000, 0, OTHER_LLADDR)


def test_each_cell_has_its_own_note_of_a_node(responder: Responder) -> None:
    set_cell(responder)
    set_cell(responder, index=1, vlan=5)

    send(responder, attrs.evolve(REQUEST, sent_ns=7))
    send(responder, attrs.evolve(REQUEST, sent_ns=7), vlan=5)

    assert [note(responder, cell=cell)["cell"] for cell in (0, 1)] == [0, 1]


def test_of_two_nodes_with_one_place_the_last_has_it(responder: Responder) -> None:
    set_cell(responder)
    place = heard_index(PEER_INSTANCE, 0)
    other = next(n for n in range(1, 100_000) if heard_index(n, 0) == place)

    send(responder, REQUEST)
    send(responder, attrs.evolve(REQUEST, sender=other, sent_ns=1))

    assert note(responder)["sender"] == other
