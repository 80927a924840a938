"""Which kinds a directory of manifests is read for, and which lie there for others."""

from collections import Counter
from typing import Final

_GROUP = "metallb.io/"
READ: Final = frozenset(
    {
        "AddressPool", "IPAddressPool", "L2Advertisement", "Service", "EndpointSlice", "Node",
        "Namespace",
    }
)  # fmt: skip
_SLIP = 2  # letters: Servce, Servcie and Services are slips, ServiceAccount is another kind
_NOT_READ = frozenset(
    {
        "BFDProfile", "BGPAdvertisement", "BGPPeer", "Community",
        "ConfigurationState", "MetalLB", "ServiceBGPStatus", "ServiceL2Status",
    }
)  # fmt: skip


def is_to_be_read(kind: str, version: str) -> bool:
    """
    Tell whether an object concerns us, if only to be refused.

    The Deployment beside its Service does not. A kind of ours that is misspelt does, and so does
    every kind that MetalLB does not have but claims to be of its group.
    """
    if kind in READ:
        return True
    if version.startswith(_GROUP):
        return kind not in _NOT_READ
    return _is_slip(kind)


def note_on(kind: str, version: str) -> str:
    """Say what to know of a kind that is not read, or nothing."""
    if kind in _NOT_READ and version.startswith(_GROUP):
        return f"{kind} is not read from manifests; it has no effect"
    if kind == "Endpoints" and version == "v1":
        return "Endpoints is not read; write an EndpointSlice (discovery.k8s.io/v1)"
    return ""


def _is_slip(kind: str) -> bool:
    """Tell whether `kind` is one of ours but for two letters, in whatever order they stand."""
    written = Counter(kind.lower())
    return any(
        ((written - meant) + (meant - written)).total() <= _SLIP
        for meant in (Counter(known.lower()) for known in READ)
    )
