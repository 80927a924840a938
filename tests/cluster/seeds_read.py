"""The examples of tests/cluster/seeds, and their documents where a checkout has them beside it."""

from pathlib import Path
from typing import Any, Final

import attrs
import yaml

Raw = dict[str, Any]
SEEDS: Final = Path(__file__).parent / "seeds"
DOCUMENTS: Final = Path(__file__).parents[3] / "shared" / "seeds"
_REPAIRS: Final = "repairs.yaml"
_OURS: Final = ("metallb.io/v1", "v1")


@attrs.frozen
class Example:
    """An object or a set of variables, right, and where it stands in its document."""

    document: str
    name: str  # document/name
    line: int
    content: Raw
    company: tuple[Raw, ...] = ()  # objects that the text presupposes

    @property
    def is_ours(self) -> bool:
        """Whether Stentor or a plain API server knows the kind."""
        return str(self.content.get("apiVersion", "")).startswith(_OURS)

    @property
    def is_object(self) -> bool:
        """Whether it is an object of Kubernetes; the others are Kubespray's variables."""
        return "apiVersion" in self.content


@attrs.frozen
class Repair:
    """What was broken in an example, and what is said of it."""

    example: str
    reason: str
    broken: str
    says: str


def _load(name: str) -> Any:
    return yaml.safe_load((SEEDS / name).read_text(encoding="utf-8"))


def _entries() -> dict[str, Raw]:
    """Entries of all files by document/name."""
    loaded = [_load(path.name) for path in sorted(SEEDS.glob("*.yaml")) if path.name != _REPAIRS]
    return {
        f"{each['document']}/{name}": entry
        for each in loaded
        for name, entry in each["examples"].items()
    }


def _company(entries: dict[str, Raw], name: str) -> list[Raw]:
    """What an entry lists as `beside`, and the entries it names as `with`, theirs first."""
    found = list(entries[name].get("beside", []))
    for other in entries[name].get("with", []):
        whole = other if "/" in other else f"{name.partition('/')[0]}/{other}"
        found += [*_company(entries, whole), entries[whole]["object"]]
    return found


def _examples() -> list[Example]:
    entries = _entries()
    return [
        Example(
            name.partition("/")[0],
            name,
            entry["line"],
            entry.get("object") or entry["variables"],
            tuple(_company(entries, name)),
        )
        for name, entry in entries.items()
    ]


EXAMPLES: Final = _examples()
REPAIRS: Final = [Repair(name.partition(",")[0], **raw) for name, raw in _load(_REPAIRS).items()]
