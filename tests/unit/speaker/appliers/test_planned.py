"""The planner's word as the herald gets it."""

from ipaddress import ip_address

import attrs

from speaker.appliers.planned import to_link
from speaker.planners.l2_plan import L2Plan, VipPlan
from speaker.reasons import Reason
from speaker.snapshot import Snapshot
from stentor.cluster.objects import Key, Node, World

VIP = VipPlan(
    vip=ip_address("192.0.2.100"),
    cause=Reason.ANNOUNCED,
    candidates=("n2", "n1"),
    owner="n2",
    interfaces=("eth0",),
    failback=False,
    refresh_s=30.0,
    services=(Key("demo", "web"),),
    is_mixed=False,
)


def snapshot(**nodes: str) -> Snapshot:
    made = {name: Node(name, internal_ips=(ip_address(ip),)) for name, ip in nodes.items()}
    return Snapshot("n1", World(nodes=made))


def test_a_vip_keeps_its_rank_interfaces_and_options() -> None:
    [planned] = to_link(L2Plan("n1", (VIP,), {}), snapshot(), 7).vips

    assert (planned.vip, planned.candidates) == ("192.0.2.100", ("n2", "n1"))
    assert (planned.interfaces, planned.failback, planned.refresh_s) == (("eth0",), False, 30.0)
    assert planned.services == ("demo/web",)


def test_a_vip_that_nobody_may_announce_is_not_the_heralds() -> None:
    idle = attrs.evolve(VIP, candidates=(), owner=None)

    assert to_link(L2Plan("n1", (idle,), {}), snapshot(), 1).vips == ()


def test_other_nodes_are_joined_by_their_internal_addresses() -> None:
    plan = to_link(L2Plan("n1", (), {}), snapshot(n1="192.0.2.1", n2="192.0.2.2"), 1)

    assert plan.join == ("192.0.2.2",)
    assert plan.nodes == ("n1", "n2")
