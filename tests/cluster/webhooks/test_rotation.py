"""The certificate under load: renewed by time, deleted and broken by hand, shared by replicas."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.webhooks.certificates import Lifetime, Policy
from controller.webhooks.issue import issue
from tests.cluster.webhooks.rig import NAMESPACE, SECRET, Judged, Replica
from tests.eventually import DEADLINES, eventually

Raw = dict[str, Any]
# Renewed every 4 s, with 11 s to go: enough for a machine with more to do than it can.
SHORT = Lifetime(timedelta(seconds=15), timedelta(seconds=11))


def wait_for_certificates(count: int, *replicas: Replica) -> None:
    """Until each has served so many."""
    for replica in replicas:
        eventually(
            lambda: replica.served,  # noqa: B023 - called before the next turn
            until=lambda served: len(served) >= count,
            within_s=DEADLINES.process_up,
            what="certificates served",
        )


def test_no_request_is_refused_while_certificates_are_renewed(judged: Judged) -> None:
    replica = judged.start(lifetime=SHORT)
    judged.aim(replica)

    with judged.load() as load:
        wait_for_certificates(len(replica.served) + 2, replica)
        before = load.answers
        eventually(lambda: load.answers > before + 10, within_s=DEADLINES.answered)

    assert load.failures == []
    assert {event["reason"] for event in replica.lines.of("certificate_made")[1:]} == {"due"}


def test_no_request_is_refused_when_the_secret_is_deleted_twice(judged: Judged) -> None:
    """As one asks for a new certificate; two replicas answer in turn."""
    replicas = judged.start(), judged.start()
    judged.aim(*replicas)

    with judged.load() as load:
        for count in (2, 3):
            judged.kubectl.good("delete", "secret", SECRET, "-n", NAMESPACE)
            wait_for_certificates(count, *replicas)
        before = load.answers
        eventually(lambda: load.answers > before + 10, within_s=DEADLINES.answered)

    assert load.failures == []
    assert replicas[0].served == replicas[1].served


def test_replicas_that_race_for_the_secret_serve_the_same(judged: Judged) -> None:
    replicas = [judged.start() for _ in range(4)]
    for replica in replicas:
        replica.wait_until_ready()

    made = [event for each in replicas for event in each.lines.of("certificate_made")]
    assert len(made) == 1
    assert {replica.served[-1] for replica in replicas} == {made[0]["certificate"]}


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def expired(data: Raw) -> Raw:
    """A pair that was good a year ago."""
    then = datetime.now(UTC) - timedelta(days=365)
    return {**data, **issue(Policy(("127.0.0.1",)), then).data()}


BREAKS: dict[str, Callable[[Raw], Raw]] = {
    "unreadable": lambda data: {**data, "tls.key": text(b"nothing like a key")},
    "key_mismatch": lambda data: {
        **data,
        "tls.key": text(issue(Policy(("x",)), datetime.now(UTC)).pair.key),
    },
    "untrusted": lambda data: {
        **data,
        "ca.crt": text(issue(Policy(("x",)), datetime.now(UTC)).bundle),
    },
    "not_valid": expired,
    "wrong_names": lambda _: issue(Policy(("elsewhere.example",)), datetime.now(UTC)).data(),
}


@pytest.mark.parametrize("reason", BREAKS)
def test_a_secret_that_was_broken_is_replaced_without_a_request_refused(
    judged: Judged, reason: str
) -> None:
    replica = judged.start()
    judged.aim(replica)
    broken = judged.secret()
    broken["data"] = BREAKS[reason](broken["data"])
    del broken["metadata"]["resourceVersion"]

    with judged.load() as load:
        assert judged.kubectl("replace", "-f", "-", stdin=json.dumps(broken)).code == 0
        wait_for_certificates(2, replica)
        before = load.answers
        eventually(lambda: load.answers > before + 10, within_s=DEADLINES.answered)

    assert load.failures == []
    reasons = [event["reason"] for event in replica.lines.of("certificate_made")]
    assert reasons == ["missing", reason]


def test_a_bundle_that_somebody_overwrites_is_put_right(judged: Judged) -> None:
    """As who applies the configuration from a repository that does not know the CA."""
    replica = judged.start()
    judged.aim(replica)
    name = "metallb-webhook-configuration"
    kind = "validatingwebhookconfiguration"
    bundle = judged.kubectl.get(kind, name)["webhooks"][0]["clientConfig"]["caBundle"]
    patch = '[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]'

    judged.kubectl.good("patch", kind, name, "--type=json", "-p", patch)

    eventually(
        lambda: judged.kubectl.get(kind, name)["webhooks"][0]["clientConfig"].get("caBundle"),
        until=bundle.__eq__,
        within_s=DEADLINES.answered,
        what="caBundle",
    )
    assert replica.lines.of("authorities_injected")
