"""The layer-2 planner: a table of reasons, and what must hold for any world."""

from ipaddress import ip_address
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.matching import LabelSelector
from speaker.planners.l2 import plan_l2
from speaker.planners.l2_plan import ServicePlan, VipPlan
from speaker.reasons import Reason
from speaker.snapshot import Snapshot
from stentor.cluster.objects import (
    EXCLUDE_LABEL,
    Endpoint,
    Key,
    L2Ad,
    Preference,
    Refusal,
    Service,
    ServiceOptions,
    TrafficPolicy,
    World,
)
from tests.unit.speaker.planners.worlds import (
    VIP,
    VIP6,
    nodes,
    seen_by,
    served_on,
    service,
    world,
)

LOCAL = TrafficPolicy.LOCAL
WEB = Key("shop", "web")
APP = LabelSelector(labels=(("app", "web"),))
ON_N2 = LabelSelector(labels=(("kubernetes.io/hostname", "n2"),))
names_strategy = st.sets(st.text("abcdefghij-", min_size=1, max_size=8), min_size=2, max_size=6)


def plan_of(snapshot: Snapshot) -> ServicePlan:
    return plan_l2(snapshot).services[WEB]


def vip_of(snapshot: Snapshot) -> VipPlan:
    [only] = plan_l2(snapshot).vips
    return only


def without_n1_label(**fields: Any) -> World:
    """n1 changed: its labels or conditions are those of `fields`."""
    both = nodes("n1", "n2")
    return world(nodes={**both, "n1": attrs.evolve(both["n1"], **fields)})


# n2#192.0.2.135 hashes to 4d6e..., n1 to 662a...: n2 ranks first.
@pytest.mark.parametrize(
    ("snapshot", "cause"),
    [
        pytest.param(seen_by("n2", world()), Reason.ANNOUNCED, id="the_least_hash_announces"),
        pytest.param(seen_by("n1", world()), Reason.LOWER_RANK, id="the_next_is_lower"),
        pytest.param(
            seen_by("n1", world(), alive=frozenset({"n1"})),
            Reason.ANNOUNCED,
            id="a_dead_node_is_passed_over",
        ),
        pytest.param(
            seen_by("n1", world(), alive=frozenset({"n2"})),
            Reason.NODE_NOT_ALIVE,
            id="a_node_that_the_ring_does_not_see",
        ),
        pytest.param(seen_by("n9", world()), Reason.NODE_UNKNOWN, id="a_node_nobody_knows"),
        pytest.param(
            seen_by("n1", world(l2_ads={"a": L2Ad("a", node_selectors=(ON_N2,))})),
            Reason.NO_MATCHING_ADVERTISEMENT,
            id="an_advertisement_for_another_node",
        ),
        pytest.param(
            seen_by("n1", world(l2_ads={})), Reason.NO_MATCHING_ADVERTISEMENT, id="no_advertisement"
        ),
        pytest.param(
            seen_by("n1", world(l2_ads={"a": L2Ad("a", pools=("other",))})),
            Reason.NO_MATCHING_ADVERTISEMENT,
            id="an_advertisement_for_another_pool",
        ),
        pytest.param(
            seen_by("n1", without_n1_label(network_unavailable=True)),
            Reason.NODE_NETWORK_UNAVAILABLE,
            id="no_network",
        ),
        pytest.param(
            seen_by("n1", without_n1_label(labels={EXCLUDE_LABEL: "false"})),
            Reason.NODE_LABELED_EXCLUDE_BALANCERS,
            id="the_exclude_label_counts_whatever_its_value",
        ),
        pytest.param(
            seen_by(
                "n1",
                world(
                    service(served_everywhere=False, external_traffic_policy=LOCAL),
                    endpoints={WEB: served_on("n2")},
                ),
            ),
            Reason.NO_LOCAL_ENDPOINTS,
            id="policy_local_needs_an_endpoint_here",
        ),
        pytest.param(
            seen_by(
                "n2",
                world(
                    service(served_everywhere=False),
                    endpoints={WEB: (Endpoint(node="n2", ready=False),)},
                ),
            ),
            Reason.NO_ENDPOINTS,
            id="nothing_can_serve",
        ),
        pytest.param(
            seen_by(
                "n2",
                world(
                    service(labels={"app": "web"}, sharing_key=""),
                    l2_ads={"a": L2Ad("a", service_selectors=(APP,))},
                ),
            ),
            Reason.SHARED_IP_WITH_SERVICE_SELECTOR,
            id="sharing_and_service_selectors_exclude_each_other",
        ),
        pytest.param(
            seen_by("n2", world(pools={})), Reason.IP_NOT_ALLOWED, id="no_pool_holds_the_vip"
        ),
        pytest.param(seen_by("n2", world(service(vips=()))), Reason.NO_IP_ALLOCATED, id="no_vip"),
    ],
)
def test_the_reason_of_a_node(snapshot: Snapshot, cause: Reason) -> None:
    assert plan_of(snapshot).cause is cause


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_refusal_of_a_source_has_its_reason(refusal: Refusal) -> None:
    plan = plan_l2(seen_by("n1", world(service(vips=(), refusal=refusal))))

    assert plan.vips == ()
    assert not plan.services[WEB].cause.announces


def test_ignore_exclude_lb_lets_a_labelled_node_announce() -> None:
    labelled = without_n1_label(labels={EXCLUDE_LABEL: ""})

    assert plan_of(seen_by("n1", labelled)).candidates == ("n2",)
    assert plan_of(seen_by("n1", labelled, ignore_exclude_lb=True)).candidates == ("n2", "n1")


def test_candidates_hold_dead_nodes_too() -> None:
    """The herald filters by liveness: it learns of a death long before the next plan."""
    plan = vip_of(seen_by("n1", world(), alive=frozenset({"n1"})))

    assert plan.candidates == ("n2", "n1")
    assert plan.owner == "n1"


def test_a_dual_stack_service_stays_on_one_node_ranked_by_its_first_vip() -> None:
    """Alone, 2001:db8::81 would rank n1 first: both go where 192.0.2.135 goes."""
    alone = vip_of(seen_by("n1", world(service(vips=(VIP6,)))))
    both = plan_l2(seen_by("n1", world(service(vips=(VIP, VIP6)))))

    assert alone.candidates == ("n1", "n2")
    assert [(plan.vip, plan.candidates) for plan in both.vips] == [
        (VIP, ("n2", "n1")),
        (VIP6, ("n2", "n1")),
    ]


def test_weights_of_all_matching_preferences_come_before_the_hash() -> None:
    def preferring(selector: LabelSelector, weight: int) -> L2Ad:
        return L2Ad(f"prefers-{weight}", preferences=(Preference(weight, selector),))

    on_n1 = LabelSelector(labels=(("kubernetes.io/hostname", "n1"),))
    ads = {ad.name: ad for ad in (preferring(on_n1, 30), preferring(ON_N2, 20))}
    more = preferring(ON_N2, 11)

    assert vip_of(seen_by("n1", world(l2_ads=ads))).candidates == ("n1", "n2")
    assert vip_of(seen_by("n1", world(l2_ads={**ads, more.name: more}))).candidates == ("n2", "n1")


def test_interfaces_are_the_union_over_advertisements_that_match_this_node() -> None:
    ads = {
        "a": L2Ad("a", interfaces=("eth1", "eth0")),
        "b": L2Ad("b", interfaces=("eth2",), node_selectors=(ON_N2,)),
    }

    assert vip_of(seen_by("n1", world(l2_ads=ads))).interfaces == ("eth0", "eth1")
    assert vip_of(seen_by("n2", world(l2_ads=ads))).interfaces == ("eth0", "eth1", "eth2")
    assert vip_of(seen_by("n2", world(l2_ads={**ads, "c": L2Ad("c")}))).interfaces is None
    assert vip_of(seen_by("n9", world(l2_ads=ads))).interfaces == ()


def test_sharers_of_a_vip_get_one_ranking_and_the_strictest_options() -> None:
    idle = service(
        "api", served_everywhere=False, options=ServiceOptions(failback=False, refresh_s=5)
    )
    first = service("blog", options=ServiceOptions(refresh_s=30))
    second = service("web", options=ServiceOptions(failback=False, refresh_s=0))

    plan = vip_of(seen_by("n2", world(idle, first, second)))

    assert plan.services == (idle.key, first.key, second.key)
    assert plan.cause is Reason.ANNOUNCED
    assert (plan.failback, plan.refresh_s) == (False, 30)


def test_preferred_nodes_go_first_in_the_order_given() -> None:
    options = ServiceOptions(preferred_nodes=("n1", "gone", "n1"))

    assert vip_of(seen_by("n1", world(service(options=options)))).candidates == ("n1", "n2")


def test_a_candidate_without_stentor_turns_our_extras_off() -> None:
    """Its election knows nothing of them: all must follow MetalLB's rule alone."""
    options = ServiceOptions(failback=False, refresh_s=7, preferred_nodes=("n1",))

    plan = vip_of(seen_by("n1", world(service(options=options)), foreign=frozenset({"n2"})))

    assert plan.is_mixed
    assert plan.candidates == ("n2", "n1")
    assert (plan.failback, plan.refresh_s) == (True, 7)


def test_vips_come_in_address_order_ipv4_first() -> None:
    listed = [service(f"s{n}", vips=(ip_address(f"192.0.2.{n}"),)) for n in (30, 4, 100)]
    plan = plan_l2(seen_by("n1", world(*listed, service("v6", vips=(VIP6,)))))

    assert [str(vip.vip) for vip in plan.vips] == [
        "192.0.2.4",
        "192.0.2.30",
        "192.0.2.100",
        "2001:db8::81",
    ]


@given(names=names_strategy, number=st.integers(0, 255))
def test_losing_a_bystander_never_moves_a_vip(names: set[str], number: int) -> None:
    """Exactly one node announces, and stays the one when any other node dies."""
    seen = world(service(vips=(ip_address(f"192.0.2.{number}"),)), names=names)
    alive = frozenset(names)

    [owner] = [name for name in names if plan_of(seen_by(name, seen, alive=alive)).cause.announces]

    for bystander in alive - {owner}:
        assert owner == plan_of(seen_by(owner, seen, alive=alive - {bystander})).owner


@given(names=names_strategy, data=st.data())
def test_all_nodes_agree_and_no_order_of_input_matters(
    names: set[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(sorted(names)))
    services = [service(f"s{n}", vips=(ip_address(f"192.0.2.{n}"),)) for n in range(4)]
    shuffled = data.draw(st.permutations(services))

    one = plan_l2(seen_by(order[0], world(*services, names=sorted(names))))
    other = plan_l2(seen_by(order[-1], world(*shuffled, names=order)))

    assert [(vip.vip, vip.candidates, vip.owner) for vip in one.vips] == [
        (vip.vip, vip.candidates, vip.owner) for vip in other.vips
    ]


@st.composite
def any_service(draw: st.DrawFn) -> Service:
    """A Service in any state a source can leave it in."""
    vips = draw(st.lists(st.sampled_from([VIP, VIP6, ip_address("203.0.113.1")]), unique=True))
    return service(
        draw(st.sampled_from(["api", "blog", "web"])),
        vips=tuple(vips),
        labels=draw(st.dictionaries(st.just("app"), st.sampled_from(["web", "other"]))),
        sharing_key=draw(st.sampled_from([None, "", "key"])),
        external_traffic_policy=draw(st.sampled_from(TrafficPolicy)),
        served_everywhere=draw(st.booleans()),
        refusal=None if vips else draw(st.sampled_from(Refusal)),
    )


@given(
    services=st.lists(any_service(), unique_by=lambda item: item.key),
    alive=st.sets(st.sampled_from(["n1", "n2", "n3"])),
    with_label=st.booleans(),
    serving=st.sets(st.sampled_from(["n1", "n3"])),
)
def test_the_plan_is_total_and_names_one_announcer_at_most(
    services: list[Service], alive: set[str], with_label: bool, serving: set[str]
) -> None:
    ad = L2Ad("a", service_selectors=(APP,) if with_label else ())
    seen = world(
        names=("n1", "n2", "n3"),
        services={item.key: item for item in services},
        l2_ads={"a": ad},
        endpoints={item.key: served_on(*serving) for item in services},
    )

    plans = [plan_l2(seen_by(name, seen, alive=frozenset(alive))) for name in seen.nodes]

    for verdicts in zip(*(plan.vips for plan in plans), strict=True):
        announcers = [v for v in verdicts if v.cause.announces]
        assert len(announcers) == (1 if verdicts[0].owner is not None else 0)
        assert {v.owner for v in announcers} <= alive
        assert len({v.candidates for v in verdicts}) == 1
    for plan in plans:
        assert set(plan.services) == {item.key for item in services}
