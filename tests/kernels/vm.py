"""One VM: a qemu process without KVM, its console in a file, an agent that runs what is asked."""

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

import attrs

from tests.kernels.errors import GuestError, VmError
from tests.kernels.images import Images

BOOT_S: Final = 600.0  # 7 s of an idle core; a busy machine takes its time
CALL_S: Final = 300.0
_MEMORY_MIB: Final = 384
_CONSOLE_LINES: Final = 30
_numbers = itertools.count()


@attrs.frozen
class Nic:
    """
    A network card.

    With `hub` it is on a segment inside this VM's qemu, together with every other card of that
    hub; with `tap` on the named tap device of namespace `netns`.
    """

    model: str  # of qemu: "virtio-net-pci", "e1000"
    lladdr: str
    hub: int = -1
    tap: str = ""


@attrs.define
class Vm:
    """
    A running VM. Use as a context manager: leaving it ends the process and removes its files.

    Its user space is the same whatever the kernel. Every wait has a deadline; what goes wrong
    shows the end of the console.
    """

    images: Images
    product: Path  # an initramfs archive that holds /product
    nics: tuple[Nic, ...] = ()
    netns: str = ""  # where the tap devices are
    append: str = ""  # more words of the kernel's command line
    kept_console: Path | None = None  # where the console goes when the VM ends
    # Its time goes by its own instructions, 2 ** shift ns each: a busy host makes it slow, and it
    # never notices. None where it beats with others. Seen without: a guest that did nothing but
    # tick.
    shift: int | None = 3
    boot_s: float = BOOT_S
    memory_mib: int = _MEMORY_MIB
    place: Path = Path("/run")  # where its directory is made: sockets want a short path
    _folder: Path = attrs.field(init=False)
    _process: "subprocess.Popen[bytes] | None" = None
    _agent: socket.socket | None = None
    _rest: bytes = b""

    # -- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._folder = Path(
            tempfile.mkdtemp(prefix=f"st-k{os.getpid()}-{next(_numbers)}-", dir=self.place)
        )
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def boot(self) -> None:
        """Start qemu and wait for the agent; raises VmError."""
        try:
            command = self._command()
            with (self._folder / "qemu.log").open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
        except OSError as exc:  # no room for the initrd, an image that is gone, no qemu
            raise VmError(f"a VM cannot be prepared: {exc}") from exc
        deadline = time.monotonic() + self.boot_s
        self._agent = self._connect("agent", deadline)
        self._rest = b""
        self.wait_for_agent()

    def wait_for_agent(self) -> None:
        """Wait until the guest is up, after a start or a reset; raises VmError."""
        self._read_line(self.boot_s, "boot")

    def close(self) -> None:
        """Cut the power and remove every file."""
        self.cut_power()
        if self.kept_console is not None and self._console.exists():
            shutil.copy(self._console, self.kept_console)
        shutil.rmtree(self._folder, ignore_errors=True)

    def cut_power(self) -> None:
        """End the machine between two instructions; `boot` starts it anew."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop its processor, and its clocks with it."""
        self._qmp("stop")

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        self._qmp("cont")

    def reset(self) -> None:
        """Push the reset button; `wait_for_agent` tells when it is back."""
        self._qmp("system_reset")

    def plug(self, card: int, *, is_in: bool) -> None:
        """Plug the cable of a card, by its place in `nics`, in or out: its carrier follows."""
        self._qmp("set_link", name=f"n{card}", up=is_in)

    # -- what the guest does ---------------------------------------------------------------------

    def run(self, *words: str, text: str = "", check: bool = True, within_s: float = CALL_S) -> str:
        """Run a command; its output. Raises GuestError when it fails and `check`."""
        done = self._ask({"run": words, "input": text, "within_s": within_s}, within_s)
        if check and done["rc"]:
            raise GuestError(f"{' '.join(words)}: exit {done['rc']}: {done['err']}{done['out']}")
        return str(done["out"] + done["err"])

    def sh(self, script: str, *, check: bool = True, within_s: float = CALL_S) -> str:
        """Run lines of shell, which end at the first that fails."""
        return self.run("sh", "-eu", text=script, check=check, within_s=within_s)

    def spawn(self, *words: str, log: str, env: dict[str, str] | None = None) -> int:
        """Start a command, output to the file `log` of the guest; its pid."""
        return int(self._ask({"spawn": words, "log": log, "env": env or {}}, CALL_S)["pid"])

    def put(self, path: str, text: str) -> None:
        """Write a file of the guest."""
        self._ask({"put": path, "text": text}, CALL_S)

    def call(self, target: str, *, within_s: float = CALL_S, **keywords: Any) -> Any:
        """Call `module:function` in the agent; its result. Raises GuestError with a traceback."""
        done = self._ask({"call": target, "with": keywords}, within_s)
        if "raised" in done:
            raise GuestError(f"{target}: {done['raised']}")
        return done["value"]

    def console(self) -> str:
        """The end of the console."""
        text = self._console.read_text(errors="replace") if self._console.exists() else ""
        return "\n".join(text.splitlines()[-_CONSOLE_LINES:])

    # -- how -------------------------------------------------------------------------------------

    @property
    def _console(self) -> Path:
        return self._folder / "console.log"

    def _command(self) -> list[str]:
        inside = ["ip", "netns", "exec", self.netns] if self.netns else []
        # Read-only and without locks: VMs share them.
        disks = [
            f"if=virtio,format=raw,readonly=on,file.locking=off,file={image}"
            for image in (self.images.root, self.images.packages)
        ]
        words = [
            *("console=ttyS0", "quiet", "loglevel=4", "panic=1", "rdinit=/init"),
            # A busy host's timer ticks too late for the check at boot.
            "no_timer_check",
            # Under TCG these cost much and protect nobody.
            *("mitigations=off", "nokaslr", "net.ifnames=0", self.append),
        ]
        return [
            *inside,
            *("setpriv", "--pdeathsig", "KILL"),  # a test process that is killed takes it along
            *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "Nehalem", "-m", str(self.memory_mib)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-smp", "1"),
            *(() if self.shift is None else ("-icount", f"shift={self.shift}")),
            *("-kernel", str(self.images.vmlinuz), "-initrd", str(self._initrd())),
            *("-append", " ".join(words)),
            *("-serial", f"file:{self._console}"),
            *("-qmp", f"unix:{self._folder / 'qmp'},server=on,wait=off"),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=agent,path={self._folder / 'agent'},server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=st-agent"),
            *(word for disk in disks for word in ("-drive", disk)),
            *(word for number, nic in enumerate(self.nics) for word in _card(number, nic)),
        ]

    def _initrd(self) -> Path:
        """The kernel's archive and the product's, one behind the other, as the kernel allows."""
        joined = self._folder / "initrd"
        if not joined.exists():
            joined.write_bytes(self.images.initrd.read_bytes() + self.product.read_bytes())
        return joined

    def _connect(self, name: str, deadline: float) -> socket.socket:
        path = str(self._folder / name)
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(path)
            except OSError as exc:
                connection.close()
                self._check_alive("start")
                if time.monotonic() > deadline:
                    raise VmError(f"qemu does not answer on {path}: {exc}") from exc
                time.sleep(0.05)
            else:
                return connection

    def _check_alive(self, doing: str) -> None:
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            said = (self._folder / "qemu.log").read_text(errors="replace").strip()
            raise VmError(f"{doing}: qemu has ended ({code}): {said}\n{self.console()}")

    def _ask(self, request: dict[str, Any], within_s: float) -> dict[str, Any]:
        if self._agent is None:
            raise VmError("the VM does not run")
        self._agent.sendall(json.dumps(request).encode() + b"\n")
        return dict(self._read_line(within_s + 30.0, next(iter(request))))

    def _read_line(self, within_s: float, doing: str) -> dict[str, Any]:
        """The next line of the agent, by a deadline; raises VmError with the console."""
        assert self._agent is not None
        deadline = time.monotonic() + within_s
        while b"\n" not in self._rest:
            self._check_alive(doing)
            if re.search("st-boot-failed|Kernel panic", self.console()):
                raise VmError(f"{doing}: the guest gave up:\n{self.console()}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise VmError(f"{doing}: no answer in {within_s:.0f} s; console:\n{self.console()}")
            self._agent.settimeout(min(left, 1.0))
            try:
                self._rest += self._agent.recv(65536)
            except TimeoutError:
                continue
            except ConnectionResetError:  # qemu is about to have ended
                time.sleep(0.1)
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    def _qmp(self, command: str, **arguments: Any) -> None:
        """One command of qemu's monitor; raises VmError."""
        with self._connect("qmp", time.monotonic() + 10.0) as monitor, monitor.makefile("rw") as io:
            monitor.settimeout(10.0)
            io.readline()  # the greeting
            for word, given in (("qmp_capabilities", {}), (command, arguments)):
                io.write(json.dumps({"execute": word, "arguments": given}) + "\n")
                io.flush()
                while "event" in (reply := json.loads(io.readline())):
                    pass
                if "return" not in reply:
                    raise VmError(f"{command}: {reply}")


def _card(number: int, nic: Nic) -> tuple[str, ...]:
    if nic.tap:
        backend = f"tap,id=n{number},ifname={nic.tap},script=no,downscript=no"
    else:
        backend = f"hubport,id=n{number},hubid={nic.hub}"
    # romfile: a card needs no boot ROM, and the package of ROMs may not be there.
    device = f"{nic.model},netdev=n{number},mac={nic.lladdr},romfile="
    return ("-netdev", backend, "-device", device)
