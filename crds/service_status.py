"""ServiceL2Status and ServiceBGPStatus metallb.io/v1beta1: who announces a Service, by node."""

from typing import Any, ClassVar

from pydantic import Field

from crds.base import Column, Resource, Rule, Strict, empty_dict, empty_list, made

NODE_LABEL = "metallb.io/node"
SERVICE_NAME_LABEL = "metallb.io/service-name"
SERVICE_NAMESPACE_LABEL = "metallb.io/service-namespace"


FIXED = tuple(
    Rule(
        f"!has(oldSelf.{field}) || oldSelf.{field} == '' || has(self.{field})"
        f" && self.{field} == oldSelf.{field}",
        f"{field} cannot be changed",
        field,
    )
    for field in ("node", "serviceName", "serviceNamespace")
)


class InterfaceInfo(Strict):
    """One interface."""

    name: str = ""  # of the interface


class Announced(Strict):
    """Which node announces which Service."""

    RULES: ClassVar[tuple[Rule, ...]] = FIXED

    node: str = ""  # who announces
    service_name: str = ""  # what is announced
    service_namespace: str = ""  # where that Service is


def _columns(node: str) -> tuple[Column, ...]:
    return (
        Column(node, ".status.node"),
        Column("Service Name", ".status.serviceName"),
        Column("Service Namespace", ".status.serviceNamespace"),
    )


class ServiceL2StatusStatus(Announced):
    """Which node answers ARP and ND for the Service; on every interface where none is listed."""

    # Interfaces that answer; none listed: all.
    interfaces: list[InterfaceInfo] = Field(default_factory=empty_list)


class ServiceL2Status(Resource):
    """Written by speakers."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "ServiceL2Status"
    PLURAL: ClassVar[str] = "servicel2statuses"
    COLUMNS: ClassVar[tuple[Column, ...]] = _columns("Allocated Node")

    spec: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind
    status: ServiceL2StatusStatus = Field(default_factory=made(ServiceL2StatusStatus))


class ServiceBGPStatusStatus(Announced):
    """Which peers the node announces the Service to, by BGPPeer name, sorted."""

    peers: list[str] = Field(default_factory=empty_list)  # names of BGPPeers, sorted


class ServiceBGPStatus(Resource):
    """Written by speakers."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "ServiceBGPStatus"
    PLURAL: ClassVar[str] = "servicebgpstatuses"
    COLUMNS: ClassVar[tuple[Column, ...]] = _columns("Node")

    spec: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind
    status: ServiceBGPStatusStatus = Field(default_factory=made(ServiceBGPStatusStatus))
