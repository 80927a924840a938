"""MetalLB metallb.io/v1beta1: the operator's kind, one object that says how to install."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from crds.base import Column, Resource, Rule, Strict, empty_dict, empty_list, made
from crds.checks import readable_by
from crds.errors import Problem
from crds.selectors import LabelKey

ONLY_NAME = "metallb"  # any other: Degraded, IncorrectMetalLBResourceName
_EXTERNAL = "frr-k8s-external"
Open = dict[str, Any]  # a part of the Kubernetes API that is passed on as it is


_check_cidr = readable_by(ip_network, "cidr")


def _condition(name: str) -> Column:
    return Column(name, f'.status.conditions[?(@.type=="{name}")].status')


class Toleration(Strict):
    """core/v1 Toleration."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            "tolerationSeconds is for effect NoExecute",
            "tolerationSeconds",
        ),
    )

    key: str = ""  # of the taint; none with operator Exists: every taint
    operator: Literal["", "Exists", "Equal", "Lt", "Gt"] = ""  # Equal by default
    value: str = ""  # of the taint
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""  # none: every effect
    toleration_seconds: int | None = None  # with NoExecute: how long the pod stays; none: forever


class PodConfig(Strict):
    """How the pods of a component are to be made."""

    priority_class_name: str = ""  # PriorityClass by name
    runtime_class_name: str = ""  # RuntimeClass by name
    affinity: Open = Field(default_factory=empty_dict)  # core/v1 Affinity, passed on as it is
    annotations: dict[str, str] = Field(default_factory=empty_dict)  # added to the pods
    resources: Open = Field(
        default_factory=empty_dict
    )  # core/v1 ResourceRequirements, passed on as it is


class FrrK8sConfig(Strict):
    """How frr-k8s is to be run."""

    # Prefixes that are never taken from peers.
    always_block: list[Annotated[str, AfterValidator(_check_cidr)]] = Field(
        default_factory=empty_list
    )
    namespace: str = ""  # where frr-k8s runs
    secret_passthrough: bool = False  # frr-k8s reads the passwords of peers itself


class MetalLBSpec(Strict):
    """Where the pods run, and which backend speaks BGP."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"!has(self.bgpBackend) || self.bgpBackend != '{_EXTERNAL}' || has(self.frrk8sConfig)"
            " && has(self.frrk8sConfig.namespace) && self.frrk8sConfig.namespace != ''",
            f"frrk8sConfig.namespace is required with bgpBackend {_EXTERNAL}",
            "bgpBackend",
        ),
    )

    image: str = ""  # deprecated, without effect
    node_selector: dict[str, str] = Field(
        default_factory=empty_dict
    )  # labels of nodes with a speaker
    # Taints that speakers tolerate.
    speaker_tolerations: list[Toleration] = Field(default_factory=empty_list)
    # Labels of nodes that the controller may run on.
    controller_node_selector: dict[str, str] = Field(default_factory=empty_dict)
    # Taints that the controller tolerates.
    controller_tolerations: list[Toleration] = Field(default_factory=empty_list)
    # Of both components; info by default.
    log_level: Literal["", "all", "debug", "info", "warn", "error", "none"] = ""
    # Serve Services of this spec.loadBalancerClass alone; without it, those without one.
    load_balancer_class: LabelKey | None = None
    controller_config: PodConfig = Field(
        default_factory=made(PodConfig)
    )  # of the controller's pods
    speaker_config: PodConfig = Field(default_factory=made(PodConfig))  # of the speakers' pods
    # Who speaks BGP in MetalLB; Stentor speaks it itself.
    bgp_backend: Literal["", "native", "frr", "frr-k8s", "frr-k8s-external"] = ""
    # Of frr-k8s, where that is the backend.
    frrk8s_config: FrrK8sConfig = Field(default_factory=made(FrrK8sConfig), alias="frrk8sConfig")


class MetalLB(Resource):
    """The installation."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "MetalLB"
    PLURAL: ClassVar[str] = "metallbs"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        _condition("Available"),
        _condition("Degraded"),
        _condition("Progressing"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: MetalLBSpec = Field(default_factory=made(MetalLBSpec))
    status: Open = Field(default_factory=empty_dict)  # conditions, written by the operator

    def problems(self) -> Iterator[Problem]:
        """What the operator's webhook refuses."""
        if self.metadata.name != ONLY_NAME:
            message = f"{self.metadata.name!r} is not looked at, need {ONLY_NAME!r}"
            yield Problem(("metadata", "name"), message, self.metadata.name)
        for field, tolerations in (
            ("speakerTolerations", self.spec.speaker_tolerations),
            ("controllerTolerations", self.spec.controller_tolerations),
        ):
            for place, one in enumerate(tolerations):
                if one.toleration_seconds is not None and one.effect != "NoExecute":
                    path = ("spec", field, place, "tolerationSeconds")
                    message = f"is for effect NoExecute, not {one.effect or 'every effect'}"
                    yield Problem(path, message, str(one.toleration_seconds))
        if self.spec.bgp_backend == _EXTERNAL and not self.spec.frrk8s_config.namespace:
            where = ("spec", "frrk8sConfig", "namespace")
            yield Problem(where, f"is required with bgpBackend {_EXTERNAL}")
