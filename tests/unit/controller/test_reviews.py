"""Reviews as the API server sends them, and BGPPeers in one version and the other."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.webhooks.admission import Review
from controller.webhooks.reviews import (
    MOST_WARNINGS,
    BadReviewError,
    ConversionRequest,
    admission_answer,
    admission_request,
    conversion_answer,
    conversion_request,
)
from crds.bgp_peer_v1beta1 import V1BETA1, V1BETA2

Raw = dict[str, Any]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def peer(version: str, **spec: Any) -> Raw:
    spec = {"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1", **spec}
    return {"apiVersion": version, "kind": "BGPPeer", "metadata": {"name": "p"}, "spec": spec}


def converted(desired: str, *raws: Any) -> Raw:
    answer = conversion_answer(ConversionRequest("u1", desired, list(raws)))
    assert answer["response"]["uid"] == "u1"
    response: Raw = answer["response"]
    return response


def test_peers_come_in_the_version_that_is_asked_for_in_their_order() -> None:
    old, new = peer(V1BETA1), peer(V1BETA2, vrf="red", holdTime="90s")

    response = converted(V1BETA1, new, old)

    assert response["result"] == {"status": "Success"}
    assert [each["apiVersion"] for each in response["convertedObjects"]] == [V1BETA1, V1BETA1]
    assert response["convertedObjects"][0]["spec"] == peer(V1BETA1, holdTime="90s")["spec"]


@pytest.mark.parametrize(
    ("desired", "raw", "message"),
    [
        (V1BETA2, {**peer(V1BETA1), "kind": "Community"}, "Community p: only BGPPeer is converted"),
        ("metallb.io/v2", peer(V1BETA1), "BGPPeer p: desiredAPIVersion 'metallb.io/v2', need"),
        (V1BETA2, peer("metallb.io/v9"), "BGPPeer p: apiVersion 'metallb.io/v9', need"),
    ],
)
def test_what_cannot_be_converted_fails_the_review_and_is_named(
    desired: str, raw: Raw, message: str
) -> None:
    response = converted(desired, peer(V1BETA1), raw)

    assert response["convertedObjects"] == []
    assert response["result"]["status"] == "Failure"
    assert response["result"]["message"].startswith(message)


@given(objects=st.lists(st.dictionaries(st.text(max_size=8), JSON), max_size=3), desired=st.text())
def test_any_objects_end_in_an_answer(objects: list[Raw], desired: str) -> None:
    assert converted(desired, *objects)["result"]["status"] in {"Success", "Failure"}


@given(spec=JSON, metadata=JSON, desired=st.sampled_from([V1BETA1, V1BETA2]))
def test_whatever_a_peer_says_it_is_converted(spec: Any, metadata: Any, desired: str) -> None:
    """Stored objects may be older than every rule; to read them must not fail."""
    raw = {"apiVersion": V1BETA2, "kind": "BGPPeer", "metadata": metadata, "spec": spec}

    response = converted(desired, raw)

    assert response["result"]["status"] == "Success"
    assert response["convertedObjects"][0]["metadata"] == metadata


@given(body=st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_any_bytes_are_a_review_or_told_what_they_are_not(body: bytes) -> None:
    for read in (admission_request, conversion_request):
        with pytest.raises(BadReviewError, match=r"need|no (Admission|Conversion)Review"):
            read(body)


@given(request=JSON)
def test_any_request_is_read_or_refused(request: Any) -> None:
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    with pytest.raises(BadReviewError):
        admission_request(msgspec.json.encode(body))


def test_warnings_are_few_enough_to_be_read() -> None:
    many = tuple(f"w{number}" for number in range(MOST_WARNINGS + 5))

    answer = admission_answer("u1", Review(warnings=many))

    assert answer["response"]["warnings"] == [*many[:MOST_WARNINGS], "and 5 more"]
