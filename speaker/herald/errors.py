"""
Errors of the herald.

    HeraldError
    ├── DecodeError    octets from the link socket or the state directory that are not a message
    └── LinkError      an interface or a raw socket that cannot be used; retried
"""


class HeraldError(Exception):
    """Base of this package's errors."""


class DecodeError(HeraldError):
    """Octets that are not what they should be; counted, never fatal."""


class LinkError(HeraldError):
    """An interface that cannot carry announcements or probes now."""
