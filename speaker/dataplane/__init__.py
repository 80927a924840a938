"""BPF data plane: load, pin, attach, table, cells, counters. See docs/explanation/data-plane.md."""

from speaker.dataplane.errors import ApplyError
from speaker.dataplane.heard import HeardBeat
from speaker.dataplane.interfaces import Link, Refusal, choose
from speaker.dataplane.layout import EventKind, Voice
from speaker.dataplane.leftovers import cleanup
from speaker.dataplane.plane import DataPlane
from speaker.dataplane.values import (
    Attachment,
    HeardVoice,
    Lost,
    Options,
    Rung,
    RungReason,
    Vip,
    VipCounters,
    VipRow,
    XdpMode,
)

__all__ = [
    "ApplyError",
    "Attachment",
    "DataPlane",
    "EventKind",
    "HeardBeat",
    "HeardVoice",
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
