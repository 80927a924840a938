"""
Keep the webhooks' certificate: the Secret, the CAs that the API server trusts, what is served.

    Secret --plan--> made anew, if need be --> CAs into the configurations --trusted?--> served

Each step reads the world and goes as far as it may, so that any number of replicas do the same at
once: the Secret and the configurations are replaced by version, and the loser reads the winner's.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Final

import attrs
from cryptography import x509

from controller.webhooks.certificates import (
    Nothing,
    Pair,
    Policy,
    Renew,
    Stored,
    Trust,
    fingerprint_of,
    plan,
)
from controller.webhooks.injection import (
    CONFIGURATION_NAME,
    DEFINITION_NAME,
    bundles_of,
    ours_in,
    with_bundle,
)
from controller.webhooks.issue import issue
from controller.webhooks.trust import Trusted, Waits, may_serve
from crds.base import Raw
from stentor.cluster.api import Api
from stentor.cluster.errors import ApiError
from stentor.cluster.reflector import BackOff, Collection, Reflector
from stentor.logging import Log

LONGEST_SLEEP_S: Final = 3600.0  # wall clocks jump, and certificates end by them
_AGAIN_S: Final = 0.05  # after somebody else was faster
_OWNER: Final = [("fieldManager", "stentor-controller")]
_CONFIGURATIONS: Final = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@attrs.frozen
class Place:
    """Where one object is that we keep right."""

    collection: str
    api_version: str
    kind: str
    name: str

    @property
    def path(self) -> str:
        """Of the object itself."""
        return f"{self.collection}/{self.name}"

    def reflected(self) -> Collection:
        """The object alone, to be watched."""
        query = [("fieldSelector", f"metadata.name={self.name}")]
        return Collection(self.collection, self.api_version, self.kind, query)


CONFIGURATION: Final = Place(
    _CONFIGURATIONS,
    "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration",
    CONFIGURATION_NAME,
)
DEFINITION: Final = Place(
    _DEFINITIONS, "apiextensions.k8s.io/v1", "CustomResourceDefinition", DEFINITION_NAME
)


def secret_place(namespace: str, name: str) -> Place:
    """Of the Secret with the certificate."""
    return Place(f"/api/v1/namespaces/{namespace}/secrets", "v1", "Secret", name)


@attrs.define(eq=False)
class Keeper:
    """
    Calls `serve` with each pair that is to be served from then on.

    `wall` is the time that certificates go by, `monotonic` (seconds) the one that waits go by.
    """

    api: Api
    secret: Place
    policy: Policy
    serve: Callable[[Pair], None]
    log: Log
    rng: Random
    wall: Callable[[], datetime]
    monotonic: Callable[[], float]
    waits: Waits = attrs.field(factory=Waits)
    held: Pair | None = None
    trusted: Trusted = attrs.field(factory=Trusted)
    waiting_for: str = "the API server to be read"
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)
    _known: dict[str, float] = attrs.field(factory=dict)  # fingerprint -> first seen, monotonic
    _remembered: tuple[x509.Certificate, ...] = ()
    _seen: dict[Place, Reflector] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._seen = {
            place: Reflector(self.api, place.reflected(), self._changed, self.log, self.rng)
            for place in (self.secret, CONFIGURATION, DEFINITION)
        }

    @property
    def obstacle(self) -> str:
        """What keeps us from serving, "" when nothing."""
        if self.held is None:
            return f"no certificate yet, waiting for {self.waiting_for}"
        if not self.held.is_valid(self.wall()):
            return f"the certificate ended at {self.held.expires:%Y-%m-%dT%H:%M:%SZ}"
        return ""

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._seen.values():
                group.create_task(reflector.run())
            group.create_task(self._keep())

    async def _keep(self) -> None:
        back_off = BackOff(self.rng)
        while True:
            self._changed.clear()
            try:
                sleep_s, problems = await self._step()
            except ApiError as exc:
                sleep_s, problems = LONGEST_SLEEP_S, [exc]
            if not problems:
                back_off.reset()
            elif all(problem.is_conflict for problem in problems):
                sleep_s = _AGAIN_S
            else:
                sleep_s = min(sleep_s, back_off.next_s())
                for problem in problems:
                    self.log.warn(
                        "certificate_not_kept", message=str(problem), again_in_s=round(sleep_s, 2)
                    )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sleep_s):
                    await self._changed.wait()

    async def _step(self) -> tuple[float, list[ApiError]]:
        """
        Go as far as the world allows.

        Returns after how many seconds to look again, and what stood in the way of trust.
        """
        problems: list[ApiError] = []
        if not all(reflector.is_synced for reflector in self._seen.values()):
            return LONGEST_SLEEP_S, problems
        stored = await self._kept_secret(problems)
        self._remembered = stored.authorities
        for place in (CONFIGURATION, DEFINITION):
            try:
                await self._inject(place, stored)
            except ApiError as exc:  # one that is refused keeps neither the other nor the rest
                problems.append(exc)
        self._look_at_trust()
        wait_s = self._adopt(stored.pair)
        due = stored.pair.expires - self.policy.lifetime.renew_before
        due_s = (due - self.wall()).total_seconds()
        return min(LONGEST_SLEEP_S, max(due_s, 0.0) + _AGAIN_S, wait_s), problems

    # --- the Secret

    async def _kept_secret(self, problems: list[ApiError]) -> Stored:
        """
        What the Secret holds, made anew where it must. ApiError 409: somebody was faster.

        One that is due and cannot be written is served until it ends, also by who has just started.
        """
        decided = self._plan(self._copy_of(self.secret))
        if isinstance(decided, Nothing):
            return decided.stored
        # The copy may be behind what another replica, or we, have just written.
        raw = await self._fresh(self.secret)
        decided = self._plan(raw)
        if isinstance(decided, Nothing):
            return decided.stored
        if isinstance(decided, Trust):
            await self._write_secret(raw, decided.stored)
            self.log.info("authority_kept", secret=self.secret.name)
            return decided.stored
        stored = issue(self.policy, self.wall(), decided.keep)
        try:
            await self._write_secret(raw, stored)
        except ApiError as exc:
            if exc.is_conflict or decided.meanwhile is None:
                raise
            problems.append(exc)
            return decided.meanwhile
        self._tell_made(decided, stored)
        return stored

    def _plan(self, raw: Raw | None) -> Nothing | Renew | Trust:
        data = None if raw is None else raw.get("data")
        configurations = filter(None, map(self._copy_of, (CONFIGURATION, DEFINITION)))
        trusted = [each for seen in configurations for each in ours_in(seen)]
        return plan(data, self.policy, self.wall(), self.held, (*self._remembered, *trusted))

    async def _write_secret(self, raw: Raw | None, stored: Stored) -> None:
        if raw is not None:
            await self.api.replace(self.secret.path, {**raw, "data": stored.data()}, _OWNER)
            return
        fresh = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.secret.name},
            "type": "Opaque",
            "data": stored.data(),
        }
        await self.api.create(self.secret.collection, fresh, _OWNER)

    def _tell_made(self, made: Renew, stored: Stored) -> None:
        tell = self.log.info if made.reason in {"missing", "due"} else self.log.warn
        tell(
            "certificate_made",
            reason=made.reason,
            detail=made.detail,
            secret=self.secret.name,
            certificate=fingerprint_of(stored.pair.certificate),
            expires=f"{stored.pair.expires:%Y-%m-%dT%H:%M:%SZ}",
            authorities=len(stored.authorities),
        )

    # --- who trusts it

    async def _inject(self, place: Place, stored: Stored) -> None:
        seen = self._copy_of(place)
        if seen is None or with_bundle(seen, stored.bundle) is None:
            return None
        # Not by a copy of the Secret that is behind: that would take away a CA that is in use.
        fresh = self._plan(await self._fresh(self.secret))
        trusted = fresh.meanwhile if isinstance(fresh, Renew) else fresh.stored
        raw = await self._fresh(place)
        if trusted is None or isinstance(fresh, Trust) or raw is None:
            return self._changed.set()
        changed = with_bundle(raw, trusted.bundle)
        if changed is None:
            return None
        await self.api.replace(place.path, changed, _OWNER)
        self.log.info(
            "authorities_injected",
            kind=place.kind,
            name=place.name,
            authorities=len(trusted.authorities),
        )
        return None

    def _look_at_trust(self) -> None:
        copies = [self._copy_of(place) for place in (CONFIGURATION, DEFINITION)]
        bundles = [bundle for raw in copies if raw is not None for bundle in bundles_of(raw)]
        self.trusted = self.trusted.updated(bundles, self.monotonic())

    # --- what is served

    def _adopt(self, pair: Pair) -> float:
        """Serve the Secret's pair if it may be; else returns after how long to ask again."""
        if self.held is not None and self.held.certificate == pair.certificate:
            return LONGEST_SLEEP_S
        now = self.monotonic()
        name = fingerprint_of(pair.certificate)
        self._known = {name: self._known.get(name, now)}
        wait = may_serve(
            pair,
            self.held,
            self.trusted,
            self.waits,
            known_since=self._known[name],
            now=now,
            wall=self.wall(),
        )
        if wait is not None:
            self.waiting_for = wait.until
            return wait.for_s
        self.serve(pair)
        self.held = pair
        self.log.info(
            "certificate_served", certificate=name, expires=f"{pair.expires:%Y-%m-%dT%H:%M:%SZ}"
        )
        return LONGEST_SLEEP_S

    # --- reading

    def _copy_of(self, place: Place) -> Raw | None:
        return next(iter(self._seen[place].objects.values()), None)

    async def _fresh(self, place: Place) -> Raw | None:
        try:
            return await self.api.get(place.path)
        except ApiError as exc:
            if exc.is_missing:
                return None
            raise
