"""
The ladder: on each interface the best hook that the mode allows, the driver has and nobody holds.

    native XDP -> generic XDP -> tcx (kernel 6.6) -> tc filter of a clsact qdisc -> AF_PACKET

What is attached is pinned under a name that says all that a later process must know of it; the
last rung is this process itself, and ends with it.
"""

import errno
import os
from pathlib import Path
from typing import Final

import attrs

from speaker.dataplane import hooks, undo
from speaker.dataplane.bpffs import Pins
from speaker.dataplane.errors import KernelError
from speaker.dataplane.interfaces import Link
from speaker.dataplane.libbpf import LINK_TYPE_TCX, LINK_TYPE_XDP, Libbpf
from speaker.dataplane.program import Program, privileges
from speaker.dataplane.taps import Taps
from speaker.dataplane.values import Rung, RungReason, XdpMode

_XDP: Final = frozenset({Rung.NATIVE, Rung.GENERIC})
_LADDERS: Final = {
    # Until a peer has confirmed a reflection through it, nobody knows that native XDP_TX arrives
    # (on a veth without a program at its other end it does not).
    XdpMode.AUTO: (Rung.GENERIC, Rung.TCX, Rung.CLSACT, Rung.PACKET),
    XdpMode.NATIVE: (Rung.NATIVE, Rung.GENERIC, Rung.TCX, Rung.CLSACT, Rung.PACKET),
    XdpMode.GENERIC: (Rung.GENERIC, Rung.TCX, Rung.CLSACT, Rung.PACKET),
    XdpMode.TC: (Rung.TCX, Rung.CLSACT, Rung.PACKET),
    XdpMode.USERSPACE: (Rung.PACKET,),
}
# What this rung cannot do, for status.
_PACKET_LIMITS: Final = (
    "answered by the herald's process: nothing while it is down, the kernel's own answers are not "
    "dropped, packets to VIPs are not counted"
)
_TAKEN: Final = frozenset({errno.EBUSY, errno.EEXIST})
_Said = tuple[RungReason, str]  # a reason and its detail


@attrs.frozen
class PinName:
    """`7-generic-auto-rung_unproven`: what is pinned, under which mode it was climbed, and why."""

    ifindex: int
    rung: Rung
    mode: XdpMode
    reason: RungReason

    def __str__(self) -> str:
        return f"{self.ifindex}-{self.rung}-{self.mode}-{self.reason}"

    @classmethod
    def parse(cls, text: str) -> "PinName | None":
        """The parts of a pin's name; None when it is not one of ours."""
        try:
            ifindex, rung, mode, reason = text.split("-")
            return cls(int(ifindex), Rung(rung), XdpMode(mode), RungReason(reason))
        except ValueError:
            return None


@attrs.define
class Post:
    """Our program on one interface. `rung` is NONE, and `fd` -1, where it could not be put."""

    ifindex: int
    rung: Rung
    reason: RungReason
    detail: str = ""
    fd: int = -1
    path: Path | None = None


@attrs.define
class Posts:
    """Every interface on which our program stands. `program` is what is attached."""

    libbpf: Libbpf
    pins: Pins
    mode: XdpMode
    program: Program
    state_dir: Path
    taps: Taps
    by_ifindex: dict[int, Post] = attrs.field(factory=dict)
    trials: dict[int, int] = attrs.field(factory=dict)  # see trials.py: ifindex -> native link
    _refused: dict[int, _Said] = attrs.field(factory=dict)  # native XDP, by auto

    def adopt(self) -> None:
        """Take over what an earlier process pinned, and swap its program for ours."""
        for folder in [self.pins.links, *(path / "links" for path in self.pins.others())]:
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                name = PinName.parse(path.name)
                if name is not None:
                    self._adopt(path, name)

    def _adopt(self, path: Path, name: PinName) -> None:
        fd = self.libbpf.get(path)
        stands = name.ifindex not in self.by_ifindex and self._is_ours(name, fd)
        if not stands:
            path.unlink()
            os.close(fd)
            return
        fresh = hooks.swap(self.libbpf, self.program, name.ifindex, name.rung, fd)
        post = Post(name.ifindex, name.rung, name.reason, "", fresh, path)
        self.by_ifindex[name.ifindex] = post
        # A link keeps its pin; a filter's pin is its program, which is another one now.
        if name.rung is Rung.CLSACT or path.parent != self.pins.links:
            self._repin(post, name)
        if name.mode is not self.mode:
            if name.rung is _LADDERS[self.mode][0]:
                post.reason = self._wish()
                self._repin(post, PinName(name.ifindex, name.rung, self.mode, post.reason))
            else:
                post.detail = _OTHER_MODE  # `ensure` moves it

    def _is_ours(self, name: PinName, fd: int) -> bool:
        try:
            if name.rung in hooks.LINK_RUNGS:
                info = self.libbpf.link_info(fd)
                return bool(
                    info.ifindex == name.ifindex and info.type in {LINK_TYPE_XDP, LINK_TYPE_TCX}
                )
            return hooks.stands(self.libbpf, name.ifindex, name.rung, fd)
        except KernelError:
            return False

    def ensure(self, link: Link, *, tags_hidden: bool) -> Post:
        """
        Make our program stand on `link` as high as it can; idempotent.

        `tags_hidden`: VLAN uppers answer here too, and XDP would not see their tags.
        """
        post = self.by_ifindex.get(link.ifindex)
        if post is not None and post.rung is not Rung.NONE:
            if not self._stands(post):
                self._forget(post)
            elif not self._should_move(post, link, tags_hidden=tags_hidden):
                if post.path is not None and not post.path.exists():
                    self.libbpf.pin(post.fd, post.path)
                return post
        return self._climb(link, tags_hidden=tags_hidden)

    def _stands(self, post: Post) -> bool:
        if post.rung is Rung.PACKET:
            return self.taps.stands(post.ifindex)
        return hooks.stands(self.libbpf, post.ifindex, post.rung, post.fd)

    def _should_move(self, post: Post, link: Link, *, tags_hidden: bool) -> bool:
        if post.detail == _OTHER_MODE:
            return True
        if post.rung in _XDP:
            return tags_hidden
        if post.reason is RungReason.RUNG_UNPROVEN and post.ifindex not in self.trials:
            return True  # a stand-in whose trial is over
        if post.rung is Rung.PACKET:  # any hook is better, if one is free by now
            return self.mode is not XdpMode.USERSPACE
        gave_way = {RungReason.FOREIGN_PROGRAM, RungReason.VLAN_OFFLOAD}
        return (
            post.reason in gave_way
            and not tags_hidden
            and not hooks.xdp_program(self.libbpf, link.ifindex)
        )

    def _climb(self, link: Link, *, tags_hidden: bool) -> Post:
        """Attach anew; what stood before goes only when the new one stands, if both can."""
        self.end_trial(link.ifindex)
        old = self.by_ifindex.pop(link.ifindex, None)
        if old is not None and old.rung in _XDP and not tags_hidden and self.mode is not XdpMode.TC:
            self._take_off(old)  # one XDP program an interface: a gap of microseconds
            old = None
        post = self._best(link, old, tags_hidden=tags_hidden)
        if old is not None and old.rung is not Rung.NONE and post is not old:
            if post.rung is Rung.NONE:
                post = attrs.evolve(old, reason=post.reason, detail=post.detail)
            else:
                self._take_off(old)
        self.by_ifindex[link.ifindex] = post
        return post

    def _wish(self) -> RungReason:
        """Why one stands on the mode's first rung."""
        is_auto = self.mode is XdpMode.AUTO
        return RungReason.RUNG_UNPROVEN if is_auto else RungReason.REQUESTED

    def _best(self, link: Link, old: Post | None, *, tags_hidden: bool) -> Post:
        """The highest rung that can be had; `old` itself when it stands there already."""
        foreign = hooks.xdp_program(self.libbpf, link.ifindex)
        refused = self._refused.get(link.ifindex)
        refusals: list[_Said] = [] if refused is None else [refused]
        for rung in _LADDERS[self.mode]:
            refusal = _refusal(link, rung, foreign, tags_hidden=tags_hidden)
            if refusal is None:
                reasons = refusals or [(self._wish(), "")]
                if old is not None and rung is old.rung:
                    return self._stay(old, reasons)
                try:
                    return self._put_on(link.ifindex, rung, reasons)
                except KernelError as exc:
                    refusal = _explain(rung, exc)
            refusals.append(refusal)
        return Post(link.ifindex, Rung.NONE, refusals[0][0], "; ".join(d for _, d in refusals))

    def _stay(self, post: Post, reasons: list[_Said]) -> Post:
        post.reason, post.detail = reasons[0][0], _detail(post.rung, reasons)
        if post.path is not None:
            self._repin(post, PinName(post.ifindex, post.rung, self.mode, post.reason))
        return post

    def _put_on(self, ifindex: int, rung: Rung, reasons: list[_Said]) -> Post:
        reason, detail = reasons[0][0], _detail(rung, reasons)
        if rung is Rung.PACKET:
            self.taps.put_on(ifindex)
            return Post(ifindex, rung, reason, detail)
        if rung is Rung.CLSACT:
            self._make_clsact(ifindex)
        fd = hooks.put_on(self.libbpf, self.program, ifindex, rung)
        post = Post(ifindex, rung, reason, detail, fd)
        try:
            self._repin(post, PinName(ifindex, rung, self.mode, post.reason))
        except KernelError:
            self._take_off(post)
            raise
        return post

    def _make_clsact(self, ifindex: int) -> None:
        if hooks.make_clsact(self.libbpf, ifindex):
            originals = undo.load(self.state_dir)
            originals.clsact = sorted({*originals.clsact, str(ifindex)})
            undo.save(self.state_dir, originals)

    def _repin(self, post: Post, name: PinName) -> None:
        path = self.pins.links / str(name)
        if post.path is not None:
            post.path.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        self.libbpf.pin(post.fd, path)
        post.path = path

    def swap(self, program: Program) -> None:
        """Put another program in place of ours on every interface."""
        self.program = program
        self.taps.program_fd = program.tc_fd
        for post in self.by_ifindex.values():
            if post.rung in {Rung.NONE, Rung.PACKET}:
                continue
            post.fd = hooks.swap(self.libbpf, program, post.ifindex, post.rung, post.fd)
            if post.rung is Rung.CLSACT and post.path is not None:
                name = PinName.parse(post.path.name)
                if name is not None:
                    self._repin(post, name)

    # -- trials ----------------------------------------------------------------------------------

    def stand_in(self, ifindex: int) -> None:
        """Let tc answer instead of generic XDP; raises KernelError, and all is as before."""
        before, reasons = self.by_ifindex[ifindex], [(RungReason.RUNG_UNPROVEN, _ON_TRIAL)]
        try:
            post = self._put_on(ifindex, Rung.TCX, reasons)
        except KernelError:
            post = self._put_on(ifindex, Rung.CLSACT, reasons)
        self.by_ifindex[ifindex] = post
        self._take_off(before)

    def refuse_native(self, ifindex: int, exc: KernelError) -> None:
        """Remember why native XDP cannot be had."""
        self._refused[ifindex] = _explain(Rung.NATIVE, exc)

    def go_native(self, ifindex: int) -> None:
        """The trial's link becomes the post; raises KernelError, and the stand-in stands."""
        before, fd = self.by_ifindex[ifindex], self.trials[ifindex]
        self.libbpf.link_update(fd, self.program.xdp_fd)
        post = Post(ifindex, Rung.NATIVE, RungReason.PROVEN, "", fd)
        self._repin(post, PinName(ifindex, post.rung, self.mode, post.reason))
        del self.trials[ifindex]
        self.by_ifindex[ifindex] = post
        self._take_off(before)

    def end_trial(self, ifindex: int) -> None:
        """Take the trial off an interface, which may be gone or have none."""
        fd = self.trials.pop(ifindex, None)
        if fd is not None:
            hooks.take_off(self.libbpf, ifindex, Rung.NATIVE, fd)
            os.close(fd)

    def leave(self, ifindex: int) -> None:
        """Take our program off an interface, which may be gone."""
        self.end_trial(ifindex)
        self._refused.pop(ifindex, None)
        post = self.by_ifindex.pop(ifindex, None)
        if post is not None:
            self._take_off(post)

    def _take_off(self, post: Post) -> None:
        if post.rung is Rung.PACKET:
            self.taps.take_off(post.ifindex)
        elif post.rung is not Rung.NONE:
            hooks.take_off(self.libbpf, post.ifindex, post.rung, post.fd)
        self._forget(post)

    def _forget(self, post: Post) -> None:
        if post.path is not None:
            post.path.unlink(missing_ok=True)
        if post.fd >= 0:
            os.close(post.fd)
        post.fd, post.path, post.rung = -1, None, Rung.NONE

    def close(self) -> None:
        """Close descriptors; programs stay on by their pins."""
        for fd in self.trials.values():
            os.close(fd)
        self.trials.clear()
        for post in self.by_ifindex.values():
            if post.fd >= 0:
                os.close(post.fd)
        self.by_ifindex.clear()
        self.taps.close()


_ON_TRIAL: Final = "native XDP on trial"
_OTHER_MODE: Final = "attached under another --xdp-mode"


def _refusal(link: Link, rung: Rung, foreign: int, *, tags_hidden: bool) -> _Said | None:
    if rung not in _XDP:
        return None
    if tags_hidden:
        return RungReason.VLAN_OFFLOAD, f"{rung}: rxvlan of {link.name} is on"
    if rung is Rung.NATIVE and link.kind == "bond":
        # The kernel puts it on every member, where it runs before the bond drops what a standby
        # member heard, and sees the member's ifindex, of which the tables know nothing.
        return RungReason.NOT_SUPPORTED, f"{rung}: on a bond it would run on each member"
    if foreign:
        return RungReason.FOREIGN_PROGRAM, f"{rung}: XDP program {foreign} is attached"
    return None


def _detail(rung: Rung, reasons: list[_Said]) -> str:
    limits = [_PACKET_LIMITS] if rung is Rung.PACKET else []
    return "; ".join([*limits, *(detail for _, detail in reasons if detail)])


def _explain(rung: Rung, exc: KernelError) -> _Said:
    if exc.errno in _TAKEN:
        return RungReason.FOREIGN_PROGRAM, f"{rung}: {exc}"
    if exc.errno == errno.EPERM:
        return RungReason.NOT_SUPPORTED, f"{rung}: {exc}; {privileges()}"
    return RungReason.NOT_SUPPORTED, f"{rung}: {exc}"
