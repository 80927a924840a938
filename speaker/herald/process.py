"""A herald from its settings to its end: makes the parts, runs them, says how it ended."""

import asyncio
import hashlib
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs

from speaker import lifeline
from speaker.beats import keys_of
from speaker.config import ConfigError, Settings, compile_excludes, from_json
from speaker.dataplane import ApplyError, DataPlane, Options, XdpMode
from speaker.dataplane.netlink import Netlink
from speaker.dataplane.watcher import Watcher
from speaker.gossip.keyring import Keyring
from speaker.herald import capabilities, realtime
from speaker.herald.beat import Beat
from speaker.herald.beater import Beater
from speaker.herald.core import CoreConfig, HeraldCore
from speaker.herald.herald import Herald
from speaker.herald.holding import Ending
from speaker.herald.link import SOCKET_NAME
from speaker.herald.lo import LoBinder
from speaker.herald.memory import Memory
from speaker.herald.performer import Performer
from speaker.herald.ring import Ring
from speaker.herald.secret import read_keyring
from speaker.herald.segments import Segments
from speaker.herald.server import LinkServer
from speaker.state_dir import lock, next_generation
from stentor.daemon import exit_code_of
from stentor.exits import ExitCode, FatalError
from stentor.logging import Log, of_process

PREDECESSOR_GONE_S = 2.0  # a killed supervisor's herald is being killed by the kernel


def run(text: str, granted: Mapping[str, bool]) -> int:
    """
    Run a herald with the settings of `text` until it is told to stop; returns the exit code.

    `granted` says which privileges of realtime.enter() this process got.
    """
    settings = from_json(text)
    log = of_process("herald", settings.log_level, time.time, node=settings.node)

    def work() -> None:
        with lock(settings.state_path, "herald", PREDECESSOR_GONE_S):
            asyncio.run(_serve(settings, log, granted))

    return exit_code_of(work, log)


async def _serve(settings: Settings, log: Log, granted: Mapping[str, bool]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    missing = capabilities.missing()
    if missing:
        raise FatalError(
            ExitCode.NO_PERM,
            "capability_missing",
            f"this process lacks {', '.join(missing)}; run as root or grant them",
        )
    keyring = _keyring(settings)
    with Netlink.open() as netlink:
        herald = _build(settings, log, netlink if settings.bind_vips else None)
        loop.set_exception_handler(lambda _, context: _end_by_bug(herald, context))
        _set_up_beats(herald, keyring)
        herald.ring.open(keyring, herald.own_addresses(), Random())
        await herald.server.open()
        beat = Beat(herald.beat, herald.counts)
        if herald.beater is not None:
            herald.beater.beaten = beat.push_along
        ending = Ending.CRASH
        try:
            herald.adopt()
            beat.start()
            loop.add_reader(herald.watcher.fileno(), herald.read_watcher)
            if herald.plane.events_fd >= 0:
                loop.add_reader(herald.plane.events_fd, herald.read_voices)
            loop.add_reader(herald.plane.packets_fd, herald.plane.answer_packets)
            realtime.settle()
            memory = realtime.anonymous_bytes()
            generation = herald.generation
            log.info("herald_running", generation=generation, anonymous_bytes=memory, **granted)
            ending = await _until_stopped(herald, stop)
        finally:
            beat.stop()
            herald.server.close()
            herald.close(Ending.LEAVE if _gives_way(herald.fatal) else ending)


def _gives_way(fatal: "asyncio.Future[str]") -> bool:
    return fatal.done() and not fatal.cancelled() and fatal.exception() is None


def _end_by_bug(herald: Herald, context: dict[str, Any]) -> None:
    """A callback of the loop has raised: end as any bug does, the next herald adopts."""
    exception = context.get("exception") or RuntimeError(str(context.get("message")))
    if not herald.fatal.done():
        herald.fatal.set_exception(exception)


async def _until_stopped(herald: Herald, stop: asyncio.Event) -> Ending:
    """Run the ring until SIGTERM, then stop; raises FatalError when the core wants us to end."""
    ending = Ending.LEAVE
    async with asyncio.TaskGroup() as group:
        ring = group.create_task(herald.ring.run())
        started = group.create_task(herald.ring.started())
        stopping = group.create_task(stop.wait())
        ends = (ring, stopping, herald.fatal)
        await asyncio.wait((started, *ends), return_when=asyncio.FIRST_COMPLETED)
        if not any(end.done() for end in ends):
            lifeline.tell_ready()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if herald.fatal.done():  # result() raises what a callback raised
            message = f"{herald.fatal.result()}; ours is {herald.ring.own_address}"
            raise FatalError(ExitCode.NAME_TAKEN, "node_name_taken", message)
        if not ring.done():
            ending = await herald.stop()
        for task in (ring, started, stopping):
            task.cancel()
    return ending


def _build(settings: Settings, log: Log, netlink: Netlink | None) -> Herald:
    """Make the parts; nothing runs yet."""
    loop = asyncio.get_running_loop()
    generation = next_generation(settings.state_path)
    instance = _instance_id()
    rng = Random()
    core = HeraldCore(_config(settings, instance), rng, loop.time())
    try:
        plane = DataPlane.open(
            _options(settings),
            instance_id=int.from_bytes(instance[:8], "little"),
            generation=generation,
            now_ns=time.monotonic_ns(),
            least_epoch=int(time.time()),
        )
        watcher = Watcher.open()
    except ApplyError as exc:
        raise FatalError(ExitCode.OS_ERROR, "data_plane_refused", str(exc)) from exc
    herald = Herald(settings, generation, core, plane, watcher, log, loop.create_future())
    herald.segments = Segments(log, rng, settings.advert_limit, herald.claimed, herald.recency)
    herald.ring = Ring(settings, core, herald.settle, log)
    herald.server = LinkServer(settings.state_path / SOCKET_NAME, herald, log, herald.counts)
    herald.memory = Memory(settings.state_path, core.snapshot, log)
    herald.performer = Performer(
        plane,
        herald.segments,
        herald.ring,
        None if netlink is None else LoBinder(netlink, settings.state_path, log),
        settings.release_grace_s,
        herald.give_way,
        log,
    )
    return herald


def _config(settings: Settings, instance: bytes) -> CoreConfig:
    beats = settings.failover == "beats"
    return CoreConfig(settings.node, instance, settings.version, beats=beats)


def _set_up_beats(herald: Herald, keyring: Keyring | None) -> None:
    """Reflect the beats of others, and unless the settings say otherwise judge by our own."""
    keys = keys_of(() if keyring is None else keyring.keys)
    herald.plane.set_beat_keys(keys.slots, is_open=keys.is_open)
    if not herald.core.sentries.is_on:
        return
    keys = attrs.evolve(keys, hash=herald.plane.hasher(keys.hash))
    herald.beater = Beater(
        herald.core, herald.plane, herald.plane.instance_id, keys, herald.settle, herald.log,
        herald.counts,
    )  # fmt: skip
    herald.performer.send_beat = herald.beater.send


def _options(settings: Settings) -> Options:
    options = Options(
        bpffs=Path(settings.bpffs),
        state_dir=settings.state_path,
        mode=XdpMode(settings.xdp_mode),
        manage_sysctls=settings.manage_sysctls,
    )
    if settings.exclude_interfaces is None:
        return options
    return attrs.evolve(options, excludes=compile_excludes(settings.exclude_interfaces))


def _keyring(settings: Settings) -> Keyring | None:
    try:
        return read_keyring(settings.gossip_key_path)
    except ConfigError as exc:
        raise FatalError(ExitCode.CONFIG, "settings_refused", str(exc)) from exc


def _instance_id() -> bytes:
    """16 octets that no other start of a herald has: machine, boot and moment, hashed."""
    parts = [str(time.time_ns()).encode()]
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        try:
            parts.append(Path(path).read_bytes())
        except OSError:  # a container without machine-id
            parts.append(b"-")
    return hashlib.sha256(b"\0".join(parts)).digest()[:16]
