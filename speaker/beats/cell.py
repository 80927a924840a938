"""What a verdict is about: a node as one segment sees it."""

from typing import NamedTuple


class Cell(NamedTuple):
    """
    One node on one segment.

    The segment goes by the node's own name of its interface there, so that all nodes mean the same.
    """

    node: str
    segment: str
