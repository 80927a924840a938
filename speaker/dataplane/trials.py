"""
Finding out whether native XDP delivers, without an answer lost (`--xdp-mode auto`).

    generic XDP ──begin──> tc answers, a program that reflects beats alone on native XDP
         ^                        │                    │
         └────────give_up─────────┘                    └──prove──> native XDP

What stands in native XDP meanwhile is not pinned: it goes with this process, and the pinned tc
program answers until the next one comes. For the instant in which two programs stand, packets to
VIPs are counted twice.
"""

import attrs

from speaker.dataplane.attach import Posts
from speaker.dataplane.errors import KernelError
from speaker.dataplane.libbpf import ATTACH_XDP, XDP_FLAGS_DRV_MODE
from speaker.dataplane.values import Rung, RungReason


@attrs.define
class Trials:
    """Trials on the interfaces of `posts`; `sync` of the plane is to follow each step."""

    posts: Posts

    def candidates(self) -> list[int]:
        """Interfaces, by index, that stand on generic XDP for want of a proof."""
        return sorted(
            post.ifindex
            for post in self.posts.by_ifindex.values()
            if (post.rung, post.reason) == (Rung.GENERIC, RungReason.RUNG_UNPROVEN)
        )

    def is_on(self, ifindex: int) -> bool:
        """Whether the interface is on trial: it may have gone, or its stand-in may have."""
        return ifindex in self.posts.trials

    def begin(self, ifindex: int) -> None:
        """
        Put an interface on trial.

        Raises KernelError when tc or native XDP is not to be had. The driver's refusal is
        remembered, as the reason for the rung.
        """
        posts = self.posts
        posts.stand_in(ifindex)
        try:
            posts.trials[ifindex] = posts.libbpf.link_create(
                posts.program.trial_fd, ifindex, ATTACH_XDP, XDP_FLAGS_DRV_MODE
            )
        except KernelError as exc:
            posts.refuse_native(ifindex, exc)
            raise

    def prove(self, ifindex: int) -> None:
        """A peer has confirmed reflections: let native XDP do everything. Raises KernelError."""
        self.posts.go_native(ifindex)

    def give_up(self, ifindex: int) -> None:
        """Take the trial off; `sync` puts generic XDP back."""
        self.posts.end_trial(ifindex)
