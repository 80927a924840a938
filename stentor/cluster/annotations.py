"""What the annotations of a Service say: MetalLB's, and the stentor.io/ extensions."""

import re
from collections.abc import Mapping

import attrs

from crds.errors import Path, Problem
from crds.explain import nearest
from stentor.cluster.objects import ServiceOptions

METALLB = "metallb.io/"
METALLB_OLD = "metallb.universe.tf/"  # deprecated, still read; the new name wins
STENTOR = "stentor.io/"
PREFERRED_AT: Path = ("metadata", "annotations", f"{STENTOR}preferred-nodes")

_READ = ("address-pool", "loadBalancerIPs", "allow-shared-ip")
EXTENSIONS = ("failback", "refresh-seconds", "preferred-nodes")
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_REFRESH_MAX_S = 86400


@attrs.frozen
class ServiceNotes:
    """The annotations of one Service, read. `problems` are about the stentor.io/ ones."""

    requested: str | None = None  # loadBalancerIPs
    requested_at: Path = ()
    pool: str | None = None  # address-pool
    pool_at: Path = ()
    sharing_key: str | None = None  # allow-shared-ip
    options: ServiceOptions = attrs.field(factory=ServiceOptions)
    problems: tuple[Problem, ...] = ()
    deprecated: tuple[Problem, ...] = ()


def read_notes(annotations: Mapping[str, str]) -> ServiceNotes:
    """Read the annotations of a Service."""
    used = {name: _used_key(annotations, name) for name in _READ}
    texts = {name: annotations[key] for name, key in used.items() if key}
    paths: dict[str, Path] = {
        name: ("metadata", "annotations", key) for name, key in used.items() if key
    }
    options, problems = _read_options(annotations)
    return ServiceNotes(
        requested=texts.get("loadBalancerIPs"),
        requested_at=paths.get("loadBalancerIPs", ()),
        pool=texts.get("address-pool"),
        pool_at=paths.get("address-pool", ()),
        sharing_key=texts.get("allow-shared-ip"),
        options=options,
        problems=problems,
        deprecated=tuple(
            Problem(path, f"old name; write {METALLB}{name}", texts[name])
            for name, path in paths.items()
            if used[name] == METALLB_OLD + name
        ),
    )


def foreign_extensions(annotations: Mapping[str, str], kind: str) -> tuple[Problem, ...]:
    """Refuse stentor.io/ annotations on a kind that takes none."""
    return tuple(
        Problem(("metadata", "annotations", key), f"has no meaning on a {kind}", annotations[key])
        for key in sorted(annotations)
        if key.startswith(STENTOR)
    )


def _used_key(annotations: Mapping[str, str], name: str) -> str | None:
    for prefix in (METALLB, METALLB_OLD):
        if prefix + name in annotations:
            return prefix + name
    return None


def _read_options(annotations: Mapping[str, str]) -> tuple[ServiceOptions, tuple[Problem, ...]]:
    options = ServiceOptions()
    problems: list[Problem] = []
    for key in sorted(annotations):
        if not key.startswith(STENTOR):
            continue
        text = annotations[key]
        try:
            options = _with_option(options, key.removeprefix(STENTOR), text)
        except ValueError as exc:
            problems.append(Problem(("metadata", "annotations", key), str(exc), text))
    return options, tuple(problems)


def _with_option(options: ServiceOptions, name: str, text: str) -> ServiceOptions:
    """Raise ValueError with what would be right."""
    match name:
        case "failback":
            if text != "never":
                raise ValueError(f"{text!r} is not taken, the one value is never")
            return attrs.evolve(options, failback=False)
        case "refresh-seconds":
            is_number = text.isascii() and text.isdigit() and int(text) <= _REFRESH_MAX_S
            if not is_number:
                raise ValueError(
                    f"{text!r} is not taken, need whole seconds of 1 to {_REFRESH_MAX_S}, "
                    "or 0 for off"
                )
            return attrs.evolve(options, refresh_s=float(text))
        case "preferred-nodes":
            return attrs.evolve(options, preferred_nodes=_read_nodes(text))
        case _:
            guess = nearest(name, list(EXTENSIONS))
            known = ", ".join(STENTOR + extension for extension in EXTENSIONS)
            hint = f"did you mean {STENTOR}{guess}?" if guess else f"known: {known}"
            raise ValueError(f"no such annotation; {hint}")


def _read_nodes(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not _NODE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a node name; write names with commas between")
        if names.count(name) > 1:
            raise ValueError(f"{name} stands there twice")
    return names
