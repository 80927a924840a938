"""What this node says: its words at once to every peer, repeated until acknowledged; its hello."""

import random
from collections.abc import Callable, Iterable
from itertools import islice

import attrs

from speaker.herald.actions import Action, Broadcast, Send, SendAll
from speaker.herald.agenda import Agenda
from speaker.herald.claims import Words
from speaker.herald.facts import (
    Claim,
    Fence,
    Hello,
    Hosts,
    LinkFact,
    Seats,
    State,
    Want,
    Word,
    encode,
)
from speaker.herald.parcels import cut, cut_whole
from speaker.herald.peers import HAUNT_LONG_S, HAUNT_S, HELLO_S, Outstanding, Peer

_REPEAT_S = (0.05, 0.1, 0.2, 0.4, 0.8)  # then each 1 s; after _MAX_TRIES the digest mends it
_REPEAT_MAX_S = 1.0
_MAX_TRIES = 10
_HOSTS_PER_PART = 48
_MAX_LINKS = 16  # of a hello, which has to fit one datagram
_MAX_NAMED = 4  # nodes that it names: their names may be long


@attrs.define
class OwnFacts:
    """What this node says of itself."""

    node: str
    instance: bytes
    version: str
    born_at: float
    flags: int = 0  # Flag
    links: tuple[LinkFact, ...] = ()
    hosts: frozenset[bytes] = frozenset()
    fences: tuple[Fence, ...] = ()
    reflects: tuple[tuple[str, str], ...] = ()  # (node, segment) proven to reflect beats
    words: Words = attrs.field(factory=Words)
    seq: int = 0

    def next_seq(self) -> int:
        """A number for the next message."""
        self.seq += 1
        return self.seq


@attrs.frozen
class Author:
    """Whose seats are sent: ours, or a peer's whose picture we have; `seq` None numbers anew."""

    node: str
    instance: bytes
    words: Words
    hosts: frozenset[bytes]
    seq: int | None


def hosts_digest(addresses: Iterable[bytes]) -> int:
    """Sum over addresses, so that two nodes can tell whether they mean the same set."""
    return sum(int.from_bytes(a, "big") * 0x9E3779B97F4A7C15 + len(a) for a in addresses) % (
        1 << 62
    )


@attrs.define
class Teller:
    """The speaking half of the protocol between heralds."""

    own: OwnFacts
    peers: dict[str, Peer]
    agenda: Agenda[str]
    actions: list[Action]
    rng: random.Random
    count: Callable[[str], None]
    _dirty: dict[bytes, None] = attrs.field(factory=dict)
    _told: Hello | None = None  # what was gossiped last
    _ack: int = 0

    def say(self, key: bytes, claim: Claim, counter: int, to: str = "") -> None:
        """Our word on a seat, told to all by the next flush."""
        self.own.words.put(key, Word(claim, counter, to, 0))
        self._dirty[key] = None

    def flush(self, now: float) -> None:
        """Send what was said since the last flush."""
        if not self._dirty:
            return
        words = [(key, self.own.words.by_seat[key]) for key in self._dirty]
        self._dirty = {}
        audience = [p for _, p in sorted(self.peers.items()) if p.is_alive and p.hello is not None]
        if audience:
            self.tell(audience, words, now, tries=0)

    def tell(
        self, audience: list[Peer], words: list[tuple[bytes, Word]], now: float, *, tries: int
    ) -> None:
        """Send words to some peers, to be acknowledged by each."""
        own = self.own
        for names, wire in cut(own.node, words):
            self._ack += 1
            seats = Seats(own.node, own.instance, own.next_seq(), own.node, self._ack, names, wire)
            payload = encode(seats)
            sent = Outstanding(tuple(word[0] for word in wire), now, tries)
            for peer in audience:
                peer.unacked[self._ack] = sent
                self.actions.append(Send(peer.name, payload))
        delay = _REPEAT_S[tries] if tries < len(_REPEAT_S) else _REPEAT_MAX_S
        for peer in audience:
            self.agenda.sooner(f"repeat:{peer.name}", now + delay)

    def repeat(self, peer: Peer, now: float) -> None:
        """Say again, as it stands now, what a peer has not acknowledged in time."""
        again: dict[int, dict[bytes, None]] = {}
        for ack, sent in list(peer.unacked.items()):
            delay = _REPEAT_S[sent.tries] if sent.tries < len(_REPEAT_S) else _REPEAT_MAX_S
            if not peer.is_alive or sent.tries >= _MAX_TRIES:
                del peer.unacked[ack]
            elif sent.sent_at + delay <= now + 1e-6:
                del peer.unacked[ack]
                again.setdefault(sent.tries, {}).update(dict.fromkeys(sent.keys))
            else:
                self.agenda.sooner(f"repeat:{peer.name}", sent.sent_at + delay)
        for tries, keys in again.items():
            self.count("repeats")
            words = [(key, self.own.words.by_seat[key]) for key in keys]
            self.tell([peer], words, now, tries=tries + 1)

    def hello(self, now: float, *, relay: bool = False) -> Hello:
        """This node in short."""
        own = self.own
        return Hello(
            own.node,
            own.instance,
            own.next_seq(),
            max(0, round((now - own.born_at) * 1000)),
            own.flags,
            own.version[:32],
            own.words.active,
            own.words.digest,
            hosts_digest(own.hosts),
            own.links[:_MAX_LINKS],
            own.fences[:_MAX_NAMED],
            own.reflects[:_MAX_NAMED],
            relay=relay,
        )

    def greet(self, now: float, only: Peer | None = None) -> None:
        """Say hello to one member, or to all; gossip it when anything has changed."""
        if only is not None:
            self.actions.append(Send(only.name, encode(self.hello(now))))
            return
        hello = self.hello(now)
        audience = [n for n, p in self.peers.items() if p.is_alive and not p.is_foreign(now)]
        if audience:
            self.actions.append(SendAll(tuple(sorted(audience)), encode(hello)))
        self.agenda.set("hello", now + HELLO_S * self.rng.uniform(0.9, 1.1))
        fixed = _lasting(hello)
        if self._told is None or _lasting(self._told) != fixed:
            self._told = hello
            relayed = encode(self.hello(now, relay=True))
            self.actions.append(Broadcast(relayed, f"hello/{self.own.node}"))

    def greet_dead(self, now: float) -> None:
        """
        Say hello to members declared dead: one that answers is cut off no more, or never died.

        memberlist by itself does not look for the dead, and two halves of a ring would stay apart.
        With it goes our word on seats that it held and we hold now: if it still speaks for them it
        has to know, and it may hear us though we do not hear it.
        """
        dead = [p for _, p in sorted(self.peers.items()) if p.died_at is not None]
        if not dead:
            return
        payload = encode(self.hello(now))
        for peer in dead:
            self.actions.append(Send(peer.name, payload))
            self._contest(peer)
        is_recent = any(now - p.died_at < HAUNT_LONG_S for p in dead if p.died_at is not None)
        self.agenda.set("haunt", now + (HAUNT_S if is_recent else HELLO_S))

    def _contest(self, peer: Peer) -> None:
        """One datagram of our words on the seats that a dead peer held; the next one next time."""
        words, own = self.own.words.by_seat, self.own
        ours = [(key, words[key]) for key in peer.lost if key in words and words[key].claim]
        for names, wire in islice(cut(own.node, ours), 1):
            seats = Seats(own.node, own.instance, own.next_seq(), own.node, 0, names, wire)
            self.actions.append(Send(peer.name, encode(seats)))
            said = {key for key, *_ in wire}
            peer.lost = (*(k for k in peer.lost if k not in said), *said)

    def state(self, now: float) -> bytes:
        """The whole of this node for a push/pull."""
        words = self.own.words.by_seat
        names: dict[str, int] = {}
        wire = []
        for key, word in words.items():
            if word.claim:
                to = names.setdefault(word.to, len(names) + 1) if word.to else 0
                wire.append((key, word.counter, word.claim, to))
        hosts = tuple(sorted(self.own.hosts))
        return encode(State(self.hello(now), tuple(names), tuple(wire), hosts))

    def send_whole(self, about: Author, want: Want) -> None:
        """All seats of a node, or the missing parts of them, to the peer that wants them."""
        words = about.words
        parcels = cut_whole(about.node, words.by_seat)
        wanted = set(want.missing) if want.missing and want.state == words.digest else None
        for part, (names, wire) in enumerate(parcels):
            if wanted is None or part in wanted:
                seq = self.own.next_seq() if about.seq is None else about.seq
                seats = Seats(
                    about.node, about.instance, seq, self.own.node, 0, names, wire,
                    words.digest, part, len(parcels),
                )  # fmt: skip
                self.actions.append(Send(want.via, encode(seats)))
        if want.hosts:
            self.send_hosts(want.via, about.node, about.instance, about.hosts)

    def send_hosts(self, to: str, node: str, instance: bytes, hosts: frozenset[bytes]) -> None:
        """Tell a peer which addresses a host has."""
        ordered = sorted(hosts)
        digest = hosts_digest(ordered)
        parts = max(1, -(-len(ordered) // _HOSTS_PER_PART))
        for part in range(parts):
            piece = tuple(ordered[part * _HOSTS_PER_PART : (part + 1) * _HOSTS_PER_PART])
            message = Hosts(node, instance, digest, part, parts, piece)
            self.actions.append(Send(to, encode(message)))


def _lasting(hello: Hello) -> tuple[object, ...]:
    """
    What is worth gossiping: everything but the numbers that change by themselves.

    Fence records are not: everybody soon has each of them, from the verdict or from any hello, and
    a ring in which all gossip that they have it too passes N hellos on to N members for one death.
    """
    return (
        hello.instance,
        hello.flags,
        hello.held,
        hello.digest,
        hello.hosts,
        hello.links,
    )
