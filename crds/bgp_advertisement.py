"""BGPAdvertisement metallb.io/v1beta1: which pools are announced by BGP, how, and to whom."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from crds.base import Column, Resource, Rule, Schema, Strict, empty_dict, empty_list, made
from crds.communities import looks_literal, parse_community
from crds.errors import CommunityError, Problem
from crds.selectors import Names, Selectors, distinct

HOST_BITS = {4: 32, 6: 128}


def _check_communities(entries: list[str]) -> list[str]:
    for place, entry in enumerate(entries):
        if looks_literal(entry):
            try:
                parse_community(entry)
            except CommunityError as exc:
                raise PydanticCustomError(
                    "community", "{why}", {"why": str(exc), "index": place}
                ) from exc
    return entries


Communities = Annotated[
    list[str], AfterValidator(distinct), AfterValidator(_check_communities)
]  # literals, or names of Community objects


class BGPAdvertisementSpec(Strict):
    """Which pools, as what prefixes and attributes, from which nodes, to which peers."""

    RULES: ClassVar[tuple[Rule, ...]] = tuple(
        Rule(
            f"!has(self.serviceSelectors) || size(self.serviceSelectors) == 0"
            f" || !has(self.{field}) || self.{field} == {bits}",
            f"{field} must be {bits} with serviceSelectors: an aggregate cannot be announced for"
            " some services of a pool and not for others",
            field,
        )
        for field, bits in (("aggregationLength", 32), ("aggregationLengthV6", 128))
    )

    # Prefix length of IPv4 routes, 32 for one route an address.
    aggregation_length: Annotated[int, Field(ge=1, le=32), Schema({"default": 32})] | None = None
    # Prefix length of IPv6 routes, 128 for one route an address.
    aggregation_length_v6: Annotated[int, Field(ge=1, le=128), Schema({"default": 128})] | None = (
        Field(default=None, alias="aggregationLengthV6")
    )
    # LOCAL_PREF towards iBGP peers; 0: none.
    local_pref: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] = 0
    # Communities, 64512:100 or large:64512:1:2, or names that a Community object gives.
    communities: Communities = Field(default_factory=empty_list)
    # Pools by name. All pools where ipAddressPoolSelectors is empty too.
    ip_address_pools: Names = Field(default_factory=empty_list)
    ip_address_pool_selectors: Selectors = Field(default_factory=empty_list)  # pools by label, too
    # Nodes that may announce, by label: any of these. Without one, all nodes.
    node_selectors: Selectors = Field(default_factory=empty_list)
    peers: Names = Field(default_factory=empty_list)  # BGPPeers to announce to, by name; none: all
    # Services that it is for, by label: any of these. Without one, all.
    service_selectors: Selectors = Field(default_factory=empty_list)

    def length(self, version: int) -> int:
        """The prefix length announced for a family, 4 or 6."""
        given = self.aggregation_length if version == 4 else self.aggregation_length_v6
        return HOST_BITS[version] if given is None else given


class BGPAdvertisement(Resource):
    """An advertisement by BGP."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "BGPAdvertisement"
    PLURAL: ClassVar[str] = "bgpadvertisements"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("IPAddressPools", ".spec.ipAddressPools"),
        Column("IPAddressPool Selectors", ".spec.ipAddressPoolSelectors"),
        Column("Peers", ".spec.peers"),
        Column("Node Selectors", ".spec.nodeSelectors", priority=1),
    )

    spec: BGPAdvertisementSpec = Field(default_factory=made(BGPAdvertisementSpec))
    status: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind

    def problems(self) -> Iterator[Problem]:
        """An aggregate cannot be announced for some services of a pool and not for others."""
        if not self.spec.service_selectors:
            return
        for version, field in ((4, "aggregationLength"), (6, "aggregationLengthV6")):
            length = self.spec.length(version)
            if length != HOST_BITS[version]:
                yield Problem(
                    ("spec", field),
                    f"{length} cannot be used with serviceSelectors, need {HOST_BITS[version]}",
                    str(length),
                )
