"""
Which VIPs the Services of a directory of manifests really get. Pure.

A VIP is what the Service's status says, else what it asks for. It must lie in a pool that admits
the Service, and no two Services hold one unless they may share it (metallb-compatible rules:
one sharing key, one backend, different ports). The loser names the winner, the rest stays.
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address

import attrs

from crds.addresses import parse_address
from crds.errors import AddressError, Path
from stentor.address_sets import AddressIndex, Vip
from stentor.cluster.convert import INGRESS, Claim
from stentor.cluster.documents import Entry
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.objects import Key, Namespace, Pool, Refusal, Service

_BUGGY_OCTETS = frozenset({0, 255})
_POOLS_SHOWN = 3
_LIMITED_BROADCAST = IPv4Address("255.255.255.255")  # RFC 919 §7


@attrs.frozen
class Ground:
    """What the decision stands on."""

    pools: AddressIndex[Pool]
    pool_names: tuple[str, ...]
    namespace: Callable[[str], Namespace]
    hosts: Mapping[Vip, str]  # InternalIP of a Node -> its name
    allocated: Mapping[Key, tuple[str, ...]]  # what a controller wrote to .status/


@attrs.frozen
class Verdict:
    """A Service as it enters the World, and what there is to tell about it."""

    service: Service
    findings: tuple[Finding, ...] = ()


class _RefusedError(Exception):
    """Carries a refusal out of the checks; never leaves this module."""

    def __init__(self, refusal: Refusal, path: Path, text: str, value: str = "") -> None:
        self.refusal, self.path, self.text, self.value = refusal, path, text, value
        super().__init__(text)


def decide(entries: Iterable[Entry], ground: Ground) -> list[Verdict]:
    """
    Decide the VIPs of every claim in `entries` (others are passed over).

    A disputed VIP goes to the older Service, then to the first by namespace/name; one that was
    never created in an API server is as young as can be.
    """
    holders: dict[Vip, list[Entry]] = {}
    claims = [entry for entry in entries if isinstance(entry.value, Claim)]
    return [_judge(entry, ground, holders) for entry in sorted(claims, key=_precedence)]


def _precedence(entry: Entry) -> tuple[bool, str, Key]:
    service = _claim(entry).service
    return not service.created, service.created, service.key


def _claim(entry: Entry) -> Claim:
    assert isinstance(entry.value, Claim)
    return entry.value


def _judge(entry: Entry, ground: Ground, holders: dict[Vip, list[Entry]]) -> Verdict:
    claim = _claim(entry)
    if claim.service.refusal is not None:
        return Verdict(claim.service)  # its annotations were refused when it was read
    warnings: list[Finding] = []
    try:
        path, vips = _addresses(entry, claim, ground, warnings)
        pool = _check_pools(claim, path, vips, ground)
        _check_families(claim, path, vips)
        _check_hosts(path, vips, ground)
        _check_sharing(entry, path, vips, holders)
    except _RefusedError as refused:
        is_waiting = refused.refusal is Refusal.NO_IP_ALLOCATED
        finding = entry.finding(
            refused.path,
            refused.text,
            cause=Cause.NO_VIP if is_waiting else Cause.VIP_REFUSED,
            value=refused.value,
            severity=Severity.WARNING if is_waiting else Severity.ERROR,
        )
        service = attrs.evolve(claim.service, refusal=refused.refusal, refusal_text=refused.text)
        return Verdict(service, (finding, *warnings))
    for vip in vips:
        holders.setdefault(vip, []).append(entry)
    return Verdict(attrs.evolve(claim.service, vips=vips, pool=pool.name), tuple(warnings))


def _addresses(
    entry: Entry, claim: Claim, ground: Ground, warnings: list[Finding]
) -> tuple[Path, tuple[Vip, ...]]:
    """Return the field that names the VIPs, and the VIPs: status first, then the request."""
    held = claim.ingress or ground.allocated.get(claim.service.key, ())
    problem = claim.request_problem
    if held:
        vips = _parse(INGRESS, held)
        if problem:
            text = f"{problem}; meanwhile the address of its status stays"
        elif claim.requested and not _are_same(claim.requested, vips):
            text = f"differs from the status, {_listed(vips)}, which counts; remove one of them"
        else:
            return INGRESS, vips
        warnings.append(
            entry.finding(
                claim.requested_at, text, cause=Cause.BAD_VALUE,
                value=",".join(claim.requested), severity=Severity.WARNING,
            )
        )  # fmt: skip
        return INGRESS, vips
    if problem:
        raise _RefusedError(
            Refusal.INVALID_IP, claim.requested_at, problem, ",".join(claim.requested)
        )
    if not claim.requested:
        raise _RefusedError(
            Refusal.NO_IP_ALLOCATED,
            (),
            "has no VIP: neither status nor metallb.io/loadBalancerIPs names one, and no "
            "controller has given one yet",
        )
    return claim.requested_at, _parse(claim.requested_at, claim.requested)


def _are_same(requested: tuple[str, ...], vips: tuple[Vip, ...]) -> bool:
    try:
        return {parse_address(text) for text in requested} == set(vips)
    except AddressError:
        return False


def _parse(path: Path, texts: tuple[str, ...]) -> tuple[Vip, ...]:
    vips: list[Vip] = []
    for text in texts:
        try:
            vip = parse_address(text)
        except AddressError as exc:
            raise _RefusedError(Refusal.INVALID_IP, path, str(exc), text) from exc
        if vip.is_multicast or vip.is_loopback or vip.is_unspecified or vip == _LIMITED_BROADCAST:
            message = f"{vip} can be no VIP, need the address of a host on the network"
            raise _RefusedError(Refusal.INVALID_IP, path, message, text)
        if any(vip.version == other.version for other in vips):
            message = f"names two IPv{vip.version} addresses, need at most one of a family"
            raise _RefusedError(Refusal.INVALID_IP, path, message, ",".join(texts))
        vips.append(vip)
    return tuple(vips)


def _check_pools(claim: Claim, path: Path, vips: tuple[Vip, ...], ground: Ground) -> Pool:
    """Return the pool that all of `vips` lie in."""
    service = claim.service
    pool = _pool_of(path, vips[0], ground)
    for vip in vips[1:]:
        other = _pool_of(path, vip, ground)
        if other.name != pool.name:
            message = (
                f"{vips[0]} is of IPAddressPool {pool.name} and {vip} of {other.name}, "
                "need both of one pool"
            )
            raise _RefusedError(Refusal.IP_NOT_ALLOWED, path, message, _listed(vips))
    if claim.pool is not None and claim.pool != pool.name:
        message = f"asks for pool {claim.pool}, but {_listed(vips)} is of {pool.name}"
        raise _RefusedError(Refusal.IP_NOT_ALLOWED, claim.pool_at, message, claim.pool)
    namespace = ground.namespace(service.key.namespace)
    if pool.allocation and not pool.allocation.admits(namespace, service.labels):
        message = f"{_listed(vips)} is of IPAddressPool {pool.name}, whose serviceAllocation does "
        message += f"not admit {service.key}"
        raise _RefusedError(Refusal.IP_NOT_ALLOWED, path, message, _listed(vips))
    for vip in vips:
        if pool.avoid_buggy_ips and vip.version == 4 and vip.packed[-1] in _BUGGY_OCTETS:
            message = f"{vip} ends in .0 or .255, which avoidBuggyIPs of {pool.name} rules out"
            raise _RefusedError(Refusal.IP_NOT_ALLOWED, path, message, str(vip))
    return pool


def _pool_of(path: Path, vip: Vip, ground: Ground) -> Pool:
    pool = ground.pools.find(vip)
    if pool is not None:
        return pool
    names = ground.pool_names
    known = ", ".join(names[:_POOLS_SHOWN]) + (", …" if len(names) > _POOLS_SHOWN else "")
    hint = f"pools here: {known}" if names else "there is none here"
    raise _RefusedError(
        Refusal.IP_NOT_ALLOWED, path, f"{vip} lies in no IPAddressPool; {hint}", str(vip)
    )


def _check_families(claim: Claim, path: Path, vips: tuple[Vip, ...]) -> None:
    families = {vip.version for vip in vips}
    fits = families == claim.families or (claim.takes_one_family and families <= claim.families)
    if claim.families and not fits:
        wanted = " and ".join(f"IPv{version}" for version in sorted(claim.families))
        message = f"{_listed(vips)} does not fit the families of the Service, {wanted}"
        raise _RefusedError(Refusal.FAMILY_MISMATCH, path, message, _listed(vips))


def _check_hosts(path: Path, vips: tuple[Vip, ...], ground: Ground) -> None:
    for vip in vips:
        if vip in ground.hosts:
            message = f"{vip} is the InternalIP of Node {ground.hosts[vip]}, need one of no host"
            raise _RefusedError(Refusal.ADDRESS_OF_A_HOST, path, message, str(vip))


def _check_sharing(
    entry: Entry, path: Path, vips: tuple[Vip, ...], holders: Mapping[Vip, list[Entry]]
) -> None:
    mine = _claim(entry).service
    for vip in vips:
        for holder in holders.get(vip, ()):
            theirs = _claim(holder).service
            obstacle = _obstacle(mine, theirs)
            if obstacle:
                message = f"{vip} is held by Service {theirs.key} ({holder.file}): {obstacle}"
                raise _RefusedError(Refusal.VIP_TAKEN, path, message, str(vip))


def _obstacle(mine: Service, theirs: Service) -> str:
    """Say why the two cannot share a VIP, or nothing when they can."""
    if not mine.sharing_key or mine.sharing_key != theirs.sharing_key:
        return "to share it give both one metallb.io/allow-shared-ip key"
    if mine.backend_key != theirs.backend_key:
        return "with externalTrafficPolicy Local sharers need one and the same selector"
    if mine.external_traffic_policy != theirs.external_traffic_policy:
        return "sharers need one and the same externalTrafficPolicy"
    common = sorted(set(mine.ports) & set(theirs.ports))
    if common:
        return f"both use port {common[0].protocol}/{common[0].number}"
    return ""


def _listed(vips: tuple[Vip, ...]) -> str:
    return ", ".join(str(vip) for vip in vips)
