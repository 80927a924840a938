"""
SWIM with Lifeguard, as memberlist speaks it: packets, streams and time in, actions and events out.

Pure: no socket, no clock, no thread. All times are monotonic seconds handed in as `now`. Every
method that takes `now` returns a list of outputs (speaker/gossip/outputs.py) in the order in which
they are to be carried out and told.

    swim = Swim(name="n1", address=ip_address("192.0.2.1"), port=7946, config=LAN, rng=Random(1))
    outputs = swim.start(now)
    ... carry out; at swim.next_wakeup(): outputs = swim.tick(now)
    ... datagram: outputs = swim.receive(messages, source, now)
"""

from collections.abc import Callable, Sequence
from random import Random

from speaker.gossip.config import VERSIONS_METALLB, GossipConfig
from speaker.gossip.messages import Ack, Message, Ping, PushPull
from speaker.gossip.outputs import Address, Endpoint, Member, Output


class Swim:
    def __init__(
        self,
        *,
        name: str,
        address: Address,
        port: int,
        config: GossipConfig,
        rng: Random,
        meta: bytes = b"",
        versions: bytes = VERSIONS_METALLB,
        local_state: Callable[[bool], bytes] = lambda is_join: b"",
        overhead_bytes: int = 0,
    ) -> None:
        """
        `local_state(is_join)` gives the user state for a push/pull (opaque, b"" = none).
        `overhead_bytes` is what label and encryption add to a datagram (0, or 29 with a key).
        """

    # --- time
    def start(self, now: float) -> list[Output]: ...
    def next_wakeup(self) -> float: ...  # monotonic seconds; inf before start
    def tick(self, now: float) -> list[Output]: ...

    # --- datagrams
    def receive(
        self, messages: Sequence[Message], source: Endpoint, now: float
    ) -> list[Output]: ...

    # --- streams
    def join(self, targets: Sequence[Endpoint], now: float) -> list[Output]: ...
    def push_pull_requested(
        self, request: PushPull, source: Endpoint, now: float
    ) -> tuple[PushPull, list[Output]]: ...  # write the reply first, then do the outputs
    def push_pull_answered(self, exchange: int, reply: PushPull, now: float) -> list[Output]: ...
    def push_pull_failed(self, exchange: int, why: str, now: float) -> list[Output]: ...
    def stream_pinged(self, ping: Ping) -> Ack | None: ...
    def stream_acked(self, seq_no: int, now: float) -> list[Output]: ...

    # --- the layer above
    def send_user(self, node: str, payload: bytes, now: float) -> list[Output]: ...  # best effort
    def broadcast_user(self, payload: bytes, key: str, now: float) -> None: ...  # gossiped
    def leave(self, now: float) -> list[Output]: ...

    # --- what is known
    @property
    def members(self) -> tuple[Member, ...]: ...  # all that are listed, ourselves included
    @property
    def up(self) -> tuple[Member, ...]: ...  # alive and suspect, ourselves included, by name
    def member(self, name: str) -> Member | None: ...
    @property
    def health(self) -> int: ...  # 0 = good .. 7, Lifeguard's local health
