"""The interfaces as the herald speaks on them: announcements paced, probes sent, claims heard."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from random import Random

import attrs

from speaker.herald.alarm import Alarm
from speaker.herald.announce import Announcer, TokenBucket
from speaker.herald.errors import LinkError
from speaker.herald.frames import GARP_BYTES, NA_BYTES, Rounds, Vip, probe
from speaker.herald.packet import ClaimSocket, FrameSocket
from stentor.logging import Log

VIPS_A_TURN = 256  # some 1 ms of sending, then the loop comes round
LISTEN_S = 0.5  # answers to a probe come within microseconds, from a busy host in some 100 ms


@attrs.frozen
class Segment:
    """An interface that answers, as announcements need it; `link_local` is their IPv6 source."""

    interface: str
    lladdr: bytes
    carrier: bool = True
    link_local: IPv6Address | None = None


@attrs.define(eq=False)
class _Voice:
    """One interface in use."""

    segment: Segment
    socket: FrameSocket
    announcer: Announcer
    claims: ClaimSocket | None = None
    hush: Alarm = attrs.field(init=False)
    pump: Alarm = attrs.field(init=False)


@attrs.define
class Segments:
    """
    Announces and probes on all attached interfaces.

    `claimed(vip, lladdr, interface)` is called for an answer to a probe that is not our own.
    `counts` gets `announce_*` and `probe_*` entries, `announced` the frames of each VIP.
    """

    log: Log
    rng: Random
    limit: float
    claimed: Callable[[Vip, bytes, str], None]
    recency: Callable[[Vip], float]
    counts: "Counter[str]" = attrs.field(factory=Counter)
    announced: "Counter[Vip]" = attrs.field(factory=Counter)
    _voices: dict[str, _Voice] = attrs.field(factory=dict)
    _wanted: dict[Vip, tuple[frozenset[str] | None, float]] = attrs.field(factory=dict)
    _probed: set[Vip] = attrs.field(factory=set)

    def sync(self, segments: Iterable[Segment]) -> None:
        """Follow the attached interfaces; one that is new, up again or renumbered re-announces."""
        wanted = {segment.interface: segment for segment in segments}
        for name in [n for n in self._voices if n not in wanted]:
            self._drop(name)
        for name, segment in wanted.items():
            voice = self._voices.get(name)
            if voice is None:
                self._add(segment)
            elif voice.segment != segment:
                is_news = segment.carrier and (
                    segment.lladdr != voice.segment.lladdr or not voice.segment.carrier
                )
                voice.segment = segment
                if is_news:
                    voice.announcer.restart(self._now())
                    voice.pump.hasten(self._now())

    def announce(self, vip: Vip, interfaces: frozenset[str] | None, refresh_s: float) -> None:
        """Begin the rounds of `vip` on its interfaces, None = all, also on those yet to come."""
        self._wanted[vip] = (interfaces, refresh_s)
        for name, voice in self._voices.items():
            if interfaces is None or name in interfaces:
                voice.announcer.start(vip, self._now(), refresh_s)
                voice.pump.hasten(self._now())
            else:
                voice.announcer.stop(vip)

    def resume(self, vip: Vip, interfaces: frozenset[str] | None, refresh_s: float) -> None:
        """Take over the refreshes of a VIP announced by the herald before us."""
        self._wanted[vip] = (interfaces, refresh_s)
        for name, voice in self._voices.items():
            if interfaces is None or name in interfaces:
                voice.announcer.resume(vip, self._now(), refresh_s)
                voice.pump.hasten(self._now())

    def remind(self, vip: Vip) -> None:
        """Announce `vip` once more where it is announced."""
        for voice in self._voices.values():
            voice.announcer.remind(vip)
            voice.pump.hasten(self._now())

    def quiet(self, vip: Vip) -> None:
        """Say nothing more of `vip`."""
        self._wanted.pop(vip, None)
        for voice in self._voices.values():
            voice.announcer.stop(vip)

    def probe(self, vip: Vip, interfaces: frozenset[str] | None) -> None:
        """Ask each segment once who has `vip`, and listen for LISTEN_S."""
        self._probed.add(vip)
        for name, voice in self._voices.items():
            if interfaces is not None and name not in interfaces:
                continue
            self._listen(voice)
            self.counts["probe_frames"] += voice.socket.send(probe(vip, voice.segment.lladdr))

    def close(self) -> None:
        """Close every socket."""
        for name in list(self._voices):
            self._drop(name)

    def _add(self, segment: Segment) -> None:
        try:
            socket = FrameSocket.open(segment.interface)
        except LinkError as exc:
            self.log.warn("segment_unusable", interface=segment.interface, message=str(exc))
            return
        announcer = Announcer(TokenBucket(self.limit), self.rng, self.recency)
        voice = self._voices[segment.interface] = _Voice(segment, socket, announcer)
        voice.hush = Alarm(partial(self._hush, voice))
        voice.pump = Alarm(partial(self._pump, voice))
        for vip, (interfaces, refresh_s) in self._wanted.items():
            if interfaces is None or segment.interface in interfaces:
                announcer.start(vip, self._now(), refresh_s)
        voice.pump.hasten(self._now())

    def _drop(self, name: str) -> None:
        voice = self._voices.pop(name)
        voice.hush.cancel()
        voice.pump.cancel()
        self._hush(voice)
        voice.socket.close()

    # --- announcements

    def _pump(self, voice: _Voice) -> None:
        vips = list(voice.announcer.due(self._now(), VIPS_A_TURN))
        if vips:
            v4 = [vip for vip in vips if isinstance(vip, IPv4Address)]
            v6 = [vip for vip in vips if isinstance(vip, IPv6Address)]
            rounds = Rounds(voice.segment.lladdr, voice.segment.link_local)
            self._send(voice, v4, rounds.garps(v4), GARP_BYTES)
            self._send(voice, v6, rounds.adverts(v6), NA_BYTES)
        voice.pump.set(voice.announcer.next_due(self._now()))

    def _send(self, voice: _Voice, vips: Sequence[Vip], frames: bytes, frame_bytes: int) -> None:
        """Send the round of some VIPs of one family, and count."""
        if not vips:
            return
        count = len(frames) // frame_bytes
        sent = voice.socket.send_all(frames, frame_bytes) if voice.segment.carrier else 0
        self.counts["announce_frames"] += sent
        self.counts["announce_failed"] += count - sent
        each = count // len(vips)
        for vip in vips[: sent // each]:
            self.announced[vip] += each

    # --- claims

    def _listen(self, voice: _Voice) -> None:
        if voice.claims is None:
            try:
                voice.claims = ClaimSocket.open(voice.segment.interface)
            except LinkError as exc:
                interface = voice.segment.interface
                self.log.warn("segment_unusable", interface=interface, message=str(exc))
                return
            loop = asyncio.get_running_loop()
            loop.add_reader(voice.claims.fileno(), self._hear, voice)
        voice.hush.set(self._now() + LISTEN_S)

    def _hear(self, voice: _Voice) -> None:
        if voice.claims is None:
            return
        for claim in voice.claims.read():
            if claim.vip in self._probed and claim.lladdr != voice.segment.lladdr:
                self.counts["probe_answers"] += 1
                self.claimed(claim.vip, claim.lladdr, voice.segment.interface)

    def _hush(self, voice: _Voice) -> None:
        if voice.claims is not None:
            asyncio.get_running_loop().remove_reader(voice.claims.fileno())
            voice.claims.close()
            voice.claims = None
        if all(other.claims is None for other in self._voices.values()):
            self._probed.clear()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
