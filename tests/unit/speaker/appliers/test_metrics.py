"""The page that Prometheus reads."""

from ipaddress import ip_address

from prometheus_client.parser import text_string_to_metric_families

from speaker.appliers.metrics import Moment, render
from speaker.herald.link import AttachmentView, Counters, Member, SeatView, View, VipCounters
from speaker.planners.l2_plan import L2Plan, ServicePlan
from speaker.reasons import Reason
from stentor.cluster.objects import Key

VIP = "192.0.2.100"
KEY = Key("demo", "web")
PLAN = L2Plan(
    "n1", (), {KEY: ServicePlan(key=KEY, vips=(ip_address(VIP),), cause=Reason.ANNOUNCED)}
)
COUNTERS = Counters(
    (VipCounters(VIP, requests=5, answers=4, drops=1, packets=9, size_bytes=900, announced=14),),
    {"arp_answered": 4},
    {"leases_lost": 1},
)
VIEW = View(
    "n1",
    2,
    3,
    started=True,
    agent_silent=False,
    seats=(SeatView(VIP, "n1", "held", "held"),),
    members=(Member("n1", "192.0.2.1:7946", "alive"), Member("n2", "192.0.2.2:7946", "dead")),
    attachments=(AttachmentView("eth0", 2, "generic", "rung_unproven"),),
)


def samples(moment: Moment) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = render(moment).body.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metallbs_metrics_keep_their_names_and_labels() -> None:
    """prometheus_client's own parser adds _total when it reads, so this looks at the lines."""
    lines = render(Moment("n1", PLAN, VIEW, COUNTERS)).body.decode().splitlines()

    labels = f'ip="{VIP}",node="n1",protocol="layer2",service="demo/web"'
    expected = {
        f'metallb_layer2_requests_received{{ip="{VIP}"}} 5.0',
        f'metallb_layer2_responses_sent{{ip="{VIP}"}} 4.0',
        f'metallb_layer2_gratuitous_sent{{ip="{VIP}"}} 14.0',
        f"metallb_speaker_announced{{{labels}}} 1.0",
    }
    assert expected <= set(lines)


def test_metallbs_counters_are_declared_as_counters_without_total() -> None:
    text = render(Moment("n1", PLAN, VIEW, COUNTERS)).body.decode()

    assert "# TYPE metallb_layer2_requests_received counter" in text
    assert "metallb_layer2_requests_received_total" not in text


def test_our_own_metrics_tell_of_herald_ring_and_rung() -> None:
    found = samples(Moment("n1", PLAN, VIEW, COUNTERS, findings=2))

    assert found["stentor_herald_up", ()] == 1
    assert found["stentor_config_findings", ()] == 2
    assert found["stentor_ring_members", (("state", "alive"),)] == 1
    assert found["stentor_ring_members", (("state", "dead"),)] == 1
    assert found["stentor_vip_bytes_total", (("vip", VIP),)] == 900
    assert found["stentor_frames_total", (("exit", "arp_answered"),)] == 4
    rung = (("interface", "eth0"), ("reason", "rung_unproven"), ("rung", "generic"))
    assert found["stentor_interface_rung", rung] == 1


def test_without_a_herald_the_page_says_so_and_is_still_a_page() -> None:
    found = samples(Moment("n1", None, None, None))

    assert found["stentor_herald_up", ()] == 0


def test_a_service_held_elsewhere_is_not_announced_here() -> None:
    away = View("n1", 1, 1, started=True, agent_silent=False)

    found = samples(Moment("n1", PLAN, away, COUNTERS))

    assert not any(name == "metallb_speaker_announced" for name, _ in found)
