"""Settings of interfaces that we change while we are attached, each kept for cleanup before."""

from pathlib import Path

import attrs

from speaker.dataplane import multicast, sysctls, undo
from speaker.dataplane.errors import ApplyError


@attrs.define
class Settings:
    """The only writer of STATE_DIR/dataplane.json in this process. `warnings` are for the log."""

    state_dir: Path
    is_managed: bool  # --manage-sysctls
    warnings: list[str] = attrs.field(factory=list)
    _seen: set[str] = attrs.field(factory=set)

    def attached(self, ifname: str) -> None:
        """An interface answers from now on; once for each."""
        if not self.is_managed or ifname in self._seen:
            return
        self._seen.add(ifname)
        try:
            originals = undo.load(self.state_dir)
            if sysctls.keep_kernel_quiet(ifname, originals):
                undo.save(self.state_dir, originals)
        except ApplyError as exc:
            self.warnings.append(f"{exc}; the host may send ARP with a VIP as its sender")

    def gone(self, ifname: str) -> None:
        """An interface went: one of this name that comes later is another one."""
        self._seen.discard(ifname)

    def show_tags(self, ifname: str) -> bool:
        """Have VLAN tags left in the frames of an interface; False where that cannot be."""
        if not sysctls.rx_vlan_offload(ifname):
            return True
        if not self.is_managed:
            return False
        originals = undo.load(self.state_dir)
        if ifname not in originals.rxvlan:
            originals.rxvlan.append(ifname)
            undo.save(self.state_dir, originals)
        try:
            sysctls.set_rx_vlan_offload(ifname, on=False)
        except ApplyError as exc:
            self.warnings.append(str(exc))
            return False
        return True

    def hear_all_multicast(self, ifname: str) -> None:
        """No more groups can be joined: receive all of them."""
        try:
            originals = undo.load(self.state_dir)
            if multicast.set_allmulti(ifname, on=True) and ifname not in originals.allmulti:
                originals.allmulti.append(ifname)
                undo.save(self.state_dir, originals)
        except ApplyError as exc:
            self.warnings.append(str(exc))
        self.warnings.append(
            f"{ifname}: no room for more multicast groups (net.core.optmem_max), now receiving all "
            "multicast; a switch with MLD snooping needs a static entry for ff02::1:ff00:0/104"
        )

    def mounted(self, path: Path) -> None:
        """We mounted bpffs there."""
        originals = undo.load(self.state_dir)
        originals.bpffs = sorted({*originals.bpffs, str(path)})
        undo.save(self.state_dir, originals)
