"""L2Advertisement metallb.io/v1beta1: which pools are answered for by ARP and ND, and where."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from crds.base import Column, Resource, Strict
from crds.selectors import LabelSelector, Names, Selectors


class PreferredNodeSelector(Strict):
    """A soft preference: weights of all entries that match a node add up."""

    weight: Annotated[int, Field(ge=1, le=100)]
    preference: LabelSelector


class L2AdvertisementSpec(Strict):
    """Which pools, on which nodes and interfaces, for which services."""

    ip_address_pools: Names = Field(default_factory=list)  # with no selector either: all pools
    ip_address_pool_selectors: Selectors = Field(default_factory=list)
    node_selectors: Selectors = Field(default_factory=list)  # any of them; none: all nodes
    interfaces: list[str] = Field(default_factory=list)  # exact names; none: all
    service_selectors: Selectors = Field(default_factory=list)  # any of them; none: all services
    preferred_node_selectors: list[PreferredNodeSelector] = Field(default_factory=list)


class L2Advertisement(Resource):
    """An advertisement by ARP and ND."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "L2Advertisement"
    PLURAL: ClassVar[str] = "l2advertisements"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("IPAddressPools", ".spec.ipAddressPools"),
        Column("IPAddressPool Selectors", ".spec.ipAddressPoolSelectors"),
        Column("Interfaces", ".spec.interfaces"),
        Column("Node Selectors", ".spec.nodeSelectors", priority=1),
    )

    spec: L2AdvertisementSpec = L2AdvertisementSpec()
    status: dict[str, Any] = Field(default_factory=dict)
