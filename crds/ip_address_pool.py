"""IPAddressPool metallb.io/v1beta1: addresses that the controller may hand out."""

from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from crds.addresses import parse_range
from crds.base import Column, Resource, Schema, Strict, empty_list, made
from crds.checks import readable_by
from crds.selectors import Names, Selectors

check_entry = readable_by(parse_range, "address_range")


def check_disjoint(entries: list[str]) -> list[str]:
    """Refuse entries that share an address; sorted, so that a pool may list thousands."""
    spans = sorted(
        (first.version, int(first), int(last), place)
        for place, (first, last) in enumerate(parse_range(entry) for entry in entries)
    )
    for (version, _, end, place), (next_version, start, _, next_place) in pairwise(spans):
        if version == next_version and start <= end:
            later, earlier = max(place, next_place), min(place, next_place)
            raise PydanticCustomError(
                "overlap",
                "{entry} overlaps {other} of the same pool; list each address once",
                {"entry": repr(entries[later]), "other": entries[earlier], "index": later},
            )
    return entries


Entry = Annotated[str, AfterValidator(check_entry)]


class ServiceAllocation(Strict):
    """Whom the pool is for. Namespaces by name or label; AND-ed with the Service's labels."""

    priority: int = 0  # of pools that fit the lowest comes first, and 0 last
    namespaces: Names = Field(
        default_factory=empty_list
    )  # of the Services that may use it, by name
    namespace_selectors: Selectors = Field(default_factory=empty_list)  # the same by their labels
    service_selectors: Selectors = Field(
        default_factory=empty_list
    )  # labels of Services, any of these

    @property
    def names_namespaces(self) -> bool:
        """Whether it is for some namespaces only."""
        return bool(self.namespaces or self.namespace_selectors)


class IPAddressPoolSpec(Strict):
    """What the pool holds and how it is used."""

    # Each entry is `a/b` or `a-b`; IPv4 and IPv6 may be mixed. Their order is that of allocation.
    addresses: Annotated[list[Entry], Field(min_length=1), AfterValidator(check_disjoint)]
    # False: only for Services that ask for the pool or an address of it.
    auto_assign: Annotated[bool, Schema({"default": True})] = True
    # Skip IPv4 addresses that end in .0 or .255.
    avoid_buggy_ips: Annotated[bool, Schema({"default": False})] = Field(
        default=False, alias="avoidBuggyIPs"
    )
    # Which Services get addresses unasked, and which may ask for one. Without it, all.
    service_allocation: ServiceAllocation | None = None


class IPAddressPoolStatus(Strict):
    """How full the pool is, written by the controller."""

    assigned_ipv4: int = Field(default=0, alias="assignedIPv4")  # IPv4 addresses in use
    assigned_ipv6: int = Field(default=0, alias="assignedIPv6")  # IPv6 addresses in use
    # IPv4 addresses that are free.
    available_ipv4: int = Field(default=0, alias="availableIPv4")
    # IPv6 addresses that are free, at most 2^63-1.
    available_ipv6: int = Field(default=0, alias="availableIPv6")


class IPAddressPool(Resource):
    """A pool of addresses."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "IPAddressPool"
    PLURAL: ClassVar[str] = "ipaddresspools"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Auto Assign", ".spec.autoAssign", "boolean"),
        Column("Avoid Buggy IPs", ".spec.avoidBuggyIPs", "boolean"),
        Column("Addresses", ".spec.addresses"),
    )

    spec: IPAddressPoolSpec
    status: IPAddressPoolStatus = Field(default_factory=made(IPAddressPoolStatus))
