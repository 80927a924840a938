"""Suites of area l2 that the planner decides."""

import re
from ipaddress import ip_address

import attrs

from speaker.planners.election import ranked, weigher
from speaker.planners.l2 import plan_l2, servable_nodes
from speaker.planners.l2_ads import applicable, interfaces, preference_scores
from speaker.planners.l2_plan import ServicePlan
from speaker.snapshot import Snapshot, node_change_matters
from stentor.address_sets import AddressRange
from stentor.cluster.objects import L2Ad, Node, Pool, World
from tests.conformance.adapters import values
from tests.conformance.cases import Adapter, Case, Json

EVERY_ADDRESS = ("0.0.0.0/0", "::/0")


def world_of(data: Json) -> World:
    """
    The world a case describes with one Service.

    What the case does not name does not matter to it: no pools = one pool of everything, no
    advertisement = one for all nodes, no slices = served everywhere.
    """
    excluded = data.get("nodesLabelledExclude") or []
    unavailable = data.get("nodesNetworkUnavailable") or []
    names = dict.fromkeys([*members(data), *excluded, *unavailable])
    pools, ads = _pools_and_ads(data)
    service = values.service(
        {"externalTrafficPolicy": data.get("externalTrafficPolicy")} | (data.get("service") or {}),
        vips=_vips(data),
        served="endpointSlices" not in data,
    )
    slices = values.endpoints(data.get("endpointSlices") or ())
    return World(
        services={service.key: service},
        endpoints={service.key: slices} if slices else {},
        nodes={
            name: values.node(
                name, excluded=name in excluded, network_unavailable=name in unavailable
            )
            for name in names
        },
        pools=pools,
        l2_ads=ads,
    )


def _pools_and_ads(data: Json) -> tuple[dict[str, Pool], dict[str, L2Ad]]:
    if "pools" not in data:
        everything = values.pool("everything", EVERY_ADDRESS)
        return {everything.name: everything}, values.l2_ads(data.get("l2Advertisements", [{}]))
    pools: dict[str, Pool] = {}
    ads: dict[str, L2Ad] = {}
    for name, entry in data["pools"].items():
        pools[name] = values.pool(name, entry["cidrs"])
        for ad_name, ad in values.l2_ads(entry.get("l2Advertisements") or ()).items():
            ads[f"{name}/{ad_name}"] = attrs.evolve(ad, pools=(name,))
    return pools, ads


def _vips(data: Json) -> list[str]:
    ingress: list[str] = (data.get("service") or {}).get("statusIngress") or []
    return ingress or [data["lbIP"]]


def members(data: Json) -> list[str]:
    """The nodes that take part, alive all of them."""
    listed: list[str] = data.get("speakers") or data.get("nodes") or [data["node"]]
    return listed


def snapshot_of(data: Json, node: str, world: World) -> Snapshot:
    """What `node` sees."""
    alive = None if data.get("memberlistDisabled") else frozenset(members(data))
    return Snapshot(node, world, alive, ignore_exclude_lb=bool(data.get("ignoreExcludeLB")))


def plans(data: Json) -> dict[str, ServicePlan]:
    """Node -> its plan for the case's Service."""
    world = world_of(data)
    [key] = world.services
    names = members(data)
    return {name: plan_l2(snapshot_of(data, name, world)).services[key] for name in names}


def code(plan: ServicePlan) -> str:
    """The reason in the data's words, where the empty text means: announces."""
    return "" if plan.cause.announces else plan.reason.value


def election(case: Case) -> Json:
    """Who announces, and the reason of each node."""
    of = plans(case.input)
    winners = [name for name, plan in of.items() if plan.cause.announces]
    return {
        "winner": winners[0] if len(winners) == 1 else (winners or None),
        "winners": len(winners),
        "reasons": {name: code(plan) for name, plan in of.items()},
        "interfacesIfWinner": {
            name: list(plan.interfaces) if plan.interfaces is not None else "all"
            for name, plan in of.items()
        },
    }


def announcement(case: Case) -> Json:
    """Whether the case's own node announces, and why not."""
    plan = plans(case.input)[case.input["node"]]
    return {"announce": plan.cause.announces, "reason": code(plan)}


def candidate_nodes(case: Case) -> Json:
    """Nodes with an endpoint that can serve."""
    nodes = servable_nodes(values.endpoints(case.input["endpointSlices"]))
    return {"candidateNodes": sorted(nodes & set(case.input["speakers"]))}


def matching_ads(case: Case) -> Json:
    """The advertisements that apply to a Service."""
    given = case.input["l2Advertisements"]
    ads = values.l2_ads(given)
    matched = applicable(ads.values(), case.input["serviceLabels"] or {})
    return {"matchingAds": [given[list(ads).index(ad.name)] for ad in matched]}


def interface_union(case: Case) -> Json:
    """The interfaces of all advertisements together."""
    union = interfaces(values.l2_ads(case.input["l2Advertisements"]).values())
    return {"allInterfaces": union is None, "interfaces": list(union or ())}


def order(case: Case) -> Json:
    """The ranking, and the weights it rests on."""
    vip = ip_address(case.input["ip"])
    candidates = case.input["candidates"] or []
    weight = weigher(vip)
    return {
        "order": list(ranked(candidates, vip, case.input["preferenceScores"] or {})),
        "sha256": {name: weight(name).hex() for name in candidates},
    }


def scores(case: Case) -> Json:
    """The sums of weights per node."""
    given = case.input["l2Advertisements"]
    names = sorted({n for ad in given for n in ad.get("nodes") or ad.get("preferredNodes") or ()})
    nodes = [values.node(name) for name in names]
    return {"scores": preference_scores(values.l2_ads(given).values(), nodes)}


def can_serve(case: Case) -> Json:
    """Whether an endpoint with these conditions can serve."""
    return {"canServe": values.endpoint(case.input).can_serve}


def cluster_policy(case: Case) -> Json:
    """Two Services with endpoints on different nodes must elect the same node for every VIP."""
    pairs = re.findall(r"([\w.-]+) for service ([\w.-]+)", case.input["endpointNode"])
    winners: dict[str, set[str]] = {}
    for vip in AddressRange.parse(case.input["ips"]):
        for endpoint_node, _service in pairs:
            slices = [[{"nodeName": endpoint_node, "conditions": {"ready": True}}]]
            data = {**case.input, "lbIP": str(vip), "endpointSlices": slices}
            winners.setdefault(str(vip), set()).update(
                f"{endpoint_node}>{name}"
                for name, plan in plans(data).items()
                if plan.cause.announces
            )
    owners = {vip: {won.split(">")[1] for won in all_won} for vip, all_won in winners.items()}
    counts = {len(all_won) / len(pairs) for all_won in winners.values()}
    return {
        "announcersPerIp": int(counts.pop()) if len(counts) == 1 else sorted(counts),
        "sameWinnerForBothServices": all(len(names) == 1 for names in owners.values()),
        "bothSpeakersWinAtLeastOnce": set().union(*owners.values()) == set(members(case.input)),
        "derivedWinner": {vip: "/".join(sorted(names)) for vip, names in owners.items()},
    }


def node_event(case: Case) -> Json:
    """Whether a change of an object makes a new plan; only Nodes reach the planner as nodes."""
    objects = (case.input["old"], case.input["new"])
    if any(entry["kind"] != "Node" for entry in objects):
        return {"reconcile": False}
    old, new = (_node(entry) for entry in objects)
    return {"reconcile": node_change_matters(old, new)}


def _node(entry: Json) -> Node:
    metadata, status = entry.get("metadata") or {}, entry.get("status") or {}
    listed = entry.get("conditions") or status.get("conditions") or ()
    conditions = {condition["type"]: condition["status"] for condition in listed}
    return Node(
        entry.get("name") or metadata.get("name") or "node",
        entry.get("labels") or metadata.get("labels") or {},
        network_unavailable=conditions.get("NetworkUnavailable") == "True",
    )


ADAPTERS: dict[str, Adapter] = {
    "l2/nodes-with-endpoint": candidate_nodes,
    "l2/should-announce": election,
    "l2/node-filters": election,
    "l2/service-selectors": announcement,
    "l2/shared-ip-with-service-selectors": announcement,
    "l2/ads-for-service": matching_ads,
    "l2/candidate-filter-by-service-selector": election,
    "l2/ip-advertisement-interfaces": interface_union,
    "l2/candidate-order": order,
    "l2/preference-scores": scores,
    "l2/preferred-node": election,
    "l2/election-vs-interfaces": election,
    "l2/speaker-list-disabled": announcement,
    "l2/cluster-policy": cluster_policy,
    "l2/hash-vector": order,
    "l2/endpoint-can-serve": can_serve,
    "l2/node-event-filter": node_event,
}
