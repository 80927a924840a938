"""The other nodes: what memberlist says of them and what they say of themselves."""

from math import inf

import attrs

from speaker.herald.actions import Vip
from speaker.herald.claims import Words
from speaker.herald.facts import Flag, Hello
from speaker.herald.parcels import Whole

HELLO_S = 1.0  # beats of the next protocol step replace it as the proof that a herald acts
FRESH_S = 2.6  # two lost hellos; a herald that is silent longer is neither asked nor given to
UNHEARD_S = 1.5  # a new member's first hello takes no longer, but for loss
UNCLEAR_S = 3.0  # nor do its seats
HEARD_S = 1.6  # whoever we heard so lately is not dead, whatever memberlist says
HAUNT_S = 0.25  # between hellos to a dead member: after a healed cut both sides learn so soon
HAUNT_LONG_S = 60.0  # after so long one in HELLO_S is enough
MIXED_AFTER_S = 3.0  # a member without our marker and without facts for so long is not Stentor


@attrs.frozen
class Outstanding:
    """Words on their way to a peer: seats, when sent, how often."""

    keys: tuple[bytes, ...]
    sent_at: float
    tries: int


@attrs.frozen
class Silent:
    """Beats found an interface of a peer dead; `weak`: nobody but us has witnessed that."""

    since: float
    weak: bool


@attrs.define
class Peer:
    """One other node."""

    name: str
    address: Vip | None = None
    is_member: bool = False  # memberlist: alive or suspect
    is_alive: bool = False  # a member, or declared dead while we go on hearing it
    joined_at: float = -inf
    via: dict[str, str] = attrs.field(factory=dict)  # our interface: its own on that segment
    silent: dict[str, Silent] = attrs.field(factory=dict)  # by its interface: seats have no holder
    died_at: float | None = None  # declared dead and not back since
    lost: tuple[bytes, ...] = ()  # seats it held when it was declared dead
    rejoin_at: float = -inf  # no Rejoin before
    marker: bool | None = None  # whether its Meta says Stentor
    hello: Hello | None = None  # its newest since it joined
    heard_at: float = -inf  # last message of its own hand
    instance: bytes = b""
    retired: tuple[bytes, ...] = ()  # its former instances, whose late messages mean nothing
    words: Words = attrs.field(factory=Words)
    last_seq: int = 0
    hosts: frozenset[bytes] = frozenset()
    host_parts: dict[int, tuple[bytes, ...]] = attrs.field(factory=dict)
    host_digest: int = 0
    unacked: dict[int, Outstanding] = attrs.field(factory=dict)
    whole: Whole = attrs.field(factory=Whole)
    wants: int = 0  # asked for its seats so often without success
    differs_since: float | None = None
    whole_sent_at: float = -inf

    def has(self, flag: int) -> bool:
        """Whether its newest hello has the flag."""
        return self.hello is not None and bool(self.hello.flags & flag)

    @property
    def is_able(self) -> bool:
        """Whether it could answer for a seat now, as far as it says."""
        return (
            self.is_alive
            and self.has(Flag.STARTED)
            and self.has(Flag.LINKED)
            and not self.has(Flag.LEAVING)
        )

    @property
    def is_silent(self) -> bool:
        """Whether it was found dead on every segment that we share with it."""
        return bool(self.silent) and self.silent.keys() >= set(self.via.values())

    def silence_for(self, interfaces: frozenset[str] | None) -> Silent | None:
        """
        Why it cannot hold a seat that those interfaces serve (None = all): silence on any of them.

        Silence without a witness takes no seat away while another of its segments is not silent.
        """
        serving = [s for n, s in self.silent.items() if interfaces is None or n in interfaces]
        firm = next((silent for silent in serving if not silent.weak), None)
        if firm is not None or not serving:
            return firm
        heard = set(self.via.values()) - self.silent.keys()
        is_heard = any(interfaces is None or name in interfaces for name in heard)
        return None if is_heard else serving[0]

    def is_fresh(self, now: float) -> bool:
        """Whether its herald acts: we heard it lately."""
        return now - self.heard_at < FRESH_S

    def is_foreign(self, now: float) -> bool:
        """Whether it is a member that does not run Stentor (OWNERSHIP.md 10)."""
        if not self.is_member or self.hello is not None:
            return False
        return self.marker is False or (
            self.marker is None and now - self.joined_at >= MIXED_AFTER_S
        )

    def is_unclear(self, now: float) -> bool:
        """Whether its facts are still on their way to us; after a while we go on without them."""
        if self.hello is None:
            return self.marker is not False and now - self.joined_at < UNHEARD_S
        return self.differs_since is not None and now - self.differs_since < UNCLEAR_S

    def lladdr(self, ours: str) -> bytes | None:
        """Its LLADDR on the segment of our interface, by name while beats have not told more."""
        if self.hello is None or not self.hello.links:
            return None
        by_name = {link.name: link.lladdr for link in self.hello.links}
        return by_name.get(self.via.get(ours, ours), self.hello.links[0].lladdr)
