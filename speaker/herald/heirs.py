"""Which seats of a silent node are ours: decided for thousands before any of them is taken."""

from collections.abc import Iterable

from speaker.herald.claims import Claims
from speaker.herald.seats import Seat
from speaker.herald.world import World


def heirs(
    world: World, claims: Claims, seats: dict[bytes, Seat], node: str, keys: Iterable[bytes]
) -> list[Seat]:
    """
    Those of the seats `keys` of the silent `node` that the rules would have us take now.

    It leaves out whatever is not plain: seats that others claim too, mixed rings. They are looked
    at one by one by Rules.judge, to which this adds nothing but speed: about 0.3 us a seat.
    """
    is_fit = world.is_started and not (world.is_leaving or world.is_duplicate)
    if not is_fit or world.foreigners:
        return []
    untouchable, claimed = world.untouchable, claims.of
    # By identity: thousands of plans share their candidates.
    is_first: dict[tuple[int, frozenset[str] | None], bool] = {}
    is_linked: dict[frozenset[str] | None, bool] = {}
    found = []
    for key in keys:
        seat = seats.get(key)
        if seat is None or seat.mine or (plan := seat.plan) is None or seat.said is None:
            continue
        candidates, interfaces = plan.candidates, plan.interfaces
        shared = id(candidates), interfaces
        if (ours := is_first.get(shared)) is None:
            able = world.able_for(plan) - {node}
            ours = is_first[shared] = _is_first(world.own.node, candidates, able)
        if not ours or key in untouchable or len(claimed(key)) != 1:
            continue
        if (linked := is_linked.get(interfaces)) is None:
            may_speak = world.link_of(plan) is not None and not world.is_waiting_for(plan)
            linked = is_linked[interfaces] = may_speak
        if linked:
            found.append(seat)
    return found


def _is_first(own: str, candidates: tuple[str, ...], able: frozenset[str]) -> bool:
    """Whether we are a candidate and no able one ranks before us."""
    for name in candidates:
        if name == own:
            return True
        if name in able:
            return False
    return False
