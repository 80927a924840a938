"""SipHash-2-4 by the kernel: bpf/siphash.bpf.c, run on a frame that never leaves."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from speaker.dataplane.errors import ApplyError
from speaker.dataplane.libbpf import Libbpf, RunOpts

OBJECT: Final = Path(__file__).with_name("objects") / "siphash.bpf.o"
_PROGRAM: Final = b"siphash_probe"
_KEY_BYTES: Final = 16
_TAG_BYTES: Final = 8
_HEAD_BYTES: Final = _KEY_BYTES + _TAG_BYTES
_MESSAGE_BYTES: Final = 32 * 8  # MESSAGE_WORDS
_XDP_TX: Final = 3  # linux/bpf.h enum xdp_action


@attrs.define(eq=False)
class Hasher:
    """
    Makes the 8 octets of a tag from a key of 16 octets and a message of whole 64-bit words.

    What the kernel will not run, and lengths that do not fit, `instead` makes, or refuses.
    """

    libbpf: Libbpf
    instead: Callable[[bytes, bytes], bytes]
    _handle: int
    _program_fd: int
    _frame: "ctypes.Array[ctypes.c_char]"
    _options: RunOpts

    @classmethod
    def open(
        cls, libbpf: Libbpf, instead: Callable[[bytes, bytes], bytes], path: Path = OBJECT
    ) -> "Hasher":
        """Load the program; raises ApplyError when the object is missing or the kernel refuses."""
        if not path.is_file():
            raise ApplyError(f"no BPF object at {path}: run scripts/build_bpf")
        handle = libbpf.pointer(
            f"read BPF object {path}", "bpf_object__open_file", os.fsencode(path), None
        )
        try:
            libbpf.call("load SipHash", "bpf_object__load", handle)
            program = libbpf.pointer(
                "find SipHash", "bpf_object__find_program_by_name", handle, _PROGRAM
            )
            program_fd = libbpf.call("find SipHash", "bpf_program__fd", program)
        except BaseException:
            libbpf.lib.bpf_object__close(handle)
            raise
        frame = ctypes.create_string_buffer(_HEAD_BYTES + _MESSAGE_BYTES)
        # In and out are one buffer: the kernel copies in before it runs and out after.
        at = ctypes.addressof(frame)
        options = RunOpts(sz=ctypes.sizeof(RunOpts), data_in=at, data_out=at, repeat=1)
        return cls(libbpf, instead, handle, program_fd, frame, options)

    def __call__(self, key: bytes, message: bytes) -> bytes:
        """The tag; raises what `instead` does."""
        size = _HEAD_BYTES + len(message)
        if len(key) != _KEY_BYTES or len(message) % 8 or size > len(self._frame):
            return self.instead(key, message)
        frame, options = self._frame, self._options
        ctypes.memmove(frame, key + bytes(_TAG_BYTES) + message, size)
        options.data_size_in = options.data_size_out = size
        run = self.libbpf.lib.bpf_prog_test_run_opts
        if run(self._program_fd, ctypes.addressof(options)) or options.retval != _XDP_TX:
            return self.instead(key, message)
        return frame.raw[_KEY_BYTES:_HEAD_BYTES]

    def close(self) -> None:
        """Let go of the program."""
        if self._handle:
            self.libbpf.lib.bpf_object__close(self._handle)
            self._handle = 0
