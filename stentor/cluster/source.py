"""The seam that every source of objects satisfies: manifests here, the Kubernetes API later."""

from collections.abc import AsyncIterator
from typing import Protocol

from stentor.cluster.objects import World


class Source(Protocol):
    """Where objects come from."""

    def worlds(self) -> AsyncIterator[World]:
        """
        Yield the world now, then after every change, bursts coalesced into one.

        Never ends by itself and never raises for bad input, which is found in `World.findings`.
        """
