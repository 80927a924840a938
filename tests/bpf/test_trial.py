"""The program of a trial, frame by frame: it reflects beats as ever, and leaves all else to tc."""

import attrs
import pytest

from speaker.beats import encode_request
from speaker.dataplane.layout import CellState, ExitReason
from tests.bpf.beats import CARRIERS, EPOCH, KEYS, REQUEST, Beat, Beat4, set_cell
from tests.bpf.frames import Arp, Nd, tcp4
from tests.bpf.harness import Program, Responder, Verdict

pytestmark = pytest.mark.root
VIP4, VIP6 = bytes([192, 0, 2, 200]), bytes.fromhex("20010db8") + bytes(11) + b"\xc8"
XDP_PASS, XDP_TX = 2, 3  # linux/bpf.h enum xdp_action


def run(responder: Responder, frame: bytes) -> tuple[int, bytes]:
    """Verdict and frame of stentor_trial."""
    loaded = responder.object
    code, out, _ = loaded.test_run(loaded.program_fd("stentor_trial"), frame, repeat=1)
    return code, out


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("vlan", [None, 5])
def test_a_beat_comes_back_as_from_the_responder(
    responder: Responder, carrier: type[Beat], vlan: int | None
) -> None:
    # Long ago: the age of its herald's beat is then the same for both.
    set_cell(responder, vlan=vlan or 0)
    frame = carrier(vlan=vlan).build()

    tried = run(responder, frame)
    answered = responder.run(Program.XDP, frame)

    assert answered.verdict is Verdict.TX
    assert tried == (XDP_TX, answered.frame)
    assert responder.exits() == {ExitReason.BEAT_REFLECTED: 2}


PASSED = [
    pytest.param(Arp(tpa=VIP4).build(), id="arp_request_for_a_held_vip"),
    pytest.param(Nd(target=VIP6).build(), id="solicitation_for_a_held_vip"),
    pytest.param(tcp4(VIP4), id="packet_to_a_vip"),
    pytest.param(Beat(payload=b"\0" * 96).build(), id="no_beat_in_the_frame"),
    pytest.param(Beat(payload=encode_request(REQUEST, KEYS)[:-1] + b"\xff").build(), id="unsigned"),
    pytest.param(Beat4(ttl=64).build(), id="routed"),
    pytest.param(b"\xff" * 14, id="a_bare_header"),
    pytest.param(b"\xff" * 12 + b"\x81\0" + b"\0", id="half_a_tag"),
    pytest.param(b"\xff" * 12 + b"\x08\0" + b"\x45", id="half_an_ip_header"),
    pytest.param(b"\xff" * 12 + b"\x86\xdd" + b"\x60", id="half_an_ipv6_header"),
]


@pytest.mark.parametrize("frame", PASSED)
def test_all_else_passes_untouched_and_uncounted(responder: Responder, frame: bytes) -> None:
    """The tc program behind answers and counts: nothing is counted twice."""
    set_cell(responder)
    responder.put(VIP4, stat=1)
    responder.put(VIP6, stat=2)

    outcome = run(responder, frame)

    assert outcome == (XDP_PASS, frame)
    assert responder.exits() == {}
    assert not any(responder.stats(1).values())
    assert not any(responder.stats(2).values())


def test_a_claim_is_obeyed(responder: Responder) -> None:
    set_cell(responder)
    claim = attrs.evolve(REQUEST, claimed=EPOCH)

    run(responder, Beat(payload=encode_request(claim, KEYS)).build())

    assert responder.cell()["state"] == CellState.SUSPENDED


def test_that_the_sender_hears_us_is_noted(responder: Responder) -> None:
    set_cell(responder)
    heard = []
    for number, hears in enumerate((False, True), start=1):
        asked = attrs.evolve(REQUEST, hears=hears, sent_ns=number)
        run(responder, Beat(payload=encode_request(asked, KEYS)).build())
        rows = responder.tables["heard_beats"]
        heard.append([rows[at + 30] for at in range(0, len(rows), 32) if any(rows[at : at + 8])])

    assert heard == [[1], [1 | 4]]
