"""
How a process of ours ends: exit codes after sysexits(3), told to people and supervisors.

    code  name         meaning                                                tried again?
       0  OK           asked to stop, and done                                no
      64  USAGE        a flag is wrong                                        no
      69  UNAVAILABLE  a port or the state directory is taken                 once it was ready
      70  SOFTWARE     a bug of ours; the traceback is in the log             yes
      71  OS_ERROR     the kernel refuses: bpffs, BPF program, raw socket     once it was ready
      76  NAME_TAKEN   another live node has our name; it answers, we must not  no
      77  NO_PERM      a capability is missing                                once it was ready
      78  CONFIG       a file that a flag names is wrong                      once it was ready

A process that was ready before is started again with back-off. One that fails so before it was
ever ready ends the speaker with the same code, so that the fault is seen where it is. A name that
is taken ends it at any time: coming back under it could only harm the other node.
"""

import enum


class ExitCode(enum.IntEnum):
    """See the table above."""

    OK = 0
    USAGE = 64
    UNAVAILABLE = 69
    SOFTWARE = 70
    OS_ERROR = 71
    NAME_TAKEN = 76  # EX_PROTOCOL
    NO_PERM = 77
    CONFIG = 78


FATAL_ALWAYS = frozenset({ExitCode.NAME_TAKEN})
FATAL_AT_START = FATAL_ALWAYS | frozenset(
    {
        ExitCode.USAGE,
        ExitCode.UNAVAILABLE,
        ExitCode.OS_ERROR,
        ExitCode.NO_PERM,
        ExitCode.CONFIG,
    }
)


class FatalError(Exception):
    """Ends a process with `code` and one event that says why and what would be right."""

    def __init__(self, code: ExitCode, event: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.event = event


def fatal_in(group: BaseExceptionGroup[BaseException]) -> FatalError | None:
    """Return the first FatalError of a group that holds nothing else; None: there is a bug."""
    fatal, others = group.split(FatalError)
    if fatal is None or others is not None:
        return None
    first: BaseException = fatal
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, FatalError)
    return first
