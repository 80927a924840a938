"""From an object as YAML or JSON gives it to the model of its kind, or to what is wrong with it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from crds.address_pool import AddressPool, AddressPoolV1Alpha1
from crds.base import CoreResource, Raw, Resource
from crds.bfd_profile import BFDProfile
from crds.bgp_advertisement import BGPAdvertisement
from crds.bgp_peer import BGPPeer
from crds.bgp_peer_v1beta1 import BGPPeerV1Beta1
from crds.community import Community
from crds.configuration_state import ConfigurationState
from crds.core import EndpointSlice, Namespace, Node, Secret, Service, ServiceCIDR
from crds.errors import ConfigError, Problem
from crds.explain import explain, suggestion
from crds.ip_address_pool import IPAddressPool
from crds.l2_advertisement import L2Advertisement
from crds.metallb import MetalLB
from crds.service_status import ServiceBGPStatus, ServiceL2Status

AnyKind = Resource | CoreResource
# Of a kind with several versions the one that is stored comes first.
OUR_KINDS: Final[tuple[type[Resource], ...]] = (
    IPAddressPool, L2Advertisement, BGPAdvertisement, BGPPeer, BGPPeerV1Beta1, BFDProfile,
    Community, AddressPool, AddressPoolV1Alpha1, ServiceL2Status, ServiceBGPStatus,
    ConfigurationState, MetalLB,
)  # fmt: skip
CORE_KINDS: Final[tuple[type[CoreResource], ...]] = (
    Service, EndpointSlice, Node, Namespace, Secret, ServiceCIDR,
)  # fmt: skip


def _by_kind() -> dict[str, dict[str, type[AnyKind]]]:
    found: dict[str, dict[str, type[AnyKind]]] = {}
    models: tuple[type[AnyKind], ...] = (*OUR_KINDS, *CORE_KINDS)
    for model in models:
        found.setdefault(model.KIND, {})[model.API_VERSION] = model
    return found


# kind -> apiVersion -> model, the stored version first
KINDS: Final[Mapping[str, Mapping[str, type[AnyKind]]]] = MappingProxyType(_by_kind())


def subject_of(raw: Raw) -> str:
    """Name an object as findings do, "Kind namespace/name", as far as it names itself."""
    metadata = raw.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    parts = [str(named[part]) for part in ("namespace", "name") if named.get(part)]
    return " ".join(filter(None, (str(raw.get("kind") or "object"), "/".join(parts))))


def decode(raw: Raw) -> AnyKind:
    """
    Check an object against its kind and return its model.

    Keys without a value (null) count as absent, as the API server takes them. Raises ConfigError
    with every problem of the object, not just the first.
    """
    model = model_of(raw)
    try:
        value = model.model_validate(without_nulls(raw))
    except ValidationError as exc:
        raise ConfigError(subject_of(raw), explain(model, exc)) from exc
    if isinstance(value, Resource) and (problems := tuple(value.problems())):
        raise ConfigError(subject_of(raw), problems)
    return value


def without_nulls(value: Any) -> Any:
    """Drop keys whose value is null, at every depth."""
    if isinstance(value, dict):
        return {
            key: without_nulls(part) if isinstance(part, dict | list) else part
            for key, part in value.items()
            if part is not None
        }
    if isinstance(value, list):
        return [without_nulls(part) if isinstance(part, dict | list) else part for part in value]
    return value


def model_of(raw: Raw) -> type[AnyKind]:
    """The model of an object's kind and version; raises ConfigError where there is none."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    for field, text in (("apiVersion", version), ("kind", kind)):
        if not isinstance(text, str) or not text:
            problem = Problem((field,), "is required, as text", code="bad_object")
            raise ConfigError(subject_of(raw), (problem,))
    versions = KINDS.get(str(kind))
    if versions is None:
        hint = suggestion(str(kind), list(KINDS)) or f"; known: {', '.join(sorted(KINDS))}"
        problem = Problem(("kind",), f"unknown kind{hint}", str(kind), "unknown_kind")
        raise ConfigError(subject_of(raw), (problem,))
    model = versions.get(str(version))
    if model is None:
        problem = Problem(
            ("apiVersion",),
            f"{version!r} has no {kind} that Stentor reads; write {next(iter(versions))}",
            str(version),
            "unknown_kind",
        )
        raise ConfigError(subject_of(raw), (problem,))
    return model
