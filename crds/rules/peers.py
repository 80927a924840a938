"""What a BGPPeer refers to, and BFD profiles."""

from collections.abc import Iterator

from crds.bgp_peer import BGPPeer
from crds.core import Secret
from crds.explain import suggestion
from crds.rules.findings import Finding, error, pending
from crds.rules.objects import Named, Objects
from crds.rules.repeats import repeated_names, repeated_specs

BASIC_AUTH = "kubernetes.io/basic-auth"
PASSWORD_KEY = "password"  # noqa: S105 - the name of the key


def check_peers(objects: Objects, *, secrets_pass_through: bool = False) -> Iterator[Finding]:
    """
    References of peers, and peers given twice.

    `secrets_pass_through`: passwords are somebody else's to read (frr-k8s).
    """
    profiles = {profile.name for profile in objects.bfd_profiles}
    for peer in objects.peers:
        name = peer.model.spec.bfd_profile
        if name and name not in profiles:
            message = f"there is no BFDProfile {name}{suggestion(name, sorted(profiles))}"
            yield pending(peer.subject, ("spec", "bfdProfile"), message, name)
        if not secrets_pass_through:
            yield from _secret(objects, peer)
    yield from repeated_specs(objects.peers)


def secret_of(objects: Objects, peer: BGPPeer) -> Named[Secret] | None:
    """The Secret that a peer's passwordSecret names, if it is there."""
    wanted = peer.spec.password_secret
    for secret in objects.secrets:
        if secret.name == wanted.name and wanted.namespace in {"", secret.subject.namespace}:
            return secret
    return None


def _secret(objects: Objects, peer: Named[BGPPeer]) -> Iterator[Finding]:
    reference = peer.model.spec.password_secret
    if not reference.name:
        return
    path = ("spec", "passwordSecret", "name")
    found = secret_of(objects, peer.model)
    if found is None:
        yield pending(peer.subject, path, f"there is no Secret {reference.name}", reference.name)
    elif found.model.type != BASIC_AUTH:
        message = (
            f"Secret {found.name} is of type {found.model.type or 'Opaque'}, need {BASIC_AUTH}"
        )
        yield error(peer.subject, path, message, reference.name)
    elif not found.model.data.get(PASSWORD_KEY):
        message = f"Secret {found.name} has no key {PASSWORD_KEY}"
        yield error(peer.subject, path, message, reference.name)


def check_bfd_profiles(objects: Objects) -> Iterator[Finding]:
    """Unique names; no echo where IPv6 is announced."""
    yield from repeated_names(objects.bfd_profiles, "BFDProfile")
    echoing = {p.name for p in objects.bfd_profiles if p.model.spec.echo_mode}
    with_v6 = _peers_with_v6(objects) if echoing else frozenset()
    for peer in objects.peers:
        name = peer.model.spec.bfd_profile
        if name not in echoing:
            continue
        path = ("spec", "bfdProfile")
        if peer.name in with_v6:
            message = f"{name} has echoMode, which cannot be used where IPv6 VIPs are announced"
            yield error(peer.subject, path, message, name)


def _peers_with_v6(objects: Objects) -> frozenset[str]:
    """Names of the peers that a pool with IPv6 addresses is announced to."""
    found: set[str] = set()
    for ad in objects.bgp_ads:
        if any(6 in facts.versions for facts in objects.pools_selected(ad.model)):
            found.update(ad.model.spec.peers or (peer.name for peer in objects.peers))
    return frozenset(found)
