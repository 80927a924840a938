"""The kinds of Kubernetes that Stentor reads, narrowed to what it reads of them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crds.base import CoreResource, Lenient, empty_dict, empty_list, made

SERVICE_NAME_LABEL = "kubernetes.io/service-name"  # on an EndpointSlice: the Service it is of
PortNumber = Annotated[int, Field(ge=1, le=65535)]


class ServicePort(Lenient):
    """One port of a Service."""

    port: PortNumber
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class ServiceSpec(Lenient):
    """What we read of a Service's spec."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    ports: list[ServicePort] = Field(default_factory=empty_list)
    selector: dict[str, str] = Field(default_factory=empty_dict)
    external_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    load_balancer_class: str | None = None
    load_balancer_ip: str = Field(default="", alias="loadBalancerIP")
    ip_families: list[Literal["IPv4", "IPv6"]] = Field(default_factory=empty_list)
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = None
    cluster_ips: list[str] = Field(default_factory=empty_list, alias="clusterIPs")


class LoadBalancerIngress(Lenient):
    """One address, or a host name, at which a Service is reached."""

    ip: str = ""
    hostname: str = ""


class LoadBalancerStatus(Lenient):
    """Where a Service is reached."""

    ingress: list[LoadBalancerIngress] = Field(default_factory=empty_list)


class ServiceStatus(Lenient):
    """What we read of a Service's status."""

    load_balancer: LoadBalancerStatus = Field(default_factory=made(LoadBalancerStatus))


class Service(CoreResource):
    """A Service."""

    API_VERSION: ClassVar[str] = "v1"
    KIND: ClassVar[str] = "Service"

    spec: ServiceSpec = Field(default_factory=made(ServiceSpec))
    status: ServiceStatus = Field(default_factory=made(ServiceStatus))


class EndpointConditions(Lenient):
    """State of an endpoint; a condition that is not given is unknown."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class SliceEndpoint(Lenient):
    """One endpoint."""

    addresses: Annotated[list[str], Field(min_length=1)]
    conditions: EndpointConditions = Field(default_factory=made(EndpointConditions))
    node_name: str | None = None


class EndpointSlice(CoreResource):
    """Some of the endpoints of a Service."""

    API_VERSION: ClassVar[str] = "discovery.k8s.io/v1"
    KIND: ClassVar[str] = "EndpointSlice"

    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: list[SliceEndpoint] = Field(default_factory=empty_list)


class NodeAddress(Lenient):
    """An address of a node."""

    type: str
    address: str


class NodeCondition(Lenient):
    """A condition of a node."""

    type: str
    status: str


class NodeStatus(Lenient):
    """What we read of a node's status."""

    addresses: list[NodeAddress] = Field(default_factory=empty_list)
    conditions: list[NodeCondition] = Field(default_factory=empty_list)


class NodeSpec(Lenient):
    """What we read of a node's spec."""

    pod_cidr: str = Field(default="", alias="podCIDR")
    pod_cidrs: list[str] = Field(default_factory=empty_list, alias="podCIDRs")  # podCIDR among them


class Node(CoreResource):
    """A node."""

    API_VERSION: ClassVar[str] = "v1"
    KIND: ClassVar[str] = "Node"
    NAMESPACED: ClassVar[bool] = False

    spec: NodeSpec = Field(default_factory=made(NodeSpec))
    status: NodeStatus = Field(default_factory=made(NodeStatus))


class Namespace(CoreResource):
    """A namespace."""

    API_VERSION: ClassVar[str] = "v1"
    KIND: ClassVar[str] = "Namespace"
    NAMESPACED: ClassVar[bool] = False


class ServiceCIDRSpec(Lenient):
    """What we read of a ServiceCIDR's spec."""

    cidrs: list[str] = Field(default_factory=empty_list)


class ServiceCIDR(CoreResource):
    """Where cluster IPs of Services are taken from (Kubernetes 1.33)."""

    API_VERSION: ClassVar[str] = "networking.k8s.io/v1"
    KIND: ClassVar[str] = "ServiceCIDR"
    NAMESPACED: ClassVar[bool] = False

    spec: ServiceCIDRSpec = Field(default_factory=made(ServiceCIDRSpec))


class Secret(CoreResource):
    """A Secret: a peer's password is looked up in one."""

    API_VERSION: ClassVar[str] = "v1"
    KIND: ClassVar[str] = "Secret"

    type: str = ""
    data: dict[str, str] = Field(default_factory=empty_dict)  # base64
