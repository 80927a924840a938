"""
What can go wrong between us and where the objects live.

    ClusterError
      ApplyError    status could not be written; worth another try

Bad objects are no errors here but findings: they never stop what is good.
"""


class ClusterError(Exception):
    """Anything this package raises on purpose."""


class ApplyError(ClusterError):
    """A status that could not be written; the message holds the path and the cause."""
