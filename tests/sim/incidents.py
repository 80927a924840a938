"""What befalls a large cluster over hours: incidents of one or several faults each."""

import random

from tests.sim.faults import NEVER, Fault, Kind, draw_fault, draw_schedule

MEAN_S = 14_400.0  # between two incidents: each of 200 nodes is hit about once a month
GONE_S = 70.0  # a host that stays off: longer than anything is done for the lately dead
_GAP_S = 0.3  # between two restarts of a rolling upgrade
_WAVE = 10  # share of the nodes that a rolling update ends at once: maxUnavailable 10 %
_WHOLE = ("rolling_restart", "rolling_update", "partition", "power_on", "plan")


def _rolling_restart(names: tuple[str, ...], rng: random.Random) -> list[Fault]:
    """Every herald restarts within its lease, one soon after the other."""
    order = rng.sample(names, len(names))
    return [
        Fault(round(place * _GAP_S, 4), Kind.KILL, (name,), 0.8) for place, name in enumerate(order)
    ]


def _rolling_update(names: tuple[str, ...], rng: random.Random) -> list[Fault]:
    """Every node leaves and comes back, a tenth of them at once."""
    order = rng.sample(names, len(names))
    size = max(1, len(names) // _WAVE)
    return [
        Fault(place // size * 6.0 + place % size * 0.05, Kind.LEAVE, (name,), 4.0)
        for place, name in enumerate(order)
    ]


def _whole_cluster(names: tuple[str, ...], rng: random.Random) -> list[Fault]:
    """Something that concerns all nodes at once."""
    match rng.choice(_WHOLE):
        case "rolling_restart":
            return _rolling_restart(names, rng)
        case "rolling_update":
            return _rolling_update(names, rng)
        case "partition":
            half = tuple(rng.sample(names, len(names) // 2))
            return [Fault(0.0, Kind.CUT, half, round(rng.uniform(0.3, 14.0), 4))]
        case "power_on":
            return [Fault(0.0, Kind.CRASH, names, round(rng.uniform(2.0, 8.0), 4))]
        case _:  # every VIP goes to another node
            return [draw_fault(rng, Kind.PLAN, 0.0, names)]


def draw_incident(
    rng: random.Random, names: tuple[str, ...], holders: tuple[str, ...], whole_share: float
) -> tuple[Fault, ...]:
    """
    One to five faults within some ten seconds, or with `whole_share` one of the whole cluster.

    Half of what befalls one node befalls a holder: of 200 nodes most answer for nothing.
    """
    if rng.random() < whole_share:
        return tuple(_whole_cluster(names, rng))
    drawn = []
    for fault in draw_schedule(rng, names):
        nodes, duration = fault.nodes, fault.duration
        if holders and rng.random() < 0.5 and len(nodes) <= 2:
            nodes = tuple(dict.fromkeys((rng.choice(holders), *nodes)))[: len(nodes)]
        if duration >= NEVER:
            duration = GONE_S
        drawn.append(Fault(fault.at, fault.kind, nodes, duration, fault.amount, fault.seed))
    return tuple(drawn)
