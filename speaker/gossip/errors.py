"""
What goes wrong with bytes from the network and with keys.

    GossipError
    ├── DecodeError   bytes we do not understand; counted by `reason`, the sender hears nothing
    │   └── TruncatedError  they end too early; on a stream more may come
    ├── ConfigError   a number of the configuration out of range
    ├── BindError     the address and port of the gossip sockets cannot be had
    ├── MessageTooLargeError  a user message that no datagram of ours holds
    └── KeyringError  a key that cannot be used: wrong length, not in the ring, still primary
"""

import enum


class Reason(enum.StrEnum):
    """Why bytes were refused; the label of the counter of refused bytes."""

    TRUNCATED = "truncated"  # ends inside a value
    BAD_TYPE = "bad_type"  # no message type of memberlist
    MISPLACED = "misplaced"  # a type that is not accepted in this place
    BAD_VALUE = "bad_value"  # a msgpack value of the wrong type or out of range
    BAD_NAME = "bad_name"  # a text that is not UTF-8
    TOO_LARGE = "too_large"  # over one of the bounds of `Limits`
    TOO_DEEP = "too_deep"  # wrappers nested deeper than `Limits` allows
    BAD_CRC = "bad_crc"  # CRC-32 mismatch
    BAD_COMPRESSION = "bad_compression"  # not LZW, or broken LZW
    BAD_LABEL = "bad_label"  # another ring's label, none where one is due, or a broken header
    BAD_ENCRYPTION = "bad_encryption"  # unknown version, broken padding
    WRONG_KEY = "wrong_key"  # none of our keys opens it
    NO_KEY = "no_key"  # encrypted, and we have no key
    NOT_ENCRYPTED = "not_encrypted"  # plain, and we demand encryption


class GossipError(Exception):
    """Anything this package raises on purpose."""


class DecodeError(GossipError):
    """Bytes that are refused. Decoders raise this and nothing else, whatever the bytes."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason


class TruncatedError(DecodeError):
    """The bytes end inside a value; at least `needed_bytes` of the buffer are needed."""

    def __init__(self, needed_bytes: int, message: str) -> None:
        super().__init__(Reason.TRUNCATED, message)
        self.needed_bytes = needed_bytes


class KeyringError(GossipError):
    """A key that cannot be used. The message never holds key bytes."""


class ConfigError(GossipError):
    """A number of the configuration that makes no sense; the message names it and the range."""


class MessageTooLargeError(GossipError):
    """A user message over the size a datagram has room for; the message gives both."""


class BindError(GossipError):
    """The sockets cannot be opened; the message names address, port and what to do."""
