"""Values of the data plane's interface: what callers put in and get back."""

import enum
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import attrs

from speaker.dataplane.layout import EventKind, Voice

Vip = IPv4Address | IPv6Address

# MetalLB's defaults: interfaces of container runtimes and of node-local services.
DEFAULT_EXCLUDES = (
    "^docker.*",
    "^cbr.*",
    "^dummy.*",
    "^virbr.*",
    "^lxcbr.*",
    "^veth.*",
    "^lo$",
    "^cali.*",
    "^tunl.*",
    "^flannel.*",
    "^kube-ipvs.*",
    "^cni.*",
    "^nodelocaldns.*",
    "^lxc.*",
)


class XdpMode(enum.StrEnum):
    """`--xdp-mode`: where on the ladder to start."""

    AUTO = "auto"  # native once a peer has confirmed a reflection by it; until then generic
    NATIVE = "native"
    GENERIC = "generic"
    TC = "tc"
    USERSPACE = "userspace"  # AF_PACKET in the herald


class Rung(enum.StrEnum):
    """Where our program stands on an interface, best first."""

    NATIVE = "native"  # XDP in the driver
    GENERIC = "generic"  # XDP on the skb
    TCX = "tcx"  # tc by bpf_link, kernel 6.6
    CLSACT = "clsact"  # tc filter of a clsact qdisc
    PACKET = "userspace"  # no hook: the herald runs the program on frames of an AF_PACKET socket
    NONE = "none"  # nothing could be attached: this interface does not answer


class RungReason(enum.StrEnum):
    """Why an attachment is on its rung."""

    REQUESTED = "requested"  # the rung that --xdp-mode names
    PROVEN = "proven"  # auto: a peer has confirmed reflections by native XDP
    RUNG_UNPROVEN = "rung_unproven"  # auto: no peer has confirmed a reflection by native XDP yet
    FOREIGN_PROGRAM = "foreign_program"  # a better rung is taken; the detail names the program
    NOT_SUPPORTED = "not_supported"  # driver or kernel refused a better rung; detail: errno
    VLAN_OFFLOAD = "vlan_offload"  # RX VLAN offload hides tags from XDP and could not be put off
    NO_ROOM = "no_room"  # more interfaces than the program has cells for


@attrs.frozen
class VipRow:
    """What is to be said about one VIP on this node."""

    vip: Vip
    voice: Voice
    # Names of interfaces it is advertised on; on the other attached ones it is ELSEWHERE. None: all
    interfaces: frozenset[str] | None = None
    lladdr: bytes | None = None  # six octets, only for GIVEN: the new holder's
    listen: bool = False  # report whoever speaks for it, also where we do not (probing)


@attrs.frozen
class Attachment:
    """One (interface, VLAN) that our program serves, or why it does not."""

    name: str  # of the interface whose address space it is: of the VLAN upper where vlan != 0
    ifindex: int  # of the interface the program sees the frame on
    vlan: int  # 0 = untagged
    lladdr: bytes  # our own, six octets
    rung: Rung
    reason: RungReason
    detail: str = ""  # foreign program's id, errno text
    cell: int = -1  # index into the map of cells; -1 without one
    ndp: bool = True  # it has a link-local IPv6 address: IPv6 VIPs are announced on it


@attrs.frozen
class Lost:
    """A cell that no longer answers: its seats are to be dropped, re-entry is by `enter`."""

    attachment: Attachment
    suspended: bool  # by a verified claim; otherwise its lease had run out


@attrs.frozen
class HeardVoice:
    """
    A foreign LLADDR spoke for a VIP of the table.

    CONFLICT: we speak for it too. HEARD: we do not, but its row listens.
    """

    kind: EventKind
    time_ns: int  # CLOCK_MONOTONIC
    vip: Vip
    ifindex: int
    vlan: int
    lladdr: bytes
    voice: Voice  # ours when it was heard


@attrs.frozen
class VipCounters:
    """Sums over CPUs since the VIP was first put; they survive restarts."""

    requests: int = 0  # ARP requests and neighbour solicitations
    answers: int = 0
    drops: int = 0
    packets: int = 0  # IP packets to it
    bytes: int = 0  # of those, whole frames


def _default_excludes() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text) for text in DEFAULT_EXCLUDES)


@attrs.frozen
class Options:
    """What the command line says about the data plane."""

    bpffs: Path = Path("/sys/fs/bpf/stentor")
    state_dir: Path = Path("/run/stentor")
    mode: XdpMode = XdpMode.AUTO
    manage_sysctls: bool = True
    excludes: tuple[re.Pattern[str], ...] = attrs.field(factory=_default_excludes)
    object_path: Path = Path(__file__).with_name("objects") / "responder.bpf.o"
    slots: int = 2048  # of each half of each table at the first start; a power of two
    # Per socket option memory in bytes bounds the groups joined by address: beyond it, allmulti
    group_limit: int | None = None
