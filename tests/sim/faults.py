"""What goes wrong in a run: values drawn from a seed, drawn by Hypothesis, or written down."""

import enum
import random

import attrs


class Kind(enum.StrEnum):
    """Kinds of faults and of things an operator does."""

    CRASH = "crash"  # the host dies; with a duration it boots again, its memory lost
    KILL = "kill"  # SIGKILL of the herald, restarted after the duration
    FREEZE = "freeze"  # the herald gets no CPU
    CUT = "cut"  # nodes | the rest, both ways
    ONE_WAY = "one_way"  # nodes[0] -> nodes[1] only
    DEAF = "deaf"  # nothing reaches nodes[0]
    MUTE = "mute"  # nothing leaves nodes[0]
    LOSS = "loss"  # share `amount` of all frames
    SLOW = "slow"  # `amount` seconds more for every frame
    CARRIER = "carrier"  # nodes[0] loses carrier
    AGENT = "agent"  # the agent of nodes[0] is silent
    LEAVE = "leave"  # SIGTERM, started again after the duration
    HOLD = "hold"  # SIGTERM with hold, started again after the duration
    PLAN = "plan"  # another ranking; node k learns of it k-th of `amount` seconds later
    SHRINK = "shrink"  # nodes[0] is no candidate of anything for the duration, with skew
    WITHDRAW = "withdraw"  # a VIP leaves the plan for the duration, with skew
    ETHERTYPE = "ethertype"  # the fabric drops beats in frames


@attrs.frozen(order=True)
class Fault:
    """
    One of them. `seed` decides what the others leave open (rankings, order of skew).

    `network` is what a fault of wires hits where there are several; "" the one there is.
    """

    at: float
    kind: Kind
    nodes: tuple[str, ...]
    duration: float
    amount: float = 0.0
    seed: int = 0
    network: str = ""

    def __str__(self) -> str:
        """One line of a schedule."""
        amount = f" {self.amount:.3g}" if self.amount else ""
        nodes = ",".join(self.nodes)
        where = f" on {self.network}" if self.network else ""
        return f"{self.at:7.3f} {self.kind:<8} {nodes}{amount}{where} for {self.duration:.3f} s"


# kind: weight, shortest and longest duration
_TABLE: dict[Kind, tuple[int, float, float]] = {
    Kind.CRASH: (4, 0.5, 12.0),
    Kind.KILL: (4, 0.05, 6.0),
    Kind.FREEZE: (5, 0.05, 8.0),
    Kind.CUT: (5, 0.3, 14.0),
    Kind.ONE_WAY: (3, 0.3, 10.0),
    Kind.DEAF: (2, 0.3, 10.0),
    Kind.MUTE: (2, 0.3, 10.0),
    Kind.LOSS: (3, 0.5, 8.0),
    Kind.SLOW: (1, 0.5, 5.0),
    Kind.CARRIER: (2, 0.1, 8.0),
    Kind.AGENT: (2, 1.0, 12.0),
    Kind.LEAVE: (3, 3.0, 8.0),
    Kind.PLAN: (3, 0.0, 0.0),
    Kind.SHRINK: (2, 1.0, 8.0),
    Kind.WITHDRAW: (1, 0.5, 6.0),
    # Not drawn into schedules, whose numbers would all mean others: tests/sim/test_hold.py adds it.
    Kind.HOLD: (0, 0.5, 40.0),
    Kind.ETHERTYPE: (0, 0.5, 12.0),  # only by `spread`
}
OF_WIRES = {
    Kind.CUT, Kind.ONE_WAY, Kind.DEAF, Kind.MUTE, Kind.LOSS, Kind.SLOW, Kind.CARRIER, Kind.ETHERTYPE
}  # fmt: skip
NEVER = 1_000.0  # a host that stays off


def draw_fault(rng: random.Random, kind: Kind, at: float, names: tuple[str, ...]) -> Fault:
    """A fault of the kind, everything else by chance."""
    _, low, high = _TABLE[kind]
    duration = low * (high / low) ** rng.random() if low else 0.0
    count = 1
    if kind is Kind.CUT:
        count = rng.randint(1, max(1, len(names) // 2))
    elif kind is Kind.ONE_WAY:
        count = 2
    elif kind in {Kind.KILL, Kind.FREEZE} and rng.random() < 0.15:
        count = len(names)
    nodes = tuple(rng.sample(names, count))
    amount = 0.0
    if kind is Kind.LOSS:
        amount = rng.choice((0.01, 0.05, 0.1, 0.3))
    elif kind is Kind.SLOW:
        amount = rng.choice((0.005, 0.02, 0.08))
    elif kind in {Kind.PLAN, Kind.SHRINK, Kind.WITHDRAW}:
        amount = rng.choice((0.0, 0.2, 3.0))
    elif kind is Kind.CRASH and rng.random() < 0.3:
        duration = NEVER
    return Fault(round(at, 4), kind, nodes, round(duration, 4), amount, rng.getrandbits(32))


def draw_schedule(rng: random.Random, names: tuple[str, ...]) -> tuple[Fault, ...]:
    """One to five faults, some at once, some far apart, begun within some ten seconds."""
    kinds = list(_TABLE)
    weights = [_TABLE[kind][0] for kind in kinds]
    at = rng.uniform(0.0, 4.0)
    faults = []
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 5))):
        kind = rng.choices(kinds, weights)[0]
        faults.append(draw_fault(rng, kind, at, names))
        at += rng.choice((0.0, 0.01, 0.1, 1.0, 6.0)) * rng.random()
    return tuple(sorted(faults))


def spread(
    rng: random.Random, schedule: tuple[Fault, ...], networks: tuple[str, ...]
) -> tuple[Fault, ...]:
    """The same faults, those of wires each on one of several networks by chance."""
    placed = []
    for fault in schedule:
        if fault.kind in OF_WIRES:
            network = rng.choice(networks)
            is_whole = fault.kind in {Kind.LOSS, Kind.SLOW} and rng.random() < 0.5
            kind = Kind.ETHERTYPE if is_whole else fault.kind
            placed.append(attrs.evolve(fault, kind=kind, network=network))
        else:
            placed.append(fault)
    return tuple(placed)
