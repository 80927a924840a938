"""Beats: signed requests that another node's BPF program reflects. Pure: no sockets, no clock."""

from speaker.beats.errors import BeatError, ConfigError, DecodeError
from speaker.beats.keys import Keys, beat_key, keys_of
from speaker.beats.wire import (
    BEAT_BYTES,
    ETHERTYPE,
    HOP_LIMIT,
    PORT,
    BeatReply,
    BeatRequest,
    BeatState,
    decode,
    encode_reply,
    encode_request,
)

__all__ = [
    "BEAT_BYTES",
    "ETHERTYPE",
    "HOP_LIMIT",
    "PORT",
    "BeatError",
    "BeatReply",
    "BeatRequest",
    "BeatState",
    "ConfigError",
    "DecodeError",
    "Keys",
    "beat_key",
    "decode",
    "encode_reply",
    "encode_request",
    "keys_of",
]
