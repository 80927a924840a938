"""
What goes wrong between us and the kernel.

    ApplyError          bpffs, a privilege or an option refuses; the text says what would be right
    └── KernelError     a system call failed; `errno` says how
"""

import errno as codes
import os


class ApplyError(Exception):
    """The world refuses: retried by the caller, shown to the operator with its cause."""


class KernelError(ApplyError):
    """A system call or libbpf failed with `errno`; the text names what was tried."""

    def __init__(self, what: str, errno: int, hint: str = "") -> None:
        name = codes.errorcode.get(errno, str(errno))
        super().__init__(f"{what}: {os.strerror(errno)} ({name}){': ' + hint if hint else ''}")
        self.errno = errno
