"""Kernels that withhold something: lockdown, BTF, a mounted bpffs."""

from typing import Any

from tests.kernels.node import Node

V0 = "02:00:00:00:01:01"


def test_no_kernel_btf_is_needed(node: Node, record_property: Any) -> None:
    """The program has no CO-RE relocation."""
    node.sh("ip link set v0 up\nmount -t tmpfs st-none /sys/kernel/btf")
    try:
        [attached] = node.serve("native", "v0")

        record_property("rung", attached["rung"])
        assert node.ask() == [(V0, 0)]
    finally:
        node.sh("umount /sys/kernel/btf")


def test_a_bpffs_that_is_not_mounted_is_mounted(node: Node, record_property: Any) -> None:
    node.sh("ip link set v0 up\numount /sys/fs/bpf")
    try:
        [attached] = node.serve("native", "v0")

        record_property("rung", attached["rung"])
        assert node.ask() == [(V0, 0)]
    finally:
        node.reset()
        node.sh("mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf")


def test_lockdown_for_confidentiality_changes_nothing(node: Node, record_property: Any) -> None:
    """It forbids programs to read kernel memory, which ours never does. A boot alone lifts it."""
    node.sh("ip link set v0 up\necho confidentiality > /sys/kernel/security/lockdown")
    try:
        [attached] = node.serve("native", "v0")

        record_property("rung", attached["rung"])
        assert node.ask() == [(V0, 0)]
    finally:
        node.reboot()  # else all later tests would run under it
