"""Two namespaces with a veth pair between them, and a way to stand in one of them."""

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

_CLONE_NEWNET = 0x4000_0000  # sched.h
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


@attrs.frozen
class Pair:
    """Namespaces `near` and `far`, each with one end of the cable, both called eth0."""

    near: str
    far: str
    near_ifindex: int
    far_ifindex: int


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, check=True, text=True)
    return done.stdout


def _setns(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(handle)


@contextmanager
def standing_in(name: str) -> Iterator[None]:
    """Run the calling thread in namespace `name`; sockets and links made there stay there."""
    home = f"/proc/{os.getpid()}/fd/{(handle := os.open('/proc/thread-self/ns/net', os.O_RDONLY))}"
    try:
        _setns(f"/run/netns/{name}")
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(handle)


@contextmanager
def pair() -> Iterator[Pair]:
    """Make both namespaces, delete them whatever happens."""
    stem = f"st-b{os.getpid()}-{next(_numbers)}"
    names = [f"{stem}-near", f"{stem}-far"]
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip(
            *("link", "add", "eth0", "netns", names[0], "type", "veth"),
            *("peer", "name", "eth0", "netns", names[1]),
        )
        for name in names:
            _ip("-n", name, "link", "set", "eth0", "up")
        yield Pair(names[0], names[1], _ifindex(names[0]), _ifindex(names[1]))
    finally:
        for name in names:
            if Path(f"/run/netns/{name}").exists():
                _ip("netns", "del", name)


def _ifindex(name: str) -> int:
    return int(_ip("-n", name, "-o", "link", "show", "eth0").split(":")[0])
