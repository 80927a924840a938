"""
What a lab consists of. Pure: names and addresses, nothing is touched.

        router        client       n1        n2        n3      one namespace each, interface eth0
          │             │           │         │         │
    ══════╪═════════════╪═══════════╪═════════╪═════════╪═══   bridge br0 in namespace PREFIX-sw
        .1            .2          .11       .12       .13      192.0.2.0/24, 2001:db8::/64

With `management` every node has a second interface, mgmt0, on a second bridge, and gossips there:

                                     n1        n2        n3
                                      │         │         │
                              ════════╪═════════╪═════════╪═══   bridge br1, 198.51.100.0/24
                                     .11       .12       .13
"""

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import attrs
import msgspec

from stentor.lab.errors import LabError

DEFAULT_DIR = Path("/run/stentor-lab")
DEFAULT_PREFIX = "st-lab"
MAX_NODES = 80
INTERFACE = "eth0"  # not veth*: the speaker leaves those alone, as MetalLB does
BRIDGE = "br0"
MANAGEMENT = "mgmt0"
MANAGEMENT_BRIDGE = "br1"
V4_PREFIX_LENGTH = 24
V6_PREFIX_LENGTH = 64
_PREFIX = re.compile(r"st-[a-z0-9-]{1,32}")
_V4 = IPv4Address("192.0.2.0")  # RFC 5737
_V6 = IPv6Address("2001:db8::")  # RFC 3849
_MANAGEMENT_V4 = IPv4Address("198.51.100.0")  # RFC 5737
_FIRST_NODE = 11
_FIRST_VIP = 108  # of three nodes and six Services each node owns two, by the hash
_STATE_FILE = "lab.json"


@attrs.frozen
class Host:
    """One namespace with one interface. `number` is the last part of its addresses."""

    name: str
    namespace: str
    number: int
    is_node: bool = False

    @property
    def v4(self) -> IPv4Address:
        """Its IPv4 address, 192.0.2.NUMBER."""
        return _V4 + self.number

    @property
    def v6(self) -> IPv6Address:
        """Its IPv6 address, which reads 2001:db8::NUMBER."""
        return _numbered_v6(self.number)

    @property
    def management_v4(self) -> IPv4Address:
        """The address of its mgmt0, where there is one."""
        return _MANAGEMENT_V4 + self.number

    @property
    def management_port(self) -> str:
        """The switch's port to its mgmt0."""
        return f"{self.name}-m"

    @property
    def lladdr_text(self) -> str:
        """The LLADDR of its interface, locally administered and ending like its addresses."""
        return f"02:00:5e:00:{self.number // 100:02d}:{self.number % 100:02d}"


@attrs.frozen
class Topology:
    """A lab's shape: `count` nodes named n1, n2, ... and where its files are."""

    count: int = 3
    prefix: str = DEFAULT_PREFIX
    directory: Path = DEFAULT_DIR
    services: int = 6
    has_router: bool = True
    management: bool = False  # gossip on a network of its own

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be built. Raises LabError."""
        if not 1 <= self.count <= MAX_NODES:
            raise LabError(f"{self.count} nodes, need 1 to {MAX_NODES}")
        if not _PREFIX.fullmatch(self.prefix):
            raise LabError(f"prefix {self.prefix!r}, need st- and then a-z, 0-9 or -")

    @property
    def switch(self) -> str:
        """The namespace of the bridge."""
        return f"{self.prefix}-sw"

    @property
    def router(self) -> Host:
        """Default gateway of everybody, where there is one."""
        return Host("router", f"{self.prefix}-router", 1)

    @property
    def client(self) -> Host:
        """Whoever asks for VIPs, on the same segment."""
        return Host("client", f"{self.prefix}-client", 2)

    @property
    def nodes(self) -> tuple[Host, ...]:
        """The nodes, n1 first."""
        return tuple(
            Host(f"n{i + 1}", f"{self.prefix}-n{i + 1}", _FIRST_NODE + i, is_node=True)
            for i in range(self.count)
        )

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Every namespace with an interface on the bridge."""
        return (*((self.router,) if self.has_router else ()), self.client, *self.nodes)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All namespaces, the switch first."""
        return (self.switch, *(host.namespace for host in self.hosts))

    @property
    def vips(self) -> tuple[tuple[IPv4Address, IPv6Address], ...]:
        """The two VIPs of each Service."""
        numbers = range(_FIRST_VIP, _FIRST_VIP + self.services)
        return tuple((_V4 + number, _numbered_v6(number)) for number in numbers)

    def host(self, name: str) -> Host:
        """The host called `name`. Raises LabError that lists the names there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise LabError(f"no host {name!r} in this lab; there are {known}")

    def node(self, name: str) -> Host:
        """The node called `name`. Raises LabError that lists the nodes there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise LabError(f"no node {name!r} in this lab; there are {known}")

    def owns_namespace(self, namespace: str) -> bool:
        """Whether a namespace belongs to a lab of this prefix, of whatever size it was."""
        return (
            re.fullmatch(re.escape(self.prefix) + r"-(sw|router|client|n\d+)", namespace)
            is not None
        )

    def save(self) -> None:
        """Write down the shape, so that the next command knows it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        state = {
            "count": self.count,
            "prefix": self.prefix,
            "services": self.services,
            "has_router": self.has_router,
            "management": self.management,
        }
        (self.directory / _STATE_FILE).write_bytes(msgspec.json.encode(state))


def _numbered_v6(number: int) -> IPv6Address:
    """2001:db8:: with the decimal digits of `number` as its last group, easy to read."""
    return _V6 + int(str(number), 16)


def load(directory: Path) -> Topology:
    """The lab that was started in `directory`. Raises LabError where there is none."""
    path = directory / _STATE_FILE
    try:
        state = msgspec.json.decode(path.read_bytes(), type=dict[str, int | str | bool])
    except FileNotFoundError as exc:
        raise LabError(f"no lab in {directory}: run `stentor lab up` first") from exc
    except msgspec.MsgspecError as exc:
        raise LabError(f"{path} is damaged ({exc}): run `stentor lab down`") from exc
    return Topology(
        count=int(state["count"]),
        prefix=str(state["prefix"]),
        directory=directory,
        services=int(state["services"]),
        has_router=bool(state.get("has_router", True)),
        management=bool(state.get("management", False)),
    )


def is_lab(directory: Path) -> bool:
    """Whether a lab was started in `directory`, intact or not."""
    return (directory / _STATE_FILE).exists()
