"""
A second build of this tree whose map layout really differs: members moved, added and padded.

It is what an upgrade of a lab goes to. A copy of the packages, of the BPF sources with another
`layout.h`, and of the mirror in Python, compiled as scripts/build_bpf does.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stentor.lab.errors import LabError

_ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = ("speaker", "stentor", "crds", "bpf", "scripts")
_HEADER: Final = "bpf/include/layout.h"
_MIRROR: Final = "speaker/dataplane/layout.py"

# Of each struct: its members in the variant's order. "+name" is a new one of eight octets.
_ORDERS: Final = {
    "slot4": ("voice", "+spare0", "stat", "addr", "cell", "vlan", "ifindex"),
    "slot6": ("voice", "addr", "stat", "ifindex", "cell", "vlan", "pad"),
    "cell": (
        *("state", "epoch", "+spare0", "lladdr", "pad1", "key", "instance_id", "deadline_ns"),
        *("ifindex", "vlan", "pad0", "generation", "last_beat_ns", "fenced_epoch", "beats"),
        *("reserved", "last_event_ns"),
    ),
    "control": ("active6", "active4"),
    "vip_stats": (
        *("bytes", "packets", "+spare0", "drops", "answers", "requests", "last_event_ns"),
    ),
}


def build(target: Path) -> Path:
    """
    Make the variant in `target`, a new directory; returns it, to be put into PYTHONPATH.

    Raises LabError when the sources are not there or clang refuses.
    """
    if not (_ROOT / _HEADER).is_file():
        raise LabError(f"no BPF sources at {_ROOT / 'bpf'}: a variant needs a source tree")
    for name in _COPIED:
        skipped = shutil.ignore_patterns("__pycache__", "*.o")
        shutil.copytree(_ROOT / name, target / name, ignore=skipped)
    header, mirror = (target / _HEADER).read_text(), (target / _MIRROR).read_text()
    for struct, order in _ORDERS.items():
        header, mirror = _reorder_c(header, struct, order), _reorder_python(mirror, struct, order)
    (target / _HEADER).write_text(_next_version(header, "#define LAYOUT_VERSION "))
    (target / _MIRROR).write_text(_next_version(mirror, "LAYOUT_VERSION: Final = "))
    done = subprocess.run(
        [str(target / "scripts/build_bpf")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"the variant does not compile: {done.stderr}")
    return target


def _next_version(text: str, before: str) -> str:
    return re.sub(re.escape(before) + r"(\d+)", lambda m: f"{before}{int(m[1]) + 1}", text)


def _reorder_c(text: str, struct: str, order: tuple[str, ...]) -> str:
    """A struct's definition with its members in that order; its size is no longer asserted."""
    found = re.search(rf"^struct {struct} \{{\n(.*?)^\}};\n", text, re.M | re.S)
    if found is None:
        raise LabError(f"layout.h has no struct {struct}")
    bare = re.sub(r"/\*.*?\*/", "", found[1], flags=re.S)
    members = {_member_name(line): line.strip() for line in bare.split(";") if line.strip()}
    lines = _ordered(members, order, lambda name: f"__u64 {name}")
    body = "".join(f"\t{line};\n" for line in lines)
    text = text[: found.start()] + f"struct {struct} {{\n{body}}};\n" + text[found.end() :]
    return re.sub(rf"^_Static_assert\(sizeof\(struct {struct}\).*\n", "", text, flags=re.M)


def _member_name(line: str) -> str:
    found = re.search(r"(\w+)(?:\[\w+\])*(?:\s+__attribute__.*)?$", line.strip())
    if found is None:
        raise LabError(f"layout.h: not a member: {line}")
    return found[1]


def _reorder_python(text: str, struct: str, order: tuple[str, ...]) -> str:
    """The same of its `Layout`."""
    found = re.search(rf'Layout\(\s*"{struct}",\s*\((.*?)\),?\s*\)\n', text, re.S)
    if found is None:
        raise LabError(f"layout.py has no struct {struct}")
    pairs = re.findall(r'"(\w+)", "(\w+)"', found[1])
    members = {name: f'("{name}", "{code}")' for name, code in pairs}
    lines = _ordered(members, order, lambda name: f'("{name}", "Q")')
    body = f'Layout("{struct}", ({", ".join(lines)}))\n'
    return text[: found.start()] + body + text[found.end() :]


def _ordered(
    members: dict[str, str], order: tuple[str, ...], fresh: Callable[[str], str]
) -> list[str]:
    named = {name for name in order if not name.startswith("+")}
    if named != members.keys():
        raise LabError(f"the variant does not know {sorted(named ^ members.keys())}")
    return [fresh(name[1:]) if name.startswith("+") else members[name] for name in order]
