"""The numbers of the gossip protocol, as profiles. All are local policy, none is negotiated."""

from typing import Any

import attrs

from speaker.gossip.errors import ConfigError

PROTOCOL_MIN, PROTOCOL_MAX, PROTOCOL_CURRENT = 1, 5, 2
# pmin, pmax, pcur, dmin, dmax, dcur: what MetalLB's ring announces (memberlist 0.5.1, no delegate)
VERSIONS_METALLB = bytes((PROTOCOL_MIN, PROTOCOL_MAX, PROTOCOL_CURRENT, 0, 0, 0))
# the same with serf's delegate versions 2..5, current 4 (serf library default)
VERSIONS_SERF = bytes((PROTOCOL_MIN, PROTOCOL_MAX, PROTOCOL_CURRENT, 2, 5, 4))


def _positive(instance: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
    if value <= 0:
        raise ConfigError(f"{attribute.name} {value}, need more than 0")


def _not_negative(instance: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
    if value < 0:
        raise ConfigError(f"{attribute.name} {value}, need 0 or more")


@attrs.frozen(kw_only=True)
class GossipConfig:
    """
    Timers, counts and budgets, by the names of memberlist's configuration in snake case.

    The defaults are memberlist's LAN profile, which MetalLB and serf use. Times are seconds;
    other values by attrs.evolve.
    Raises ConfigError for a value out of range.
    """

    tcp_timeout_s: float = attrs.field(default=10.0, validator=_positive)
    indirect_checks: int = attrs.field(default=3, validator=_not_negative)
    retransmit_mult: int = attrs.field(default=4, validator=_positive)
    suspicion_mult: int = attrs.field(default=4, validator=_positive)
    suspicion_max_timeout_mult: int = attrs.field(default=6, validator=_positive)
    push_pull_interval_s: float = attrs.field(default=30.0, validator=_not_negative)  # 0 = off
    probe_interval_s: float = attrs.field(default=1.0, validator=_positive)
    probe_timeout_s: float = attrs.field(default=0.5, validator=_positive)
    disable_tcp_pings: bool = False
    awareness_max_multiplier: int = attrs.field(default=8, validator=_positive)
    gossip_nodes: int = attrs.field(default=3, validator=_not_negative)
    gossip_interval_s: float = attrs.field(default=0.2, validator=_positive)
    gossip_to_the_dead_time_s: float = attrs.field(default=30.0, validator=_not_negative)
    dead_node_reclaim_time_s: float = attrs.field(default=0.0, validator=_not_negative)  # 0 = off
    gossip_verify_incoming: bool = True
    gossip_verify_outgoing: bool = True
    enable_compression: bool = True
    handoff_queue_depth: int = attrs.field(default=1024, validator=_positive)
    udp_buffer_size_bytes: int = attrs.field(default=1400, validator=_positive)
    # Lifeguard answers with a nack at 80 % of the probe timeout, so that it arrives before the
    # prober's own deadline; memberlist waits for the whole of it, which is too late (LAN, WAN).
    nack_after: float = attrs.field(default=0.8, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if self.probe_timeout_s > self.probe_interval_s:
            raise ConfigError(
                f"probe_timeout_s {self.probe_timeout_s}, "
                f"need at most probe_interval_s {self.probe_interval_s}"
            )


LAN = GossipConfig()
WAN = GossipConfig(
    tcp_timeout_s=30.0,
    suspicion_mult=6,
    push_pull_interval_s=60.0,
    probe_timeout_s=3.0,
    probe_interval_s=5.0,
    gossip_nodes=4,
    gossip_interval_s=0.5,
    gossip_to_the_dead_time_s=60.0,
)
LOCAL = GossipConfig(
    tcp_timeout_s=1.0,
    indirect_checks=1,
    retransmit_mult=2,
    suspicion_mult=3,
    push_pull_interval_s=15.0,
    probe_timeout_s=0.2,
    gossip_interval_s=0.1,
    gossip_to_the_dead_time_s=15.0,
)
