"""Two Services that want one VIP: who has it, and when both do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.cluster.findings import Severity
from stentor.cluster.objects import Refusal
from tests.unit.stentor.cluster.yaml_of import VIP, found, l2_ad, named, pool, service, vips, world

GROUND = (pool(), l2_ad())
SHARED = {"metallb.io/allow-shared-ip": "key"}
HTTP = [{"port": 80}]
HTTPS = [{"port": 443}]


@pytest.mark.parametrize(
    ("one", "other", "obstacle"),
    [
        pytest.param({}, {}, "to share it give both one metallb.io/allow-shared-ip key", id="none"),
        pytest.param(
            {"notes": SHARED}, {}, "to share it give both one metallb.io/allow-shared-ip key",
            id="one_key"),
        pytest.param(
            {"notes": {"metallb.io/allow-shared-ip": ""}},
            {"notes": {"metallb.io/allow-shared-ip": ""}},
            "to share it give both one metallb.io/allow-shared-ip key", id="empty_keys"),
        pytest.param(
            {"notes": SHARED, "ports": HTTP}, {"notes": SHARED, "ports": HTTP},
            "both use port TCP/80", id="one_port"),
        pytest.param(
            {"notes": SHARED, "ports": HTTP, "externalTrafficPolicy": "Local",
             "selector": {"app": "a"}},
            {"notes": SHARED, "ports": HTTPS, "externalTrafficPolicy": "Local",
             "selector": {"app": "b"}},
            "with externalTrafficPolicy Local sharers need one and the same selector",
            id="local_with_other_backends"),
        pytest.param(
            {"notes": SHARED, "ports": HTTP, "externalTrafficPolicy": "Local"},
            {"notes": SHARED, "ports": HTTPS},
            "sharers need one and the same externalTrafficPolicy", id="local_and_cluster"),
    ],
)  # fmt: skip
def test_the_loser_of_a_vip_is_told_the_winner_and_the_obstacle(
    one: dict, other: dict, obstacle: str
) -> None:
    seen = world(*GROUND, service("beta", **other), service("alpha", **one))

    assert vips(seen, "alpha") == [VIP]
    assert vips(seen, "beta") == []
    assert named(seen, "beta").refusal is Refusal.VIP_TAKEN
    assert found(seen) == [
        "error: Service default/beta: 192.0.2.5 is held by Service default/alpha (a.yaml): "
        f"{obstacle}"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"ports": HTTP}, {"ports": HTTPS}, id="other_ports"),
        pytest.param(
            {"ports": HTTP}, {"ports": [{"port": 80, "protocol": "UDP"}]}, id="another_protocol"
        ),
        pytest.param(
            {"ports": HTTP, "externalTrafficPolicy": "Local", "selector": {"a": "b", "c": "d"}},
            {"ports": HTTPS, "externalTrafficPolicy": "Local", "selector": {"c": "d", "a": "b"}},
            id="local_with_one_backend",
        ),
        pytest.param(
            {"ports": HTTP, "selector": {"a": "b"}},
            {"ports": HTTPS, "selector": {"a": "c"}},
            id="cluster_with_other_backends",
        ),
    ],
)
def test_services_with_a_common_key_share_a_vip(one: dict, other: dict) -> None:
    old = {"metallb.universe.tf/allow-shared-ip": "key"}

    seen = world(*GROUND, service("a", notes=SHARED, **one), service("b", notes=old, **other))

    assert vips(seen, "a") == vips(seen, "b") == [VIP]
    assert not [finding for finding in seen.findings if finding.severity is Severity.ERROR]


def test_a_sharer_must_get_on_with_all_the_others() -> None:
    a = service("a", notes=SHARED, ports=HTTP)
    b = service("b", notes=SHARED, ports=HTTPS)
    c = service("c", notes=SHARED, ports=HTTP)

    seen = world(*GROUND, a, b, c)

    assert [name for name in "abc" if vips(seen, name)] == ["a", "b"]
    assert "held by Service default/a" in named(seen, "c").refusal_text


def test_the_older_service_keeps_a_disputed_vip() -> None:
    seen = world(
        *GROUND,
        service("alpha"),
        service("beta", created="2024-05-01T00:00:00Z"),
        service("gamma", created="2023-05-01T00:00:00Z"),
    )

    assert [name for name in ("alpha", "beta", "gamma") if vips(seen, name)] == ["gamma"]


@given(st.permutations(["alpha", "beta", "gamma", "delta"]), st.integers(1, 3))
def test_the_order_of_files_never_decides_who_has_a_vip(names: list[str], count: int) -> None:
    texts = [service(name, f"192.0.2.{1 + ord(name[0]) % count}") for name in names]

    seen = world(*GROUND, *texts)

    assert seen.services == world(*GROUND, *sorted(texts)).services
    held = [vip for one in seen.services.values() for vip in one.vips]
    assert len(held) == len(set(held))
