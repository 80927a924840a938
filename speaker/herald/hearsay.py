"""The other heralds: members come and go, messages arrive, and seats are looked at again for it."""

from collections.abc import Callable
from typing import Final

import attrs

from speaker.herald.actions import Action, Exit, Note, Vip
from speaker.herald.agenda import Agenda
from speaker.herald.claims import Claims
from speaker.herald.docket import Docket
from speaker.herald.errors import DecodeError
from speaker.herald.exchange import Exchange
from speaker.herald.facts import (
    Ask,
    Claim,
    Decline,
    Hello,
    Message,
    Seats,
    State,
    Want,
    Word,
    decode,
)
from speaker.herald.ledger import Ledger
from speaker.herald.namesake import Namesakes
from speaker.herald.peers import FRESH_S, HAUNT_S, HEARD_S, MIXED_AFTER_S, Peer
from speaker.herald.rules import Rules
from speaker.herald.world import World

MAX_PEERS: Final = 1024
AGAIN_S: Final = 0.05
ASKED_S: Final = 0.6  # for two beats to a node that we do not watch


@attrs.define
class Hearsay:
    """
    What memberlist and the peers tell. It changes peers and claims; it judges nothing.

    Tasks it puts on the agenda carry the name of a node: see `run`.
    """

    world: World
    claims: Claims
    docket: Docket
    rules: Rules
    tasks: Agenda[str]
    actions: list[Action]
    ledger: Ledger
    namesakes: Namesakes
    born_at: float
    is_beating: Callable[[str, float], bool] = lambda node, now: False
    may_beat: Callable[[str], bool] = lambda node: False  # is worth asking by beats
    exchange: Exchange = attrs.field(init=False)
    _rivals: dict[str, list[bytes]] = attrs.field(factory=dict)  # who claims seats of ours

    # --- memberlist

    def joined(self, node: str, address: Vip, now: float, *, stentor: bool | None) -> None:
        """A member is alive (again)."""
        if node == self.world.own.node or (peer := self._peer(node)) is None:
            return
        peer.is_member = peer.is_alive = True
        peer.joined_at, peer.died_at = now, None
        peer.address, peer.marker = address, stentor
        for task in (f"doubt:{node}", f"ghost:{node}"):
            self.tasks.cancel(task)
        self.tasks.set(f"kind:{node}", now + MIXED_AFTER_S)
        if not peer.is_foreign(now):
            self.exchange.teller.greet(now, peer)
        if peer.hello is not None:
            self.exchange.meet(peer, now)
        self._refresh_of(peer)

    def updated(self, node: str, address: Vip, *, stentor: bool | None) -> None:
        """Address or Meta of a live member changed."""
        if node == self.world.own.node or (peer := self._peer(node)) is None:
            return
        peer.address, peer.marker = address, stentor
        self._refresh_of(peer)

    def left(self, node: str, now: float, *, dead: bool) -> None:
        """
        A member was declared dead, or left.

        One death message of anybody is believed by all of a memberlist ring, and after a healed
        cut late ones go round. While we hear the herald itself, it is not dead to us.
        """
        peer = self.world.peers.get(node)
        if peer is None or not peer.is_member:
            return
        peer.is_member = False
        peer.died_at = now if dead else None
        self.tasks.sooner("haunt", now + HAUNT_S)
        is_heard = now - peer.heard_at < HEARD_S or self.is_beating(node, now)
        if dead and (is_heard or self.may_beat(node)):
            self.actions.append(Note("member_death_doubted", {"name": node}))
            wait = AGAIN_S if is_heard else ASKED_S
            self.tasks.set(f"doubt:{node}", max(peer.heard_at + FRESH_S, now + wait))
        else:
            self._lose(peer)
        self._refresh_of(peer)

    def conflicted(self, node: str, address: str) -> None:
        """The ring saw `node` at a second address."""
        if node == self.world.own.node and not self.world.is_started:
            self._give_way(f"node name {node} is taken by a live member at {address}")
        else:
            self.ledger.count("name_conflicts")
            self.actions.append(Note("name_conflicted", {"name": node, "address": address}))

    # --- messages

    def decode(self, payload: bytes) -> Message | None:
        """Octets to message; what is none of ours, or broken, is counted."""
        try:
            message = decode(payload)
        except DecodeError:
            self.ledger.count("messages_malformed")
            return None
        if message is None:
            self.ledger.count("messages_foreign")
        return message

    def hear(self, message: Message, payload: bytes, sender: str, now: float) -> None:
        """Take a message in."""
        hello = message.hello if isinstance(message, State) else message
        author: str = message.via if isinstance(message, Want) else getattr(hello, "node", "")
        if author == self.world.own.node:
            if isinstance(hello, Hello):
                self._hear_namesake(hello, sender, now)
            return
        if author and self._peer(author) is None:
            return
        if self._is_namesake_of_a_peer(message, sender, now):
            self.ledger.count("messages_of_namesakes")
            return
        match message:
            case Ask():
                self._hear_ask(message, now)
            case Decline():
                for key in message.vips:
                    if (seat := self.docket.seats.get(key)) is not None:
                        self.rules.decline(seat, message.node)
                        self.docket.urge_one(key)
            case _:
                self.exchange.hear(message, payload, sender, now)

    def _hear_ask(self, ask: Ask, now: float) -> None:
        for key in ask.vips:
            if (seat := self.docket.seats.get(key)) is not None and seat.mine:
                seat.asked_by, seat.asked_at = ask.node, now
                self.docket.urge_one(key)

    def _hear_namesake(self, hello: Hello, sender: str, now: float) -> None:
        age_s = now - self.born_at
        verdict = self.namesakes.judge(hello, age_s=age_s, started=self.world.is_started, now=now)
        if verdict.is_live:
            self.ledger.count("namesakes_heard")
        if verdict.we_go:
            self._give_way(f"another live instance of node {hello.node} is at {sender}")

    def _is_namesake_of_a_peer(self, message: Message, sender: str, now: float) -> bool:
        """
        Whether this comes from a second node with the name of a member that we hear.

        The ring gives a name to the address that had it first. A herald that has restarted is there
        too; what speaks as another instance from elsewhere must not make us forget its seats.
        """
        match message:
            case State(hello=Hello(node=node, instance=instance)):
                pass
            case Hello(node=node, instance=instance, relay=False):
                pass
            case Seats(node=node, instance=instance, via=via) if via == node:
                pass
            case _:
                return False
        peer = self.world.peers.get(node)
        return (
            peer is not None
            and peer.is_member
            and peer.is_fresh(now)
            and peer.instance not in {b"", instance}
            and sender != str(peer.address)
        )

    def _give_way(self, message: str) -> None:
        if not self.world.is_duplicate:
            self.world.is_duplicate = True
            self.docket.urge(self.docket.seats)
            self.actions.append(Exit(message))

    # --- what the exchange tells (Listener)

    def word_changed(self, node: str, key: bytes, before: Word | None, word: Word) -> None:
        """`node` says something new about a seat."""
        seat = self.docket.seats.get(key)
        if seat is None:
            return
        seat.counter = max(seat.counter, word.counter)
        if word.claim:
            if seat.mine:
                self._rivals.setdefault(node, []).append(key)
            elif before is None or not before.claim:
                seat.moved_at = self.world.now
        elif before is not None and before.claim and not word.to:
            self.rules.let_go(seat)
        self.docket.urge_one(key)

    def peer_turned(self, peer: Peer) -> None:
        """Flags, links or kind of a peer are others now."""
        self._refresh_of(peer)

    def hosts_changed(self) -> None:
        """A node has other addresses of its own now."""
        self.docket.urge(self.world.refresh_untouchable())

    def rebut(self, now: float) -> None:
        """
        Whoever claims what we still hold after judging it hears so at once, and so do clients: the
        rival has told them otherwise, or answered them beyond a cut.
        """
        for node, keys in self._rivals.items():
            for key in keys:
                if (seat := self.docket.seats.get(key)) is not None:
                    self.rules.hands.defend(seat)
            words = self.world.own.words.by_seat
            ours = [(k, words[k]) for k in keys if k in words and words[k].claim]
            if ours and (peer := self.world.peers.get(node)) is not None:
                self.exchange.teller.tell([peer], ours, now, tries=0)
        self._rivals.clear()

    # --- time

    def run(self, what: str, peer: Peer, now: float) -> None:
        """Do a task that has fallen due for a peer."""
        match what:
            case "repeat":
                self.exchange.teller.repeat(peer, now)
            case "want":
                self.exchange.want(peer, now)
            case "kind":
                self._refresh_of(peer)
            case "doubt" if not peer.is_member:
                if peer.is_fresh(now) or self.is_beating(peer.name, now):
                    at = max(peer.heard_at + FRESH_S, now + AGAIN_S)  # or it rounds to now for ever
                    self.tasks.set(f"doubt:{peer.name}", at)
                else:
                    self._lose(peer)
            case "ghost" if not peer.is_alive:
                peer.hello = None
                self._bury(peer)
            case _:
                pass

    def refresh(self) -> None:
        """Members or their flags may have changed."""
        if self.world.refresh_peers():
            self.docket.members_changed()
        self.hosts_changed()

    def _refresh_of(self, peer: Peer) -> None:
        """
        This one may have changed.

        One more that can answer changes no seat but those that wait for somebody, and its own: when
        hundreds start at once, all seats were else looked at for each of them. In a mixed ring it
        may be the new owner of any seat, and a doubted death makes another one so.
        """
        world = self.world
        alive, able, foreigners = world.alive, world.able, world.foreigners
        if world.refresh_peer(peer):
            is_pure = not foreigners and not world.foreigners
            if is_pure and alive <= world.alive and able <= world.able:
                self.docket.urge_waiting()
                self.docket.urge(key for key, word in peer.words.by_seat.items() if word.claim)
            else:
                self.docket.members_changed()
        self.docket.urge(world.refresh_untouchable_of(peer))

    # --- how

    def _peer(self, node: str) -> Peer | None:
        peers = self.world.peers
        peer = peers.get(node)
        if peer is None:
            if len(peers) >= MAX_PEERS:
                self.ledger.count("peers_refused")
                return None
            peer = peers[node] = Peer(node)
        return peer

    def _lose(self, peer: Peer) -> None:
        event = "member_left" if peer.died_at is None else "member_died"
        self.actions.append(Note(event, {"name": peer.name, "seats": peer.words.active}))
        peer.is_alive, peer.hello, peer.unacked = False, None, {}
        peer.lost = tuple(key for key, word in peer.words.by_seat.items() if word.claim)
        self._bury(peer)

    def _bury(self, peer: Peer) -> None:
        """Nothing that a member said counts any more."""
        self._refresh_of(peer)
        keys = [key for key, word in peer.words.by_seat.items() if word.claim]
        peer.words.clear()
        for key in keys:
            self.claims.put(key, peer.name, Word(Claim.NONE, 0, "", 0))
            if (seat := self.docket.seats.get(key)) is not None:
                self.rules.let_go(seat)
                self.docket.urge_one(key)
