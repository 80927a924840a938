"""Metrics of a speaker: MetalLB's by their names, ours as stentor_*; made at each scrape."""

from collections.abc import Iterable, Mapping

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from speaker.appliers.status import held_vips
from speaker.herald.link import Counters, View
from speaker.planners.l2_plan import L2Plan
from stentor.metrics import Reply, exposition

# MetalLB's layer-2 counters, which have no _total: name, help, field of VipCounters.
_PER_VIP = (
    ("metallb_layer2_requests_received", "Layer 2 requests received for a VIP", "requests"),
    ("metallb_layer2_responses_sent", "Layer 2 responses sent for a VIP", "answers"),
    ("metallb_layer2_gratuitous_sent", "Gratuitous frames sent for a VIP", "announced"),
)
_OURS = (
    ("stentor_vip_drops", "Questions about a VIP dropped, since another node answers", "drops"),
    ("stentor_vip_packets", "IP packets to a VIP", "packets"),
    ("stentor_vip_bytes", "Octets of frames to a VIP", "size_bytes"),
)
_EXACT = frozenset(name for name, _, _ in _PER_VIP)


@attrs.frozen(eq=False)
class Moment(Collector):
    """What is known at one scrape. A missing view or counters: no herald answers."""

    node: str
    plan: L2Plan | None
    view: View | None
    counters: Counters | None
    findings: int = 0

    def collect(self) -> Iterable[Metric]:
        """Yield every metric; called by prometheus_client."""
        yield _gauge("stentor_herald_up", "Whether the herald answers", float(self.is_up))
        yield _gauge("stentor_config_findings", "What is wrong with the objects", self.findings)
        yield self._announced()
        if self.counters is not None:
            yield from _of_vips(self.counters)
            yield _by("stentor_frames", "Frames by their way out", "exit", self.counters.exits)
            yield _by("stentor_herald_events", "Counts of events", "event", self.counters.herald)
        if self.view is not None:
            yield from _of_view(self.view)

    @property
    def is_up(self) -> bool:
        """Whether the herald answered this scrape."""
        return self.counters is not None

    def _announced(self) -> Metric:
        family = GaugeMetricFamily(
            "metallb_speaker_announced",
            "Services announced from this node",
            labels=("service", "protocol", "node", "ip"),
        )
        held = held_vips(self.view, self.node)
        services = {} if self.plan is None else self.plan.services
        for key, plan in services.items():
            for vip in map(str, plan.vips):
                if vip in held:
                    family.add_metric((str(key), "layer2", self.node, vip), 1)
        return family


def render(moment: Moment) -> Reply:
    """Return the page that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(moment)
    return exposition(registry, _EXACT)


def _of_vips(counters: Counters) -> Iterable[Metric]:
    for name, text, field in _PER_VIP:
        exact = Metric(name, text, "counter")
        for vip in counters.vips:
            exact.add_sample(name, {"ip": vip.vip}, getattr(vip, field))
        yield exact
    for name, text, field in _OURS:
        family = CounterMetricFamily(name, text, labels=("vip",))
        for vip in counters.vips:
            family.add_metric((vip.vip,), getattr(vip, field))
        yield family


def _of_view(view: View) -> Iterable[Metric]:
    yield _gauge("stentor_herald_generation", "Starts of a herald here", view.generation)
    yield _gauge("stentor_herald_started", "Whether the start rules are done", float(view.started))
    yield _gauge("stentor_plan_generation", "Plan the herald works by", view.plan_generation)
    members: dict[str, int] = {}
    for member in view.members:
        members[member.state] = members.get(member.state, 0) + 1
    family = GaugeMetricFamily("stentor_ring_members", "Members by state", labels=("state",))
    for state, count in sorted(members.items()):
        family.add_metric((state,), count)
    yield family
    rungs = GaugeMetricFamily(
        "stentor_interface_rung",
        "Where the responder stands on an interface",
        labels=("interface", "rung", "reason"),
    )
    for item in view.attachments:
        rungs.add_metric((item.interface, item.rung, item.reason), 1)
    yield rungs


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric((key,), value)
    return family
