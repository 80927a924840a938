"""
libbpf through `bcc.lib`: exactly the functions used here, with their types.

`libbcc.so.0` is linked to libbpf, so its symbols resolve through the same handle. Debian's
libbcc also drags in LLVM (about 60 MB resident), of which nothing here is used: where
`scripts/build_bcc_shim` has made a libbcc.so.0 without it, that one is loaded first, and
`import bcc` finds it by its soname.
"""

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

from speaker.dataplane.errors import ApplyError, KernelError

# linux/bpf.h
PROG_TYPE_XDP = 6
ATTACH_XDP = 37
ATTACH_TCX_INGRESS = 46
LINK_TYPE_XDP = 6
LINK_TYPE_TCX = 11
TC_INGRESS = 1  # enum bpf_tc_attach_point
TC_F_REPLACE = 1
XDP_FLAGS_SKB_MODE = 1 << 1
XDP_FLAGS_DRV_MODE = 1 << 2

_WARNINGS_KEPT = 6
_SHIMS = (
    Path(__file__).with_name("objects") / "libbcc.so.0",
    Path("/usr/lib/stentor/libbcc.so.0"),
)
_PRINT_FN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
SAMPLE_FN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class TcHook(ctypes.Structure):
    """`struct bpf_tc_hook`."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
    )


class TcOpts(ctypes.Structure):
    """`struct bpf_tc_opts`."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    )


class LinkCreateOpts(ctypes.Structure):
    """The head of `struct bpf_link_create_opts`, which is all that XDP and tcx use."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("flags", ctypes.c_uint32),
        ("iter_info", ctypes.c_void_p),
        ("iter_info_len", ctypes.c_uint32),
        ("target_btf_id", ctypes.c_uint32),
    )


class MapInfo(ctypes.Structure):
    """The head of `struct bpf_map_info`."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("btf_vmlinux_value_type_id", ctypes.c_uint32),
        ("netns_dev", ctypes.c_uint64),
        ("netns_ino", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),  # 0 = none
        ("btf_key_type_id", ctypes.c_uint32),
        ("btf_value_type_id", ctypes.c_uint32),
    )


class BtfInfo(ctypes.Structure):
    """The head of `struct bpf_btf_info`. `size` is in: room at `data`, out: octets there are."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("size", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
    )


class LinkInfo(ctypes.Structure):
    """`struct bpf_link_info` for XDP and tcx links."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 64),
    )


class ProgInfo(ctypes.Structure):
    """The head of `struct bpf_prog_info`."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
    )


class RunOpts(ctypes.Structure):
    """`struct bpf_test_run_opts` of libbpf 1.1."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


_P = ctypes.c_void_p
_I = ctypes.c_int
_S = ctypes.c_char_p
_U = ctypes.c_uint32
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_set_print": (_P, (_P,)),
    "bpf_object__open_file": (_P, (_S, _P)),
    "bpf_object__load": (_I, (_P,)),
    "bpf_object__close": (None, (_P,)),
    "bpf_object__find_map_by_name": (_P, (_P, _S)),
    "bpf_object__find_program_by_name": (_P, (_P, _S)),
    "bpf_object__next_map": (_P, (_P, _P)),
    "bpf_map__name": (_S, (_P,)),
    "bpf_map__fd": (_I, (_P,)),
    "bpf_map__max_entries": (_U, (_P,)),
    "bpf_map__value_size": (_U, (_P,)),
    "bpf_map__reuse_fd": (_I, (_P, _I)),
    "bpf_map__set_max_entries": (_I, (_P, _U)),
    "bpf_map__set_value_size": (_I, (_P, _U)),
    "bpf_map__initial_value": (_P, (_P, ctypes.POINTER(ctypes.c_size_t))),
    "bpf_program__fd": (_I, (_P,)),
    "bpf_obj_pin": (_I, (_I, _S)),
    "bpf_obj_get": (_I, (_S,)),
    "bpf_obj_get_info_by_fd": (_I, (_I, _P, ctypes.POINTER(ctypes.c_uint32))),
    "bpf_btf_get_fd_by_id": (_I, (_U,)),
    "bpf_map_update_elem": (_I, (_I, _P, _P, ctypes.c_uint64)),
    "bpf_map_lookup_elem": (_I, (_I, _P, _P)),
    "bpf_map_lookup_batch": (_I, (_I, _P, _P, _P, _P, ctypes.POINTER(ctypes.c_uint32), _P)),
    "bpf_map_update_batch": (_I, (_I, _P, _P, ctypes.POINTER(ctypes.c_uint32), _P)),
    "bpf_prog_test_run_opts": (_I, (_I, _P)),
    "bpf_link_create": (_I, (_I, _I, _I, _P)),
    "bpf_link_update": (_I, (_I, _I, _P)),
    "bpf_link_detach": (_I, (_I,)),
    "bpf_xdp_query_id": (_I, (_I, _I, ctypes.POINTER(ctypes.c_uint32))),
    "bpf_tc_hook_create": (_I, (_P,)),
    "bpf_tc_attach": (_I, (_P, _P)),
    "bpf_tc_detach": (_I, (_P, _P)),
    "bpf_tc_query": (_I, (_P, _P)),
    "libbpf_num_possible_cpus": (_I, ()),
    "ring_buffer__new": (_P, (_I, SAMPLE_FN, _P, _P)),
    "ring_buffer__free": (None, (_P,)),
    "ring_buffer__epoll_fd": (_I, (_P,)),
    "ring_buffer__consume": (_I, (_P,)),
}


def _preload_shim() -> str:
    """Load a libbcc.so.0 without LLVM where there is one; returns its path or ""."""
    for path in _SHIMS:
        if path.exists():
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL, use_errno=True)
            return str(path)
    return ""


class Libbpf:
    """The functions of libbpf, checked: a failure is a KernelError with libbpf's own words."""

    def __init__(self) -> None:
        try:
            self.shim = _preload_shim()
            from bcc.libbcc import lib  # noqa: PLC0415 - after the shim, or LLVM comes along
        except (ImportError, OSError) as exc:
            raise ApplyError(
                f"bcc cannot be loaded ({exc}): install Debian's python3-bpfcc "
                "(the PyPI package called bcc is something else)"
            ) from exc
        self.lib: Any = lib
        for name, (restype, argtypes) in _SIGNATURES.items():
            function = getattr(lib, name)
            function.restype = restype
            function.argtypes = argtypes
        self._warnings: list[str] = []
        self._format: Any = ctypes.CDLL(None).vsnprintf
        self._format.argtypes = (_P, ctypes.c_size_t, _S, _P)
        self._print = _PRINT_FN(self._note)
        lib.libbpf_set_print(ctypes.cast(self._print, _P))

    def _note(self, level: int, form: bytes, arguments: int) -> int:
        if level == 0:  # LIBBPF_WARN
            text = ctypes.create_string_buffer(512)
            self._format(text, len(text), form, arguments)
            self._warnings.append(text.value.decode(errors="replace").strip())
            del self._warnings[:-_WARNINGS_KEPT]
        return 0

    def call(self, what: str, name: str, *arguments: Any) -> int:
        """Call `name`; a negative result raises KernelError that begins with `what`."""
        self._warnings.clear()
        result: int = getattr(self.lib, name)(*arguments)
        if result < 0:
            raise KernelError(what, self._errno(result), "; ".join(self._warnings))
        return result

    def pointer(self, what: str, name: str, *arguments: Any) -> int:
        """Call `name`, which returns a pointer; NULL raises KernelError."""
        self._warnings.clear()
        result: int | None = getattr(self.lib, name)(*arguments)
        if not result:
            raise KernelError(what, ctypes.get_errno() or errno.ENOENT, "; ".join(self._warnings))
        return result

    @staticmethod
    def _errno(result: int) -> int:
        # libbpf 1.x returns -errno; plain system call wrappers of older ones return -1.
        return -result if result < -1 else ctypes.get_errno() or -result

    # -- objects by descriptor -------------------------------------------------------------------

    def pin(self, fd: int, path: Path) -> None:
        """Pin a map, program or link."""
        self.call(f"pin {path}", "bpf_obj_pin", fd, os.fsencode(path))

    def get(self, path: Path) -> int:
        """Descriptor of what is pinned at `path`; raises KernelError (ENOENT when nothing is)."""
        return self.call(f"open pin {path}", "bpf_obj_get", os.fsencode(path))

    def info(self, fd: int, info: ctypes.Structure) -> None:
        """Fill `info`, a MapInfo, LinkInfo or ProgInfo, about a descriptor."""
        size = ctypes.c_uint32(ctypes.sizeof(info))
        self.call(
            "BPF object info",
            "bpf_obj_get_info_by_fd",
            fd,
            ctypes.addressof(info),
            ctypes.byref(size),
        )

    def map_info(self, fd: int) -> MapInfo:
        """Sizes and type of a map."""
        info = MapInfo()
        self.info(fd, info)
        return info

    def btf(self, number: int) -> bytes:
        """The BTF object with that id."""
        fd = self.call(f"open BTF {number}", "bpf_btf_get_fd_by_id", number)
        try:
            info = BtfInfo()
            self.info(fd, info)
            data = ctypes.create_string_buffer(info.size)
            info = BtfInfo(data=ctypes.addressof(data), size=len(data))
            self.info(fd, info)
        finally:
            os.close(fd)
        return data.raw

    def link_info(self, fd: int) -> LinkInfo:
        """Program and interface of a link; ifindex 0 once it is detached."""
        info = LinkInfo()
        self.info(fd, info)
        return info

    def program_id(self, fd: int) -> int:
        """The kernel's id of a program."""
        info = ProgInfo()
        self.info(fd, info)
        return int(info.id)

    # -- links -----------------------------------------------------------------------------------

    def link_create(self, program: int, ifindex: int, attach: int, flags: int = 0) -> int:
        """Attach `program`; returns the link's descriptor."""
        options = LinkCreateOpts(sz=ctypes.sizeof(LinkCreateOpts), flags=flags)
        return self.call(
            f"attach to interface {ifindex}",
            "bpf_link_create",
            program,
            ifindex,
            attach,
            ctypes.addressof(options),
        )

    def link_update(self, link: int, program: int) -> None:
        """Swap the program of a link, atomically."""
        self.call("swap the program of a link", "bpf_link_update", link, program, None)
