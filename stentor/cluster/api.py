"""
Requests to the API server: raw objects in and out.

Configuration, authentication, TLS and transport are the kubernetes package's; its typed models are
not used, since decoding into them costs ten times as much as these dictionaries.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import msgspec
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from stentor.cluster.errors import ApiError, KubeconfigError

Raw = dict[str, Any]
Query = Sequence[tuple[str, str]]

PAGE: Final = 500  # objects of a list at once, client-go's choice
REQUEST_WITHIN_S: Final = 10.0
CONNECT_WITHIN_S: Final = 5.0
# Bookmarks come once a minute: a stream that is silent for longer is dead, whatever TCP thinks.
SILENCE_S: Final = 130.0
JSON: Final = "application/json"
# What is asked for where only name and labels matter: a Node is 10 kB, its metadata 1 kB.
_METADATA: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
_TEXT_LIMIT: Final = 500  # of an answer that is no Status, in a message
_NO_ANSWER: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


async def load(kubeconfig: str) -> Configuration:
    """
    Say how to reach the API server: by a kubeconfig file, or "" as a pod of the cluster does.

    Raises KubeconfigError that names the file or says what is missing.
    """
    configuration = Configuration()
    # What we do not get an answer to is asked again by who knows why it was asked.
    configuration.retries = 1
    try:
        if not kubeconfig:
            load_incluster_config(client_configuration=configuration)
        elif not await asyncio.to_thread(_is_there, kubeconfig):
            raise ConfigException("there is no such file")
        else:
            await load_kube_config(kubeconfig, client_configuration=configuration)
    except ConfigException as exc:
        where = f"--kubeconfig {kubeconfig}" if kubeconfig else "not in a pod, and no --kubeconfig"
        raise KubeconfigError(f"{where}: {exc}") from exc
    except Exception as exc:  # the loader lets YAML's, base64's and OpenSSL's errors through
        raise KubeconfigError(f"--kubeconfig {kubeconfig}: not a kubeconfig: {exc}") from exc
    return configuration


def _is_there(kubeconfig: str) -> bool:
    """Whether any of the files is; there may be several, as in PATH."""
    return any(Path(part).is_file() for part in kubeconfig.split(os.pathsep))


@asynccontextmanager
async def connect(kubeconfig: str) -> AsyncIterator["Api"]:
    """Give an Api while the context lasts; nothing is sent yet. Raises KubeconfigError."""
    configuration = await load(kubeconfig)
    try:
        client = ApiClient(configuration)
    except OSError as exc:  # certificates that cannot be read, SSLError included
        raise KubeconfigError(f"certificates of {configuration.host}: {exc}") from exc
    async with client:
        yield Api(client)


@attrs.frozen(eq=False)
class Api:
    """One API server. Every method raises ApiError, and nothing else, when it is refused."""

    _client: ApiClient

    async def get(self, path: str) -> Raw:
        """Read an object."""
        return await self._request("GET", path, ())

    async def list(
        self, path: str, query: Query = (), *, only_metadata: bool = False
    ) -> tuple[tuple[Raw, ...], str]:
        """
        Read a whole collection, in pages; returns its objects and the version that they are of.

        `only_metadata`: names and labels; a Node is 10 kB, its metadata 1 kB.

        An expired page (410) is an ApiError as any other: begin again.
        """
        accept = _METADATA.format("List") if only_metadata else JSON
        found: list[Raw] = []
        page: list[tuple[str, str]] = []
        while True:
            whole = [*query, ("limit", str(PAGE)), *page]
            raw = await self._request("GET", path, whole, accept=accept)
            found += raw.get("items") or ()
            metadata = raw.get("metadata") or {}
            if not metadata.get("continue"):
                return tuple(found), str(metadata.get("resourceVersion") or "0")
            page = [("continue", metadata["continue"])]

    async def create(self, path: str, raw: Raw, query: Query = ()) -> Raw:
        """Make an object; `path` is the collection's. 409 when it is there already."""
        return await self._request("POST", path, query, body=raw)

    async def replace(self, path: str, raw: Raw, query: Query = ()) -> Raw:
        """Write an object that was read before; 409 when it has changed since."""
        return await self._request("PUT", path, query, body=raw)

    @asynccontextmanager
    async def lines(
        self, path: str, query: Query, *, only_metadata: bool = False
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch; gives its lines until the server ends it. Lines end within 4 MiB."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_WITHIN_S, sock_read=SILENCE_S
        )
        try:
            accept = _METADATA.format("") if only_metadata else JSON
            response = await self._send("GET", path, query, accept=accept, limits=limits)
            try:
                yield _lines(response, path)
            finally:
                response.close()
        except _NO_ANSWER as exc:
            raise _unanswered(path, exc) from exc

    async def _request(
        self, method: str, path: str, query: Query, *, body: Raw | None = None, accept: str = JSON
    ) -> Raw:
        limits = aiohttp.ClientTimeout(total=REQUEST_WITHIN_S, sock_connect=CONNECT_WITHIN_S)
        try:
            response = await self._send(
                method, path, query, body=body, accept=accept, limits=limits
            )
            async with response:
                raw = msgspec.json.decode(await response.read())
        except _NO_ANSWER as exc:
            raise _unanswered(path, exc) from exc
        except msgspec.DecodeError as exc:
            raise ApiError(path, 0, "", f"the answer is not JSON: {exc}") from exc
        if not isinstance(raw, dict):
            raise ApiError(path, 0, "", f"the answer is {type(raw).__name__}, need an object")
        return raw

    async def _send(
        self,
        method: str,
        path: str,
        query: Query,
        *,
        limits: aiohttp.ClientTimeout,
        body: Raw | None = None,
        accept: str = JSON,
    ) -> aiohttp.ClientResponse:
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": accept, "Content-Type": JSON},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*request, _request_timeout=limits)
        except (ApiException, ConfigException) as exc:  # a token's file that is gone or empty
            raise ApiError(path, 0, "", str(exc)) from exc
        response: aiohttp.ClientResponse = answer.response
        if response.status >= 400:
            async with response:
                raise _refused(path, response.status, await response.read())
        return response


async def _lines(response: aiohttp.ClientResponse, path: str) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await response.content.readline()
        except ValueError as exc:  # longer than the buffer
            raise ApiError(path, 0, "", f"a line of the watch is too long: {exc}") from exc
        if not line:
            return
        yield line


def _refused(path: str, status: int, body: bytes) -> ApiError:
    """Take an answer's metav1.Status apart; what a proxy says instead is told as it is."""
    try:
        raw = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raw = None
    if isinstance(raw, dict) and raw.get("kind") == "Status":
        return ApiError(path, status, str(raw.get("reason", "")), str(raw.get("message", "")))
    return ApiError(path, status, "", body[:_TEXT_LIMIT].decode(errors="replace").strip())


def _unanswered(path: str, exc: BaseException) -> ApiError:
    return ApiError(path, 0, "", f"no answer: {exc or type(exc).__name__}")
