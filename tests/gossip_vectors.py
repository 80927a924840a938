"""
Check the gossip codec against bytes captured from real members.

    python -m tests.gossip_vectors FILE...

Each vector is decoded to its `messages`. Where it came from an encoder that writes as ours does
(sorted keys, shortest unsigned integers: the msgpack package is asked, not the codec) it is also
written again, wrappers included, with the nonce it came with, and must be the same to the byte.
LZW goes both ways, keys are derived. Prints a line for each vector that fails, and last
`N passed, M failed`; exit status 1 if any failed, 2 for a file that cannot be read.
"""

import json
import re
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import msgpack

from speaker.gossip import compound, crypto, lzw
from speaker.gossip.codec import COMPRESSED, decode_struct, decompress, encode_message
from speaker.gossip.errors import DecodeError
from speaker.gossip.keyring import Keyring, derive_metallb_key
from speaker.gossip.label import read_label
from speaker.gossip.messages import MessageType, PushPull, StreamMessage
from speaker.gossip.stream import (
    FRAME_HEADER_BYTES,
    StreamReader,
    encode_plain,
    encode_stream,
)
from speaker.gossip.wire import Wire
from tests.gossip_descriptions import describe

Vector = dict[str, Any]
LIMIT_BYTES = 1 << 20
SENDER_ORDER = re.compile(
    r"(label\S+ )?(encrypted\S+ )?(?P<crc>crc32\S+ )?(?P<lzw>lzw\S+ )?(?P<compound>compound\S+ )?"
)
"""Wrappers as one sender puts them on, outermost first, each followed by a space."""


def check_vector(vector: Vector) -> None:
    """Raise AssertionError or DecodeError unless the codec agrees with `vector`."""
    data = bytes.fromhex(vector["hex"])
    assert len(data) == vector["len"], f"hex has {len(data)} bytes, len says {vector['len']}"
    match vector["kind"]:
        case "packet" | "stream" if vector.get("expect_error"):
            check_refused(vector, data)
        case "packet":
            check_packet(vector, data)
        case "stream":
            check_stream(vector, data)
        case "lzw" | "lzw-digest":
            check_lzw(vector, data)
        case "key":
            expect(data, derive_metallb_key(vector["secret"].encode(), vector["len"]), "key")
        case kind:
            raise AssertionError(f"kind {kind!r} is unknown")


def check_refused(vector: Vector, data: bytes) -> None:
    """All of it is refused."""
    wire = ring_of(vector, data)
    try:
        if vector["kind"] == "packet":
            found: object = wire.decode_packet(data)
        else:
            found = read([data], wire, accepted=not vector.get("reply", False))
    except DecodeError:
        return
    raise AssertionError(f"decoded to {found}, must be refused")


def check_packet(vector: Vector, data: bytes) -> None:
    """The datagram holds the messages under the layers, and they make the datagram."""
    wire = ring_of(vector, data)

    packet = wire.decode_packet(data)

    expect(vector["messages"], [describe(message) for message in packet.messages], "messages")
    expect((), packet.refused, "refused")
    layers, leaves = peel_packet(wire, data)
    expect(vector["layers"], layers, "layers")
    ours = [encode_message(message) for message in packet.messages]
    alike = [is_written_alike(*pair) for pair in zip(leaves, ours, strict=True)]
    for leaf, own, same in zip(leaves, ours, alike, strict=True):
        if same:
            expect(leaf.hex(), own.hex(), "message written again")
    order = SENDER_ORDER.fullmatch("".join(f"{layer} " for layer in layers))
    if all(alike) and order and bool(order["compound"]) == (len(leaves) > 1):
        wire = attrs.evolve(wire, compression=bool(order["lzw"]))
        written = wire.encode_packet(packet.messages, with_crc=bool(order["crc"]))
        expect([data.hex()], [datagram.hex() for datagram in written], "datagram written again")


def check_stream(vector: Vector, data: bytes) -> None:
    """The stream holds the message, in one piece or byte by byte, and the message makes it."""
    accepted = not vector.get("reply", False)
    wire = ring_of(vector, data)
    plain = bytes.fromhex(vector["plain"])

    message = read([data], wire, accepted=accepted)

    pieces = [data[i : i + 1] for i in range(len(data))]
    expect(message, read(pieces, wire, accepted=accepted), "message byte by byte")
    expect(message, read([plain], Wire(), accepted=True), "message of the plain stream")
    if vector["decode"]:
        expect(vector["messages"], [describe(message)], "messages")
    nodes = len(message.nodes) if isinstance(message, PushPull) else 0
    if is_written_alike(plain, encode_plain(message), structs=1 + nodes):
        expect(plain.hex(), encode_plain(message).hex(), "message written again")
        wire = attrs.evolve(wire, compression=any("lzw" in layer for layer in vector["layers"]))
        written = encode_stream(wire, message, dialled=accepted)
        expect(data.hex(), written.hex(), "stream written again")


def check_lzw(vector: Vector, data: bytes) -> None:
    """LZW gives the same both ways."""
    plain = lzw.decompress(data, LIMIT_BYTES)

    if vector["kind"] == "lzw":
        expect(vector["plain"], plain.hex(), "plain")
    else:
        expect(vector["plain_len"], len(plain), "plain_len")
        expect(vector["plain_sha256"], sha256(plain).hexdigest(), "plain_sha256")
    expect(data.hex(), lzw.compress(plain).hex(), "compressed again")


def ring_of(vector: Vector, data: bytes) -> Wire:
    """The ring a vector was captured on, which encrypts with the nonce `data` came with."""
    label = vector.get("label", "").encode()
    if "key" not in vector:
        return Wire(label=label)
    _, start = read_label(data)
    if vector["kind"] == "stream":
        start += FRAME_HEADER_BYTES
    nonce = data[start + 1 : start + 1 + crypto.NONCE_BYTES]
    return Wire(
        keyring=Keyring.of(bytes.fromhex(vector["key"])),
        label=label,
        encryption_version=int.from_bytes(data[start : start + 1]),
        make_nonce=lambda size: nonce[:size],
    )


def peel_packet(wire: Wire, data: bytes) -> tuple[list[str], list[bytes]]:
    """The names of a datagram's layers and the messages under them, as bytes."""
    layers = []
    label, start = read_label(data)
    data = data[start:]
    if label:
        layers.append(f"label('{label.decode()}')")
    if wire.keyring:
        layers.append(f"encrypted(v{data[0]})")
        data = crypto.unseal(wire.keyring, data, label)
    if data[0] == MessageType.HAS_CRC:
        layers.append(f"crc32({data[1:5].hex()})")
        data = data[5:]
    inner, leaves = peel_wrappers(data)
    return layers + inner, leaves


def peel_wrappers(data: bytes) -> tuple[list[str], list[bytes]]:
    """The layers of nested compressions and compounds, outermost first, and what they hold."""
    if data[0] == MessageType.COMPRESS:
        wrapper, _ = decode_struct(COMPRESSED, data, 1)
        plain = decompress(wrapper, LIMIT_BYTES)
        layers, leaves = peel_wrappers(plain)
        return [f"lzw({len(wrapper.buf)}->{len(plain)})", *layers], leaves
    if data[0] == MessageType.COMPOUND:
        parts, _ = compound.split_parts(data)
        peeled = [peel_wrappers(part) for part in parts]
        layers = [layer for inner, _ in peeled for layer in inner]
        return [f"compound({data[1]})", *layers], [leaf for _, some in peeled for leaf in some]
    return [], [data]


def read(pieces: Sequence[bytes], wire: Wire, *, accepted: bool) -> StreamMessage:
    """The one message of a stream that arrives in `pieces`."""
    reader = StreamReader(wire, accepted=accepted)
    for piece in pieces:
        reader.feed(piece)
    message = reader.finish()
    assert message is not None, "the stream holds no message"
    expect(0, reader.trailing_bytes, "trailing bytes")
    return message


def is_written_alike(theirs: bytes, ours: bytes, structs: int = 1) -> bool:
    """
    Whether their encoder writes as ours: the msgpack package would write the first `structs`
    maps of `theirs` to the same bytes, keys sorted, and each has the keys that `ours` has.
    """
    if theirs[0] == MessageType.USER:
        return True
    unpackers = []
    for message in (theirs, ours):
        unpackers.append(msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=0))
        unpackers[-1].feed(message[1:])
    for _ in range(structs):
        start = unpackers[0].tell()
        their_map, our_map = (unpacker.unpack() for unpacker in unpackers)
        raw = theirs[1 + start : 1 + unpackers[0].tell()]
        canonical = msgpack.packb(dict(sorted(their_map.items())), use_bin_type=False)
        if canonical != raw or their_map.keys() != our_map.keys():
            return False
    return True


def expect(expected: object, actual: object, what: str) -> None:
    """Raise AssertionError that shows both, unless they are equal."""
    assert expected == actual, f"{what}: expected {expected!r}, got {actual!r}"


def check_file(path: Path) -> tuple[int, list[str]]:
    """How many vectors of a file pass, and a line for each that does not."""
    failures = []
    vectors = json.loads(path.read_text())["vectors"]
    for vector in vectors:
        try:
            check_vector(vector)
        except Exception as exc:  # whatever the codec lets out fails this vector, not the run
            failures.append(f"{vector.get('id', '?')}: {type(exc).__name__}: {exc}")
    return len(vectors) - len(failures), failures


def main(paths: Sequence[str]) -> int:
    """Check each file and print the outcome; the exit status."""
    if not paths:
        print("usage: python -m tests.gossip_vectors FILE...", file=sys.stderr)
        return 2
    passed, failures = 0, []
    for path in paths:
        try:
            good, bad = check_file(Path(path))
        except (OSError, ValueError, KeyError, TypeError) as exc:
            print(f"{path}: not a file of vectors: {exc!r}", file=sys.stderr)
            return 2
        passed += good
        failures += bad
    for failure in failures:
        print(failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
