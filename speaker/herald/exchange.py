"""
Keep the facts of this node and of its peers the same everywhere, over datagrams that get lost.

What changes is told at once to every peer, acknowledged, repeated. Once a second a hello carries a
digest of all seats; a peer whose picture differs wants the whole, from the author or, if the author
cannot be heard, from anybody whose picture is right. So every loss is mended within seconds.
"""

import random
from collections.abc import Callable, Iterable
from math import inf
from typing import Protocol

import attrs

from speaker.herald.actions import Action, Broadcast, Rejoin, Send
from speaker.herald.agenda import Agenda
from speaker.herald.claims import Claims
from speaker.herald.facts import (
    Ack,
    Claim,
    Flag,
    Hello,
    Hosts,
    Message,
    Seats,
    State,
    Want,
    Word,
    encode,
)
from speaker.herald.peers import HELLO_S, Peer
from speaker.herald.teller import Author, OwnFacts, Teller, hosts_digest

_WANT_AFTER_S = 0.2  # words under way explain a difference for so long
_WANT_AGAIN_S = 0.5
_PASSED_ON = 48  # members of hundreds that pass one hello on: the others get four copies each
_WHOLE_GAP_S = 0.15  # a peer that wants all seats gets them at most so often


class Listener(Protocol):
    """Whoever decides on the facts."""

    def word_changed(self, node: str, key: bytes, before: Word | None, word: Word) -> None:
        """`node` says something new about a seat."""

    def peer_turned(self, peer: Peer) -> None:
        """Flags, links or kind of a peer are others now."""

    def hosts_changed(self) -> None:
        """A peer has other addresses of its own now."""


@attrs.define
class Exchange:
    """The hearing half of the protocol between heralds: all of it but what the words mean."""

    own: OwnFacts
    peers: dict[str, Peer]
    claims: Claims
    teller: Teller
    agenda: Agenda[str]
    actions: list[Action]
    rng: random.Random
    count: Callable[[str], None]
    listener: Listener

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

    def _known(self, node: str, instance: bytes, now: float, *, is_first_hand: bool) -> Peer | None:
        """
        The peer that this message is from; None when it is of an instance that is no more.

        What others pass on may be old, as may what a node reads after a stall. So an instance that
        we hear ourselves gives way only to a new one that we hear ourselves; once it is silent,
        to any: whatever was believed wrongly is mended by the next hello.
        """
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Peer(node)
        if instance != peer.instance:
            is_old = instance in peer.retired or not is_first_hand
            if is_old and peer.is_fresh(now):
                self.count("messages_of_former_instance")
                return None
            if peer.instance:
                peer.retired = (*peer.retired[-3:], peer.instance)
            peer.instance = instance
            peer.hello = None
            peer.heard_at = -inf
            peer.last_seq = 0
            peer.unacked = {}
            peer.words.by_seat = {
                key: word._replace(seq=0) for key, word in peer.words.by_seat.items()
            }
        if not peer.is_alive:
            self.agenda.set(f"ghost:{node}", now + 3 * HELLO_S)
        return peer

    def _hear_hello(self, hello: Hello, now: float) -> None:
        first_hand = not hello.relay
        peer = self._known(hello.node, hello.instance, now, is_first_hand=first_hand)
        if peer is None:
            return
        if first_hand:
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
        self.teller.greet(now, peer)
        words = [(key, word) for key, word in self.own.words.by_seat.items() if word.claim]
        if words:
            self.teller.tell([peer], words, now, tries=0)

    def _pass_on(self, hello: Hello, payload: bytes) -> None:
        peer = self.peers.get(hello.node)
        if peer is None or peer.hello is not hello:
            return
        if len(self.peers) <= _PASSED_ON or self.rng.random() * len(self.peers) < _PASSED_ON:
            self.actions.append(Broadcast(payload, f"hello/{hello.node}"))

    def _hear_seats(self, seats: Seats, now: float) -> None:
        if seats.ack and (sender := self.peers.get(seats.via)) is not None and sender.is_alive:
            self.actions.append(Send(seats.via, encode(Ack(self.own.node, seats.ack))))
        first_hand = seats.via == seats.node
        peer = self._known(seats.node, seats.instance, now, is_first_hand=first_hand)
        if peer is None:
            return
        if first_hand:
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
        peer = self._known(hello.node, hello.instance, now, is_first_hand=True)
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
        own = self.own
        asker.whole_sent_at = now
        if want.node == own.node:
            about = Author(own.node, own.instance, own.words, own.hosts, None)
        else:
            peer = self.peers.get(want.node)
            if peer is None or peer.hello is None or peer.differs_since is not None:
                return
            about = Author(peer.name, peer.instance, peer.words, peer.hosts, peer.hello.seq)
        self.teller.send_whole(about, want)

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
