"""
What the API server sends, and what it is answered: admission.k8s.io/v1 and apiextensions.k8s.io/v1.

Pure: bytes and objects in, objects out.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from controller.webhooks.admission import Operation, Review
from crds.base import Raw
from crds.bgp_peer_v1beta1 import V1BETA1, V1BETA2, down, up

ADMISSION: Final = "admission.k8s.io/v1"
CONVERSION: Final = "apiextensions.k8s.io/v1"
# The API server cuts a warning at 256 octets where all together are over 4 KiB.
MOST_WARNINGS: Final = 10


class BadReviewError(ValueError):
    """A body that is no review of a version that we speak; the text says what is wrong."""


class AdmissionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of an AdmissionRequest."""

    uid: str
    operation: Operation
    name: str = ""
    namespace: str = ""
    object: Raw | None = None
    old_object: Raw | None = None
    dry_run: bool | None = False

    @property
    def subject(self) -> Raw:
        """The object that is judged: the one to go, where it is to go."""
        found = self.old_object if self.operation is Operation.DELETE else self.object
        raw = found or {}
        metadata = raw.get("metadata")
        named = metadata if isinstance(metadata, dict) else {}
        whole = {"name": self.name, "namespace": self.namespace, **named}
        return {**raw, "metadata": {key: text for key, text in whole.items() if text}}


class ConversionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """A ConversionRequest."""

    uid: str
    desired_api_version: str = msgspec.field(name="desiredAPIVersion")
    objects: list[Raw]


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""


class _AdmissionReview(msgspec.Struct, frozen=True):
    request: AdmissionRequest


class _ConversionReview(msgspec.Struct, frozen=True):
    request: ConversionRequest


T = TypeVar("T", _AdmissionReview, _ConversionReview)


def admission_request(body: bytes) -> AdmissionRequest:
    """Read an AdmissionReview; raises BadReviewError."""
    request = _decode(body, _AdmissionReview, "AdmissionReview", ADMISSION).request
    if request.operation is not Operation.DELETE and request.object is None:
        raise BadReviewError(f"request.object is null, need the object of the {request.operation}")
    if request.operation is Operation.DELETE and request.old_object is None:
        raise BadReviewError("request.oldObject is null, need the object of the DELETE")
    return request


def conversion_request(body: bytes) -> ConversionRequest:
    """Read a ConversionReview; raises BadReviewError."""
    return _decode(body, _ConversionReview, "ConversionReview", CONVERSION).request


def _decode(body: bytes, shape: type[T], kind: str, version: str) -> T:
    try:
        head = msgspec.json.decode(body, type=_Head)
        if (head.kind, head.api_version) != (kind, version):
            found = " ".join(filter(None, (head.kind, head.api_version))) or "no kind"
            raise BadReviewError(f"{found}, need {kind} {version}")
        return msgspec.json.decode(body, type=shape)
    except msgspec.MsgspecError as exc:
        raise BadReviewError(f"no {kind}: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise BadReviewError(f"no {kind}: not UTF-8: {exc}") from exc
    except RecursionError as exc:
        raise BadReviewError(f"no {kind}: nested too deeply") from exc


def admission_answer(uid: str, review: Review) -> Raw:
    """An AdmissionReview that carries `review`; refusals stand one a line."""
    response: Raw = {"uid": uid, "allowed": review.is_allowed}
    if not review.is_allowed:
        response["status"] = {
            "code": int(HTTPStatus.FORBIDDEN),
            "message": "\n".join(review.refusals),
        }
    if review.warnings:
        response["warnings"] = _few(review.warnings)
    return {"apiVersion": ADMISSION, "kind": "AdmissionReview", "response": response}


def _few(warnings: Sequence[str]) -> list[str]:
    left = len(warnings) - MOST_WARNINGS
    return [*warnings[:MOST_WARNINGS], *([f"and {left} more"] if left > 0 else [])]


def conversion_answer(request: ConversionRequest) -> Raw:
    """
    A ConversionReview with every object in the version that is asked for.

    One that cannot be converted fails the whole review, as the API server wants it; the message
    names it.
    """
    converted: list[Raw] = []
    problem = ""
    for raw in request.objects:
        changed = _converted(raw, request.desired_api_version)
        if isinstance(changed, str):
            problem = changed
            break
        converted.append(changed)
    result: Raw = {"status": "Success"}
    if problem:
        converted, result = [], {"status": "Failure", "message": problem}
    response = {"uid": request.uid, "convertedObjects": converted, "result": result}
    return {"apiVersion": CONVERSION, "kind": "ConversionReview", "response": response}


def _converted(raw: Raw, desired: str) -> Raw | str:
    """The object in the version that is desired, or what stands in the way."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    metadata: Any = raw.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    if kind != "BGPPeer":
        return f"{kind} {name}: only BGPPeer is converted"
    for what, text in (("apiVersion", version), ("desiredAPIVersion", desired)):
        if text not in {V1BETA1, V1BETA2}:
            return f"BGPPeer {name}: {what} {text!r}, need {V1BETA1} or {V1BETA2}"
    if version == desired:
        return raw
    return up(raw) if desired == V1BETA2 else down(raw)
