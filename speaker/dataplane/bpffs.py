"""
Where pins live: BPFFS/v<LAYOUT_VERSION>/maps/NAME and .../links/NAME.

The directory carries the layout's version, so that a program never reads maps of another layout.
bpffs allows no dots in names.
"""

import ctypes
import errno
import os
from pathlib import Path

import attrs

from speaker.dataplane.errors import ApplyError, KernelError
from speaker.dataplane.layout import LAYOUT_VERSION

_SYS_FS_BPF = Path("/sys/fs/bpf")


@attrs.frozen
class Pins:
    """The directories of this layout version below `root`."""

    root: Path

    @property
    def version(self) -> Path:
        """Directory of this version."""
        return self.root / f"v{LAYOUT_VERSION}"

    @property
    def maps(self) -> Path:
        """Where maps are pinned, by their names in the program."""
        return self.version / "maps"

    @property
    def next_maps(self) -> Path:
        """Where maps are pinned until they are whole; renaming it to `maps` makes them count."""
        return self.version / "maps-next"

    @property
    def links(self) -> Path:
        """Where links, and programs of tc filters, are pinned; see `attach.PinName`."""
        return self.version / "links"

    def make(self) -> None:
        """Make the directories; raises ApplyError."""
        for path in (self.maps, self.links):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise ApplyError(f"cannot make {path}: {exc.strerror}; {_hint(path)}") from exc

    def others(self) -> list[Path]:
        """Directories of other layout versions."""
        return sorted(path for path in self.root.glob("v*") if path != self.version)


def _hint(path: Path) -> str:
    if "." in str(path):
        return "bpffs allows no dots in names below its mount point"
    return "give a directory on bpffs with --bpffs, or mount one: mount -t bpf bpf DIR"


def is_bpffs(path: Path) -> bool:
    """Whether an existing `path` lies on a BPF file system, by /proc/self/mountinfo."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[2] == wanted and fields[fields.index("-") + 1] == "bpf":
            return True
    return False


def ensure(root: Path) -> Path | None:
    """
    Make `root` a directory on bpffs; returns where one had to be mounted, None where none had.

    /sys/fs/bpf itself is mounted for a root below it, otherwise bpffs is mounted on `root`. Raises
    ApplyError. `ip netns exec` gives each process a /sys and a mount namespace of its own: what is
    mounted inside ends with the process, so such a speaker needs a directory mounted before.
    """
    below_sys = root == _SYS_FS_BPF or _SYS_FS_BPF in root.parents
    target = _SYS_FS_BPF if below_sys else root
    try:
        if not below_sys:
            root.mkdir(parents=True, exist_ok=True)
        mounted = None
        if not is_bpffs(target):
            _mount(target)
            mounted = target
        root.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ApplyError(f"no bpffs at {root}: {exc.strerror}; {_hint(root)}") from exc
    return mounted


def _mount(target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(target), b"bpf", 0, b"mode=0700"):
        code = ctypes.get_errno()
        hint = "CAP_SYS_ADMIN is needed to mount it" if code == errno.EPERM else ""
        raise KernelError(f"mount bpffs on {target}", code, hint)


def unmount(target: Path) -> bool:
    """Unmount what `ensure` mounted, when it is empty; whether that was done."""
    if not target.exists() or not is_bpffs(target):
        return False
    # The kernel itself puts maps.debug and progs.debug there.
    if any(path.suffix != ".debug" for path in target.iterdir()):
        return False
    return not ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(target), 0)
