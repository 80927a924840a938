"""Whether two rings may merge: the version check of every push/pull."""

from collections.abc import Iterable
from itertools import chain

from speaker.gossip.messages import NodeState

Row = tuple[str, int, bytes]
"""Name, state (NodeState) and versions of a node."""

VERSIONS_BYTES = 6  # pmin, pmax, pcur, dmin, dmax, dcur


def is_sane(versions: bytes) -> bool:
    """
    Whether an `alive` with these versions is believed.

    memberlist 0.5.1 refuses pmin 0, pmax 0 and pmin > pmax, but takes nothing or too few bytes.
    We do not: without versions the node spoils every later push/pull of the ring, and 1 to 5 bytes
    that we passed on in a push/pull would end memberlist 0.5.1 processes (index out of range).
    """
    if len(versions) < VERSIONS_BYTES:
        return False
    protocol_min, protocol_max = versions[0], versions[1]
    return 0 < protocol_min <= protocol_max


def find_disagreement(remote: Iterable[Row], local: Iterable[Row]) -> str | None:
    """
    Say which node spoils the merge of two lists, None when none does.

    The nodes alive on either side span a range (largest min to smallest max) for protocol and
    delegate; the current version of *every* node, dead ones included, has to lie within it. Rows
    without full versions count as current 0, and do not narrow the range.
    """
    theirs, ours = tuple(remote), tuple(local)
    # Hundreds of rows have one or two versions: compare those, and look for names only in anger
    seen = {(state == NodeState.ALIVE, versions) for _, state, versions in (*theirs, *ours)}
    alive = [v for is_alive, v in seen if is_alive and len(v) >= VERSIONS_BYTES]
    for what, low, high, current in (("protocol", 0, 1, 2), ("delegate", 3, 4, 5)):
        most_min = max(chain((0,), (versions[low] for versions in alive)))
        least_max = min(chain((255,), (versions[high] for versions in alive)))
        spoilt = {v for _, v in seen if not most_min <= _current(v, current) <= least_max}
        if not spoilt:
            continue
        sided = [*((*row, "remote") for row in theirs), *((*row, "local") for row in ours)]
        name, version, side = next((n, v, s) for n, _, v, s in sided if v in spoilt)
        return (
            f"{side} node {name}: {what} version {_current(version, current)}, "
            f"the ring needs {most_min} to {least_max}"
        )
    return None


def _current(versions: bytes, place: int) -> int:
    return versions[place] if len(versions) >= VERSIONS_BYTES else 0
