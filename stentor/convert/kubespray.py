"""Kubespray's variables: `metallb_config` and the switches beside it."""

from typing import Any, Final

from crds.base import Raw
from stentor.convert.result import Conversion, ConvertError, entries, required

_PEER: Final = {
    "peer_address": "peerAddress",
    "peer_asn": "peerASN",
    "my_asn": "myASN",
    "peer_port": "peerPort",
    "hold_time": "holdTime",
    "router_id": "routerID",
    "password": "password",
    "source_address": "sourceAddress",
}
_DEFAULTS: Final = {"peer_port": "peerPort", "hold_time": "holdTime"}
_OF_PEER_ALONE: Final = {"communities", "address_pool"}
_CONFIG: Final = {"speaker", "controller", "address_pools", "layer2", "layer3"}
# Switches, and what is to be known of each that is not its default.
_SWITCHES: Final = {
    "metallb_enabled": (True, "false installs nothing: the objects below would be without effect"),
    "metallb_speaker_enabled": (True, "false leaves announcing to somebody else (Calico's BGP)"),
    "metallb_avoid_buggy_ips": (False, ""),
    "kube_proxy_strict_arp": (True, "false with kube-proxy in IPVS mode: every node answers ARP"),
    "calico_advertise_service_loadbalancer_ips": (None, "Calico announces these by BGP itself"),
    "metallb_protocol": (None, "is of an older Kubespray; layer2 and layer3 say it"),
    "metallb_config": (None, ""),
}


def from_kubespray(documents: list[Any], out: Conversion) -> None:
    """Read files of variables; other people's variables are passed over."""
    for document in documents:
        if not isinstance(document, dict):
            raise ConvertError("is no file of variables, need lines of `name: value`")
        _refuse_lost_indentation(document)
        given = {key: value for key, value in document.items() if key in _SWITCHES}
        for name, value in given.items():
            usual, message = _SWITCHES[name]
            if message and value != usual and value not in (None, []):
                out.warn(name, message)
        is_careful = bool(given.get("metallb_avoid_buggy_ips"))
        _config(out.only("metallb_config", given.get("metallb_config"), _CONFIG), out, is_careful)


def _refuse_lost_indentation(document: Raw) -> None:
    """Variables copied from a page that shows them flush left would else say nothing at all."""
    beside = sorted(_CONFIG & document.keys())
    if "metallb_config" in document and not document["metallb_config"] and beside:
        raise ConvertError(
            f"metallb_config: is empty, but {', '.join(beside)} stands beside it; indent what "
            "belongs below it"
        )


def _config(config: Raw, out: Conversion, avoids_buggy_ips: bool) -> None:
    for part in ("speaker", "controller"):
        if config.get(part):
            where = f"metallb_config.{part}"
            out.warn(where, "says where pods run: set it in the DaemonSet or Deployment")
    pools = config.get("address_pools") or {}
    named = out.only("metallb_config.address_pools", pools, set(pools))
    for name, raw in named.items():
        where = f"metallb_config.address_pools.{name}"
        pool = out.only(where, raw, {"ip_range", "auto_assign", "avoid_buggy_ips"})
        [ranges] = required(where, pool, "ip_range")
        spec: Raw = {"addresses": ranges, "autoAssign": pool.get("auto_assign")}
        spec["avoidBuggyIPs"] = pool.get("avoid_buggy_ips", avoids_buggy_ips or None)
        out.add("v1beta1", "IPAddressPool", _dns(name), spec)
    layer2 = [_dns(name) for name in entries("metallb_config.layer2", config.get("layer2"))]
    if layer2:
        out.add("v1beta1", "L2Advertisement", "layer2", {"ipAddressPools": layer2})
    _layer3(config.get("layer3"), out)


def _layer3(raw: Any, out: Conversion) -> None:
    where = "metallb_config.layer3"
    layer3 = out.only(where, raw, {"defaults", "communities", "metallb_peers"})
    defaults = out.only(f"{where}.defaults", layer3.get("defaults"), _DEFAULTS)
    aliases = layer3.get("communities") or {}
    if aliases:
        known = out.only(f"{where}.communities", aliases, set(aliases))
        listed = [{"name": name, "value": str(value)} for name, value in known.items()]
        out.add("v1beta1", "Community", "well-known", {"communities": listed})
    peers = layer3.get("metallb_peers") or {}
    for name, fields in out.only(f"{where}.metallb_peers", peers, set(peers)).items():
        at = f"{where}.metallb_peers.{name}"
        peer = {**defaults, **out.only(at, fields, {**_PEER, **dict.fromkeys(_OF_PEER_ALONE)})}
        required(at, peer, "peer_address", "peer_asn", "my_asn")
        spec = {_PEER[key]: value for key, value in peer.items() if key in _PEER}
        out.add("v1beta2", "BGPPeer", _dns(name), spec)
        ad: Raw = {
            "peers": [_dns(name)],
            "communities": peer.get("communities"),
            "ipAddressPools": [_dns(pool) for pool in entries(at, peer.get("address_pool"))],
        }
        out.add("v1beta1", "BGPAdvertisement", _dns(name), ad)


def _dns(name: object) -> str:
    """Names of Kubernetes objects have no underscores; Kubespray's variables often do."""
    return str(name).replace("_", "-")
