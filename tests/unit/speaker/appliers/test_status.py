"""Status of Services and configuration, and what the log tells of changes."""

from ipaddress import ip_address
from pathlib import Path

import attrs
import pytest
import yaml

from speaker.appliers.status import Report, StatusApplier, configuration_body, service_bodies
from speaker.herald.link import SeatView, View
from speaker.planners.l2_plan import L2Plan, ServicePlan
from speaker.reasons import Reason
from stentor.cluster.findings import Finding
from stentor.cluster.objects import Key
from stentor.logging import Log
from tests.log_lines import Lines

KEY = Key("demo", "web")
VIP = "192.0.2.100"
PLAN = L2Plan(
    "n1", (), {KEY: ServicePlan(key=KEY, vips=(ip_address(VIP),), cause=Reason.ANNOUNCED)}
)
FINDING = Finding("a.yaml", 3, "Service demo/web", "spec.type", "no such type")


def view(holder: str | None, reason: str) -> View:
    seat = SeatView(VIP, holder, "held" if holder == "n1" else "elsewhere", reason)
    return View("n1", 1, 1, started=True, agent_silent=False, seats=(seat,))


def test_status_names_the_holder_and_why() -> None:
    body = service_bodies(Report(PLAN, view("n2", "held_by_peer"), ()))[KEY]

    assert body["reason"] == "Announced"
    assert body["vips"] == [{"vip": VIP, "holder": "n2", "reason": "held_by_peer"}]


def test_without_a_herald_status_has_the_planners_reason() -> None:
    plan = attrs.evolve(PLAN.services[KEY], cause=Reason.NO_ENDPOINTS)
    report = Report(attrs.evolve(PLAN, services={KEY: plan}), None, ())

    assert service_bodies(report)[KEY]["vips"] == [
        {"vip": VIP, "holder": "", "reason": "noEndpoints"}
    ]


@pytest.mark.parametrize(
    ("findings", "result", "reason"),
    [((), "Valid", "Reconciled"), ((FINDING,), "Invalid", "ConfigurationError")],
)
def test_the_state_of_the_configuration_is_metallbs(
    findings: tuple[Finding, ...], result: str, reason: str
) -> None:
    status = configuration_body(findings)["status"]

    assert (status["result"], status["conditions"][0]["reason"]) == (result, reason)
    assert ("a.yaml:3" in status["errorSummary"]) is bool(findings)


async def test_applying_twice_says_everything_once(tmp_path: Path) -> None:
    sink = Lines()
    applier = StatusApplier(tmp_path, "n1", Log(sink, lambda: 0.0))
    report = Report(PLAN, view("n1", "held"), (FINDING,))

    for _ in range(2):
        await applier.apply(report)

    assert sorted(event["event"] for event in sink.events) == [
        "input_refused",
        "nodeAssigned",
        "service_planned",
    ]
    path = tmp_path / ".status/nodes/n1/ServiceL2Status/demo_web.yaml"
    assert yaml.safe_load(path.read_text())["status"]["serviceName"] == "web"


async def test_a_service_that_moves_away_is_withdrawn(tmp_path: Path) -> None:
    sink = Lines()
    applier = StatusApplier(tmp_path, "n1", Log(sink, lambda: 0.0))
    await applier.apply(Report(PLAN, view("n1", "held"), ()))

    await applier.apply(Report(PLAN, view("n2", "held_by_peer"), ()))

    assert sink.events[-1]["event"] == "service_withdrawn"
    assert not (tmp_path / ".status/nodes/n1/ServiceL2Status/demo_web.yaml").exists()


async def test_after_the_end_nothing_claims_to_be_announced_from_here(tmp_path: Path) -> None:
    applier = StatusApplier(tmp_path, "n1", Log(Lines(), lambda: 0.0))
    await applier.apply(Report(PLAN, view("n1", "held"), ()))

    applier.clear()

    kinds = tmp_path / ".status/nodes/n1"
    assert not list(kinds.glob("Service*/*.yaml"))
