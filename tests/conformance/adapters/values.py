"""The data's shapes as the product's values: selectors, advertisements, endpoints, worlds."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from crds.matching import Expression, LabelSelector, Operator
from stentor.address_sets import AddressRange
from stentor.cluster.objects import (
    EXCLUDE_LABEL,
    HOSTNAME_LABEL,
    Endpoint,
    Key,
    L2Ad,
    Node,
    Pool,
    Preference,
    Service,
    TrafficPolicy,
)
from tests.conformance.cases import Json

EVERYTHING = "*everything*"
SHARING_ANNOTATIONS = ("metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip")
_SET_FORM = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUALITY_FORM = re.compile(r"([^=!]+)(!=|==|=)(.*)")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def selector(text: str) -> LabelSelector:
    """A label selector in its string form, as `kubectl -l` takes it."""
    if text == EVERYTHING or not text.strip():
        return LabelSelector()
    parts = (part.strip() for part in _COMMA_OUTSIDE_PARENTHESES.split(text))
    return LabelSelector(expressions=tuple(_expression(part) for part in parts))


def _expression(text: str) -> Expression:
    if form := _SET_FORM.fullmatch(text):
        key, word, listed = form.groups()
        values = tuple(sorted(value.strip() for value in listed.split(",")))
        return Expression(key, Operator.IN if word == "in" else Operator.NOT_IN, values)
    if form := _EQUALITY_FORM.fullmatch(text):
        key, sign, value = (part.strip() for part in form.groups())
        return Expression(key, Operator.NOT_IN if sign == "!=" else Operator.IN, (value,))
    if text.startswith("!"):
        return Expression(text[1:].strip(), Operator.DOES_NOT_EXIST)
    return Expression(text, Operator.EXISTS)


def named(names: Iterable[str]) -> LabelSelector:
    """Selects nodes by name, where the data has the outcome of a selector."""
    return LabelSelector(
        expressions=(Expression(HOSTNAME_LABEL, Operator.IN, tuple(sorted(names))),)
    )


def l2_ad(name: str, data: Json) -> L2Ad:
    """An advertisement whose node lists are already resolved; no list selects every node."""
    interfaces = () if data.get("allInterfaces") else tuple(data.get("interfaces") or ())
    return L2Ad(
        name=name,
        node_selectors=(named(data["nodes"]),) if "nodes" in data else (),
        interfaces=interfaces,
        service_selectors=tuple(selector(text) for text in data.get("serviceSelectors") or ()),
        preferences=tuple(
            Preference(weight, named([node]))
            for node, weight in (data.get("preferredNodes") or {}).items()
        ),
    )


def l2_ads(data: Iterable[Json]) -> dict[str, L2Ad]:
    """Advertisements by made-up names that keep the order of the data."""
    names = ((f"ad{index:04}", entry) for index, entry in enumerate(data))
    return {name: l2_ad(name, entry) for name, entry in names}


def node(name: str, *, excluded: bool = False, network_unavailable: bool = False) -> Node:
    """A node with its hostname label, as every real node has it."""
    labels = {HOSTNAME_LABEL: name} | ({EXCLUDE_LABEL: ""} if excluded else {})
    return Node(name, labels, network_unavailable=network_unavailable)


def pool(name: str, cidrs: Iterable[str]) -> Pool:
    """A pool of the ranges listed."""
    return Pool(name, tuple(AddressRange.parse(text) for text in cidrs))


def endpoints(slices: Iterable[Iterable[Json]]) -> tuple[Endpoint, ...]:
    """All endpoints of all slices."""
    return tuple(endpoint(entry) for entries in slices for entry in entries or ())


def endpoint(data: Json) -> Endpoint:
    """One endpoint; conditions that are not there are unknown."""
    conditions = data.get("conditions") or {}
    return Endpoint(
        addresses=tuple(data.get("addresses") or ()),
        node=data.get("nodeName"),
        ready=conditions.get("ready"),
        serving=conditions.get("serving"),
        terminating=conditions.get("terminating"),
    )


def service(data: Json, *, name: str = "svc", vips: Iterable[str], served: bool) -> Service:
    """A Service that holds `vips`; `served` = the case is not about endpoints."""
    annotations: dict[str, Any] = data.get("annotations") or {}
    sharing = [annotations[name] for name in SHARING_ANNOTATIONS if name in annotations]
    return Service(
        key=Key("default", name),
        vips=tuple(ip_address(text) for text in vips),
        labels=data.get("labels") or {},
        annotations=annotations,
        external_traffic_policy=TrafficPolicy(data.get("externalTrafficPolicy") or "Cluster"),
        sharing_key=sharing[0] if sharing else None,
        served_everywhere=served,
    )
