"""L2Advertisement metallb.io/v1beta1: which pools are answered for by ARP and ND, and where."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from crds.base import Column, Resource, Strict, empty_dict, empty_list, made
from crds.selectors import LabelSelector, Names, Selectors


class PreferredNodeSelector(Strict):
    """A soft preference: weights of all entries that match a node add up."""

    weight: Annotated[int, Field(ge=1, le=100)]  # added to the score of nodes that match
    preference: LabelSelector  # labels of the nodes


class L2AdvertisementSpec(Strict):
    """Which pools, on which nodes and interfaces, for which services."""

    # Pools by name. All pools where ipAddressPoolSelectors is empty too.
    ip_address_pools: Names = Field(default_factory=empty_list)
    ip_address_pool_selectors: Selectors = Field(default_factory=empty_list)  # pools by label, too
    # Nodes that may announce, by label: any of these. Without one, all nodes.
    node_selectors: Selectors = Field(default_factory=empty_list)
    # Interfaces to answer on, by exact name. Without one, all. Never decides which node answers.
    interfaces: list[str] = Field(default_factory=empty_list)
    # Services that it is for, by label: any of these. Without one, all.
    service_selectors: Selectors = Field(default_factory=empty_list)
    # Nodes that are preferred among those that may announce.
    preferred_node_selectors: list[PreferredNodeSelector] = Field(default_factory=empty_list)


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

    spec: L2AdvertisementSpec = Field(default_factory=made(L2AdvertisementSpec))
    status: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind
