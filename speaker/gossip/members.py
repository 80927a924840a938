"""The list of nodes this node knows, in the order in which it probes them."""

from collections.abc import Callable, Iterator
from random import Random

import attrs

from speaker.gossip.messages import Alive, NodeState, PushNode
from speaker.gossip.outputs import Address, Endpoint, Member

NODES_MAX = 4096  # more names than any ring has: bounds what forged messages can make us keep


@attrs.define(eq=False)
class Node:
    """A node as this one sees it. The raw address and the rest are passed on as received."""

    name: str
    raw_address: bytes
    address: Address
    port: int
    meta: bytes
    versions: bytes  # at least 6 bytes
    incarnation: int
    state: NodeState
    since: float  # of the last change of state
    endpoint: Endpoint = attrs.field(init=False)  # kept: text of an address costs 3 us

    def __attrs_post_init__(self) -> None:
        self.endpoint = str(self.address), self.port

    @property
    def is_gone(self) -> bool:
        """Dead or left."""
        return self.state >= NodeState.DEAD

    @property
    def protocol_max(self) -> int:
        """The capability flag: 3 TCP ping, 4 nack, 5 CRC."""
        return self.versions[1]

    def become(self, state: NodeState, now: float) -> None:
        """Change the state."""
        self.state = state
        self.since = now

    def snapshot(self) -> Member:
        """Give the value that the layer above sees."""
        return Member(
            name=self.name,
            address=self.address,
            port=self.port,
            state=self.state,
            incarnation=self.incarnation,
            meta=self.meta,
            versions=self.versions,
            since=self.since,
        )

    def as_push_node(self) -> PushNode:
        """Give the node's row of a push/pull."""
        return PushNode(
            name=self.name,
            addr=self.raw_address,
            port=self.port,
            meta=self.meta,
            incarnation=self.incarnation,
            state=self.state,
            vsn=self.versions,
        )

    def as_alive(self) -> Alive:
        """Give the message that says this node is alive."""
        return Alive(
            incarnation=self.incarnation,
            node=self.name,
            addr=self.raw_address,
            port=self.port,
            meta=self.meta,
            vsn=self.versions,
        )


@attrs.define
class NodeList:
    """Nodes by name, and the shuffled round that probing takes through them."""

    rng: Random
    _by_name: dict[str, Node] = attrs.field(factory=dict)
    _by_endpoint: dict[Endpoint, Node] = attrs.field(factory=dict)
    _round: list[Node] = attrs.field(factory=list)
    _index: int = 0

    def __len__(self) -> int:
        """How many are listed, ourselves, dead and left ones included: `n` of every formula."""
        return len(self._round)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._round)

    def get(self, name: str) -> Node | None:
        """Find a node by name."""
        return self._by_name.get(name)

    def at(self, endpoint: Endpoint) -> Node | None:
        """Find the node that is up at an endpoint."""
        node = self._by_endpoint.get(endpoint)
        return None if node is None or node.is_gone else node

    @property
    def is_full(self) -> bool:
        """Whether no further name is taken in."""
        return len(self._round) >= NODES_MAX

    def add(self, node: Node) -> None:
        """List a new node, at a random place of the round."""
        self._by_name[node.name] = node
        self._by_endpoint[node.endpoint] = node
        self._round.append(node)
        place = self.rng.randrange(len(self._round))
        self._round[place], self._round[-1] = self._round[-1], self._round[place]

    def move(self, node: Node, raw_address: bytes, address: Address, port: int) -> None:
        """Give a listed node another address."""
        if self._by_endpoint.get(node.endpoint) is node:
            del self._by_endpoint[node.endpoint]
        node.raw_address, node.address, node.port = raw_address, address, port
        node.endpoint = str(address), port
        self._by_endpoint[node.endpoint] = node

    def pick(self, count: int, accept: Callable[[Node], bool]) -> list[Node]:
        """Pick up to `count` distinct nodes at random among those that `accept` likes."""
        liked = [node for node in self._round if accept(node)]
        return liked if len(liked) <= count else self.rng.sample(liked, count)

    def next_to_probe(
        self, skip: Callable[[Node], bool], is_expired: Callable[[Node], bool]
    ) -> Node | None:
        """
        Give the next node of the round, None when all are to be skipped.

        At its end the expired ones are dropped from the list and the rest is shuffled.
        """
        looked_at = 0
        while looked_at < len(self._round):
            if self._index >= len(self._round):
                self._begin_round(is_expired)
                looked_at += 1
                continue
            node = self._round[self._index]
            self._index += 1
            if not skip(node):
                return node
            looked_at += 1
        return None

    def _begin_round(self, is_expired: Callable[[Node], bool]) -> None:
        for node in [node for node in self._round if is_expired(node)]:
            del self._by_name[node.name]
            if self._by_endpoint.get(node.endpoint) is node:
                del self._by_endpoint[node.endpoint]
        self._round = [node for node in self._round if node.name in self._by_name]
        self.rng.shuffle(self._round)
        self._index = 0
