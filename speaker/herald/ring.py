"""The ring and the ownership core, joined: membership in, user messages both ways, whom to join."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random
from typing import assert_never

import attrs

from speaker.config import Settings, check_join
from speaker.gossip.config import LAN, WAN
from speaker.gossip.errors import BindError, MessageTooLargeError
from speaker.gossip.keyring import Keyring
from speaker.gossip.messages import NodeState
from speaker.gossip.outputs import (
    Event,
    LeaveFinished,
    Member,
    MemberCleared,
    MemberJoined,
    MemberLeft,
    MemberSuspected,
    MemberUpdated,
    MergeDone,
    MergeFailed,
    NameConflict,
    StateReceived,
    UserReceived,
)
from speaker.gossip.state import Swim
from speaker.gossip.transport import Gossip, overhead_bytes
from speaker.gossip.wire import Wire
from speaker.herald.core import HeraldCore
from speaker.herald.joins import Joins, Target
from stentor.exits import ExitCode, FatalError
from stentor.logging import Log

Address = IPv4Address | IPv6Address

# Meta of every Stentor member; constant, since MetalLB re-syncs everything when a Meta changes.
MARKER = b"stentor/1"
JOIN_EVERY_S = 0.1
JOIN_WITHIN_S = 2.0  # a silent target delays the start twice; memberlist's own limit is 10 s
DISCARD_PORT = 9  # RFC 863; a connected UDP socket sends nothing


def advertised(settings: Settings, own: Iterable[Address]) -> Address:
    """
    Choose the address that members are told: the flag's, the bound one, the one that routes to a
    join target, else the first of this host's `own`, else loopback.
    """
    if settings.gossip_advertise:
        return ip_address(settings.gossip_advertise)
    bound = ip_address(settings.gossip_bind)
    if not bound.is_unspecified:
        return bound
    for target in settings.join:
        source = _source_towards(check_join(target)[0])
        if source is not None and (bound.version == 6 or source.version == 4):
            return source
    usable = [a for a in own if not a.is_link_local and not a.is_loopback]
    usable.sort(key=lambda address: (address.version, int(address)))
    return usable[0] if usable else ip_address("127.0.0.1")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:  # heard by a stream, which does not tell
        return False
    return True


def _source_towards(host: str) -> Address | None:
    try:
        literal = ip_address(host)
    except ValueError:
        return None
    family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, DISCARD_PORT))
        except OSError:
            return None
        return ip_address(probe.getsockname()[0].partition("%")[0])


@attrs.define(eq=False)
class Ring:
    """
    The herald's place in the ring. `settle` is called after everything that the core was told.

    Without a gossip address there is no ring: `run` then only waits, and the start is settled.
    """

    settings: Settings
    core: HeraldCore
    settle: Callable[[], None]
    log: Log
    gossip: Gossip | None = None
    _joins: Joins = attrs.field(factory=Joins)
    _asked: list[Target] = attrs.field(factory=list)
    _is_plan_known: bool = False
    _is_settled: bool = False

    def open(self, keyring: Keyring | None, own: Iterable[Address], rng: Random) -> None:
        """Make this node's member; `own` are the addresses of this host."""
        settings = self.settings
        if not settings.gossip_bind:
            return
        config = WAN if settings.gossip_wan else LAN
        wire = Wire(keyring=keyring)
        swim = Swim(
            name=settings.node,
            address=advertised(settings, own),
            port=settings.gossip_port,
            config=config,
            rng=rng,
            meta=MARKER,
            local_state=lambda _is_join: self.core.local_state(self._now()),
            overhead_bytes=overhead_bytes(wire),
        )
        self.gossip = Gossip(
            swim, wire, config, settings.gossip_bind, settings.gossip_port, self._on_event, self.log
        )

    async def run(self) -> None:
        """Serve until cancelled. Raises FatalError when the port is taken."""
        if self.gossip is None:
            await asyncio.get_running_loop().create_future()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve(self.gossip))
            await self.gossip.started()
            while True:
                asked, self._asked = self._asked, []
                for target in (*self._joins.due(self._now(), self._up()), *asked):
                    group.create_task(self._join(self.gossip, target))
                self._settle_joins()
                await asyncio.sleep(JOIN_EVERY_S)

    async def started(self) -> None:
        """Return once the sockets are open."""
        if self.gossip is not None:
            await self.gossip.started()

    async def _serve(self, gossip: Gossip) -> None:
        try:
            await gossip.run()
        except BindError as exc:
            raise FatalError(
                ExitCode.UNAVAILABLE, "port_taken", f"{exc}; see --ml-bindport"
            ) from exc

    def plan_known(self, targets: Iterable[str], own: Iterable[Address]) -> None:
        """Take the join targets of the plan, besides those of the flags; with it all are known."""
        default = self.settings.gossip_port
        split = [check_join(target) for target in (*self.settings.join, *targets)]
        mine = {str(address) for address in own}
        self._joins.seek((host, port or default) for host, port in split if host not in mine)
        self._is_plan_known = True
        self._settle_joins()

    def rejoin(self, node: str, sender: str) -> None:
        """
        Exchange state with a node that we hear though the ring takes it for dead or unknown.

        `sender` is the address it was heard from. Both "": with every join target, now.
        """
        if not node and not sender:
            self._joins.hurry(self._now())
            return
        member = None if self.gossip is None else self.gossip.swim.member(node)
        if member is not None:
            self._asked.append(member.endpoint)
        elif _is_address(sender):
            self._asked.append((sender, self.settings.gossip_port))

    def send(self, node: str, payload: bytes) -> None:
        """Send a user message to one member, best effort."""
        if self.gossip is not None:
            self._guarded(lambda gossip: gossip.send_user(node, payload))

    def broadcast(self, payload: bytes, key: str) -> None:
        """Gossip a user message."""
        if self.gossip is not None:
            self._guarded(lambda gossip: gossip.broadcast_user(payload, key))

    def accuse(self, node: str) -> None:
        """Tell the ring that a member is dead."""
        if self.gossip is not None:
            self.gossip.accuse(node)

    def _guarded(self, send: Callable[[Gossip], None]) -> None:
        assert self.gossip is not None
        try:
            send(self.gossip)
        except MessageTooLargeError as exc:
            self.log.error("message_too_large", message=str(exc))

    @property
    def own_address(self) -> str:
        """Where we are in the ring; empty before it is opened."""
        return "" if self.gossip is None else self.gossip.swim.endpoint[0]

    def members(self) -> tuple[Member, ...]:
        """Everybody in the ring, ourselves included."""
        return () if self.gossip is None else self.gossip.swim.members

    async def leave(self, within_s: float) -> None:
        """Say goodbye."""
        if self.gossip is not None:
            await self.gossip.leave(within_s)

    # --- joining

    def _up(self) -> frozenset[Target]:
        return frozenset() if self.gossip is None else self.gossip.swim.endpoints_up

    async def _join(self, gossip: Gossip, target: Target) -> None:
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                why = await gossip.join(*target)
        except TimeoutError:
            why = f"no answer within {JOIN_WITHIN_S} s"
        self._joins.note(target, merged=why is None, now=self._now())
        host, port = target
        if why is None:
            self.log.info("ring_joined", host=host, port=port)
        else:
            self.log.warn("join_failed", host=host, port=port, message=why)
        self._settle_joins()

    def _settle_joins(self) -> None:
        if self._is_plan_known and not self._is_settled and self._joins.is_settled(self._up()):
            self._is_settled = True
            self.core.join_settled(self._now())
            self.settle()

    # --- events

    def _on_event(self, event: Event) -> None:  # noqa: C901 - one case for each event
        now = self._now()
        match event:
            case MemberJoined(member):
                self.log.info("member_joined", name=member.name, address=member.address)
                stentor = member.meta == MARKER
                self.core.member_joined(member.name, member.address, now, stentor=stentor)
            case MemberUpdated(member):
                stentor = member.meta == MARKER
                self.core.member_updated(member.name, member.address, now, stentor=stentor)
            case MemberLeft(member):
                dead = member.state is not NodeState.LEFT
                self.core.member_left(member.name, now, dead=dead)
            case MemberSuspected(member, accuser):
                self.log.warn("member_suspected", name=member.name, accuser=accuser)
            case MemberCleared(member):
                self.log.info("member_cleared", name=member.name)
            case NameConflict(member, claimed):
                self.core.name_conflict(member.name, f"{claimed[0]}:{claimed[1]}", now)
            case UserReceived(payload, source, _):
                self.core.received(source[0], payload, now)
            case StateReceived(payload, source):
                self.core.remote_state(source[0], payload, now)
            case MergeFailed(to, _, why):
                self.log.debug("merge_failed", host=to[0], port=to[1], message=why)
            case MergeDone() | LeaveFinished():
                pass
            case _:
                assert_never(event)
        self.settle()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
