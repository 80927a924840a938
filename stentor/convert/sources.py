"""Every source by its name on the command line."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from crds.address_pool import AddressPool, AddressPoolV1Alpha1, expanded
from crds.bgp_peer_v1beta1 import BGPPeerV1Beta1, up
from stentor.convert.configmap import from_configmap
from stentor.convert.kubespray import from_kubespray
from stentor.convert.operator import from_operator
from stentor.convert.result import Conversion, decoded


def from_addresspools(documents: list[Any], out: Conversion) -> None:
    """AddressPools to pools and advertisements; objects of other kinds are passed on."""
    for document in documents:
        model = decoded(document, "AddressPool")
        if isinstance(model, AddressPool | AddressPoolV1Alpha1):
            out.objects += expanded(model)
        else:
            out.objects.append(document)


def from_old_peers(documents: list[Any], out: Conversion) -> None:
    """BGPPeers of v1beta1 to v1beta2; objects of other kinds are passed on."""
    for document in documents:
        if isinstance(decoded(document, "BGPPeer"), BGPPeerV1Beta1):
            document = up(document)  # noqa: PLW2901 - the object as it is today
            document["spec"] = {k: v for k, v in document["spec"].items() if v != "0s"}
        out.objects.append(document)


SOURCES: Final[Mapping[str, Callable[[list[Any], Conversion], None]]] = MappingProxyType(
    {
        "addresspool": from_addresspools,
        "bgppeer-v1beta1": from_old_peers,
        "configmap": from_configmap,
        "kubespray": from_kubespray,
        "operator": from_operator,
    }
)
