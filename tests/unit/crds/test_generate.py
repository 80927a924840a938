"""CustomResourceDefinitions: what the API server is told is what the models say."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from crds.decode import OUR_KINDS
from crds.generate import FILES, definition, render
from stentor.cli.crds import crds

CHECKED_IN = Path(__file__).parents[3] / "deploy" / "crds"


def schema(kind: str, version: str) -> dict[str, Any]:
    """The schema of one version of a kind."""
    [found] = [v for v in definition(kind)["spec"]["versions"] if v["name"] == version]
    whole: dict[str, Any] = found["schema"]["openAPIV3Schema"]
    return whole


def spec(kind: str, version: str = "v1beta1") -> dict[str, Any]:
    """The fields of its spec."""
    fields: dict[str, Any] = schema(kind, version)["properties"]["spec"]["properties"]
    return fields


@pytest.mark.parametrize("kind", FILES)
def test_the_checked_in_definitions_are_those_of_the_models(kind: str) -> None:
    """`stentor crds --out deploy/crds` writes them anew."""
    assert (CHECKED_IN / FILES[kind]).read_text() == render(kind)


def test_nothing_else_is_checked_in() -> None:
    assert {path.name for path in CHECKED_IN.iterdir()} == set(FILES.values())


@pytest.mark.parametrize("kind", FILES)
def test_exactly_one_version_is_stored(kind: str) -> None:
    versions = definition(kind)["spec"]["versions"]

    assert [version["storage"] for version in versions].count(True) == 1
    assert all(version["subresources"] == {"status": {}} for version in versions)


@pytest.mark.parametrize("model", OUR_KINDS, ids=lambda m: f"{m.KIND}-{m.API_VERSION[11:]}")
def test_every_field_of_a_model_is_in_the_schema(model: Any) -> None:
    version = model.API_VERSION.removeprefix("metallb.io/")

    fields = {field.alias or name for name, field in model.model_fields.items()}

    assert fields == schema(model.KIND, version)["properties"].keys()


def undescribed(part: dict[str, Any], path: str) -> list[str]:
    """Paths of the fields at and below a schema that say nothing of themselves."""
    found = [] if part.get("description") else [path]
    for name, field in part.get("properties", {}).items():
        found += undescribed(field, f"{path}.{name}")
    entries = part.get("items", {}).get("properties", {})
    for name, field in entries.items():
        found += undescribed(field, f"{path}[].{name}")
    return found


@pytest.mark.parametrize("model", OUR_KINDS, ids=lambda m: f"{m.KIND}-{m.API_VERSION[11:]}")
def test_every_field_is_described(model: Any) -> None:
    """apiVersion, kind and metadata are described by the API server."""
    whole = schema(model.KIND, model.API_VERSION.removeprefix("metallb.io/"))

    found = [
        path
        for name, part in whole["properties"].items()
        if name not in {"apiVersion", "kind", "metadata"}
        for path in undescribed(part, name)
    ]

    assert found == []


def test_a_field_that_is_not_described_is_found() -> None:
    bare = {"description": "x", "items": {"properties": {"a": {"properties": {"b": {}}}}}}

    assert undescribed(bare, "f") == ["f[].a", "f[].a.b"]


def test_defaults_limits_and_sets_are_said() -> None:
    pool, peer = spec("IPAddressPool"), spec("BGPPeer", "v1beta2")

    assert pool["autoAssign"] == {
        "description": "False: only for Services that ask for the pool or an address of it.",
        "type": "boolean",
        "default": True,
    }
    assert (peer["peerPort"]["minimum"], peer["peerPort"]["default"]) == (1, 179)
    assert (peer["localASN"]["minimum"], peer["localASN"]["maximum"]) == (1, 2**32 - 1)
    assert spec("L2Advertisement")["ipAddressPools"]["x-kubernetes-list-type"] == "set"


def test_old_versions_say_that_they_are_deprecated() -> None:
    deprecated = {
        (kind, version["name"])
        for kind in FILES
        for version in definition(kind)["spec"]["versions"]
        if version.get("deprecated")
    }

    assert deprecated == {
        ("BGPPeer", "v1beta1"),
        ("AddressPool", "v1beta1"),
        ("AddressPool", "v1alpha1"),
    }


def test_peers_are_converted_by_the_webhook_of_the_namespace() -> None:
    conversion = definition("BGPPeer", webhook_namespace="lb")["spec"]["conversion"]

    service = conversion["webhook"]["clientConfig"]["service"]
    assert service == {"name": "metallb-webhook-service", "namespace": "lb", "path": "/convert"}


def test_the_command_prints_one_stream_of_the_kinds_asked_for() -> None:
    result = CliRunner().invoke(crds, ["--only", "Community", "--only", "BFDProfile"])

    kinds = [doc["spec"]["names"]["kind"] for doc in yaml.safe_load_all(result.output)]
    assert (result.exit_code, kinds) == (0, ["Community", "BFDProfile"])


def test_the_command_refuses_an_unknown_kind() -> None:
    result = CliRunner().invoke(crds, ["--only", "Pool"])

    assert result.exit_code != 0
    assert "'Pool' is not one of 'IPAddressPool'" in result.output
