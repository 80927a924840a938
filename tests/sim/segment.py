"""The wire of a simulated network: who reaches whom, with what loss and delay."""

import random

import attrs


@attrs.define
class Segment:
    """
    One L2 network. Paths are directed; a partition is a set of cut paths.

    `epoch` of a pair is when a path between the two last came or went, for the judge.
    """

    names: tuple[str, ...]
    rng: random.Random
    loss: float = 0.0
    delay_s: float = 0.0004
    jitter_s: float = 0.0004
    drops_frames_of_beats: bool = False  # the fabric knows no EtherType 0x88B5
    _cuts: dict[tuple[str, str], int] = attrs.field(factory=dict)  # path -> cuts on it

    def cut(self, paths: list[tuple[str, str]]) -> None:
        """Stop frames on these paths; cuts add up."""
        for path in paths:
            self._cuts[path] = self._cuts.get(path, 0) + 1

    def heal(self, paths: list[tuple[str, str]]) -> None:
        """Undo one cut of these paths."""
        for path in paths:
            self._cuts[path] -= 1
            if not self._cuts[path]:
                del self._cuts[path]

    def is_open(self, a: str, b: str) -> bool:
        """Whether frames go from `a` to `b`."""
        return a == b or (a, b) not in self._cuts

    def reaches(self, a: str, b: str) -> bool:
        """Whether a question from `a` gets to `b`, and the answer back."""
        return a == b or not ((a, b) in self._cuts or (b, a) in self._cuts)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut."""
        return not self._cuts

    def flight(self, a: str, b: str) -> float | None:
        """How long a frame takes from `a` to `b` this time; None when it is lost."""
        if not self.is_open(a, b) or (self.loss and self.rng.random() < self.loss):
            return None
        return self.delay_s + self.rng.random() * self.jitter_s

    def stream(self, a: str, b: str) -> float | None:
        """The same for a stream, which repeats what is lost; None when the path is cut."""
        if not self.reaches(a, b):
            return None
        lost = 0.2 if self.loss and self.rng.random() < 3 * self.loss else 0.0
        return 2 * self.delay_s + lost + self.rng.random() * self.jitter_s
