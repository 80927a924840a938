"""One moment of the world as the planners see it."""

import attrs

from stentor.cluster.objects import Node, World


@attrs.frozen
class Snapshot:
    """
    All that a plan depends on. Equal snapshots give equal plans, on whatever node they are made.

    `node` is the node the plan is for and need not be in `world.nodes`. `alive` are the ring
    members alive now, None where membership is off: then every node counts as alive, as with
    MetalLB. `foreign` are members known not to run Stentor.
    """

    node: str
    world: World = attrs.field(factory=World)
    alive: frozenset[str] | None = None
    foreign: frozenset[str] = frozenset()
    ignore_exclude_lb: bool = False  # --ignore-exclude-lb

    def is_alive(self, name: str) -> bool:
        """Whether the ring sees `name` alive, or there is no ring to tell."""
        return self.alive is None or name in self.alive


def node_change_matters(old: Node | None, new: Node | None) -> bool:
    """
    Whether a plan can differ after a Node changed from `old` to `new`; None = does not exist.

    Labels (selectors and the exclude label) and NetworkUnavailable count. Cordon, Ready and the
    heartbeats that rewrite a Node every few seconds do not, and most never get into a `Node`.
    """
    if old is None or new is None:
        return old is not new
    return (old.name, old.labels, old.network_unavailable) != (
        new.name,
        new.labels,
        new.network_unavailable,
    )
