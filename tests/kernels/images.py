"""
Images of the VMs, each built once and kept in ~/.cache/stentor/kernels (STENTOR_CACHE moves it).

    root-<hash>.img        Debian's user space, the release of this machine
    packages-<hash>.img    the product's Python packages by requirements.lock, and pytest
    kernel-<hash>/         vmlinuz, and initrd: init and the modules of the recipe

The hash is that of all that goes in. A builder works in a directory of its own beside the result
and renames at the end, so that a name that is there is whole; what builders that were killed left
is removed by the next one. Two sessions may share the cache: a lock file admits one builder.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from tests.kernels import recipe
from tests.kernels.errors import ImageError
from tests.kernels.recipe import Kernel, Mirror

ROOT: Final = Path(__file__).parents[2]
TOOLS: Final = ("mmdebstrap", "mke2fs", "cpio", "depmod", "modinfo", "xz", "qemu-system-x86_64")
BUILD_S: Final = 1500.0  # a slow mirror and a busy machine; a hang ends here
_FREE_MIB: Final = 3000  # while a kernel is unpacked


@attrs.frozen
class Images:
    """What a VM is started from."""

    root: Path
    packages: Path
    vmlinuz: Path
    initrd: Path


def missing_tools() -> list[str]:
    """Programs of `scripts/setup kernels` that are not here."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def cache() -> Path:
    """The directory of images."""
    home = os.environ.get("STENTOR_CACHE") or Path.home() / ".cache" / "stentor"
    return Path(home) / "kernels"


def images(kernel: Kernel) -> Images:
    """Find or build the images of `kernel`; raises ImageError, with the builder's last words."""
    if missing := missing_tools():
        raise ImageError(f"no {', '.join(missing)}: run scripts/setup kernels")
    mirror = recipe.find_mirror()
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    dev = _pick((ROOT / "requirements-dev.lock").read_text(encoding="utf-8"), lock)
    root = kept(
        f"root-{recipe.digest(mirror.suite, *recipe.ROOT_PACKAGES, *recipe.ROOT_WITHOUT)}.img",
        lambda out, work: _build_root(mirror, out, work),
    )
    packages = kept(
        f"packages-{recipe.digest(mirror.suite, dev)}.img",
        lambda out, work: _build_packages(dev, out, work),
    )
    parts = (kernel.suite, recipe.INIT.read_text(), *recipe.BOOT_MODULES, *recipe.MODULES)
    folder = kept(
        f"kernel-{recipe.digest(*parts)}",
        lambda out, work: _build_kernel(kernel, mirror, root, out, work),
    )
    return Images(root, packages, folder / "vmlinuz", folder / "initrd")


def kept(name: str, build: Callable[[Path, Path], None]) -> Path:
    """The cached `name`, or what `build(out, work)` makes at `out`; nothing half made stays."""
    path = cache() / name
    cache().mkdir(parents=True, exist_ok=True)
    with _only_builder():
        if path.exists():
            return path
        for left in cache().glob(".building-*"):  # by a builder that was killed
            shutil.rmtree(left)
        free = shutil.disk_usage(cache()).free >> 20
        if free < _FREE_MIB:
            raise ImageError(f"{cache()}: {free} MiB free, need {_FREE_MIB} to build {name}")
        with tempfile.TemporaryDirectory(prefix=".building-", dir=cache()) as folder:
            out = Path(folder) / "out"
            (work := Path(folder) / "work").mkdir()
            try:
                build(out, work)
            except OSError as exc:
                raise ImageError(f"building {name} in {cache()}: {exc}") from exc
            out.rename(path)
    return path


@contextlib.contextmanager
def _only_builder() -> Iterator[None]:
    with (cache() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*words: str | Path, text: str | None = None) -> str:
    """Run a builder's command; raises ImageError with the end of what it said."""
    command = [str(word) for word in words]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=BUILD_S
        )
    except subprocess.TimeoutExpired as exc:
        raise ImageError(f"{command[0]}: not done after {BUILD_S:.0f} s") from exc
    if done.returncode:
        said = "\n".join((done.stderr + done.stdout).splitlines()[-12:])
        raise ImageError(f"{' '.join(command[:4])} ...: exit {done.returncode}:\n{said}")
    return done.stdout


def _bootstrap(mirror: Mirror, suite: str, *options: str, target: Path) -> None:
    signed = f" [signed-by={mirror.keyring}]" if mirror.keyring else ""
    source = f"deb{signed} {mirror.url} {suite} main\n"
    # Translations and the like are not wanted, and a mirror may be slow.
    quiet = ('--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"')
    run("mmdebstrap", *quiet, *options, suite, target, "-", text=source)


def _build_root(mirror: Mirror, out: Path, work: Path) -> None:
    tree = work / "tree"
    _bootstrap(
        mirror,
        mirror.suite,
        "--variant=minbase",
        f"--include={','.join(recipe.ROOT_PACKAGES)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.ROOT_WITHOUT),
        target=tree,
    )
    shutil.rmtree(tree / "dev", ignore_errors=True)  # devtmpfs; and mke2fs need not make nodes
    for place in ("dev", "disk", "opt/packages"):
        (tree / place).mkdir(parents=True, exist_ok=True)
    _pack(tree, out)


def _pick(dev_lock: str, lock: str) -> str:
    """The blocks of the developer's lock that the product has, and TEST_PACKAGES."""
    wanted = {_name(block) for block in _blocks(lock)} | recipe.TEST_PACKAGES
    return "".join(block for block in _blocks(dev_lock) if _name(block) in wanted)


def _blocks(lock: str) -> list[str]:
    return re.findall(r"^[A-Za-z0-9].*\n(?:\s+.*\n)*", lock, re.MULTILINE)


def _name(block: str) -> str:
    return re.split(r"[=\s\[;]", block, maxsplit=1)[0]


def _build_packages(requirements: str, out: Path, work: Path) -> None:
    (work / "requirements").write_text(requirements, encoding="utf-8")
    uv, python = ROOT / ".venv" / "bin" / "uv", ROOT / ".venv" / "bin" / "python"
    # The release of the guest is that of this machine, and so is its Python.
    install = ("pip", "install", "--quiet", "--no-deps", "--compile-bytecode", "--require-hashes")
    where = ("--python", python, "--target", work / "tree", "-r", work / "requirements")
    run(uv, *install, *where)
    _pack(work / "tree", out)


def _pack(tree: Path, out: Path) -> None:
    """Make an ext4 image of a tree: a little larger than it, read-only where it is used."""
    used_kib = int(run("du", "-sk", tree).split()[0])
    files = sum(len(names) + len(folders) for _, folders, names in os.walk(tree))
    size_kib = used_kib + used_kib // 8 + 8192
    run(
        *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-N", str(files + 512)),
        *("-d", tree, out, f"{size_kib}k"),
    )


def _build_kernel(kernel: Kernel, mirror: Mirror, root: Path, out: Path, work: Path) -> None:
    tree = work / "tree"
    _bootstrap(
        mirror,
        kernel.suite,
        "--variant=extract",
        f"--include={recipe.KERNEL_PACKAGE}",
        "--dpkgopt=path-exclude=/usr/share/*",
        target=tree,
    )
    [vmlinuz] = tree.glob("boot/vmlinuz-*")
    version = vmlinuz.name.removeprefix("vmlinuz-")
    initramfs = work / "initramfs"
    for place in ("bin", "proc", "sys", "dev", "disk", "tmpfs", "root", "modules"):
        (initramfs / place).mkdir(parents=True)
    run("debugfs", "-R", f"dump /usr/bin/busybox {initramfs / 'bin/busybox'}", root)
    (initramfs / "bin" / "busybox").chmod(0o755)
    shutil.copy(recipe.INIT, initramfs / "init")
    boot = _copy_modules(tree, initramfs / "modules" / version, version)
    lines = "".join(f"/modules/{version}/{name}\n" for name in boot)
    (initramfs / "boot-modules").write_text(lines, encoding="ascii")
    out.mkdir()
    shutil.copy(vmlinuz, out / "vmlinuz")
    (out / "initrd").write_bytes(cpio(initramfs))


def _copy_modules(tree: Path, target: Path, version: str) -> list[str]:
    """
    Copy the recipe's modules and all that these need, uncompressed; index them for modprobe.

    Returns file names of BOOT_MODULES and what they need, in the order for insmod.
    """
    [source] = (*tree.glob(f"lib/modules/{version}"), *tree.glob(f"usr/lib/modules/{version}"))
    found = {path.name.split(".")[0].replace("-", "_"): path for path in source.rglob("*.ko*")}
    builtin = {
        Path(line).stem.replace("-", "_")
        for line in (source / "modules.builtin").read_text(encoding="ascii").splitlines()
    }
    target.mkdir(parents=True)
    ordered: list[str] = []

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if f"{name}.ko" in ordered or name in builtin:
            return
        if name not in found:
            raise ImageError(f"kernel {version} has no module {name}")
        for needed in _needs(found[name]):
            add(needed)
        ordered.append(f"{name}.ko")
        _unpack(found[name], target / f"{name}.ko")

    for name in recipe.BOOT_MODULES:
        add(name)
    boot = list(ordered)
    for name in recipe.MODULES:
        add(name)
    for index in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
        shutil.copy(source / index, target)
    base = target.parents[1] / "depmod"
    (base / "lib").mkdir(parents=True)
    (base / "lib" / "modules").symlink_to(target.parent)
    run("depmod", "-b", base, version)
    shutil.rmtree(base)
    return boot


def _needs(module: Path) -> list[str]:
    """Modules that must be there first, hard and soft (ext4 wants a crc32c that way)."""
    hard = run("modinfo", "-F", "depends", module).strip().split(",")
    soft = re.findall(
        r"pre:\s*((?:[\w-]+\s*)+?)(?=post:|$)", run("modinfo", "-F", "softdep", module)
    )
    generic = ["crc32c_generic"] if any("crc32c" in names for names in soft) else []
    return [name for name in (*hard, *generic) if name]


def _unpack(module: Path, target: Path) -> None:
    if module.suffix == ".xz":
        with target.open("wb") as out:
            subprocess.run(["xz", "-dc", str(module)], stdout=out, check=True)
    else:
        shutil.copy(module, target)


def cpio(tree: Path) -> bytes:
    """An archive of `tree` as the kernel unpacks it (initramfs-buffer-format)."""
    names = "\n".join(sorted(str(path.relative_to(tree)) for path in tree.rglob("*")))
    done = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"],
        cwd=tree,
        input=names.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ImageError(f"cpio: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
