"""
The pinned maps of another layout version, read by the names of members.

What a value looks like is taken from the BTF that the kernel keeps with each map, so that any
version can read any other, older or younger, without a table of layouts.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Final, TypeVar

import attrs

from speaker.dataplane import counters
from speaker.dataplane.btf import Btf, BtfError, Leaf
from speaker.dataplane.errors import ApplyError
from speaker.dataplane.libbpf import Libbpf

NEEDED: Final = ("vips4", "vips6", "control", "cells")
E = TypeVar("E", bound=IntEnum)


class MigrationError(ApplyError):
    """The maps of another version cannot be taken over; the text says what is missing."""


@attrs.frozen
class ForeignMap:
    """One map, and how its values are made. Integers of it are little-endian."""

    libbpf: Libbpf
    name: str
    fd: int
    value_bytes: int
    entries: int
    leaves: Mapping[str, Leaf]

    def require(self, names: Iterable[str]) -> None:
        """Raise MigrationError unless it has all these members."""
        if missing := sorted(set(names) - self.leaves.keys()):
            raise MigrationError(f"map {self.name} has no {', '.join(missing)}")

    def values(self, first: int = 0, count: int | None = None) -> Iterator[tuple[int, bytes]]:
        """(index, octets) of entries of an array, in order."""
        end = self.entries if count is None else first + count
        for start, words in counters.read_raw(self.libbpf, self.fd, self.value_bytes):
            octets = words.tobytes()
            for index in range(
                max(start, first), min(start + len(octets) // self.value_bytes, end)
            ):
                at = (index - start) * self.value_bytes
                yield index, octets[at : at + self.value_bytes]

    def octets(self, value: bytes, name: str, size: int) -> bytes:
        """A member in `size` octets: zeroes where it is absent or shorter, else it has to fit."""
        leaf = self.leaves.get(name)
        if leaf is None:
            return bytes(size)
        found = value[leaf.offset : leaf.offset + leaf.size]
        if any(found[size:]):
            raise MigrationError(f"{name} of map {self.name} does not fit {size} octets")
        return found[:size].ljust(size, b"\0")

    def number(self, value: bytes, name: str) -> int:
        """A member as an integer, 0 where it is absent."""
        leaf = self.leaves.get(name)
        octets = b"" if leaf is None else value[leaf.offset : leaf.offset + leaf.size]
        return int.from_bytes(octets, "little")


@attrs.define
class ForeignMaps:
    """All maps of one version; a context, which closes their descriptors."""

    directory: Path
    maps: dict[str, ForeignMap]
    btf: Btf

    @classmethod
    def open(cls, libbpf: Libbpf, directory: Path) -> "ForeignMaps":
        """Open what is pinned in `directory`. Raises MigrationError, KernelError."""
        fds = {path.name: libbpf.get(path) for path in sorted(directory.iterdir())}
        try:
            infos = {name: libbpf.map_info(fd) for name, fd in fds.items()}
            if missing := set(NEEDED) - fds.keys():
                raise MigrationError(f"{directory} lacks {', '.join(sorted(missing))}")
            # A map that has grown came with another load of the object, and its BTF with it.
            types = {
                number: Btf.parse(libbpf.btf(number))
                for number in {info.btf_id for info in infos.values()}
                if number
            }
            maps = {
                name: ForeignMap(
                    libbpf,
                    name,
                    fd,
                    infos[name].value_size,
                    infos[name].max_entries,
                    types[infos[name].btf_id].leaves(infos[name].btf_value_type_id),
                )
                for name, fd in fds.items()
                if infos[name].btf_id and infos[name].btf_value_type_id
            }
            if missing := set(NEEDED) - maps.keys():
                raise MigrationError(f"no BTF of {', '.join(sorted(missing))} in {directory}")
            for found in maps.values():
                _check(found)
        except BtfError as exc:
            _close(fds.values())
            raise MigrationError(f"maps in {directory}: {exc}") from exc
        except BaseException:
            _close(fds.values())
            raise
        _close(fd for name, fd in fds.items() if name not in maps)
        return cls(directory, maps, types[infos["cells"].btf_id])

    def __enter__(self) -> "ForeignMaps":
        return self

    def __exit__(self, *_: object) -> None:
        _close(found.fd for found in self.maps.values())

    def members(self, name: str, prefix: str, ours: type[E]) -> dict[int, E]:
        """The enumeration `name` of theirs in members of ours, which have no `prefix`."""
        theirs = self.btf.enumerators(name)
        if not theirs:
            raise MigrationError(f"no enum {name} in the BTF of {self.directory}")
        known = {f"{prefix}{member.name}": member for member in ours}
        return {value: known[label] for value, label in theirs.items() if label in known}


def _check(found: ForeignMap) -> None:
    if found.value_bytes % 8 and found.name != "control":
        raise MigrationError(f"value of map {found.name} has {found.value_bytes} octets")
    for name, leaf in found.leaves.items():
        if leaf.offset + leaf.size > found.value_bytes:
            raise MigrationError(f"{name} lies beyond the value of map {found.name}")


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def read_one(found: ForeignMap) -> bytes:
    """The first entry of an array."""
    key, value = ctypes.c_uint32(0), ctypes.create_string_buffer(found.value_bytes)
    found.libbpf.call(
        f"read {found.name}", "bpf_map_lookup_elem", found.fd, ctypes.byref(key), value
    )
    return value.raw
