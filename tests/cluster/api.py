"""Objects created in a dry run, each with the API server's verdict: a few milliseconds each."""

import json
import ssl
from http import HTTPStatus
from http.client import HTTPSConnection
from types import TracebackType
from typing import Any

from stentor.lab.control_plane import ControlPlane

_WITHIN_S = 30.0


class DryRun:
    """One connection of an administrator; nothing that is created through it stays."""

    def __init__(self, plane: ControlPlane) -> None:
        """Read the certificates of `plane`."""
        at = plane.directory
        context = ssl.create_default_context(cafile=str(at / "ca.crt"))
        context.load_cert_chain(at / "admin.crt", at / "admin.key")
        self._connection = HTTPSConnection(
            "127.0.0.1", plane.port, context=context, timeout=_WITHIN_S
        )

    def __enter__(self) -> "DryRun":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def refusal(self, raw: dict[str, Any], plural: str) -> str:
        """Why the schema refuses an object that is in a namespace, "" when it takes it."""
        path = f"/apis/{raw['apiVersion']}/namespaces/{raw['metadata']['namespace']}/{plural}"
        self._connection.request(
            "POST",
            f"{path}?dryRun=All&fieldValidation=Strict",
            body=json.dumps(raw),
            headers={"Content-Type": "application/json"},
        )
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status == HTTPStatus.CREATED:
            return ""
        refused = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}
        assert response.status in refused, answer
        return str(answer["message"])
