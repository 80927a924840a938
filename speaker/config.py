"""What the command line says, as the three processes of the speaker share it."""

import re
from pathlib import Path

import msgspec

GOSSIP_PORT = 7946
METRICS_PORT = 9120
HEALTH_PORT = 17472
SECRET_KEY_PATH = "/etc/ml_secret_key"  # noqa: S105 - MetalLB's default path of the mount


class ConfigError(Exception):
    """A flag or a file it names is wrong; the text holds the value and what is right."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Handed from the supervisor to its children as JSON, so that one parser sees the flags.

    Times are seconds. `""` and None mean "not given" where the field's comment says so.
    """

    node: str
    version: str = ""
    state_dir: str = "/run/stentor"
    bpffs: str = "/sys/fs/bpf/stentor"
    manifests: str | None = None
    log_level: str = "info"
    # the ring
    gossip_bind: str = "0.0.0.0"  # noqa: S104 - "" = no ring at all, as in MetalLB
    gossip_port: int = GOSSIP_PORT
    gossip_advertise: str = ""  # address told to others; "" = the source address towards them
    gossip_wan: bool = False
    gossip_key_path: str = ""  # "" = clear text
    join: tuple[str, ...] = ()
    failover: str = "beats"  # or "memberlist": judge members as MetalLB does, no beats
    # the data plane
    xdp_mode: str = "auto"
    manage_sysctls: bool = True
    exclude_interfaces: tuple[str, ...] | None = None  # None = MetalLB's defaults
    # holding a VIP
    bind_vips: bool = True
    release_grace_s: float = 120.0
    advert_limit: float = 2000.0  # frames/s on one segment, 0 = no limit
    leave_timeout_s: float = 5.0
    on_stop: str = "leave"  # or "hold": what SIGTERM means
    # policy
    lb_class: str = ""
    ignore_exclude_lb: bool = False
    # endpoints of the agent
    port: int = METRICS_PORT  # 0 = off
    health_port: int = HEALTH_PORT  # 0 = off

    @property
    def state_path(self) -> Path:
        """STATE_DIR."""
        return Path(self.state_dir)

    def to_json(self) -> str:
        """One line for a child's command line."""
        return msgspec.json.encode(self).decode()


def from_json(text: str) -> Settings:
    """Inverse of `Settings.to_json`; raises ConfigError."""
    try:
        return msgspec.json.decode(text, type=Settings)
    except msgspec.MsgspecError as exc:
        raise ConfigError(f"not settings of a speaker: {exc}") from exc


def compile_excludes(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Compile --exclude-interfaces; raises ConfigError with the pattern and where it goes wrong."""
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as exc:
            raise ConfigError(f"--exclude-interfaces {pattern!r}: {exc}") from exc
    return tuple(compiled)


def check_join(target: str) -> tuple[str, int | None]:
    """Split HOST, HOST:PORT, [V6] or [V6]:PORT; a bare IPv6 address is a host. Or ConfigError."""
    host, port = target, ""
    if target.startswith("["):
        host, _, rest = target[1:].partition("]")
        if rest and not rest.startswith(":"):
            raise ConfigError(f"--join {target!r}, need HOST[:PORT] or [IPV6]:PORT")
        port = rest[1:]
    elif target.count(":") == 1:
        host, _, port = target.partition(":")
    if not host or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise ConfigError(f"--join {target!r}, need HOST[:PORT] with a port from 1 to 65535")
    return host, int(port) if port else None
