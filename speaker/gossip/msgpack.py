"""
The msgpack of memberlist: the old specification out, every form in.

Written are only nil, bool, the shortest unsigned integer and raw (fixraw, raw16, raw32), which is
what go-msgpack's defaults write and all its versions read; never str8, bin or ext. Read is what
any go-msgpack accepts besides: str8, bin, every integer form.

A reader takes a buffer and a position and returns the value and the position after it. It raises
TruncatedError when the buffer ends too early, else DecodeError, and copies nothing that is not
in the buffer. Sources: the msgpack specification; go-msgpack 0.5.5 and 2.1.1 by observation.
"""

import struct
from typing import Final

from speaker.gossip.errors import DecodeError, Reason, TruncatedError

Buffer = bytes | bytearray

NIL: Final = b"\xc0"
FALSE: Final = b"\xc2"
TRUE: Final = b"\xc3"

_RAW = {
    0xC4: struct.Struct(">B"),  # bin8
    0xC5: struct.Struct(">H"),  # bin16
    0xC6: struct.Struct(">I"),  # bin32
    0xD9: struct.Struct(">B"),  # str8
    0xDA: struct.Struct(">H"),  # raw16, str16
    0xDB: struct.Struct(">I"),  # raw32, str32
}
_INTEGERS = {
    0xCC: struct.Struct(">B"),
    0xCD: struct.Struct(">H"),
    0xCE: struct.Struct(">I"),
    0xCF: struct.Struct(">Q"),
    0xD0: struct.Struct(">b"),
    0xD1: struct.Struct(">h"),
    0xD2: struct.Struct(">i"),
    0xD3: struct.Struct(">q"),
}
_CONTAINERS = {  # tag: (elements per entry, length of the count)
    0xDC: (1, struct.Struct(">H")),  # array16
    0xDD: (1, struct.Struct(">I")),  # array32
    0xDE: (2, struct.Struct(">H")),  # map16
    0xDF: (2, struct.Struct(">I")),  # map32
}
_FIXED = {  # tag: bytes after it, for what is only ever skipped
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,  # float32
    0xCB: 8,  # float64
    0xD4: 2,  # fixext 1, 2, 4, 8, 16: a type byte and the data
    0xD5: 3,
    0xD6: 5,
    0xD7: 9,
    0xD8: 17,
}
_EXT = {0xC7: struct.Struct(">B"), 0xC8: struct.Struct(">H"), 0xC9: struct.Struct(">I")}

MAX_SKIPPED: Final = 1024  # elements of one value nobody asked for; bounds the work of a retry


def _unpack(form: struct.Struct, buffer: Buffer, pos: int) -> int:
    """The integer at `pos`; TruncatedError when it is cut off."""
    if pos + form.size > len(buffer):
        raise TruncatedError(pos + form.size, "ends inside an integer")
    value: int = form.unpack_from(buffer, pos)[0]
    return value


def _tag(buffer: Buffer, pos: int) -> int:
    if pos >= len(buffer):
        raise TruncatedError(pos + 1, "ends before a value")
    return buffer[pos]


def read_octets(buffer: Buffer, pos: int) -> tuple[bytes | None, int]:
    """Raw, str or bin as bytes; None for nil."""
    tag = _tag(buffer, pos)
    start = pos + 1
    if 0xA0 <= tag <= 0xBF:
        end = start + (tag & 0x1F)
    elif tag == 0xC0:
        return None, start
    elif form := _RAW.get(tag):
        size = _unpack(form, buffer, start)
        start += form.size
        end = start + size
    else:
        raise DecodeError(Reason.BAD_VALUE, f"msgpack tag 0x{tag:02x}, need raw")
    if end > len(buffer):
        raise TruncatedError(end, f"raw of {end - start} bytes is cut off")
    return bytes(buffer[start:end]), end


def read_text(buffer: Buffer, pos: int) -> tuple[str, int]:
    """Raw, str or bin as UTF-8 text; "" for nil, as Go's zero value."""
    octets, pos = read_octets(buffer, pos)
    if not octets:
        return "", pos
    try:
        return octets.decode(), pos
    except UnicodeDecodeError as exc:
        raise DecodeError(Reason.BAD_NAME, f"text {octets[:64]!r} is not UTF-8") from exc


def read_integer(buffer: Buffer, pos: int, most: int) -> tuple[int, int]:
    """An integer of 0..most in any form; 0 for nil, as Go's zero value."""
    tag = _tag(buffer, pos)
    pos += 1
    if tag <= 0x7F:
        value = tag
    elif form := _INTEGERS.get(tag):
        value = _unpack(form, buffer, pos)
        pos += form.size
    elif tag == 0xC0:
        value = 0
    elif tag >= 0xE0:
        value = tag - 0x100
    else:
        raise DecodeError(Reason.BAD_VALUE, f"msgpack tag 0x{tag:02x}, need an integer")
    if not 0 <= value <= most:
        raise DecodeError(Reason.BAD_VALUE, f"integer {value}, need 0..{most}")
    return value, pos


def read_boolean(buffer: Buffer, pos: int) -> tuple[bool, int]:
    """A boolean, or 0 or 1, which go-msgpack takes for one; False for nil."""
    tag = _tag(buffer, pos)
    if tag in {0xC3, 0x01}:
        return True, pos + 1
    if tag in {0xC2, 0xC0, 0x00}:
        return False, pos + 1
    raise DecodeError(Reason.BAD_VALUE, f"msgpack tag 0x{tag:02x}, need a boolean")


def read_struct_header(buffer: Buffer, pos: int) -> tuple[bool, int, int]:
    """Whether a struct comes as an array, its number of entries, and where they begin."""
    tag = _tag(buffer, pos)
    pos += 1
    if 0x80 <= tag <= 0x8F:
        return False, tag & 0x0F, pos
    if 0x90 <= tag <= 0x9F:
        return True, tag & 0x0F, pos
    if container := _CONTAINERS.get(tag):
        per_entry, form = container
        return per_entry == 1, _unpack(form, buffer, pos), pos + form.size
    raise DecodeError(Reason.BAD_VALUE, f"msgpack tag 0x{tag:02x}, need a map or an array")


def skip(buffer: Buffer, pos: int, values: int = 1) -> int:
    """
    The position after `values` values of any kind, nested ones included.

    Walks without recursion. DecodeError TOO_LARGE past MAX_SKIPPED elements.
    """
    pending = values
    walked = 0
    while pending:
        walked += 1
        if walked > MAX_SKIPPED or pending > MAX_SKIPPED:
            raise DecodeError(Reason.TOO_LARGE, f"more than {MAX_SKIPPED} elements to skip")
        pending -= 1
        tag = _tag(buffer, pos)
        pos += 1
        if tag <= 0x7F or tag >= 0xE0:
            continue
        if tag <= 0x8F:
            pending += 2 * (tag & 0x0F)
        elif tag <= 0x9F:
            pending += tag & 0x0F
        elif tag in _CONTAINERS:
            per_entry, form = _CONTAINERS[tag]
            pending += per_entry * _unpack(form, buffer, pos)
            pos += form.size
        else:
            pos = _skip_scalar(buffer, pos, tag)
            if pos > len(buffer):
                raise TruncatedError(pos, "a skipped value is cut off")
    return pos


def _skip_scalar(buffer: Buffer, pos: int, tag: int) -> int:
    """The position after the scalar of `tag`, whose tag is read; may lie past the end."""
    if tag <= 0xBF:
        return pos + (tag & 0x1F)
    if form := _RAW.get(tag):
        return pos + form.size + _unpack(form, buffer, pos)
    if form := _EXT.get(tag):
        return pos + form.size + 1 + _unpack(form, buffer, pos)
    if form := _INTEGERS.get(tag):
        return pos + form.size
    if (size := _FIXED.get(tag)) is not None:
        return pos + size
    raise DecodeError(Reason.BAD_VALUE, f"msgpack tag 0x{tag:02x} is reserved")


def write_octets(value: bytes | None) -> bytes:
    """Raw; nil for None."""
    if value is None:
        return NIL
    size = len(value)
    if size <= 0x1F:
        return bytes((0xA0 | size,)) + value
    if size <= 0xFFFF:
        return b"\xda" + size.to_bytes(2) + value
    return b"\xdb" + size.to_bytes(4) + value


def write_octets_or_nil(value: bytes) -> bytes:
    """Raw; nil when empty: an address or version list that Go left unset."""
    return write_octets(value) if value else NIL


def write_text(value: str) -> bytes:
    """Raw of the UTF-8 text."""
    return write_octets(value.encode())


def write_integer(value: int) -> bytes:
    """The shortest unsigned form of 0..2^64-1."""
    if value <= 0x7F:
        return value.to_bytes(1)
    if value <= 0xFF:
        return b"\xcc" + value.to_bytes(1)
    if value <= 0xFFFF:
        return b"\xcd" + value.to_bytes(2)
    if value <= 0xFFFF_FFFF:
        return b"\xce" + value.to_bytes(4)
    return b"\xcf" + value.to_bytes(8)


def write_boolean(value: bool) -> bytes:
    """True or false."""
    return TRUE if value else FALSE
