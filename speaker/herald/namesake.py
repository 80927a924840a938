"""Two live instances of one node name: the younger gives way (OWNERSHIP.md Words, Identity)."""

import attrs

from speaker.herald.facts import Flag, Hello

# Gossip can carry the last words of our own former process for a while: only a namesake whose age
# goes on growing after we have begun is alive.
_WATCH_S = 3.0


@attrs.frozen
class Verdict:
    """What a hello in our own name means."""

    is_live: bool = False
    we_go: bool = False


@attrs.define
class Namesakes:
    """Instances other than this one that were heard to speak as this node."""

    node: str
    instance: bytes
    _seen: dict[bytes, tuple[float, int]] = attrs.field(factory=dict)  # when first, age then

    def judge(self, hello: Hello, *, age_s: float, started: bool, now: float) -> Verdict:
        """Judge a hello that carries our name; `age_s` is our own."""
        if hello.instance == self.instance:
            return Verdict()
        if len(self._seen) > 16:
            self._seen.clear()
        first_at, first_age = self._seen.setdefault(hello.instance, (now, hello.age_ms))
        grown_s = (hello.age_ms - first_age) / 1000
        if now - first_at < _WATCH_S or grown_s < _WATCH_S / 2:
            return Verdict()
        if not started and hello.flags & Flag.STARTED:
            return Verdict(is_live=True, we_go=True)
        ours, theirs = (age_s, self.instance), (hello.age_ms / 1000, hello.instance)
        return Verdict(is_live=True, we_go=ours < theirs)
