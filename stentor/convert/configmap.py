"""The ConfigMap `config` of MetalLB before 0.13: pools, peers, communities and BFD profiles."""

from typing import Any, Final

import yaml

from crds.base import Raw
from stentor.convert.result import Conversion, ConvertError, entries, required

_POOL: Final = {
    "name", "protocol", "addresses", "auto-assign", "avoid-buggy-ips", "bgp-advertisements",
}  # fmt: skip
_ADVERTISEMENT: Final = {
    "aggregation-length": "aggregationLength",
    "aggregation-length-v6": "aggregationLengthV6",
    "localpref": "localPref",
    "communities": "communities",
}
_PEER: Final = {
    "my-asn": "myASN",
    "peer-asn": "peerASN",
    "peer-address": "peerAddress",
    "peer-port": "peerPort",
    "source-address": "sourceAddress",
    "hold-time": "holdTime",
    "keepalive-time": "keepaliveTime",
    "router-id": "routerID",
    "password": "password",
    "bfd-profile": "bfdProfile",
    "ebgp-multihop": "ebgpMultiHop",
    "node-selectors": "nodeSelectors",
}
_BFD: Final = {
    "receive-interval": "receiveInterval",
    "transmit-interval": "transmitInterval",
    "detect-multiplier": "detectMultiplier",
    "echo-interval": "echoInterval",
    "echo-mode": "echoMode",
    "passive-mode": "passiveMode",
    "minimum-ttl": "minimumTtl",
}
_TOP: Final = {"address-pools", "peers", "bgp-communities", "bfd-profiles"}


def from_configmap(documents: list[Any], out: Conversion) -> None:
    """
    Read a ConfigMap object, or the text of its key `config` by itself.

    Peers have no names there: they become peer1, peer2 ... in their order.
    """
    for document in documents:
        config = out.only("", _config(document, out), _TOP)
        for place, raw in enumerate(entries("bfd-profiles", config.get("bfd-profiles"))):
            _bfd_profile(f"bfd-profiles[{place}]", raw, out)
        if aliases := config.get("bgp-communities"):
            known = out.only("bgp-communities", aliases, set(aliases))
            listed = [{"name": name, "value": str(value)} for name, value in known.items()]
            out.add("v1beta1", "Community", "communities", {"communities": listed})
        for place, raw in enumerate(entries("peers", config.get("peers"))):
            _peer(f"peers[{place}]", f"peer{place + 1}", raw, out)
        for place, raw in enumerate(entries("address-pools", config.get("address-pools"))):
            _pool(f"address-pools[{place}]", raw, out)


def _config(document: Any, out: Conversion) -> Any:
    if not isinstance(document, dict) or document.get("kind") != "ConfigMap":
        return document
    data = document.get("data") or {}
    if not isinstance(data, dict) or "config" not in data:
        raise ConvertError("ConfigMap: data.config is required")
    namespace = (document.get("metadata") or {}).get("namespace")
    out.namespace = namespace or out.namespace
    try:
        return yaml.safe_load(data["config"])
    except yaml.YAMLError as exc:
        raise ConvertError(f"data.config: is not YAML: {exc}") from exc


def _pool(where: str, raw: Any, out: Conversion) -> None:
    pool = out.only(where, raw, _POOL)
    name, protocol, addresses = required(where, pool, "name", "protocol", "addresses")
    out.add(
        "v1beta1",
        "IPAddressPool",
        name,
        {
            "addresses": addresses,
            "autoAssign": pool.get("auto-assign"),
            "avoidBuggyIPs": pool.get("avoid-buggy-ips"),
        },
    )
    listed = entries(f"{where}.bgp-advertisements", pool.get("bgp-advertisements"))
    match protocol:
        case "layer2":
            if listed:
                out.warn(f"{where}.bgp-advertisements", "is for protocol bgp, left out")
            out.add("v1beta1", "L2Advertisement", name, {"ipAddressPools": [name]})
        case "bgp":
            for place, ad in enumerate(listed or [{}]):
                fields = out.only(f"{where}.bgp-advertisements[{place}]", ad, _ADVERTISEMENT)
                spec = {_ADVERTISEMENT[key]: value for key, value in fields.items()}
                named = name if len(listed) < 2 else f"{name}-{place + 1}"
                out.add("v1beta1", "BGPAdvertisement", named, {"ipAddressPools": [name], **spec})
        case _:
            raise ConvertError(f"{where}.protocol: {protocol!r}, need layer2 or bgp")


def _peer(where: str, name: str, raw: Any, out: Conversion) -> None:
    fields = out.only(where, raw, _PEER)
    required(where, fields, "my-asn", "peer-asn", "peer-address")
    spec = {_PEER[key]: value for key, value in fields.items()}
    if "node-selectors" in fields:
        selectors = entries(f"{where}.node-selectors", fields["node-selectors"])
        spec["nodeSelectors"] = [
            _selector(f"{where}.node-selectors[{place}]", each, out)
            for place, each in enumerate(selectors)
        ]
    out.add("v1beta2", "BGPPeer", name, spec)


def _selector(where: str, raw: Any, out: Conversion) -> Raw:
    fields = out.only(where, raw, {"match-labels", "match-expressions"})
    named = {"match-labels": "matchLabels", "match-expressions": "matchExpressions"}
    return {named[key]: value for key, value in fields.items()}


def _bfd_profile(where: str, raw: Any, out: Conversion) -> None:
    fields = out.only(where, raw, {"name", *_BFD})
    [name] = required(where, fields, "name")
    spec = {_BFD[key]: value for key, value in fields.items() if key != "name"}
    out.add("v1beta1", "BFDProfile", name, spec)
