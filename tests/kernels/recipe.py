"""What the VMs are made of. A change here, or in `guest/init`, makes new images."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from tests.kernels.errors import ImageError

HERE: Final = Path(__file__).parent
OS_RELEASE: Final = Path("/etc/os-release")
INIT: Final = HERE / "guest" / "init"


@attrs.frozen
class Kernel:
    """A kernel that the product is tested on: Debian's of one release."""

    name: str  # as the table and the tests' ids call it
    suite: str  # the release whose linux-image-amd64 it is


KERNELS: Final = (Kernel("6.1", "bookworm"), Kernel("6.12", "trixie"))

# linux-image-cloud-amd64 is smaller but lacks e1000, bonding and more of what is tested here.
KERNEL_PACKAGE: Final = "linux-image-amd64"

# What is loaded before there is a root file system, and what tests load; modules that these need
# come along. Some are built into one kernel and modules of the other.
BOOT_MODULES: Final = ("virtio_pci", "virtio_blk", "virtio_console", "ext4", "overlay")
MODULES: Final = (
    *("virtio_net", "virtio_rng", "e1000", "veth", "dummy"),
    *("bonding", "8021q", "bridge", "vrf", "ip_vs", "ip_vs_rr"),
    *("sch_netem", "sch_ingress", "cls_bpf", "af_packet", "ipv6"),
)

# No compiler and no headers: the product brings its objects. python3-bpfcc is what it loads them
# with. busybox-static runs the initramfs.
ROOT_PACKAGES: Final = (
    *("busybox-static", "kmod", "procps"),
    *("ethtool", "iproute2", "iputils-arping", "iputils-ping", "ipvsadm", "ndisc6", "tcpdump"),
    *("python3-minimal", "python3-bpfcc"),
)

# Never needed in a guest, and half of its size.
ROOT_WITHOUT: Final = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/i18n/*",
)

# Beside the product's own (requirements.lock): what runs tests/bpf in the guest.
TEST_PACKAGES: Final = frozenset(
    {
        *("hypothesis", "iniconfig", "packaging", "pluggy", "pygments", "pytest", "scapy"),
        "sortedcontainers",
    }
)


def digest(*parts: str) -> str:
    """Name of what is built of `parts`: twelve hex digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@attrs.frozen
class Mirror:
    """Where this machine gets Debian from."""

    url: str
    suite: str  # the release of this machine, and of the guests' user space
    keyring: str  # "" for apt's own


def find_mirror(apt: Path = Path("/etc/apt")) -> Mirror:
    """
    Read the mirror from the machine's own apt configuration, in either format of sources.list(5).

    Raises ImageError when it names no Debian mirror: the kernels are Debian's.
    """
    release = _fields(OS_RELEASE.read_text(encoding="utf-8"), "=")
    if release.get("ID", "").strip('"') != "debian":
        raise ImageError("VMs for the kernel tests are made on Debian only: no mirror of it known")
    suite = release["VERSION_CODENAME"].strip('"')
    for mirror in (*_deb822(apt), *_one_line(apt)):
        if mirror.suite == suite:
            return mirror
    raise ImageError(f"no source of {suite} main in {apt}/sources.list*")


def _deb822(apt: Path) -> Iterable[Mirror]:
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            fields = _fields(stanza, ":")
            if "main" not in fields.get("Components", "").split():
                continue
            for suite in fields.get("Suites", "").split():
                for url in fields.get("URIs", "").split():
                    yield Mirror(url, suite, fields.get("Signed-By", ""))


def _one_line(apt: Path) -> Iterable[Mirror]:
    pattern = re.compile(r"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)\s+(?:.*\s)?main\b", re.MULTILINE)
    for path in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))):
        if path.exists():
            for url, suite in pattern.findall(path.read_text(encoding="utf-8")):
                yield Mirror(url, suite, "")


def _fields(text: str, separator: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if not line.startswith("#") and separator in line)
    return {key.strip(): value.strip() for key, value in (x.split(separator, 1) for x in lines)}
