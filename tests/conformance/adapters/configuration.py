"""Suites of area config, and of the small parsers that its kinds need."""

import base64
from collections.abc import Iterable
from ipaddress import summarize_address_range

from controller.webhooks.admission import Admission, Operation
from crds.bgp_peer_v1beta1 import V1BETA1, V1BETA2, down, up
from crds.communities import parse_community
from crds.configuration_state import Condition, summarize
from crds.decode import KINDS, decode
from crds.durations import duration_text
from crds.errors import CommunityError, ConfigError
from crds.rules import Backend, Objects, Options, check, gather
from crds.rules.advertisements import aliases_of, communities_of
from crds.rules.backend import check_backend
from crds.rules.objects import Named, PoolFacts, matchers_of
from crds.rules.peers import secret_of
from speaker.planners.l2_ads import preference_scores
from stentor.cluster.convert import convert
from stentor.cluster.objects import HOSTNAME_LABEL, L2Ad, Node
from stentor.tls_options import (
    DEFAULT_VERSION,
    TlsFlagError,
    TlsOptions,
    parse_curves,
    parse_version,
)
from tests.conformance.adapters.values import EVERYTHING
from tests.conformance.cases import Adapter, Case, Json

NAMESPACE = "metallb-system"
NAMELESS = "nameless"  # the API server stores nothing without a name
REFUSED: Json = {"result": "rejected"}


def objects_of(resources: Json) -> list[Json]:
    """Raw objects as the API server would hold them."""
    raws: list[Json] = []
    for key, listed in resources.items():
        if key == "passwordSecrets":
            raws += [_secret(raw) for raw in listed.values()]
        else:
            raws += [_named(raw) for raw in listed]
    return raws


def _named(raw: Json) -> Json:
    return {**raw, "metadata": {"name": NAMELESS, **(raw.get("metadata") or {})}}


def _secret(raw: Json) -> Json:
    data = {k: base64.b64encode(v.encode()).decode() for k, v in (raw.get("data") or {}).items()}
    return {**_named(raw), "data": data}


# --- config/parse


def parse(case: Case) -> Json:
    """A whole configuration: accepted, with what it comes to, or rejected."""
    passes = bool(case.input.get("options", {}).get("frrK8sSecretPassthrough"))
    objects, findings = gather(objects_of(case.input["resources"]))
    findings += check(objects, Options(secrets_pass_through=passes))
    if any(finding.is_error for finding in findings):
        return REFUSED
    return {"result": "accepted", "config": configuration(objects, secrets_pass_through=passes)}


def configuration(objects: Objects, *, secrets_pass_through: bool) -> Json:
    """What a configuration comes to, in the words of the data."""
    return {
        "pools": {facts.pool.name: _pool(objects, facts) for facts in objects.pools},
        "peers": {
            peer.name: _peer(objects, peer, secrets_pass_through=secrets_pass_through)
            for peer in objects.peers
        },
        "bfdProfiles": {
            each.name: {"name": each.name, **each.model.spec.model_dump(by_alias=True)}
            for each in objects.bfd_profiles
        },
    }


def _pool(objects: Objects, facts: PoolFacts) -> Json:
    spec = facts.pool.model.spec
    seen: Json = {
        "name": facts.pool.name,
        "autoAssign": spec.auto_assign,
        "avoidBuggyIPs": spec.avoid_buggy_ips,
        "cidrs": [
            str(network)
            for span in facts.ranges
            for network in summarize_address_range(span.first, span.last)
        ],
        "bgpAdvertisements": [
            _bgp_ad(objects, ad)
            for ad in objects.bgp_ads
            if facts in objects.pools_selected(ad.model)
        ],
        "l2Advertisements": _l2_ads(objects, facts),
    }
    if spec.service_allocation is not None:
        allocation = spec.service_allocation
        seen["serviceAllocation"] = {
            "priority": allocation.priority,
            "namespaces": sorted(objects.namespaces_allowed(allocation)),
            "serviceSelectors": _texts(allocation.service_selectors),
        }
    return seen


def _l2_ads(objects: Objects, facts: PoolFacts) -> list[Json]:
    """Two that say the same are one."""
    seen: list[Json] = []
    for ad in objects.l2_ads:
        if facts not in objects.pools_selected(ad.model):
            continue
        spec = ad.model.spec
        said: Json = {
            "allInterfaces": not spec.interfaces,
            "nodes": sorted(objects.nodes_selected(spec.node_selectors)),
        }
        if spec.interfaces:
            said["interfaces"] = spec.interfaces
        if spec.service_selectors:
            said["serviceSelectors"] = sorted(_texts(spec.service_selectors))
        if said not in seen:
            seen.append(said)
    return seen


def _bgp_ad(objects: Objects, ad: "Named") -> Json:
    spec = ad.model.spec
    communities = communities_of(ad.model, aliases_of(objects))
    seen: Json = {
        "aggregationLength": spec.length(4),
        "aggregationLengthV6": spec.length(6),
        "communities": [community.literal for community in communities],
        "nodes": sorted(objects.nodes_selected(spec.node_selectors)),
    }
    for key, value in (
        ("name", ad.name if ad.name != NAMELESS else ""),
        ("localPref", spec.local_pref),
        ("peers", spec.peers),
        ("serviceSelectors", sorted(map(str, matchers_of(spec.service_selectors)))),
    ):
        if value:
            seen[key] = value
    return seen


def _peer(objects: Objects, peer: "Named", *, secrets_pass_through: bool) -> Json:
    spec = peer.model.spec
    seen: Json = {**spec.model_dump(by_alias=True), "name": peer.name}
    for key, value in zip(("holdTime", "keepaliveTime"), spec.timers_ns, strict=True):
        seen[key] = None if value is None else duration_text(value)
    seen["nodeSelectors"] = _texts(spec.node_selectors)
    secret = None if secrets_pass_through else secret_of(objects, peer.model)
    if secret is not None:
        password = base64.b64decode(secret.model.data["password"])
        seen["resolvedSecretPassword"] = password.decode()
    return seen


def _texts(selectors: Iterable) -> list[str]:
    return [str(matcher) for matcher in matchers_of(selectors)] or [EVERYTHING]


# --- config/backend-validation-*


def backend(case: Case) -> Json:
    """What one backend refuses, by its own rules alone."""
    objects, _ = gather(objects_of(case.input["resources"]))
    found = list(check_backend(objects, Backend(case.input["bgpType"])))
    return REFUSED if found else {"result": "accepted"}


# --- config/webhook-e2e


def webhook(case: Case) -> Json:
    """Objects one after the other through the webhook, whatever the backend."""
    backends = [Backend(name) for name in case.bgp_types] or [
        Backend.NATIVE, Backend.FRR, Backend.FRR_K8S,
    ]  # fmt: skip
    results = {_reviewed(case, Admission(NAMESPACE, each)) for each in backends}
    if len(results) > 1:
        raise AssertionError(f"backends disagree: {results}")
    return {"result": results.pop()}


def _reviewed(case: Case, admission: Admission) -> str:
    existing = [_whole(raw) for raw in case.input["existing"]] + _cluster(case)
    for raw in map(_whole, case.input["objects"]):
        operation = Operation(case.input["operation"].upper())
        if not admission.review(operation, raw, existing).is_allowed:
            return "rejected"
        ident = (raw["kind"], raw["metadata"]["name"])
        existing = [e for e in existing if (e["kind"], e["metadata"]["name"]) != ident] + [raw]
    return "accepted"


def _cluster(case: Case) -> list[Json]:
    """The nodes of the cluster: those that selectors name."""
    selectors = (
        selector
        for raw in case.input["objects"]
        for selector in (raw.get("spec") or {}).get("nodeSelectors", ())
    )
    names = {(each.get("matchLabels") or {}).get(HOSTNAME_LABEL) for each in selectors}
    return [_node(name) for name in sorted(filter(None, names))]


def _node(name: str) -> Json:
    metadata = {"name": name, "labels": {HOSTNAME_LABEL: name}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def _whole(raw: Json) -> Json:
    versions = KINDS[raw["kind"]]
    metadata = {"namespace": NAMESPACE, **raw["metadata"]}
    return {"apiVersion": next(iter(versions)), **raw, "metadata": metadata}


# --- the rest


def conversion(case: Case) -> Json:
    """BGPPeer between its versions."""
    convert = {V1BETA2: up, V1BETA1: down}[case.input["to"]]
    return {"object": convert(case.input["object"])}


def configuration_state(case: Case) -> Json:
    """What conditions come to; the owner is the pod that writes them."""
    status = summarize(Condition.model_validate(each) for each in case.input["conditions"])
    return {"result": status.result, "errorSummary": status.error_summary, "ownedByPod": True}


def community_parse(case: Case) -> Json:
    """One community."""
    try:
        found = parse_community(case.input["text"])
    except CommunityError:
        return {"result": "error"}
    names = ("globalAdministrator", "localDataPart1", "localDataPart2")
    if not found.is_large:
        names = ("upperVal", "lowerVal")  # type: ignore[assignment]
    sort = "large" if found.is_large else "legacy"
    fields = dict(zip(names, found.parts, strict=True))
    return {"result": "ok", "type": sort, "community": fields}


def community_order(case: Case) -> Json:
    """Which of two sorts first."""
    left, right = parse_community(case.input["left"]), parse_community(case.input["right"])
    return {"leftLessThanRight": left < right}


def community_string(case: Case) -> Json:
    """How one is shown."""
    return {"rendered": str(parse_community(case.input["text"]))}


def filter_by_node(case: Case) -> Json:
    """Advertisements and peers that concern one node."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": case.input["node"]}
    objects, findings = gather([*map(_named, case.input["resources"]), node])
    if any(finding.problem.path[:2] == ("spec", "nodeSelectors") for finding in findings):
        return {"result": "error"}
    selectors = {ad.name: ad.model.spec.node_selectors for ad in objects.bgp_ads}
    selectors |= {peer.name: peer.model.spec.node_selectors for peer in objects.peers}
    name = case.input["node"]["name"]
    return {"kept": [n for n, each in selectors.items() if name in objects.nodes_selected(each)]}


def tls_flags(case: Case) -> Json:
    """The three flags together, or one of them by itself."""
    given = case.input
    try:
        if "input" in given:
            text = given["input"]
            parsed = parse_version(text) if text.startswith("Version") else parse_curves(text)
            return {"result": parsed if isinstance(parsed, str) else list(parsed)}
        options = TlsOptions.of(
            given.get("minVersion", DEFAULT_VERSION),
            given.get("cipherSuites", ""),
            given.get("curvePreferences", ""),
        )
    except TlsFlagError:
        return {"result": "error"}
    return {
        "minVersion": options.min_version,
        "cipherSuites": list(options.cipher_suites),
        "curvePreferences": list(options.curves),
    }


# --- preferences of L2Advertisements


def l2_preferences(case: Case) -> Json:
    """One advertisement: the nodes it selects, and how much it prefers each."""
    ad, nodes = _ad_and_nodes(case.input["l2Advertisement"], case.input["nodes"])
    return {
        "result": "accepted",
        "eligibleNodes": [node.name for node in nodes if ad.selects_node(node.labels)],
        "preferredNodeScores": preference_scores([ad], nodes),
    }


def preferred_node_scores(case: Case) -> Json:
    """The same for nodes that are known to be selected."""
    spec = {"preferredNodeSelectors": case.input["preferredNodeSelectors"]}
    raw = {"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "spec": spec}
    try:
        ad, nodes = _ad_and_nodes(raw, case.input["nodes"])
    except ConfigError:
        return REFUSED
    eligible = [node for node in nodes if node.name in case.input["eligibleNodes"]]
    return {"result": "accepted", "scores": preference_scores([ad], eligible)}


def _ad_and_nodes(raw: Json, nodes: list[Json]) -> tuple[L2Ad, list[Node]]:
    ad = convert(decode(_named(raw))).value
    converted = [convert(decode(node)).value for node in nodes]
    assert isinstance(ad, L2Ad)
    return ad, [node for node in converted if isinstance(node, Node)]


ADAPTERS: dict[str, Adapter] = {
    "config/service-selectors": parse,
    "config/l2adv-preferred-nodes": l2_preferences,
    "config/preferred-node-scores": preferred_node_scores,
    "config/parse": parse,
    "config/backend-validation-native": backend,
    "config/backend-validation-frr": backend,
    "config/webhook-e2e": webhook,
    "config/conversion": conversion,
    "config/configuration-state": configuration_state,
    "bgp/community-parse": community_parse,
    "bgp/community-order": community_order,
    "bgp/community-string": community_string,
    "bgp/filter-by-node": filter_by_node,
    "misc/tls-flags": tls_flags,
}
