"""What `stentor speaker` does once its flags are read: check them, then become the supervisor."""

import contextlib
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn

from speaker.config import ConfigError, Settings, check_join, compile_excludes
from speaker.dataplane import ApplyError
from speaker.dataplane import cleanup as cleanup_data_plane
from speaker.herald.lo import remove_all
from speaker.herald.secret import read_keyring
from speaker.state_dir import lock
from stentor.exits import ExitCode, FatalError

__all__ = ["FatalError", "check_files", "check_flags", "cleanup", "run"]


def check_files(settings: Settings) -> None:
    """Refuse files that no process could run with; raises FatalError."""
    try:
        read_keyring(settings.gossip_key_path)
    except ConfigError as exc:
        raise FatalError(ExitCode.CONFIG, "settings_refused", str(exc)) from exc


def check_flags(settings: Settings) -> None:
    """Refuse flags that no process could run with; raises ConfigError."""
    compile_excludes(settings.exclude_interfaces or ())
    for target in settings.join:
        check_join(target)
    for flag, text in (
        ("--ml-bindaddr", settings.gossip_bind),
        ("--ml-advertise-addr", settings.gossip_advertise),
    ):
        if text:
            _check_address(flag, text)
    if not 0 < len(settings.node.encode()) <= 253:  # RFC 1123, as Kubernetes names nodes
        raise ConfigError(f"--node-name {settings.node!r}, need 1 to 253 octets")


def _check_address(flag: str, text: str) -> None:
    try:
        ip_address(text)
    except ValueError as exc:
        raise ConfigError(f"{flag} {text!r}, need an IPv4 or IPv6 address") from exc


def run(settings: Settings) -> NoReturn:
    """Become the supervisor: a process of its own, without what reading flags has loaded."""
    arguments = [sys.executable, "-m", "speaker.supervisor", settings.to_json()]
    os.execv(sys.executable, arguments)  # noqa: S606


def cleanup(bpffs: Path, state_dir: Path) -> tuple[str, ...]:
    """
    Undo all that a speaker with these directories left, and say so line by line.

    Raises FatalError: UNAVAILABLE while that speaker runs, NO_PERM or OS_ERROR when refused.
    """
    with contextlib.ExitStack() as stack:
        if state_dir.exists():
            stack.enter_context(lock(state_dir, "supervisor"))
        try:
            lines = [*cleanup_data_plane(bpffs, state_dir), *remove_all(state_dir)]
        except (ApplyError, PermissionError) as exc:
            code = ExitCode.OS_ERROR if os.geteuid() == 0 else ExitCode.NO_PERM
            raise FatalError(code, "cleanup_failed", f"--cleanup: {exc}") from exc
        lines += _empty(state_dir) if state_dir.exists() else []
    return tuple(lines)


def _empty(state_dir: Path) -> list[str]:
    """Remove our files, and the directory if nothing else is in it."""
    for path in state_dir.iterdir():
        if path.is_file() or path.is_socket():
            path.unlink()
    if any(state_dir.iterdir()):
        return []
    state_dir.rmdir()
    return [f"removed {state_dir}"]
