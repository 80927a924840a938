"""Strategies for gossip messages and rings, and the Go names of their fields."""

from typing import Any

from hypothesis import strategies as st

from speaker.gossip.codec import LAYOUTS, encode_message
from speaker.gossip.keyring import Keyring
from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    Err,
    IndirectPing,
    MessageType,
    NackResp,
    PacketMessage,
    Ping,
    PushNode,
    PushPull,
    StreamMessage,
    Suspect,
    User,
)
from speaker.gossip.wire import Wire

uint16 = st.integers(0, 0xFFFF)
uint32 = st.one_of(st.integers(0, 0xFFFF_FFFF), st.sampled_from([0, 127, 128, 255, 256, 65_536]))
names = st.one_of(st.text(max_size=40), st.sampled_from(["", "a" * 31, "a" * 32, "ä" * 16]))
octets = st.one_of(st.binary(max_size=40), st.sampled_from([b"\0" * 4, b"\0" * 16, b"m" * 512]))
nilable = st.one_of(st.none(), octets)

pings = st.builds(
    Ping,
    seq_no=uint32,
    node=names,
    source_addr=octets,
    source_port=uint16,
    source_node=names,
)
indirect_pings = st.builds(
    IndirectPing,
    seq_no=uint32,
    target=octets,
    port=uint16,
    node=names,
    nack=st.booleans(),
    source_addr=octets,
    source_port=uint16,
    source_node=names,
)
acks = st.builds(AckResp, seq_no=uint32, payload=nilable)
users = st.builds(User, payload=octets)
accusations: st.SearchStrategy[Suspect | Dead] = st.one_of(
    st.builds(Suspect, incarnation=uint32, node=names, sender=names),
    st.builds(Dead, incarnation=uint32, node=names, sender=names),
)
alives = st.builds(
    Alive, incarnation=uint32, node=names, addr=octets, port=uint16, meta=nilable, vsn=octets
)
packet_messages: st.SearchStrategy[PacketMessage] = st.one_of(
    pings, indirect_pings, acks, st.builds(NackResp, seq_no=uint32), accusations, alives, users
)
push_nodes = st.builds(
    PushNode,
    name=names,
    addr=octets,
    port=uint16,
    meta=nilable,
    incarnation=uint32,
    state=st.integers(0, 300),
    vsn=octets,
)
push_pulls = st.builds(
    PushPull,
    join=st.booleans(),
    nodes=st.lists(push_nodes, max_size=5).map(tuple),
    user_state=octets,
)
errors = st.builds(Err, error=names)
stream_messages: st.SearchStrategy[StreamMessage] = st.one_of(
    pings, acks, push_pulls, users, errors
)

keys = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
rings = st.builds(
    Wire,
    keyring=st.one_of(st.none(), keys.map(Keyring.of)),
    label=st.one_of(st.just(b""), st.binary(min_size=1, max_size=255)),
    encryption_version=st.sampled_from([0, 1]),
    verify_incoming=st.booleans(),
    compression=st.booleans(),
)


def go_fields(message: PacketMessage | Err) -> dict[str, Any]:
    """The fields of a message under their Go names, in Go's declaration order."""
    layout = LAYOUTS[MessageType(encode_message(message)[0])]
    return {field.key: getattr(message, field.attribute) for field in layout.fields}
