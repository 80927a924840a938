"""
The CAs that clients shall trust, in the objects that tell the API server to call us. Pure.

Those are the ValidatingWebhookConfiguration, a caBundle for each of its webhooks, and the BGPPeer
CustomResourceDefinition, one for its conversion.
"""

import base64
import copy
from collections.abc import Iterator
from typing import Any, Final

from cryptography import x509

from controller.webhooks.certificates import fingerprint_of, is_ours
from controller.webhooks.trust import Fingerprint
from crds.base import Raw

CONFIGURATION_NAME: Final = "metallb-webhook-configuration"
DEFINITION_NAME: Final = "bgppeers.metallb.io"


def bundles_of(raw: Raw) -> list[frozenset[Fingerprint]]:
    """Which CAs each of an object's clients trusts; an empty set where that is not readable."""
    return [
        frozenset(map(fingerprint_of, _certificates(client.get("caBundle"))))
        for client in _clients(raw)
    ]


def ours_in(raw: Raw) -> tuple[x509.Certificate, ...]:
    """CAs that controllers have made and that an object has now, each once."""
    found = (each for client in _clients(raw) for each in _certificates(client.get("caBundle")))
    return tuple(dict.fromkeys(filter(is_ours, found)))


def with_bundle(raw: Raw, bundle: bytes) -> Raw | None:
    """
    The object with `bundle` (PEM) for every client, None: it is so already.

    What else it says, such as a url, is left alone; a CRD that is not converted by a webhook too.
    """
    text = base64.b64encode(bundle).decode()
    changed = copy.deepcopy(raw)
    stale = [client for client in _clients(changed) if client.get("caBundle") != text]
    for client in stale:
        client["caBundle"] = text
    return changed if stale else None


def _clients(raw: Raw) -> Iterator[Raw]:
    """Every clientConfig of an object, whatever its shape."""
    webhooks = raw.get("webhooks")
    for webhook in webhooks if isinstance(webhooks, list) else ():
        yield from _client_of(webhook)
    conversion = _child(_child(raw, "spec"), "conversion")
    if conversion.get("strategy") == "Webhook":
        yield from _client_of(conversion.get("webhook"))


def _client_of(webhook: Any) -> Iterator[Raw]:
    client = webhook.get("clientConfig") if isinstance(webhook, dict) else None
    if isinstance(client, dict):
        yield client


def _child(raw: Raw, key: str) -> Raw:
    child = raw.get(key)
    return child if isinstance(child, dict) else {}


def _certificates(text: Any) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(base64.b64decode(text or "", validate=True))
    except (ValueError, TypeError):
        return []
