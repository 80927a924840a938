"""
Errors of beats.

BeatError
    DecodeError    octets from the network that are no beat, or whose tag no key makes
    ConfigError    keys or values that cannot be used, from our own side
"""


class BeatError(Exception):
    """Any of the errors below."""


class DecodeError(BeatError):
    """Octets from the network that are no beat; the text says what is wrong and what is right."""


class ConfigError(BeatError):
    """A key or value that cannot be used."""
