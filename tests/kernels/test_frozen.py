"""
Hosts that stop, die and come back: a VM as the third node of a lab of namespaces.

Nothing else on this machine can be frozen with its clocks, or lose its power.
"""

import json
import os
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import attrs
import pytest

from stentor.lab.client import answers
from stentor.lab.lab import Lab
from stentor.lab.topology import BRIDGE, Topology
from tests.eventually import eventually
from tests.kernels.conftest import find_images
from tests.kernels.recipe import KERNELS
from tests.kernels.vm import Nic, Vm
from tests.lab.conftest import running
from tests.process.rig import sh

LLADDR = "02:00:5e:00:00:20"
FROZEN_S = 20.0
SETTLED_S = 240.0  # a speaker's start and its ring in a VM that has no processor of its own
LOG = "/run/speaker.log"


@attrs.frozen
class Ring:
    """Two nodes in namespaces, n1 and n2, and the VM n3."""

    lab: Lab
    vm: Vm

    def start_speaker(self) -> None:
        """Address and speaker of n3, as after a boot."""
        self.vm.sh(
            "modprobe -a virtio_net\n"
            "ip addr add 192.0.2.20/24 dev eth0\nip -6 addr add 2001:db8::20/64 dev eth0 nodad\n"
            "ip link set eth0 up\nip route add default via 192.0.2.1"
        )
        for path in self.lab.manifests.glob("*.yaml"):
            self.vm.put(f"/run/manifests/{path.name}", path.read_text())
        join = [f"--join={node.v4}" for node in self.lab.topology.nodes]
        self.vm.spawn(
            *("python3", "-m", "stentor.cli.main", "speaker", "--node-name=n3"),
            *("--manifests=/run/manifests", "--xdp-mode=native", "--ml-bindaddr=192.0.2.20", *join),
            log=LOG,
        )

    def voices(self) -> dict[IPv4Address, tuple[str, ...]]:
        """LLADDRs that answer for each VIP."""
        return {v4: answers(self.lab, v4) for v4, _ in self.lab.topology.vips}

    def wait_for_share(self) -> IPv4Address:
        """Wait until n3 answers for a VIP, alone; which."""
        shared = eventually(
            self.voices, until=lambda v: (LLADDR,) in v.values(), within_s=SETTLED_S, what="n3 owns"
        )
        return next(vip for vip, voices in shared.items() if voices == (LLADDR,))

    def was_fenced(self) -> bool:
        """Whether n3's program suspended its cell upon a claim of its peers."""
        lines = self.vm.run("grep", "lease_lost", LOG, check=False).splitlines()
        return any(json.loads(line)["suspended"] for line in lines)

    def wait_for_heir(self, vip: IPv4Address) -> None:
        """Wait until another node, and no more than one, answers for `vip`."""
        eventually(
            lambda: answers(self.lab, vip),
            until=lambda voices: len(voices) == 1 and LLADDR not in voices,
            within_s=SETTLED_S,
            what="an heir answers",
        )


@pytest.fixture(params=KERNELS, ids=lambda kernel: kernel.name)
def ring(request: pytest.FixtureRequest, product: Path) -> Iterator[Ring]:
    """The ring, settled as far as n3 runs."""
    prefix = f"st-k{os.getpid()}"
    topology = Topology(count=2, services=6, prefix=prefix, directory=Path("/run") / prefix)
    images = find_images(request.param)
    with running(topology, wait=False) as lab:
        sh("ip", "-n", topology.switch, "tuntap", "add", "st-tap", "mode", "tap")
        sh("ip", "-n", topology.switch, "link", "set", "st-tap", "master", BRIDGE, "up")
        nic = Nic("virtio-net-pci", LLADDR, tap="st-tap")
        with Vm(images, product, (nic,), netns=topology.switch, shift=None) as vm:
            made = Ring(lab, vm)
            made.start_speaker()
            yield made


def test_a_host_frozen_with_its_clocks_is_silenced_when_it_thaws(ring: Ring) -> None:
    """
    Its lease has not run out by its own clock: only the fence of its peers' beats can silence it.

    Its herald learns of the fence by the cell that the program has suspended.
    """
    vip = ring.wait_for_share()
    ring.vm.freeze()
    frozen_at = time.monotonic()
    ring.wait_for_heir(vip)
    eventually(lambda: time.monotonic() - frozen_at, until=FROZEN_S.__le__, within_s=FROZEN_S + 5)

    ring.vm.thaw()

    eventually(ring.was_fenced, within_s=SETTLED_S, what="n3 was fenced")
    eventually(
        ring.voices,
        until=lambda found: all(len(voices) == 1 for voices in found.values()),
        within_s=SETTLED_S,
        what="one voice for each VIP",
    )


def test_the_vips_of_a_host_without_power_are_answered_by_another(ring: Ring) -> None:
    vip = ring.wait_for_share()

    ring.vm.cut_power()

    ring.wait_for_heir(vip)


def test_a_host_that_is_reset_comes_back_to_one_voice(ring: Ring) -> None:
    """A boot may be faster than leases and memberlist's verdict: the old instance is no more."""
    ring.wait_for_share()

    ring.vm.reset()
    ring.vm.wait_for_agent()
    ring.start_speaker()

    ring.wait_for_share()
    eventually(
        ring.voices,
        until=lambda found: all(len(voices) == 1 for voices in found.values()),
        within_s=SETTLED_S,
        what="one voice for each VIP",
    )
