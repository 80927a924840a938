"""A data plane in the guest, driven by the host call by call: as little of a herald as will do."""

import re
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from speaker.dataplane import DataPlane, Options, VipRow, Voice, XdpMode, cleanup
from speaker.dataplane.watcher import Watcher
from tests.kernels.guest import net

BPFFS: Final = Path("/sys/fs/bpf/stentor")
STATE_DIR: Final = Path("/run/stentor")
_FOREVER_NS: Final = 10**15  # a lease of eleven days: nobody beats here
_open: list[tuple[DataPlane, Watcher]] = []


def start(mode: str, only: list[str], **options: Any) -> list[dict[str, Any]]:
    """Open a plane that answers on the interfaces `only`; returns its attachments."""
    STATE_DIR.mkdir(exist_ok=True)
    watcher = Watcher.open()
    plane = DataPlane.open(
        Options(
            bpffs=BPFFS,
            state_dir=STATE_DIR,
            mode=XdpMode(mode),
            excludes=(re.compile(f"^(?!({'|'.join(only)})$)"),),
            **options,
        ),
        instance_id=1,
        generation=1,
        now_ns=time.monotonic_ns(),
    )
    _open.append((plane, watcher))
    plane.sync(watcher.links(), now_ns=time.monotonic_ns())
    plane.enter(now_ns=time.monotonic_ns())
    return sync()


def sync() -> list[dict[str, Any]]:
    """Look at the interfaces anew; the attachments."""
    [(plane, watcher)] = _open
    watcher.refresh()
    plane.sync(watcher.links(), now_ns=time.monotonic_ns())
    _work(plane)
    plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=_FOREVER_NS)
    return [
        {
            "name": a.name,
            "vlan": a.vlan,
            "lladdr": a.lladdr.hex(":"),
            "rung": str(a.rung),
            "reason": str(a.reason),
            "detail": a.detail,
        }
        for a in plane.attachments()
    ]


def put(vip: str, voice: int = Voice.HELD, interfaces: list[str] | None = None) -> None:
    """Say `voice` for a VIP."""
    [(plane, _)] = _open
    names = None if interfaces is None else frozenset(interfaces)
    plane.put([VipRow(ip_address(vip), Voice(voice), names)])
    _work(plane)
    plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=_FOREVER_NS)


def _work(plane: DataPlane) -> None:
    """All that waits, as the herald's loop does it."""
    while plane.step(time.monotonic()):
        pass


def refused() -> dict[str, str]:
    """Interfaces that do not answer, and why."""
    [(plane, _)] = _open
    return {name: str(reason) for name, reason in plane.refused().items()}


def stop() -> None:
    """Close the plane, undo all that it did, and give the network back."""
    while _open:
        plane, watcher = _open.pop()
        plane.close()
        watcher.close()
    if BPFFS.exists():
        cleanup(BPFFS, STATE_DIR)
    net.reset()
