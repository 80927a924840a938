"""What a server offers, found out by shaking hands with it in memory."""

import ssl
from datetime import UTC, datetime

import pytest

from controller.webhooks.certificates import KeyKind, Policy
from controller.webhooks.issue import issue
from stentor.tls_context import server_context, use_certificate
from stentor.tls_options import TlsFlagError, TlsOptions

NAME = "webhook.example"
STORED = {kind: issue(Policy((NAME,), kind), datetime.now(UTC)) for kind in KeyKind}


def server(options: TlsOptions, kind: KeyKind = KeyKind.EC) -> ssl.SSLContext:
    context = server_context(options)
    use_certificate(context, STORED[kind].pair.chain, STORED[kind].pair.key)
    return context


def client(*, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, curve: str = "") -> ssl.SSLContext:
    """One that trusts every certificate of these tests."""
    context = ssl.create_default_context(
        cadata="".join(stored.bundle.decode() for stored in STORED.values())
    )
    context.maximum_version = newest
    if curve:
        context.set_ecdh_curve(curve)
    return context


def shake(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> ssl.SSLObject:
    """Let the two talk until they agree; raises ssl.SSLError when they cannot."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client_side.wrap_bio(to_client, to_server, server_hostname=NAME)
    far = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    near.cipher()
    return near


def test_tls_1_3_alone_is_offered_by_default() -> None:
    assert shake(server(TlsOptions()), client()).version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        shake(server(TlsOptions()), client(newest=ssl.TLSVersion.TLSv1_2))


def test_tls_1_2_is_offered_with_the_suites_that_were_named_and_no_other() -> None:
    named = TlsOptions.of("VersionTLS12", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "")
    old = client(newest=ssl.TLSVersion.TLSv1_2)

    agreed = shake(server(named), old).cipher()

    assert agreed is not None
    assert agreed[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    old.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        shake(server(named), old)


@pytest.mark.parametrize(("curve", "is_offered"), [("prime256v1", True), ("secp384r1", True),
                                                   ("secp521r1", False)])  # fmt: skip
def test_the_groups_that_were_named_are_offered_and_no_other(
    curve: str, *, is_offered: bool
) -> None:
    options = TlsOptions.of("", "", "23,24")

    if is_offered:
        assert shake(server(options), client(curve=curve)).version() == "TLSv1.3"
        return
    with pytest.raises(ssl.SSLError):
        shake(server(options), client(curve=curve))


def test_a_group_that_openssl_does_not_have_is_refused_by_its_name() -> None:
    with pytest.raises(TlsFlagError, match=r"--tls-curve-preferences: OpenSSL .* has no NoSuch"):
        server_context(TlsOptions(curves=("X25519", "NoSuch")))


def test_a_certificate_is_exchanged_while_the_context_is_in_use() -> None:
    context = server(TlsOptions())
    other = issue(Policy((NAME,)), datetime.now(UTC))
    trusting = client()
    trusting.load_verify_locations(cadata=other.bundle.decode())

    before = shake(context, trusting).getpeercert()
    use_certificate(context, other.pair.chain, other.pair.key)
    after = shake(context, trusting).getpeercert()

    assert before is not None
    assert after is not None
    assert before["serialNumber"] != after["serialNumber"]
    assert int(str(after["serialNumber"]), 16) == other.pair.certificate.serial_number


def test_rsa_is_served_where_the_suites_ask_for_it() -> None:
    options = TlsOptions.of("VersionTLS12", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "")
    old = client(newest=ssl.TLSVersion.TLSv1_2)

    agreed = shake(server(options, KeyKind.RSA), old).cipher()

    assert agreed is not None
    assert agreed[0] == "ECDHE-RSA-AES128-GCM-SHA256"


def test_a_key_of_another_certificate_is_refused() -> None:
    other = issue(Policy((NAME,)), datetime.now(UTC))

    with pytest.raises(ssl.SSLError):
        use_certificate(server_context(TlsOptions()), other.pair.chain, STORED[KeyKind.EC].pair.key)
