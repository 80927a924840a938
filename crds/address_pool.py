"""AddressPool metallb.io/v1alpha1 and v1beta1: pool and advertisement in one, gone since 0.14."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from crds.base import Raw, Resource, Rule, Schema, Strict, empty_dict, empty_list
from crds.bgp_advertisement import BGPAdvertisement, Communities
from crds.errors import Problem
from crds.ip_address_pool import Entry, IPAddressPool, check_disjoint
from crds.l2_advertisement import L2Advertisement
from crds.selectors import distinct


class LegacyBgpAdvertisement(Strict):
    """How the pool is announced by BGP."""

    # Prefix length of IPv4 routes, 32 by default.
    aggregation_length: Annotated[int, Field(ge=1, le=32)] | None = None
    # Prefix length of IPv6 routes, 128 by default.
    aggregation_length_v6: Annotated[int, Field(ge=1, le=128)] | None = Field(
        default=None, alias="aggregationLengthV6"
    )
    # LOCAL_PREF towards iBGP peers; 0: none.
    local_pref: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] = 0
    # Communities, 64512:100 or large:64512:1:2, or names that a Community object gives.
    communities: Communities = Field(default_factory=empty_list)


class AddressPoolSpec(Strict):
    """Addresses, and the protocol that announces them."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.bgpAdvertisements) || size(self.bgpAdvertisements) == 0"
            " || self.protocol == 'bgp'",
            "bgpAdvertisements are for protocol bgp",
            "bgpAdvertisements",
        ),
    )

    protocol: Literal["layer2", "bgp"]  # how the pool is announced
    # Each entry is `a/b` or `a-b`; IPv4 and IPv6 may be mixed.
    addresses: Annotated[list[Entry], Field(min_length=1), AfterValidator(check_disjoint)]
    # False: only for Services that ask for the pool or an address of it.
    auto_assign: Annotated[bool, Schema({"default": True})] = True
    # One route an address where the protocol is bgp and none is listed.
    bgp_advertisements: Annotated[list[LegacyBgpAdvertisement], AfterValidator(distinct)] = Field(
        default_factory=empty_list
    )


class _AddressPool(Resource):
    spec: AddressPoolSpec
    status: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind

    def problems(self) -> Iterator[Problem]:
        """BGP's part is for BGP."""
        if self.spec.bgp_advertisements and self.spec.protocol != "bgp":
            path = ("spec", "bgpAdvertisements")
            yield Problem(
                path, f"is for protocol bgp, not {self.spec.protocol}; remove one of them"
            )


class AddressPoolV1Alpha1(_AddressPool):
    """A pool of addresses and how they are announced."""

    API_VERSION: ClassVar[str] = "metallb.io/v1alpha1"
    KIND: ClassVar[str] = "AddressPool"
    PLURAL: ClassVar[str] = "addresspools"


class AddressPool(_AddressPool):
    """A pool of addresses and how they are announced."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "AddressPool"
    PLURAL: ClassVar[str] = "addresspools"


def expanded(pool: AddressPool | AddressPoolV1Alpha1) -> Iterator[Raw]:
    """
    The objects of today that say the same: a pool, then its advertisements, as raw objects.

    A BGP pool that lists no advertisement is announced as its single addresses, as MetalLB did.
    """
    name = pool.metadata.name
    spec = pool.spec.model_dump(by_alias=True, include={"addresses", "auto_assign"})
    yield _object(IPAddressPool, pool, name, spec)
    if pool.spec.protocol == "layer2":
        yield _object(L2Advertisement, pool, name, {"ipAddressPools": [name]})
        return
    ads = pool.spec.bgp_advertisements or [LegacyBgpAdvertisement()]
    for place, ad in enumerate(ads):
        said = ad.model_dump(by_alias=True, exclude_unset=True)
        named = name if len(ads) == 1 else f"{name}-{place}"
        yield _object(BGPAdvertisement, pool, named, {"ipAddressPools": [name], **said})


def _object(
    model: type[Resource], pool: AddressPool | AddressPoolV1Alpha1, name: str, spec: Raw
) -> Raw:
    metadata: Raw = {"name": name}
    if pool.metadata.namespace:
        metadata["namespace"] = pool.metadata.namespace
    return {
        "apiVersion": model.API_VERSION,
        "kind": model.KIND,
        "metadata": metadata,
        "spec": spec,
    }
