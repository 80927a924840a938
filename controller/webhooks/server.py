"""
The webhooks as HTTPS: what is asked is read, judged or converted, and answered.

Whatever comes, the answer is a review or one line of text that says what is wrong with the request.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import attrs
import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from controller.webhooks.admission import Admission, Operation, Review
from controller.webhooks.existing import Neighbours
from controller.webhooks.reviews import (
    AdmissionRequest,
    BadReviewError,
    admission_answer,
    admission_request,
    conversion_answer,
    conversion_request,
)
from crds.base import Raw
from crds.generate.manifest import CONVERSION_PATH
from crds.rules.objects import subject_of
from stentor.logging import Log

# path -> kind, with MetalLB's paths; AddressPool is from before its 0.13
PATHS: Final = MappingProxyType(
    {
        "/validate-metallb-io-v1beta1-addresspool": "AddressPool",
        "/validate-metallb-io-v1beta1-bfdprofile": "BFDProfile",
        "/validate-metallb-io-v1beta1-bgpadvertisement": "BGPAdvertisement",
        "/validate-metallb-io-v1beta2-bgppeer": "BGPPeer",
        "/validate-metallb-io-v1beta1-community": "Community",
        "/validate-metallb-io-v1beta1-ipaddresspool": "IPAddressPool",
        "/validate-metallb-io-v1beta1-l2advertisement": "L2Advertisement",
    }
)
# A conversion brings a whole list at once: 5,000 peers of 2 kB, and room.
MAX_BODY_BYTES: Final = 16 * 2**20
FINISH_WITHIN_S: Final = 5.0  # answers under way when we are told to stop
JSON: Final = "application/json"
Obstacle = Callable[[], str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.define(eq=False)
class WebhookServer:
    """
    Answers the API server on `host` and `port`.

    `obstacle` says what keeps us from our work, "" when nothing: /readyz.
    """

    admission: Admission
    neighbours: Neighbours
    context: ssl.SSLContext
    log: Log
    obstacle: Obstacle
    registry: CollectorRegistry
    _reviews: Counter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reviews = Counter(
            "stentor_webhook_reviews",
            "Answers of the webhooks",
            ("path", "result"),  # result: allowed, refused, converted, not_converted, bad_request
            registry=self.registry,
        )

    async def start(self, host: str | None, port: int) -> web.AppRunner:
        """Listen; raises OSError when the port is taken. The caller cleans the runner up."""
        runner = web.AppRunner(
            self.application(), access_log=None, shutdown_timeout=FINISH_WITHIN_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=self.context).start()
        except OSError:
            await runner.cleanup()
            raise
        return runner

    def application(self) -> web.Application:
        """All paths, for the server and for tests without one."""
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._plainly])
        for path in PATHS:
            application.router.add_post(path, self._validate)
        application.router.add_post(CONVERSION_PATH, self._convert)
        application.router.add_get("/healthz", self._healthy)
        application.router.add_get("/readyz", self._ready)
        return application

    @web.middleware
    async def _plainly(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer every fault with one line of text, and write it down."""
        try:
            return await handler(request)
        except web.HTTPException as exc:
            status, text = HTTPStatus(exc.status), _said(request, exc)
        except BadReviewError as exc:
            status, text = HTTPStatus.BAD_REQUEST, str(exc)
        except (ConnectionError, asyncio.CancelledError):
            raise  # whoever asked is gone, or we are to end
        except Exception as exc:  # a bug of ours: one request fails, not the server
            self.log.error("webhook_failed", path=request.path, error=repr(exc))
            return web.Response(status=500, text="a bug in the webhook; its log says more\n")
        self.log.warn("request_refused", path=request.path, status=int(status), message=text)
        if request.path in PATHS or request.path == CONVERSION_PATH:
            self._reviews.labels(request.path, "bad_request").inc()
        return web.Response(status=status, text=f"{text}\n")

    async def _validate(self, request: web.Request) -> web.Response:
        asked = admission_request(await _body(request))
        raw = asked.subject
        review = await self._judge(asked, raw, PATHS[request.path])
        self._reviews.labels(request.path, "allowed" if review.is_allowed else "refused").inc()
        if not review.is_allowed:
            self.log.info(
                "object_refused",
                operation=asked.operation,
                object=str(subject_of(raw)),
                dry_run=bool(asked.dry_run),
                reasons=list(review.refusals),
            )
        return _json(admission_answer(asked.uid, review))

    async def _judge(self, asked: AdmissionRequest, raw: Raw, kind: str) -> Review:
        if raw.get("kind") != kind:
            return Review((f"{raw.get('kind') or 'no kind'}, this path is for {kind}",))
        if raw.get("metadata", {}).get("deletionTimestamp") and asked.operation is Operation.UPDATE:
            return Review()  # on its way out: to refuse would keep what finalizers wait to remove
        existing = await self.neighbours.beside(raw)
        # In a thread: a thousand pools take a while, and others ask meanwhile.
        review = await asyncio.to_thread(
            self.admission.review, asked.operation, raw, existing.objects
        )
        return attrs.evolve(review, warnings=(*existing.unread, *review.warnings))

    async def _convert(self, request: web.Request) -> web.Response:
        asked = conversion_request(await _body(request))
        answer = conversion_answer(asked)
        result = answer["response"]["result"]
        is_done = result["status"] == "Success"
        self._reviews.labels(request.path, "converted" if is_done else "not_converted").inc()
        if not is_done:
            self.log.warn("conversion_refused", message=result["message"])
        return _json(answer)

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        obstacle = self.obstacle()
        return web.Response(status=503 if obstacle else 200, text=f"{obstacle or 'ok'}\n")


async def _body(request: web.Request) -> bytes:
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType(text=f"Content-Type {request.content_type}, need {JSON}")
    return await request.read()


def _json(answer: Raw) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type=JSON)


def _said(request: web.Request, exc: web.HTTPException) -> str:
    match exc:
        case web.HTTPNotFound():
            return f"there is no {request.path}"
        case web.HTTPMethodNotAllowed():
            return f"{exc.method}, need {' or '.join(sorted(exc.allowed_methods))}"
        case web.HTTPRequestEntityTooLarge():
            return f"the body is longer than {MAX_BODY_BYTES} bytes"
        case _:
            return exc.text or exc.reason
