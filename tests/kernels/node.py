"""A VM as tests see it: a node with a data plane, and a client on its segments."""

from typing import Any, Final

import attrs

from tests.kernels.vm import Nic, Vm

# As guest/net.py names them: node's cards, then the client's on the same segments.
NICS: Final = (
    Nic("virtio-net-pci", "02:00:00:00:01:01", hub=0),
    Nic("e1000", "02:00:00:00:01:02", hub=1),
    Nic("virtio-net-pci", "02:00:00:00:01:03", hub=2),
    Nic("virtio-net-pci", "02:00:00:00:01:04", hub=3),
    Nic("virtio-net-pci", "02:00:00:00:02:01", hub=0),
    Nic("virtio-net-pci", "02:00:00:00:02:02", hub=1),
    Nic("virtio-net-pci", "02:00:00:00:02:03", hub=2),
    Nic("virtio-net-pci", "02:00:00:00:02:04", hub=3),
)
LOAD: Final = "tests.kernels.guest.net:load"  # once after each boot
CLIENT: Final = "ip netns exec st-client"
VIP: Final = "192.0.2.100"
VIP6: Final = "2001:db8::100"
HELD: Final = 1
ELSEWHERE: Final = 3

Attached = dict[str, Any]


@attrs.frozen
class Node:
    """What a test does on the node and as the client."""

    vm: Vm

    def reset(self) -> None:
        """Undo what a test did."""
        self.vm.call("tests.kernels.guest.plane:stop")

    def reboot(self) -> None:
        """Undo what only a boot undoes."""
        self.vm.reset()
        self.vm.wait_for_agent()
        self.vm.call(LOAD)

    def sh(self, script: str) -> str:
        """Lines of shell on the node."""
        return self.vm.sh(script)

    def serve(self, mode: str, *only: str, **options: Any) -> list[Attached]:
        """Start a plane on the interfaces `only`, VIP and VIP6 held; its attachments."""
        found = self.vm.call("tests.kernels.guest.plane:start", mode=mode, only=only, **options)
        self.put(VIP)
        self.put(VIP6)
        return list(found)

    def put(self, vip: str, voice: int = HELD, interfaces: list[str] | None = None) -> None:
        """Say `voice` for a VIP."""
        names = interfaces
        self.vm.call("tests.kernels.guest.plane:put", vip=vip, voice=voice, interfaces=names)

    def sync(self) -> list[Attached]:
        """Have the plane look at the interfaces anew; its attachments."""
        return list(self.vm.call("tests.kernels.guest.plane:sync"))

    def ask(self, ifname: str = "cv", vip: str = VIP, **how: Any) -> list[tuple[str, int]]:
        """Ask as the client; every answer, as (LLADDR, VLAN)."""
        found = self.vm.call("tests.kernels.guest.client:ask", vip=vip, ifname=ifname, **how)
        return [(lladdr, vlan) for lladdr, vlan in found]

    def ask6(self, ifname: str = "cv", vip: str = VIP6) -> list[str]:
        """Ask by neighbour solicitation as the client; the LLADDRs of every answer."""
        said = self.vm.run(
            *CLIENT.split(), "ndisc6", "-m", "-r", "2", "-w", "1500", vip, ifname, check=False
        )
        lines = [line for line in said.splitlines() if "link-layer address:" in line]
        return [line.split("address:")[1].strip().lower() for line in lines]
