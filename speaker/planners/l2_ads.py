"""What a set of L2Advertisements means for nodes and interfaces. Pure."""

from collections.abc import Iterable, Mapping

import attrs

from speaker.snapshot import Snapshot
from stentor.cluster.objects import L2Ad, Node


def applicable(ads: Iterable[L2Ad], labels: Mapping[str, str]) -> tuple[L2Ad, ...]:
    """The advertisements that select a Service with `labels`, in the order given."""
    return tuple(ad for ad in ads if ad.selects_service(labels))


def interfaces(ads: Iterable[L2Ad]) -> tuple[str, ...] | None:
    """The union of the interfaces of `ads`, sorted; None = all, which one ad without list says."""
    names: set[str] = set()
    for ad in ads:
        if not ad.interfaces:
            return None
        names.update(ad.interfaces)
    return tuple(sorted(names))


def preference_scores(ads: Iterable[L2Ad], nodes: Iterable[Node]) -> dict[str, int]:
    """
    Node name -> sum of the weights of all preferences that match it; nodes at 0 are left out.

    An advertisement's preferences count only for nodes that it selects itself.
    """
    known = list(nodes)
    scores: dict[str, int] = {}
    for ad in ads:
        for node in known if ad.preferences else ():
            if ad.selects_node(node.labels):
                weight = sum(p.weight for p in ad.preferences if p.selector.matches(node.labels))
                if weight:
                    scores[node.name] = scores.get(node.name, 0) + weight
    return scores


@attrs.frozen
class Reach:
    """
    Where a set of advertisements lets a VIP be announced.

    `eligible` are the nodes that an advertisement selects and that take part in load balancing,
    alive or not. `interfaces` are those of the snapshot's node: None = all, () = it has no say.
    """

    eligible: frozenset[str]
    scores: Mapping[str, int]
    selects_me: bool
    interfaces: tuple[str, ...] | None
    by_service_label: bool  # an advertisement picks Services by label


def reach(ads: tuple[L2Ad, ...], snapshot: Snapshot) -> Reach:
    """Evaluate `ads` against all nodes: O(ads x nodes), so callers keep it per set of ads."""
    nodes = snapshot.world.nodes.values()
    me = snapshot.world.nodes.get(snapshot.node)
    mine = [ad for ad in ads if me is not None and ad.selects_node(me.labels)]
    return Reach(
        eligible=frozenset(
            node.name
            for node in nodes
            if is_balanced(node, snapshot) and any(ad.selects_node(node.labels) for ad in ads)
        ),
        scores=preference_scores(ads, nodes),
        selects_me=bool(mine),
        interfaces=interfaces(mine),
        by_service_label=any(ad.service_selectors for ad in ads),
    )


def is_balanced(node: Node, snapshot: Snapshot) -> bool:
    """Whether the node takes part in load balancing: its network is up, nobody labelled it out."""
    excluded = node.is_excluded and not snapshot.ignore_exclude_lb
    return not (node.network_unavailable or excluded)
