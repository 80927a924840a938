"""Stop with hold (OWNERSHIP.md 9): how a herald ends, and why it may have to hand over instead."""

import enum
from typing import Final

HOLD_S: Final = 30.0  # the program answers for so long; the next herald adopts


class Ending(enum.Enum):
    """What becomes of the seats when a herald ends."""

    CRASH = enum.auto()  # the lease runs on: whoever comes next adopts
    HOLD = enum.auto()  # as after a crash, for HOLD_S
    LEAVE = enum.auto()  # handed over: the program passes everything, nothing stays on lo


class HoldRefusal(enum.StrEnum):
    """Why seats are handed over though a hold was asked for; also the log field `reason`."""

    # --failover=memberlist: the others would take the node for dead after 5 s of its 30.
    NO_BEATS = "no_beats"
    # A candidate of a seat runs MetalLB: it too goes by memberlist alone.
    MIXED_RING = "mixed_ring"
    # An interface is answered by the herald itself, on frames of an AF_PACKET socket.
    USERSPACE = "userspace"
    # Members live, and none of them says that our program reflects its beats.
    UNPROVEN = "unproven"
