"""What the agent tells people: status of Services and of the configuration, events in the log."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from speaker.herald.link import View
from speaker.planners.l2_plan import L2Plan, ServicePlan
from speaker.reasons import Reason
from stentor.cluster.errors import ApplyError
from stentor.cluster.findings import Finding, Severity
from stentor.cluster.objects import Key
from stentor.cluster.status import StatusWriter
from stentor.logging import Log

Body = dict[str, Any]

SERVICE = "Service"
SERVICE_L2_STATUS = "ServiceL2Status"
CONFIGURATION_STATE = "ConfigurationState"


@attrs.frozen
class Report:
    """All that is to be shown at one moment. `view` None: no herald has answered yet."""

    plan: L2Plan
    view: View | None
    findings: tuple[Finding, ...]


def service_bodies(report: Report) -> dict[Key, Body]:
    """For every Service: its reason as seen from this node, and who holds each VIP, and why."""
    seats = {} if report.view is None else {seat.vip: seat for seat in report.view.seats}
    return {
        key: {
            "reason": plan.cause.condition,
            "message": plan.cause.text,
            "vips": [
                {"vip": vip, "holder": seats[vip].holder or "", "reason": seats[vip].reason}
                if vip in seats
                else {"vip": vip, "holder": "", "reason": plan.cause.value}
                for vip in map(str, plan.vips)
            ],
        }
        for key, plan in report.plan.services.items()
    }


def l2_bodies(report: Report) -> dict[Key, Body]:
    """MetalLB's ServiceL2Status for the Services that this node announces."""
    node = report.plan.node
    held = held_vips(report.view, node)
    return {
        key: {
            "apiVersion": "metallb.io/v1beta1",
            "kind": SERVICE_L2_STATUS,
            "status": {
                "node": node,
                "serviceName": key.name,
                "serviceNamespace": key.namespace,
                "interfaces": [{"name": name} for name in plan.interfaces or ()],
            },
        }
        for key, plan in report.plan.services.items()
        if any(str(vip) in held for vip in plan.vips)
    }


def configuration_body(findings: Iterable[Finding]) -> Body:
    """MetalLB's ConfigurationState of this speaker."""
    errors = [str(finding) for finding in findings if finding.severity is Severity.ERROR]
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": CONFIGURATION_STATE,
        "status": {
            "result": "Invalid" if errors else "Valid",
            "errorSummary": "\n".join(errors),
            "conditions": [
                {
                    "type": "configReconcilerValid",
                    "status": "False" if errors else "True",
                    "reason": "ConfigurationError" if errors else "Reconciled",
                }
            ],
        },
    }


def held_vips(view: View | None, node: str) -> frozenset[str]:
    """The VIPs that this node answers for, as text."""
    if view is None:
        return frozenset()
    return frozenset(seat.vip for seat in view.seats if seat.holder == node)


@attrs.define
class StatusApplier:
    """Writes reports into DIR/.status/ and tells what has changed since the last one."""

    directory: Path
    node: str
    log: Log
    _reasons: Mapping[Key, Reason] = attrs.field(factory=dict)
    _announced: frozenset[Key] = frozenset()
    _findings: frozenset[Finding] = frozenset()

    async def apply(self, report: Report) -> None:
        """Log the changes and bring the files up to date; raises ApplyError, to be retried."""
        self._tell(report)
        await asyncio.to_thread(self._write, report)

    def _write(self, report: Report) -> None:
        writer = StatusWriter(self.directory, self.node)
        key = Key("", f"speaker-{self.node}")
        writer.write(CONFIGURATION_STATE, key, configuration_body(report.findings))
        writer.write_findings(report.findings)
        writer.sync(SERVICE_L2_STATUS, l2_bodies(report))
        writer.sync(SERVICE, service_bodies(report))

    def clear(self) -> None:
        """Take back what is no longer true once we have stopped: nothing is announced from here."""
        writer = StatusWriter(self.directory, self.node)
        try:
            writer.sync(SERVICE_L2_STATUS, {})
            writer.sync(SERVICE, {})
        except ApplyError as exc:
            self.log.warn("status_not_written", message=str(exc))

    def _tell(self, report: Report) -> None:
        for finding in sorted(set(report.findings) - self._findings):
            tell = self.log.error if finding.severity is Severity.ERROR else self.log.warn
            tell("input_refused", cause=finding.cause.value, message=str(finding))
        self._findings = frozenset(report.findings)
        reasons = {key: plan.cause for key, plan in report.plan.services.items()}
        for key, reason in reasons.items():
            if self._reasons.get(key) is not reason:
                self.log.info("service_planned", service=str(key), reason=reason.value)
        for key in self._reasons.keys() - reasons.keys():
            self.log.info("service_gone", service=str(key))
        self._reasons = reasons
        held = held_vips(report.view, self.node)
        announced = frozenset(k for k, p in report.plan.services.items() if _is_held(p, held))
        for key in sorted(announced - self._announced):
            self.log.info("nodeAssigned", service=str(key), node=self.node, protocol="layer2")
        for key in sorted(self._announced - announced):
            self.log.info("service_withdrawn", service=str(key), node=self.node)
        self._announced = announced


def _is_held(plan: ServicePlan, held: frozenset[str]) -> bool:
    return any(str(vip) in held for vip in plan.vips)
