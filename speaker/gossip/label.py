"""
The label of a ring: in clear before all else, so that rings on one network do not mix.

    offset  size  field
         0     1  0xf4
         1     1  n, length of the label, 1..255
         2     n  label

A ring without a label refuses labelled bytes and the other way round. In a stream only the
dialling side writes it; it is authenticated both ways.
"""

from typing import Final

from speaker.gossip.errors import DecodeError, Reason, TruncatedError
from speaker.gossip.messages import MessageType

MAX_LABEL_BYTES: Final = 255


def label_header(label: bytes) -> bytes:
    """What precedes the bytes of a ring with this label; nothing for the empty label."""
    if not label:
        return b""
    return bytes((MessageType.HAS_LABEL, len(label))) + label


def read_label(buffer: bytes | bytearray) -> tuple[bytes, int]:
    """
    The label at the start of `buffer` and the position after it; b"" and 0 when there is none.

    Raises TruncatedError when the header is cut off, DecodeError BAD_LABEL when its length is 0.
    """
    if not buffer or buffer[0] != MessageType.HAS_LABEL:
        return b"", 0
    if len(buffer) < 2:
        raise TruncatedError(2, "label header is cut off")
    size = buffer[1]
    if size == 0:
        raise DecodeError(Reason.BAD_LABEL, "label of 0 bytes, need 1..255")
    if len(buffer) < 2 + size:
        raise TruncatedError(2 + size, "label is cut off")
    return bytes(buffer[2 : 2 + size]), 2 + size


def check_label(found: bytes, own: bytes) -> None:
    """Raise DecodeError BAD_LABEL unless the label that came is our ring's."""
    if found != own:
        raise DecodeError(Reason.BAD_LABEL, f"label {found!r}, need {own!r}")
