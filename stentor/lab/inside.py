"""Sockets in the network namespace of another host: a socket stays where it was made."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stentor.lab.errors import LabError

_CLONE_NEWNET = 0x40000000  # sched.h


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in a named network namespace inside the `with` block. Raises LabError."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = Path("/proc/thread-self/ns/net")
    with own.open("rb") as back, Path("/run/netns", namespace).open("rb") as there:
        _enter(libc, there.fileno(), namespace)
        try:
            yield
        finally:
            _enter(libc, back.fileno(), "our own namespace again")


def _enter(libc: ctypes.CDLL, namespace_fd: int, name: str) -> None:
    if libc.setns(namespace_fd, _CLONE_NEWNET):
        raise LabError(f"cannot enter {name}: {os.strerror(ctypes.get_errno())}")
