"""The product as the guests get it: its wheel unpacked, and the tests that run in there."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from tests.kernels.errors import ImageError
from tests.kernels.images import ROOT, cpio

TESTS: Final = ("__init__.py", "eventually.py", "bpf", "kernels")
_SHIM: Final = ROOT / "speaker" / "dataplane" / "objects" / "libbcc.so.0"


def archive(folder: Path) -> Path:
    """Build the wheel of this tree into an initramfs archive that holds /product."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise ImageError(f"the wheel: {built.stderr}{built.stdout}")
    product = folder / "tree" / "product"
    [wheel] = (folder / "wheel").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(product)
    objects = product / "speaker" / "dataplane" / "objects"
    if _SHIM.exists():  # as an image has it: bcc without LLVM, which takes long to load here
        shutil.copy(_SHIM, objects)
    for name in TESTS:
        source, target = ROOT / "tests" / name, product / "tests" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for name in ("bench.bpf.o", "siphash.bpf.o"):  # tests/bpf runs these too
        shutil.copy(ROOT / "speaker" / "dataplane" / "objects" / name, objects)
    compiled = [sys.executable, "-m", "compileall", "-q", "-d", "/opt/stentor", str(product)]
    subprocess.run(compiled, check=False)
    path = folder / "product.cpio"
    path.write_bytes(cpio(folder / "tree"))
    return path
