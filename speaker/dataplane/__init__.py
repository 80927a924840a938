"""BPF data plane: load, pin, attach, table, cells, counters. See docs/explanation/data-plane.md."""

from speaker.dataplane.errors import ApplyError
from speaker.dataplane.interfaces import Link, Refusal, choose
from speaker.dataplane.plane import DataPlane, cleanup
from speaker.dataplane.values import (
    Attachment,
    Conflict,
    Lost,
    Options,
    Rung,
    RungReason,
    Vip,
    VipCounters,
    VipRow,
    Voice,
    XdpMode,
)

__all__ = [
    "ApplyError",
    "Attachment",
    "Conflict",
    "DataPlane",
    "Link",
    "Lost",
    "Options",
    "Refusal",
    "Rung",
    "RungReason",
    "Vip",
    "VipCounters",
    "VipRow",
    "Voice",
    "XdpMode",
    "choose",
    "cleanup",
]
