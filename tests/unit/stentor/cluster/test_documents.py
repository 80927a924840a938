"""What one file holds: the objects in it, and what stays of those it broke."""

import pytest

from stentor.cluster.convert import Claim
from stentor.cluster.documents import FileContent
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.objects import Key, Refusal
from tests.unit.stentor.cluster.yaml_of import content, document, joined, l2_ad, pool, service

LAN, WEB = ("IPAddressPool", Key("", "lan")), ("Service", Key("default", "web"))
DNS = ("Service", Key("default", "dns"))
GOOD = joined(pool(), service(), service("dns", "192.0.2.6"))


def asked_of(seen: FileContent, ident: tuple[str, Key]) -> tuple[str, ...]:
    value = seen.entries[ident].value
    assert isinstance(value, Claim)
    return value.requested


def only(seen: FileContent) -> Finding:
    [finding] = seen.findings
    return finding


def test_a_good_file_gives_its_objects_and_nothing_to_tell() -> None:
    seen = content(GOOD)

    assert set(seen.entries) == {LAN, WEB, DNS}
    assert seen.findings == ()


@pytest.mark.parametrize(
    ("broken", "cause", "message"),
    [
        pytest.param(
            "apiVersion: v1\nkind: [Service\n", Cause.BAD_YAML, "did not find", id="no_yaml"
        ),
        pytest.param("- a\n- b\n", Cause.BAD_OBJECT, "is no Kubernetes object", id="a_list"),
        pytest.param("kind: Service\n", Cause.BAD_OBJECT, "is required, as text", id="no_version"),
        pytest.param(
            service().replace("Service", "Servcie"), Cause.UNKNOWN_KIND, "did you mean Service?",
            id="a_misspelt_kind"),
        pytest.param(
            document("IPAddresPool", "x", "metallb.io/v1beta1"), Cause.UNKNOWN_KIND,
            "did you mean IPAddressPool?", id="a_misspelt_kind_of_the_group"),
        pytest.param(
            document("Service", "Web"), Cause.BAD_VALUE, "'Web' is not a name", id="a_bad_name"),
    ],
)  # fmt: skip
def test_a_document_of_nobody_knows_what_keeps_all_that_the_file_held(
    broken: str, cause: Cause, message: str
) -> None:
    """One of them it was; the ones that still stand there are read anew."""
    last = content(GOOD)

    seen = content(joined(pool("lan", "192.0.2.0/27"), broken, service(vips="192.0.2.7")), last)

    assert set(seen.entries) == {LAN, WEB, DNS}
    assert asked_of(seen, WEB) == ("192.0.2.7",)
    assert asked_of(seen, DNS) == ("192.0.2.6",)
    assert (only(seen).cause, only(seen).is_kept) == (cause, True)
    assert message in only(seen).message


def test_an_object_that_breaks_keeps_its_last_good_version() -> None:
    last = content(GOOD)

    seen = content(joined(pool("lan", "192.0.2.0/33"), service(vips="192.0.2.7")), last)

    assert seen.entries[LAN] == last.entries[LAN]
    assert asked_of(seen, WEB) == ("192.0.2.7",)
    assert DNS not in seen.entries, "it was taken out of the file, in good order"
    assert str(only(seen)) == (
        "a.yaml:4: error: IPAddressPool lan: spec.addresses[0]: prefix length '33' of "
        "'192.0.2.0/33', need a number of 0 to 32 (the last good version stays in use)"
    )


def test_an_object_that_breaks_twice_keeps_the_version_from_before() -> None:
    first = content(GOOD)
    second = content(joined(pool("lan", "x"), service()), first)

    third = content(joined(pool("lan", "y"), service()), second)

    assert third.entries[LAN] == first.entries[LAN]


def test_an_object_that_was_never_good_is_not_there() -> None:
    seen = content(joined(pool("lan", "x"), service()))

    assert set(seen.entries) == {WEB}
    assert not only(seen).is_kept


def test_a_file_caught_empty_keeps_its_objects() -> None:
    """`kubectl … > file` truncates before it writes."""
    last = content(GOOD)

    seen = content(" \n", last)

    assert seen.entries == last.entries
    assert str(only(seen)) == (
        "a.yaml: error: is empty; delete the file to remove its objects "
        "(the last good version stays in use)"
    )


def test_a_file_of_comments_is_empty_on_purpose() -> None:
    seen = content("# nothing any more\n", content(GOOD))

    assert seen == FileContent({}, ())


def test_an_object_that_stands_twice_counts_once() -> None:
    seen = content(joined(service(vips="192.0.2.1"), service(vips="192.0.2.2")))

    assert asked_of(seen, WEB) == ("192.0.2.1",)
    assert (only(seen).line, only(seen).cause) == (7, Cause.DUPLICATE)
    assert only(seen).message == "stands twice in this file, first in line 1; the first counts"


def test_the_items_of_a_list_are_objects() -> None:
    text = """\
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: {name: web}
    spec: {type: LoadBalancer}
  - apiVersion: v1
    kind: Service
    metadata: {name: dns}
    spec: {type: 5}
"""
    seen = content(text)

    assert set(seen.entries) == {WEB}
    assert (only(seen).line, only(seen).field) == (11, "spec.type")


@pytest.mark.parametrize(
    ("kind", "version"),
    [("Deployment", "apps/v1"), ("ConfigMap", "v1"), ("ServiceAccount", "v1"), ("Pod", "v1")],
)
def test_kinds_of_others_lie_there_unread(kind: str, version: str) -> None:
    seen = content(joined(document(kind, "x", version, spec={"type": 5}), service()))

    assert set(seen.entries) == {WEB}
    assert seen.findings == ()


@pytest.mark.parametrize(
    ("kind", "version", "message"),
    [
        ("BGPPeer", "metallb.io/v1beta2", "BGPPeer is not read from manifests; it has no effect"),
        ("Endpoints", "v1", "Endpoints is not read; write an EndpointSlice (discovery.k8s.io/v1)"),
    ],
)
def test_kinds_that_one_may_hope_for_are_told(kind: str, version: str, message: str) -> None:
    seen = content(document(kind, "x", version))

    assert (only(seen).severity, only(seen).message) == (Severity.WARNING, message)


def test_a_service_of_another_type_is_passed_over() -> None:
    seen = content(service(type="ClusterIP", loadBalancerIP="nonsense"))

    assert seen.entries[WEB].value is None
    assert seen.findings == ()


def test_old_names_of_annotations_work_and_are_told() -> None:
    seen = content(service(vips="", notes={"metallb.universe.tf/loadBalancerIPs": "192.0.2.1"}))

    assert asked_of(seen, WEB) == ("192.0.2.1",)
    assert (only(seen).severity, only(seen).cause) == (Severity.WARNING, Cause.DEPRECATED)
    assert only(seen).message == "old name; write metallb.io/loadBalancerIPs"


def test_the_new_name_of_an_annotation_wins() -> None:
    seen = content(service(notes={"metallb.universe.tf/loadBalancerIPs": "192.0.2.1"}))

    assert asked_of(seen, WEB) == ("192.0.2.5",)
    assert seen.findings == ()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("failback", "Never", "'Never' is not taken, the one value is never"),
        ("failbck", "never", "no such annotation; did you mean stentor.io/failback?"),
        ("refresh-seconds", "1m",
         "'1m' is not taken, need whole seconds of 1 to 86400, or 0 for off"),
        ("refresh-seconds", "86401",
         "'86401' is not taken, need whole seconds of 1 to 86400, or 0 for off"),
        ("preferred-nodes", "n1,,n2",
         "'' is not a node name; write names with commas between"),
        ("preferred-nodes", "n1,n1", "n1 stands there twice"),
        ("color", "red", "no such annotation; known: stentor.io/failback, "
         "stentor.io/refresh-seconds, stentor.io/preferred-nodes"),
    ],
)  # fmt: skip
def test_an_extension_we_do_not_know_refuses_the_service_and_says_so_in_its_status(
    name: str, text: str, message: str
) -> None:
    seen = content(service(notes={f"stentor.io/{name}": text}))

    assert (only(seen).message, only(seen).cause) == (message, Cause.BAD_ANNOTATION)
    assert (only(seen).field, only(seen).value) == (
        f"metadata.annotations[stentor.io/{name}]",
        text,
    )
    value = seen.entries[WEB].value
    assert isinstance(value, Claim)
    assert value.service.refusal is Refusal.BAD_ANNOTATION
    assert message in value.service.refusal_text


def test_a_running_service_with_a_bad_extension_stays_as_it_was() -> None:
    last = content(service(notes={"stentor.io/failback": "never"}))

    seen = content(service(vips="192.0.2.7", notes={"stentor.io/failback": "nevr"}), last)

    assert seen.entries == last.entries
    assert only(seen).is_kept


def test_a_service_refused_before_has_no_good_version_to_keep() -> None:
    last = content(service(vips="192.0.2.1", notes={"stentor.io/x": "y"}))

    seen = content(service(vips="192.0.2.2", notes={"stentor.io/x": "z"}), last)

    assert asked_of(seen, WEB) == ("192.0.2.2",)
    assert not only(seen).is_kept


def test_extensions_of_a_service_are_read() -> None:
    notes = {"failback": "never", "refresh-seconds": "0", "preferred-nodes": "n2, n1.example.com"}

    seen = content(service(notes={f"stentor.io/{name}": text for name, text in notes.items()}))

    value = seen.entries[WEB].value
    assert isinstance(value, Claim)
    assert not value.service.options.failback
    assert value.service.options.refresh_s == 0.0
    assert value.service.options.preferred_nodes == ("n2", "n1.example.com")


def test_extensions_have_no_meaning_on_a_pool() -> None:
    text = l2_ad().replace('{"name": "all"}', '{"name": "a", "annotations": {"stentor.io/x": "y"}}')

    assert only(content(text)).message == "has no meaning on a L2Advertisement"


def test_host_bits_of_a_pool_are_told() -> None:
    seen = content(pool("lan", "192.0.2.7/24"))

    assert (only(seen).severity, only(seen).message) == (
        Severity.WARNING,
        "has host bits; 192.0.2.0/24 is meant",
    )
