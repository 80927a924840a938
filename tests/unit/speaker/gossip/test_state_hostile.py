"""Whatever decodes may arrive: nothing of it raises, and what we send about it can be encoded."""

from hypothesis import given
from hypothesis import strategies as st

from speaker.gossip.config import VERSIONS_METALLB
from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    PacketMessage,
    Ping,
    PushNode,
    PushPull,
    Suspect,
)
from speaker.gossip.outputs import ExchangeState, Output, PingOverStream, SendPacket
from speaker.gossip.stream import encode_stream
from speaker.gossip.wire import Wire
from tests.unit.speaker.gossip.ring import endpoint, make_swim
from tests.unit.speaker.gossip.values import packet_messages, push_pulls, uint16, uint32

NOW = 100.0
# Close enough to the truth to get far: a few names, real addresses, sane versions.
names = st.sampled_from(["n1", "n2", "n3", "", "\N{GREEK SMALL LETTER ALPHA}" * 200, "x" * 3000])
addresses = st.sampled_from([bytes((192, 0, 2, 2)), bytes(16), bytes(15) + b"\x01", b"", b"abc"])
metas = st.sampled_from([None, b"", b"m", bytes(513)])
versions = st.sampled_from([VERSIONS_METALLB, b"", b"\1\5\2", bytes(6), b"\1\5\2\2\5\4\7"])
plausible = st.one_of(
    st.builds(
        Alive, incarnation=uint32, node=names, addr=addresses, port=uint16, meta=metas, vsn=versions
    ),
    st.builds(Suspect, incarnation=uint32, node=names, sender=names),
    st.builds(Dead, incarnation=uint32, node=names, sender=names),
    st.builds(Ping, seq_no=uint32, node=names, source_addr=addresses, source_port=uint16),
    st.builds(AckResp, seq_no=st.integers(0, 5)),
)
rows = st.builds(
    PushNode,
    name=names,
    addr=addresses,
    port=uint16,
    meta=metas,
    incarnation=uint32,
    state=st.integers(0, 5),
    vsn=versions,
)
lists = st.builds(
    PushPull,
    join=st.booleans(),
    nodes=st.lists(rows, max_size=6).map(tuple),
    user_state=st.binary(),
)


def encode(outputs: list[Output]) -> None:
    """Encode what is to be sent, as the transport would."""
    for output in outputs:
        match output:
            case SendPacket():
                for datagram in Wire().encode_packet(output.messages, with_crc=output.with_crc):
                    assert len(datagram) <= 1500 or len(output.messages) == 1
            case ExchangeState():
                encode_stream(Wire(), output.request, dialled=True)
            case PingOverStream():
                encode_stream(Wire(), output.ping, dialled=True)
            case _:
                continue


@given(
    st.lists(
        st.one_of(packet_messages, plausible, push_pulls, lists, st.floats(0.0, 40.0)), max_size=25
    )
)
def test_nothing_that_decodes_does_harm(
    received: list[PacketMessage | PushPull | float],
) -> None:
    swim, now = make_swim("n1"), NOW
    encode(swim.start(now))

    for each in received:
        if isinstance(each, float):
            now += each
            encode(swim.tick(now))
        elif isinstance(each, PushPull):
            reply, outputs = swim.push_pull_requested(each, endpoint("n2"), now)
            encode_stream(Wire(), reply, dialled=False)
            encode(outputs)
        else:
            encode(swim.receive([each], endpoint("n2"), now))

    me = swim.member("n1")
    assert me is not None
    assert me.is_up
    assert me.endpoint == endpoint("n1")
    swim.tick(now)
    assert swim.next_wakeup() > now
