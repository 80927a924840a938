"""
Read BTF, the kernel's description of C types, as it comes with every map of ours.

    offset  size  header (linux/btf.h, Documentation/bpf/btf.rst)
         0     2  magic, 0xeB9F
         2     1  version, 1
         3     1  flags
         4     4  hdr_len
         8     8  type_off, type_len: the types, from the header's end on
        16     8  str_off, str_len: names, NUL-terminated

Only what our maps are made of is understood: structs, enumerations, integers, arrays, and what
leads to them. Everything else is skipped by its length.
"""

import struct
from collections.abc import Iterator
from typing import Final

import attrs

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("<HBBIIIII")
_TYPE: Final = struct.Struct("<III")  # name_off, info, size or type
_ARRAY: Final = struct.Struct("<III")  # type, index type, count
_MEMBER: Final = struct.Struct("<III")  # name_off, type, offset in bits
_VALUE: Final = struct.Struct("<Ii")  # name_off, value

# linux/btf.h
_INT, _ARRAY_KIND, _STRUCT, _UNION, _ENUM = 1, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC_PROTO, _VAR, _DATASEC = 8, 9, 10, 11, 13, 14, 15
_DECL_TAG, _TYPE_TAG, _ENUM64 = 17, 18, 19
_ALIASES: Final = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})
_LAST_KIND: Final = _ENUM64
_MAX_DEPTH: Final = 16  # of types within types: C of ours needs 3
_MAX_LEAVES: Final = 512
_MAX_SIZE: Final = 1 << 20  # of a map's value
_EXTRA: Final = {  # octets that follow a type: fixed, and for each of `vlen`
    _INT: (4, 0),
    _ARRAY_KIND: (_ARRAY.size, 0),
    _STRUCT: (0, _MEMBER.size),
    _UNION: (0, _MEMBER.size),
    _ENUM: (0, _VALUE.size),
    _FUNC_PROTO: (0, 8),
    _VAR: (4, 0),
    _DATASEC: (0, 12),
    _DECL_TAG: (4, 0),
    _ENUM64: (0, 12),
}


class BtfError(Exception):
    """The octets are no BTF, or describe what no map of ours holds."""


@attrs.frozen
class Leaf:
    """A member without members of its own, or an array of such; both in bytes."""

    offset: int
    size: int


@attrs.frozen
class _Type:
    name: str
    kind: int
    is_bitfields: bool
    vlen: int
    size_or_type: int
    extra: int  # offset of what follows


@attrs.define
class Btf:
    """Types of one BTF object, by id from 1 on. Every method raises BtfError and nothing else."""

    data: bytes
    _types: list[_Type] = attrs.field(init=False, factory=list)
    _names: bytes = attrs.field(init=False, default=b"")

    @classmethod
    def parse(cls, data: bytes) -> "Btf":
        """Read a whole object."""
        self = cls(data)
        try:
            magic, version, _, header, types_at, types_len, names_at, names_len = (
                _HEADER.unpack_from(data)
            )
        except struct.error as exc:
            raise BtfError(f"BTF of {len(data)} octets") from exc
        if (magic, version) != (_MAGIC, 1) or header < _HEADER.size:
            raise BtfError(f"BTF magic {magic:#x} version {version}, need {_MAGIC:#x} version 1")
        start, end = header + types_at, header + types_at + types_len
        names = header + names_at
        if max(end, names + names_len) > len(data):
            raise BtfError(f"BTF cut off at {len(data)} octets")
        self._names = data[names : names + names_len]
        self._types = list(self._read(start, end))
        return self

    def _read(self, at: int, end: int) -> Iterator[_Type]:
        while at < end:
            name, info, size_or_type = _TYPE.unpack(self._cut(at, _TYPE.size, end))
            kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
            if not 0 < kind <= _LAST_KIND:
                raise BtfError(f"BTF kind {kind} at {at}, need 1 to {_LAST_KIND}")
            extra = at + _TYPE.size
            fixed, each = _EXTRA.get(kind, (0, 0))
            self._cut(extra, fixed + each * vlen, end)
            yield _Type(self._name(name), kind, bool(info >> 31), vlen, size_or_type, extra)
            at = extra + fixed + each * vlen

    def _cut(self, at: int, size: int, end: int) -> bytes:
        if at + size > end:
            raise BtfError(f"BTF type at {at} is cut off")
        return self.data[at : at + size]

    def _name(self, at: int) -> str:
        end = self._names.find(b"\0", at)
        if end < 0:
            raise BtfError(f"BTF name at {at} of {len(self._names)} octets has no end")
        return self._names[at:end].decode(errors="replace")

    def _type(self, number: int) -> _Type:
        """A type that is no alias."""
        for _ in range(_MAX_DEPTH):
            if not 0 < number <= len(self._types):
                raise BtfError(f"BTF type {number}, need 1 to {len(self._types)}")
            found = self._types[number - 1]
            if found.kind not in _ALIASES:
                return found
            number = found.size_or_type
        raise BtfError("BTF aliases without end")

    def leaves(self, number: int) -> dict[str, Leaf]:
        """
        Members of a struct by their path, such as `voice.state`; of any other type one, "".

        Arrays of integers are one leaf; bit fields, unions and arrays of structs are left out, so
        that whoever needs one finds it missing.
        """
        found: dict[str, Leaf] = {}
        self._walk(number, "", 0, _MAX_DEPTH, found)
        return found

    def _walk(self, number: int, path: str, at: int, depth: int, found: dict[str, Leaf]) -> None:
        if not depth or len(found) > _MAX_LEAVES:
            raise BtfError(f"BTF type too deep or too large at {path or 'its top'}")
        kind = self._type(number)
        if kind.kind != _STRUCT:
            if (size := self._size(number, depth)) is not None:
                found[path] = Leaf(at, size)
            return
        for n in range(kind.vlen):
            name, member, bits = _MEMBER.unpack_from(self.data, kind.extra + n * _MEMBER.size)
            if kind.is_bitfields and bits >> 24:
                continue
            bits &= 0xFFFFFF if kind.is_bitfields else 0xFFFFFFFF
            inner = f"{path}.{self._name(name)}" if path else self._name(name)
            if bits % 8 == 0:
                self._walk(member, inner, at + bits // 8, depth - 1, found)

    def _size(self, number: int, depth: int) -> int | None:
        """Of an integer, an enumeration, or an array of them; None for anything else."""
        found = self._type(number)
        if found.kind in {_INT, _ENUM, _ENUM64}:
            size = found.size_or_type
        elif found.kind == _ARRAY_KIND and depth:
            element, _, count = _ARRAY.unpack_from(self.data, found.extra)
            each = self._size(element, depth - 1)
            if each is None:
                return None
            size = each * count
        else:
            return None
        if size > _MAX_SIZE:
            raise BtfError(f"BTF size {size}, need at most {_MAX_SIZE}")
        return size

    def enumerators(self, name: str) -> dict[int, str]:
        """Names of an enumeration by value; {} when there is none of that name."""
        for found in self._types:
            if (found.name, found.kind) == (name, _ENUM):
                pairs = _VALUE.iter_unpack(
                    self.data[found.extra : found.extra + found.vlen * _VALUE.size]
                )
                return {value: self._name(at) for at, value in pairs}
        return {}
