"""Every YAML example of the documents that Stentor was asked to follow is taken."""

from typing import Any

import pytest
import yaml

from crds.decode import KINDS, decode
from tests.cluster.cli import stentor
from tests.cluster.kubectl import Kubectl
from tests.cluster.seeds_read import DOCUMENTS, EXAMPLES, REPAIRS, Example, Raw, Repair

OBJECTS = [example for example in EXAMPLES if example.is_object]
VARIABLES = [example for example in EXAMPLES if not example.is_object]
_REPAIRED = {repair.example for repair in REPAIRS}
_BY_DOCUMENT = sorted({example.document for example in OBJECTS})


@pytest.mark.parametrize("example", OBJECTS, ids=lambda e: e.name)
def test_an_example_is_taken_by_model_and_validator(example: Example) -> None:
    code, output, _ = stentor(
        "validate", stdin=yaml.safe_dump_all([*example.company, example.content])
    )

    assert (code, "error" in output) == (0, False), output
    if example.content["kind"] in KINDS:
        assert decode(example.content)


@pytest.mark.parametrize("document", _BY_DOCUMENT)
def test_the_examples_of_a_document_are_taken_by_the_api_server(
    kubectl: Kubectl, namespace: str, document: str
) -> None:
    """One after another under their own names, in a namespace of the test's own."""
    chosen = [each for each in OBJECTS if each.document == document and each.is_ours]

    answer = kubectl.apply(*(_placed(each.content, namespace) for each in chosen))

    refused = [row for row in answer.errors.splitlines() if "deprecated" not in row]
    assert (answer.code, refused) == (0, [])
    assert len(answer.output.splitlines()) == len(chosen)


def _placed(raw: Raw, namespace: str) -> Raw:
    if raw["kind"] == "Namespace":
        return {**raw, "metadata": {**raw["metadata"], "name": namespace}}
    return {**raw, "metadata": {**raw["metadata"], "namespace": namespace}}


@pytest.mark.parametrize("example", VARIABLES, ids=lambda e: e.name)
def test_kubesprays_variables_are_converted_to_what_is_taken(
    kubectl: Kubectl, namespace: str, example: Example
) -> None:
    code, made, _ = stentor(
        "convert", "--from", "kubespray", "--namespace", namespace,
        stdin=yaml.safe_dump(example.content),
    )  # fmt: skip

    assert code == 0
    assert stentor("validate", stdin=made)[0] == 0
    objects = list(yaml.safe_load_all(made))
    config = example.content.get("metallb_config", {})
    assert len(objects) >= len(config.get("address_pools", {}))
    if objects:
        assert kubectl.apply(*objects).code == 0


@pytest.mark.parametrize("repair", REPAIRS, ids=lambda r: r.example)
def test_what_is_broken_as_printed_is_told_with_a_remedy(repair: Repair) -> None:
    command = ["convert", "--from", "kubespray"] if repair.example[:3] == "002" else ["validate"]

    code, output, errors = stentor(*command, stdin=repair.broken)

    assert code == 1
    assert repair.says in output + errors


def test_repairs_are_of_examples_that_are_there() -> None:
    assert {example.name for example in EXAMPLES} >= _REPAIRED


# --- against the documents themselves, where they lie beside the checkout

with_documents = pytest.mark.skipif(
    not DOCUMENTS.is_dir(), reason="the documents are not part of the repository"
)


def rows_of(document: str) -> list[str]:
    """The rows of a document, the first at index 0."""
    [path] = DOCUMENTS.glob(f"{document}_*.txt")
    return path.read_text(encoding="utf-8").splitlines()


@with_documents
def test_every_object_of_the_documents_is_among_the_examples() -> None:
    printed = [
        (path.name[:3], number)
        for path in sorted(DOCUMENTS.glob("*.txt"))
        for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if row.strip().startswith("apiVersion:")
    ]

    assert printed == sorted((each.document, each.line) for each in OBJECTS)


@with_documents
def test_every_variable_of_the_documents_is_among_the_examples() -> None:
    rows = [row for row in rows_of("002") if row.startswith(("metallb_", "kube_", "calico_"))]
    names = [row.partition(":")[0] for row in rows if ":" in row]

    held = [key for each in VARIABLES for key in _keys(each.content)]

    # the snippets for layer2 and layer3 also hold the pools of the one before
    assert sorted(names) == sorted(
        key for key in held if key.startswith(("metallb_", "kube_", "calico_"))
    )


@with_documents
@pytest.mark.parametrize(
    "example", [e for e in OBJECTS if e.name not in _REPAIRED], ids=lambda e: e.name
)
def test_an_example_that_was_not_repaired_is_as_printed(example: Example) -> None:
    assert _printed(rows_of(example.document)[example.line - 1 :]) == example.content


@with_documents
@pytest.mark.parametrize("repair", REPAIRS, ids=lambda r: r.example)
def test_what_is_called_broken_is_broken_in_the_document(repair: Repair) -> None:
    printed = {row.strip() for row in rows_of(repair.example[:3])}

    assert [row for row in repair.broken.splitlines() if row.strip() not in printed] == []


def _printed(rows: list[str]) -> Any:
    """The longest run of rows that is one YAML mapping."""
    indent = len(rows[0]) - len(rows[0].lstrip())
    block: list[str] = []
    for row in rows:
        if (
            len(row) - len(row.lstrip()) < indent
            or row.strip().startswith(_ENDS)
            or not row.strip()
        ):
            break
        block.append(row[indent:])
    while block:
        try:
            return yaml.safe_load("\n".join(block))
        except yaml.YAMLError:
            block.pop()
    return None


_ENDS = ("EOF", "---", "```", "Note", "Example:")


def _keys(raw: object) -> list[str]:
    if not isinstance(raw, dict):
        return []
    return [key for name, part in raw.items() for key in (name, *_keys(part))]


def test_printed_stops_where_the_yaml_ends() -> None:
    assert _printed(["  a: 1", "  b:", "  - 2", "Prose: and more: of it"]) == {"a": 1, "b": [2]}
