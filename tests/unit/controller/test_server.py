"""Whatever is sent to the webhooks, the answer is clear."""

import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from prometheus_client import CollectorRegistry

from controller.webhooks.admission import Admission
from controller.webhooks.existing import Existing
from controller.webhooks.server import MAX_BODY_BYTES, PATHS, WebhookServer
from crds.base import Raw
from stentor.logging import Level, Log
from tests.log_lines import Lines

POOLS = "/validate-metallb-io-v1beta1-ipaddresspool"
NAMESPACE = "metallb-system"
Client = TestClient[Request, Application]


@attrs.define
class Fixed:
    """Neighbours that are always the same."""

    found: Existing = attrs.field(factory=Existing)

    async def beside(self, _: Raw) -> Existing:
        return self.found


@attrs.define(eq=False)
class Running:
    """A server without TLS, which the cluster tests have, and what it writes down."""

    client: Client
    neighbours: Fixed
    lines: Lines
    registry: CollectorRegistry
    obstacles: list[str]

    async def post(self, path: str, body: Any, content_type: str = "application/json") -> Any:
        """Send something; returns status and text or JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type}
        async with self.client.post(path, data=data, headers=headers) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    lines, registry, neighbours = Lines(), CollectorRegistry(), Fixed()
    obstacles = [""]
    server = WebhookServer(
        Admission(NAMESPACE),
        neighbours,
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        Log(lines, lambda: 0.0, Level.INFO),
        lambda: obstacles[0],
        registry,
    )
    async with TestClient(TestServer(server.application())) as client:
        yield Running(client, neighbours, lines, registry, obstacles)


def pool(name: str = "a", entry: str = "192.0.2.0/24", **metadata: Any) -> Raw:
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
        "spec": {"addresses": [entry]},
    }


def review(raw: Raw | None, operation: str = "CREATE", **request: Any) -> Raw:
    asked = {"uid": "u1", "operation": operation, "object": raw, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


async def test_a_good_object_is_allowed(running: Running) -> None:
    status, answer = await running.post(POOLS, review(pool()))

    assert status == 200
    assert answer["response"] == {"uid": "u1", "allowed": True}
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")


async def test_a_bad_object_is_refused_with_the_reason_which_the_log_has_too(
    running: Running,
) -> None:
    _, answer = await running.post(POOLS, review(pool(entry="192.0.2.9-192.0.2.1")))

    [event] = running.lines.of("object_refused")
    assert answer["response"]["allowed"] is False
    assert answer["response"]["status"]["code"] == 403
    assert "spec.addresses[0]" in answer["response"]["status"]["message"]
    assert event["reasons"] == answer["response"]["status"]["message"].split("\n")
    assert (event["object"], event["operation"]) == (f"IPAddressPool {NAMESPACE}/a", "CREATE")
    assert (
        running.registry.get_sample_value(
            "stentor_webhook_reviews_total", {"path": POOLS, "result": "refused"}
        )
        == 1.0
    )


async def test_an_object_that_is_stored_and_wrong_is_named_but_stops_nobody(
    running: Running,
) -> None:
    running.neighbours.found = Existing((pool("b", "198.51.100.0/33"),))

    _, answer = await running.post(POOLS, review(pool()))

    assert answer["response"]["allowed"] is True
    [warning] = answer["response"]["warnings"]
    assert warning.startswith(f"stored before: IPAddressPool {NAMESPACE}/b: spec.addresses[0]")


async def test_what_cannot_be_read_is_told_and_stops_nobody(running: Running) -> None:
    running.neighbours.found = Existing(unread=("not compared with any Node",))

    _, answer = await running.post(POOLS, review(pool()))

    assert answer["response"]["warnings"] == ["not compared with any Node"]


async def test_an_object_on_its_way_out_can_be_let_go(running: Running) -> None:
    """Its finalizers are taken off by an update."""
    leaving = pool(entry="nonsense", deletionTimestamp="2026-01-01T00:00:00Z")

    _, answer = await running.post(POOLS, review(leaving, "UPDATE"))

    assert answer["response"]["allowed"] is True


async def test_a_profile_to_be_deleted_is_the_old_object(running: Running) -> None:
    profile = {**pool("fast"), "kind": "BFDProfile", "spec": {}}
    peer = {**pool("p"), "kind": "BGPPeer", "spec": {"bfdProfile": "fast"}}
    running.neighbours.found = Existing((peer,))

    path = "/validate-metallb-io-v1beta1-bfdprofile"
    _, answer = await running.post(path, review(None, "DELETE", oldObject=profile))

    assert answer["response"]["status"]["message"] == "BFDProfile fast is used by BGPPeer p"


@pytest.mark.parametrize(
    ("path", "body", "status", "part"),
    [
        (POOLS, b"", 400, "no AdmissionReview: "),
        (POOLS, b"{", 400, "no AdmissionReview: "),
        (POOLS, b"[]", 400, "Expected `object`, got `array`"),
        (POOLS, b"\xff\xfe", 400, "no AdmissionReview: "),
        (POOLS, b"[" * 100_000, 400, "no AdmissionReview: "),
        (POOLS, {}, 400, "no kind, need AdmissionReview"),
        (POOLS, {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}, 400,
         "AdmissionReview admission.k8s.io/v1beta1, need Admission"),
        (POOLS, review(pool(), "CONNECT"), 400, "$.request.operation"),
        (POOLS, review(None), 400, "request.object is null"),
        (POOLS, review(None, "DELETE"), 400, "request.oldObject is null"),
        (POOLS, b"x" * (MAX_BODY_BYTES + 1), 413, "longer than 16777216"),
        ("/validate", {}, 404, "there is no /validate"),
        ("/healthz", {}, 405, "POST, need GET or HEAD"),
        ("/convert", review(pool()), 400, "need ConversionReview"),
    ],
)  # fmt: skip
async def test_what_is_no_review_gets_one_line_that_says_why(
    running: Running, path: str, body: Any, status: int, part: str
) -> None:
    found, answer = await running.post(path, body)

    assert (found, part in answer) == (status, True), answer
    assert answer.count("\n") == 1
    assert "Traceback" not in answer
    [event] = running.lines.of("request_refused")
    assert (event["path"], event["status"]) == (path, status)


async def test_another_content_type_is_refused_by_its_name(running: Running) -> None:
    status, answer = await running.post(POOLS, review(pool()), "text/plain")

    assert (status, answer) == (415, "Content-Type text/plain, need application/json\n")


async def test_an_object_of_another_kind_than_the_path_is_refused(running: Running) -> None:
    _, answer = await running.post("/validate-metallb-io-v1beta1-community", review(pool()))

    assert answer["response"]["status"]["message"] == "IPAddressPool, this path is for Community"


async def test_a_bug_fails_one_request_and_shows_no_traceback(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Raw) -> Existing:
        raise ZeroDivisionError

    monkeypatch.setattr(Fixed, "beside", lambda _, raw: broken(raw))

    status, answer = await running.post(POOLS, review(pool()))

    assert (status, answer) == (500, "a bug in the webhook; its log says more\n")
    assert running.lines.of("webhook_failed")[0]["error"] == "ZeroDivisionError()"


async def test_it_is_ready_when_nothing_is_in_the_way(running: Running) -> None:
    for obstacle, status in (("no certificate yet", 503), ("", 200)):
        running.obstacles[0] = obstacle
        async with running.client.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (status, f"{obstacle or 'ok'}\n")
    async with running.client.get("/healthz") as answer:
        assert answer.status == 200


def test_every_path_is_metallbs() -> None:
    assert all(path.endswith(kind.lower()) for path, kind in PATHS.items())
