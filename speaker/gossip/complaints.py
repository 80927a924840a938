"""Not to say the same about the same source again and again."""

from typing import Final

import attrs

AGAIN_AFTER_S: Final = 60.0
SOURCES_MAX: Final = 1024  # forged sources must not make us keep more


@attrs.define
class Complaints:
    """Remembers about which source a complaint was made in the last minute."""

    _made: dict[str, float] = attrs.field(factory=dict)

    def admit(self, source: str, now: float) -> bool:
        """Whether to complain about `source` now, which counts as done."""
        last = self._made.get(source)
        if last is not None and now - last < AGAIN_AFTER_S:
            return False
        if len(self._made) >= SOURCES_MAX:
            self._made = {
                each: made for each, made in self._made.items() if now - made < AGAIN_AFTER_S
            }
        if len(self._made) >= SOURCES_MAX:
            return False
        self._made[source] = now
        return True
