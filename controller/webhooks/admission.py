"""Whether an object may be stored: the rules of crds.rules, applied as MetalLB's webhooks do."""

import enum
from collections.abc import Iterable, Iterator, Sequence

import attrs

from crds.base import Raw
from crds.rules import Backend, Finding, Options, check, gather
from crds.rules.objects import subject_of

# What one kind's rules look at beside that kind itself: a pool's edit is judged by pools alone,
# although it may spoil an advertisement, as with MetalLB.
LOOKS_AT = {
    "IPAddressPool": frozenset({"IPAddressPool", "AddressPool"}),
    "AddressPool": frozenset({"IPAddressPool", "AddressPool"}),
    "BGPAdvertisement": frozenset(
        {"BGPAdvertisement", "IPAddressPool", "AddressPool", "Community", "Node"}
    ),
    "L2Advertisement": frozenset({"L2Advertisement"}),
    "Community": frozenset({"Community"}),
    "BFDProfile": frozenset({"BFDProfile", "BGPPeer"}),
    "BGPPeer": frozenset({"BGPPeer", "BFDProfile", "Secret", "Node"}),
}


class Operation(enum.StrEnum):
    """What is asked for."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@attrs.frozen
class Review:
    """The answer: refused with all that is wrong, or allowed, perhaps with warnings."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether the object may be stored or deleted."""
        return not self.refusals


@attrs.frozen
class Admission:
    """The judge of one installation; `namespace` is where objects of ours must live."""

    namespace: str
    backend: Backend = Backend.GOBGP

    def review(self, operation: Operation, raw: Raw, existing: Sequence[Raw]) -> Review:
        """
        Judge `raw` among the objects that there are; what was wrong before is but a warning.

        What is missing may yet come, so references to it are warnings too.
        """
        if operation is Operation.DELETE:
            return Review(tuple(_referrers(raw, existing)))
        warnings = _deprecations(raw)
        if warnings and operation is Operation.CREATE:
            return Review(warnings=warnings)  # MetalLB skips every other check of that create
        refusals = tuple(self._misplaced(raw)) if operation is Operation.CREATE else ()
        seen_kinds = LOOKS_AT.get(str(raw.get("kind")), frozenset())
        others = [each for each in existing if each.get("kind") in seen_kinds]
        others = [each for each in others if subject_of(each) != subject_of(raw)]
        now = self._findings([*others, raw])
        old = self._findings(others) if now else []  # mostly there is nothing to take off
        before = set(map(str, old))
        news = [each for each in now if str(each) not in before]
        refusals += tuple(str(f) for f in news if f.is_error and not f.is_transient)
        warnings += tuple(str(f) for f in news if f.is_transient)
        warnings += tuple(f"stored before: {f}" for f in old if f.is_error and not f.is_transient)
        return Review(refusals, warnings)

    def _findings(self, raws: Sequence[Raw]) -> list[Finding]:
        objects, findings = gather(raws)
        return [*findings, *check(objects, Options(backend=self.backend))]

    def _misplaced(self, raw: Raw) -> Iterator[str]:
        found = subject_of(raw).namespace or self.namespace
        if found != self.namespace:
            yield f"{raw.get('kind')} in namespace {found}, need {self.namespace}"


def _deprecations(raw: Raw) -> tuple[str, ...]:
    spec = raw.get("spec")
    if raw.get("kind") == "BGPPeer" and isinstance(spec, dict) and spec.get("disableMP") is True:
        return ("spec.disableMP is deprecated and has no effect; remove it",)
    return ()


def _referrers(raw: Raw, existing: Iterable[Raw]) -> Iterator[str]:
    """Peers that name a BFDProfile that is to go."""
    name = subject_of(raw).name
    if raw.get("kind") != "BFDProfile":
        return
    for each in existing:
        spec = each.get("spec")
        named = spec.get("bfdProfile") if isinstance(spec, dict) else None
        if each.get("kind") == "BGPPeer" and named == name:
            yield f"BFDProfile {name} is used by BGPPeer {subject_of(each).name}"
