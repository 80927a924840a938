"""BGPAdvertisement metallb.io/v1beta1: which pools are announced by BGP, how, and to whom."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from crds.base import Column, Resource, Rule, Schema, Strict
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

    # Prefix length of IPv4 routes.
    aggregation_length: Annotated[int, Field(ge=1, le=32), Schema({"default": 32})] | None = None
    # Prefix length of IPv6 routes.
    aggregation_length_v6: Annotated[int, Field(ge=1, le=128), Schema({"default": 128})] | None = (
        Field(default=None, alias="aggregationLengthV6")
    )
    local_pref: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] = 0  # LOCAL_PREF (iBGP); 0 = none
    # Communities, 64512:100 or large:64512:1:2, or names that a Community object gives.
    communities: Communities = Field(default_factory=list)
    ip_address_pools: Names = Field(default_factory=list)  # with no selector either: all pools
    ip_address_pool_selectors: Selectors = Field(default_factory=list)
    node_selectors: Selectors = Field(default_factory=list)  # any of them; none: all nodes
    peers: Names = Field(default_factory=list)  # BGPPeers by name; none: all
    service_selectors: Selectors = Field(default_factory=list)  # any of them; none: all services

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

    spec: BGPAdvertisementSpec = BGPAdvertisementSpec()
    status: dict[str, Any] = Field(default_factory=dict)

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
