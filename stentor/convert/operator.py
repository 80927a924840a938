"""The operator's MetalLB object: what of it Stentor's installation carries out, and what not."""

from typing import Any, Final

from crds.base import Raw
from crds.metallb import MetalLB
from stentor.convert.result import Conversion, ConvertError, decoded

_OLM: Final = frozenset({"OperatorGroup", "Subscription", "CatalogSource"})
_OURSELVES: Final = "Stentor speaks BGP itself, with every field of BGPPeer"
# Fields that have no meaning here, and what becomes of what they asked for.
_LOST: Final = {
    "image": "is deprecated and names MetalLB's image, left out",
    "frrk8sConfig": "is for frr-k8s, which Stentor does not use, left out",
}
_BACKENDS: Final = {
    "native": f"{_OURSELVES}; native's limits are gone",
    "frr": f"{_OURSELVES}; no FRR runs, and the ConfigMap bgpextras has no effect",
    "frr-k8s": f"{_OURSELVES}; FRRConfigurations of others are not joined with its sessions",
    "frr-k8s-external": f"{_OURSELVES}; an frr-k8s that others use keeps its own sessions",
}


def from_operator(documents: list[Any], out: Conversion) -> None:
    """
    Read manifests with one MetalLB object; what installs its operator through OLM is left out.

    Placement, log level, class and the pods' settings stay, in an object that is valid today.
    """
    found = 0
    for document in documents:
        model = decoded(document, MetalLB.KIND)
        if isinstance(model, MetalLB):
            found += 1
            out.objects.append({**document, "spec": _spec(document.get("spec") or {}, out)})
        elif document.get("kind") in _OLM:
            out.warn(str(document["kind"]), "installs MetalLB's operator through OLM, left out")
        else:
            out.objects.append(document)
    if found != 1:
        raise ConvertError(f"holds {found} objects of kind MetalLB, need one")


def _spec(spec: Raw, out: Conversion) -> Raw:
    backend = spec.get("bgpBackend")
    if backend:
        out.warn("spec.bgpBackend", _BACKENDS[backend])
    for field, message in _LOST.items():
        if spec.get(field):
            out.warn(f"spec.{field}", message)
    return {key: value for key, value in spec.items() if key not in {*_LOST, "bgpBackend"}}
