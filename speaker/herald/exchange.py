"""
Keep the facts of this node and of its peers the same everywhere, over datagrams that get lost.

What changes is told at once to every peer, acknowledged, repeated. Once a second a hello carries a
digest of all seats; a peer whose picture differs wants the whole, from the author or, if the author
cannot be heard, from anybody whose picture is right. So every loss is mended within seconds.
"""

import random
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from speaker.herald.actions import Action, Broadcast, Rejoin, Send
from speaker.herald.agenda import Agenda
from speaker.herald.claims import Claims, Words
from speaker.herald.facts import (
    Ack,
    Claim,
    Flag,
    Hello,
    Hosts,
    LinkFact,
    Message,
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
_WANT_AFTER_S = 0.2  # words under way explain a difference for so long
_WANT_AGAIN_S = 0.5
_WHOLE_GAP_S = 0.15  # a peer that wants all seats gets them at most so often
_HOSTS_PER_PART = 48
_MAX_LINKS = 16  # of a hello, which has to fit one datagram


class Listener(Protocol):
    """Whoever decides on the facts."""

    def word_changed(self, node: str, key: bytes, before: Word | None, word: Word) -> None:
        """`node` says something new about a seat."""

    def peer_turned(self, peer: Peer) -> None:
        """Flags, links or kind of a peer are others now."""

    def hosts_changed(self) -> None:
        """A peer has other addresses of its own now."""


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
    words: Words = attrs.field(factory=Words)
    seq: int = 0

    def next_seq(self) -> int:
        """A number for the next message."""
        self.seq += 1
        return self.seq


def hosts_digest(addresses: Iterable[bytes]) -> int:
    """Sum over addresses, so that two nodes can tell whether they mean the same set."""
    return sum(int.from_bytes(a, "big") * 0x9E3779B97F4A7C15 + len(a) for a in addresses) % (
        1 << 62
    )


@attrs.define
class Exchange:
    """The protocol between heralds, all of it but what the words mean."""

    own: OwnFacts
    peers: dict[str, Peer]
    claims: Claims
    agenda: Agenda[str]
    actions: list[Action]
    rng: random.Random
    count: Callable[[str], None]
    listener: Listener
    _dirty: dict[bytes, None] = attrs.field(factory=dict)
    _told: Hello | None = None  # what was gossiped last
    _ack: int = 0

    # --- what we say

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
            self._tell(audience, words, now, tries=0)

    def _tell(
        self, audience: list[Peer], words: list[tuple[bytes, Word]], now: float, *, tries: int
    ) -> None:
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
            self._tell([peer], words, now, tries=tries + 1)

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
            relay=relay,
        )

    def greet(self, now: float, only: Peer | None = None) -> None:
        """Say hello to one member, or to all; gossip it when anything has changed."""
        if only is not None:
            self.actions.append(Send(only.name, encode(self.hello(now))))
            return
        hello = self.hello(now)
        payload = encode(hello)
        for name, peer in sorted(self.peers.items()):
            if peer.is_alive and not peer.is_foreign(now):
                self.actions.append(Send(name, payload))
        self.agenda.set("hello", now + HELLO_S * self.rng.uniform(0.9, 1.1))
        fixed = attrs_of(hello)
        if self._told is None or attrs_of(self._told) != fixed:
            self._told = hello
            relayed = encode(self.hello(now, relay=True))
            self.actions.append(Broadcast(relayed, f"hello/{self.own.node}"))

    def greet_dead(self, now: float) -> None:
        """
        Say hello to members declared dead: one that answers is cut off no more, or never died.

        memberlist by itself does not look for the dead, and two halves of a ring would stay apart.
        """
        dead = [(n, p.died_at) for n, p in sorted(self.peers.items()) if p.died_at is not None]
        if not dead:
            return
        payload = encode(self.hello(now))
        self.actions.extend(Send(name, payload) for name, _ in dead)
        is_recent = any(now - died_at < HAUNT_LONG_S for _, died_at in dead)
        self.agenda.set("haunt", now + (HAUNT_S if is_recent else HELLO_S))

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

    # --- what we hear

    def hear(self, message: Message, payload: bytes, sender: str, now: float) -> None:
        """Take in one message that is not about asking for seats."""
        match message:
            case Hello():
                self._hear_hello(message, now)
                if message.relay:
                    self._pass_on(message, payload)
                else:
                    self._find_again(message, sender, now)
            case Seats():
                self._hear_seats(message, now)
            case Ack():
                if (peer := self.peers.get(message.via)) is not None:
                    peer.unacked.pop(message.ack, None)
                    peer.heard_at = now
            case Want():
                self._hear_want(message, now)
            case Hosts():
                self._hear_hosts(message)
            case State():
                self._hear_state(message, now)
            case _:
                self.count("messages_unexpected")

    def _known(self, node: str, instance: bytes, now: float) -> Peer | None:
        """The peer this message is from, its words cleared of those of a former instance."""
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Peer(node)
        if instance in peer.retired:
            self.count("messages_of_former_instance")
            return None
        if instance != peer.instance:
            if peer.instance:
                peer.retired = (*peer.retired[-3:], peer.instance)
            peer.instance = instance
            peer.hello = None
            peer.last_seq = 0
            peer.unacked = {}
            peer.words.by_seat = {
                key: word._replace(seq=0) for key, word in peer.words.by_seat.items()
            }
        if not peer.is_alive:
            self.agenda.set(f"ghost:{node}", now + 3 * HELLO_S)
        return peer

    def _hear_hello(self, hello: Hello, now: float) -> None:
        peer = self._known(hello.node, hello.instance, now)
        if peer is None:
            return
        if not hello.relay:
            peer.heard_at = now
        before = peer.hello
        if before is not None and hello.seq <= before.seq:
            return
        peer.hello = hello
        if not hello.held:
            self._forget_words(peer, below=hello.seq)
        if before is None:
            self.meet(peer, now)
        self._compare(peer, now)
        if before is None or (before.flags, before.links) != (hello.flags, hello.links):
            self.listener.peer_turned(peer)

    def _find_again(self, hello: Hello, sender: str, now: float) -> None:
        """We hear a node that is no member to us: nothing else would make it one again."""
        peer = self.peers.get(hello.node)
        if peer is None or peer.is_member or hello.flags & Flag.LEAVING:
            return
        if peer.hello is hello and now >= peer.rejoin_at:
            peer.rejoin_at = now + HELLO_S
            self.actions.append(Rejoin(hello.node, sender))

    def meet(self, peer: Peer, now: float) -> None:
        """A new peer, or a new instance of one: tell it all."""
        if not peer.is_alive:
            return
        self.greet(now, peer)
        words = [(key, word) for key, word in self.own.words.by_seat.items() if word.claim]
        if words:
            self._tell([peer], words, now, tries=0)

    def _pass_on(self, hello: Hello, payload: bytes) -> None:
        peer = self.peers.get(hello.node)
        if peer is not None and peer.hello is hello:
            self.actions.append(Broadcast(payload, f"hello/{hello.node}"))

    def _hear_seats(self, seats: Seats, now: float) -> None:
        if seats.ack and (sender := self.peers.get(seats.via)) is not None and sender.is_alive:
            self.actions.append(Send(seats.via, encode(Ack(self.own.node, seats.ack))))
        peer = self._known(seats.node, seats.instance, now)
        if peer is None:
            return
        if seats.via == seats.node:
            peer.heard_at = now
            peer.last_seq = max(peer.last_seq, seats.seq)
        for key, counter, claim, to in seats.words:
            name = seats.names[to - 1] if to else ""
            self._put(peer, key, Word(claim, counter, name, seats.seq))
        if seats.parts and peer.whole.add(seats):
            self._settle_whole(peer, peer.whole.keys, peer.whole.seq)
            self._compare(peer, now)

    def _put(self, peer: Peer, key: bytes, word: Word) -> None:
        before = peer.words.by_seat.get(key)
        if before is not None and before.seq >= word.seq:
            return
        peer.words.put(key, word)
        self.claims.put(key, peer.name, word)
        if before is None or before[:3] != word[:3]:
            self.listener.word_changed(peer.name, key, before, word)

    def _settle_whole(self, peer: Peer, keys: set[bytes], seq: int) -> None:
        """What a whole does not list, and what is not younger than it, is no longer so."""
        gone = [
            key
            for key, word in peer.words.by_seat.items()
            if word.claim and word.seq < seq and key not in keys
        ]
        for key in gone:
            word = peer.words.by_seat[key]
            self._put(peer, key, Word(Claim.NONE, word.counter, "", seq))

    def _forget_words(self, peer: Peer, *, below: int) -> None:
        if peer.words.active:
            self._settle_whole(peer, set(), below)

    def _hear_state(self, state: State, now: float) -> None:
        hello = state.hello
        peer = self._known(hello.node, hello.instance, now)
        if peer is None:
            return
        keys = set()
        for key, counter, claim, to in state.words:
            name = state.names[to - 1] if to else ""
            self._put(peer, key, Word(claim, counter, name, hello.seq))
            keys.add(key)
        self._settle_whole(peer, keys, hello.seq)
        if hosts_digest(state.hosts) == hello.hosts:
            self._set_hosts(peer, state.hosts)
        self._hear_hello(hello, now)

    # --- differences

    def _compare(self, peer: Peer, now: float) -> None:
        hello = peer.hello
        if hello is None:
            return
        same = (peer.words.active, peer.words.digest) == (hello.held, hello.digest)
        if same and peer.host_digest == hello.hosts:
            peer.differs_since = None
            peer.wants = 0
            self.agenda.cancel(f"want:{peer.name}")
        elif peer.differs_since is None:
            peer.differs_since = now
            self.agenda.set(f"want:{peer.name}", now + _WANT_AFTER_S)

    def want(self, peer: Peer, now: float) -> None:
        """Ask for what we lack of a peer: the author first, then others in turn."""
        hello = peer.hello
        if hello is None or peer.differs_since is None:
            return
        self._compare(peer, now)
        if peer.differs_since is None:
            return
        peer.wants += 1
        backoff = min(peer.wants, 4) * _WANT_AGAIN_S
        self.agenda.set(f"want:{peer.name}", now + backoff * self.rng.uniform(0.8, 1.2))
        if peer.last_seq > hello.seq and now - peer.differs_since < 3 * HELLO_S:
            return  # words younger than the hello: the next one will tell
        whole = peer.whole if peer.whole.state == hello.digest else None
        missing = whole.missing() if whole else ()
        want = Want(
            self.own.node,
            peer.name,
            hello.digest if missing else 0,
            missing,
            peer.host_digest != hello.hosts,
        )
        others = [n for n, p in sorted(self.peers.items()) if p.is_able and p is not peer]
        target = peer.name
        if others and peer.wants % 2 == 0:
            target = self.rng.choice(others)
        self.count("wants")
        self.actions.append(Send(target, encode(want)))

    def _hear_want(self, want: Want, now: float) -> None:
        asker = self.peers.get(want.via)
        if asker is None or not asker.is_alive or now - asker.whole_sent_at < _WHOLE_GAP_S:
            return
        if want.node == self.own.node:
            instance, words, seq = self.own.instance, self.own.words, None
            hosts = self.own.hosts
        else:
            peer = self.peers.get(want.node)
            if peer is None or peer.hello is None or peer.differs_since is not None:
                return
            instance, words, seq = peer.instance, peer.words, peer.hello.seq
            hosts = peer.hosts
        asker.whole_sent_at = now
        parcels = cut_whole(want.node, words.by_seat)
        wanted = set(want.missing) if want.missing and want.state == words.digest else None
        for part, (names, wire) in enumerate(parcels):
            if wanted is None or part in wanted:
                own_seq = self.own.next_seq() if seq is None else seq
                seats = Seats(
                    want.node, instance, own_seq, self.own.node, 0, names, wire,
                    words.digest, part, len(parcels),
                )  # fmt: skip
                self.actions.append(Send(want.via, encode(seats)))
        if want.hosts:
            self._send_hosts(want.via, want.node, instance, hosts)

    def _send_hosts(self, to: str, node: str, instance: bytes, hosts: frozenset[bytes]) -> None:
        ordered = sorted(hosts)
        digest = hosts_digest(ordered)
        parts = max(1, -(-len(ordered) // _HOSTS_PER_PART))
        for part in range(parts):
            piece = tuple(ordered[part * _HOSTS_PER_PART : (part + 1) * _HOSTS_PER_PART])
            message = Hosts(node, instance, digest, part, parts, piece)
            self.actions.append(Send(to, encode(message)))

    def _hear_hosts(self, message: Hosts) -> None:
        peer = self.peers.get(message.node)
        if peer is None or peer.hello is None or message.instance != peer.instance:
            return
        if message.digest != peer.hello.hosts:
            return
        if peer.host_parts and len(peer.host_parts) > message.parts:
            peer.host_parts = {}
        peer.host_parts[message.part] = message.addresses
        if len(peer.host_parts) == message.parts:
            addresses = [a for part in peer.host_parts.values() for a in part]
            peer.host_parts = {}
            if hosts_digest(addresses) == message.digest:
                self._set_hosts(peer, addresses)

    def _set_hosts(self, peer: Peer, addresses: Iterable[bytes]) -> None:
        hosts = frozenset(addresses)
        peer.host_digest = hosts_digest(hosts)
        if hosts != peer.hosts:
            peer.hosts = hosts
            self.listener.hosts_changed()


def attrs_of(hello: Hello) -> tuple[object, ...]:
    """What is worth gossiping: everything but the numbers that change by themselves."""
    return (hello.instance, hello.flags, hello.held, hello.digest, hello.hosts, hello.links)
