"""The manual says what the code does: its manifests work and its tables are whole."""

import re
from pathlib import Path

import pytest

from stentor.cluster import files, yaml_nodes
from stentor.cluster.annotations import EXTENSIONS
from stentor.cluster.findings import Cause
from stentor.cluster.manifests import read_directory
from stentor.cluster.objects import Refusal

DOCS = Path(__file__).parents[4] / "docs"
REFERENCE = (DOCS / "reference/manifests.md").read_text()


def test_the_manifests_of_the_how_to_work_together(tmp_path: Path) -> None:
    text = (DOCS / "how-to/run-without-kubernetes.md").read_text()
    blocks = re.findall(r"```yaml\n# /etc/stentor/manifests/(\S+)\n(.*?)```", text, re.DOTALL)
    for name, block in blocks:
        (tmp_path / name).write_text(block)

    seen = read_directory(tmp_path)

    assert [str(finding) for finding in seen.findings] == []
    assert {str(key): len(one.vips) for key, one in seen.services.items()} == {
        "default/web": 2,
        "default/db": 1,
    }
    assert set(seen.nodes) == {"alpha", "beta"}


@pytest.mark.parametrize("code", [*Cause, *Refusal])
def test_every_code_is_in_the_reference(code: Cause | Refusal) -> None:
    assert f"| `{code.value}` |" in REFERENCE


@pytest.mark.parametrize("name", EXTENSIONS)
def test_every_extension_is_in_the_reference(name: str) -> None:
    assert f"| `stentor.io/{name}` |" in REFERENCE


def test_the_limits_of_the_reference_are_those_of_the_code() -> None:
    assert (
        f"Limits: {files.MAX_FILE_BYTES // 2**20} MiB a file, {yaml_nodes.MAX_NODES:,} values a "
        f"file with aliases expanded, {yaml_nodes.MAX_DEPTH} levels, {files.MAX_FILES:,} files."
    ) in REFERENCE
