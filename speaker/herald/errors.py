"""
Errors of the herald.

    HeraldError
    ├── DecodeError    octets from the link socket or the state directory that are not a message
    ├── StateError     the state directory is taken by another herald, or cannot be used
    └── LinkError      an interface or a raw socket that cannot be used; retried
"""


class HeraldError(Exception):
    """Base of this package's errors."""


class DecodeError(HeraldError):
    """Octets that are not what they should be; counted, never fatal."""


class StateError(HeraldError):
    """The state directory cannot be used by this process."""


class LinkError(HeraldError):
    """An interface that cannot carry announcements or probes now."""
