"""
PID 1 of a guest: does what the host asks over a virtio-serial port, one request at a time.

Requests and answers are lines of JSON:

    {"run": [words], "input": text, "within_s": n}        -> {"rc": n, "out": text, "err": text}
    {"spawn": [words], "log": path, "env": {name: text}}  -> {"pid": n}
    {"put": path, "text": text}                           -> {}
    {"call": "module:function", "with": {name: value}}    -> {"value": ...} or {"raised": text}

`call` runs in this process, so that a module keeps its state from one call to the next and its
imports cost their seconds once. Only the standard library is used here.
"""

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

PORT = "st-agent"
SEARCH = ("/opt/stentor", "/opt/packages", "/usr/lib/python3/dist-packages")


def find_port() -> Path:
    """The device of our port, by the name that the host gave it."""
    for name in Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text().strip() == PORT:
            return Path("/dev") / name.parent.name
    sys.exit(f"st-boot-failed: no virtio port {PORT}")


def set_up() -> None:
    """What an init does before anything else can work."""
    os.environ.update(
        PATH="/usr/sbin:/usr/bin:/sbin:/bin", PYTHONPATH=":".join(SEARCH), HOME="/root"
    )
    sys.path[:] = [*SEARCH, *(path for path in sys.path if path not in SEARCH)]
    for words in (
        ("mount", "-t", "tmpfs", "tmp", "/tmp"),  # noqa: S108 - the guest's own
        ("mount", "-t", "bpf", "bpf", "/sys/fs/bpf"),
        ("mount", "-t", "securityfs", "security", "/sys/kernel/security"),
        ("ip", "link", "set", "lo", "up"),
    ):
        subprocess.run(words, check=False)


def run(words: list[str], text: str, within_s: float) -> dict[str, Any]:
    """Run a command to its end."""
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, check=False, timeout=within_s
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return {"rc": -1, "out": "", "err": str(exc)}
    return {"rc": done.returncode, "out": done.stdout, "err": done.stderr}


def spawn(words: list[str], log: str, env: dict[str, str]) -> dict[str, Any]:
    """Start a command and leave it running."""
    with Path(log).open("ab") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | env
        )
    return {"pid": process.pid}


def call(target: str, keywords: dict[str, Any]) -> dict[str, Any]:
    """Call a function here; its result must be JSON."""
    module, _, function = target.partition(":")
    try:
        return {"value": getattr(importlib.import_module(module), function)(**keywords)}
    except Exception:  # whatever it is, the host shows it
        return {"raised": traceback.format_exc()}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do one request."""
    if "run" in request:
        return run(request["run"], request["input"], request["within_s"])
    if "spawn" in request:
        return spawn(request["spawn"], request["log"], request["env"])
    if "put" in request:
        path = Path(request["put"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(request["text"])
        return {}
    return call(request["call"], request["with"])


def say(port: int, message: dict[str, Any]) -> None:
    """One line; the port takes 32 KiB at most in one write."""
    octets = json.dumps(message).encode() + b"\n"
    while octets:
        octets = octets[os.write(port, octets) :]


def main() -> None:
    """Serve for ever: the kernel panics when PID 1 ends."""
    set_up()
    port = os.open(find_port(), os.O_RDWR)
    say(port, {"kernel": os.uname().release})
    rest = b""
    while True:
        octets = os.read(port, 65536)
        if not octets:  # nobody at the other end
            time.sleep(0.05)
            continue
        *lines, rest = (rest + octets).split(b"\n")
        for line in lines:
            say(port, answer(json.loads(line)))


if __name__ == "__main__":
    main()
