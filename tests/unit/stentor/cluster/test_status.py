"""Status as files: what is written, when, and what it leaves alone."""

from pathlib import Path

import pytest
import yaml

from stentor.cluster.errors import ApplyError
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.manifests import read_directory
from stentor.cluster.objects import Key
from stentor.cluster.status import StatusWriter
from tests.unit.stentor.cluster.yaml_of import joined, l2_ad, pool, service, vips

WEB, DNS = Key("default", "web"), Key("default", "dns")
KIND = "ServiceL2Status"


def body(node: str = "n1") -> dict[str, object]:
    return {"kind": KIND, "status": {"node": node, "interfaces": [{"name": "eth0"}]}}


def tree(root: Path) -> dict[str, str]:
    """Return every file below `root` and its text."""
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_a_status_lies_where_the_manual_says(tmp_path: Path) -> None:
    changed = StatusWriter(tmp_path, "n1").write(KIND, WEB, body())

    path = tmp_path / ".status/nodes/n1/ServiceL2Status/default_web.yaml"
    assert changed
    assert yaml.safe_load(path.read_text()) == body()


def test_writing_the_same_again_does_not_touch_the_file(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path, "n1")
    writer.write(KIND, WEB, body())
    before = writer.path_of(KIND, WEB).stat()

    changed = StatusWriter(tmp_path, "n1").write(KIND, WEB, body())

    after = writer.path_of(KIND, WEB).stat()
    assert not changed
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """The file is replaced, not rewritten: whoever has the old one open keeps it whole."""
    writer = StatusWriter(tmp_path, "n1")
    writer.write(KIND, WEB, body("old"))
    with writer.path_of(KIND, WEB).open() as reader:
        writer.write(KIND, WEB, body("new"))

        seen = yaml.safe_load(reader.read())

    assert seen == body("old")
    assert yaml.safe_load(writer.path_of(KIND, WEB).read_text()) == body("new")
    assert len(tree(tmp_path)) == 1, "no draft is left"


def test_sync_makes_the_folder_what_is_wanted(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path, "n1")
    writer.sync(KIND, {WEB: body(), DNS: body()})

    changes = writer.sync(KIND, {DNS: body("n2")})

    assert changes == 2
    assert list(tree(tmp_path)) == [".status/nodes/n1/ServiceL2Status/default_dns.yaml"]


def test_sync_twice_and_by_two_writers_ends_in_the_same_state(tmp_path: Path) -> None:
    one, other = StatusWriter(tmp_path, "n1"), StatusWriter(tmp_path, "n1")
    wanted = {WEB: body(), DNS: body()}
    one.sync(KIND, {WEB: body("x")})
    other.write(KIND, DNS, body("y"))
    one.sync(KIND, wanted)
    first = tree(tmp_path)

    assert other.sync(KIND, wanted) == 0
    assert tree(tmp_path) == first


def test_sync_leaves_other_nodes_and_kinds_alone(tmp_path: Path) -> None:
    StatusWriter(tmp_path, "n2").write(KIND, WEB, body())
    StatusWriter(tmp_path).write("Service", WEB, {"kind": "Service"})
    before = tree(tmp_path)

    StatusWriter(tmp_path, "n1").sync(KIND, {})

    assert tree(tmp_path) == before


def test_sync_clears_the_draft_of_a_writer_that_died(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path, "n1")
    writer.write(KIND, WEB, body())
    (writer.path_of(KIND, WEB).parent / ".default_web.yaml.4711").write_text("ha")

    writer.sync(KIND, {WEB: body()})

    assert len(tree(tmp_path)) == 1


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path, "n1")
    writer.write(KIND, WEB, body())

    assert writer.remove(KIND, WEB)
    assert not writer.remove(KIND, WEB)


def test_a_file_system_that_refuses_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path, "n1")
    (writer.path_of(KIND, DNS)).mkdir(parents=True)  # a folder where the file should be

    with pytest.raises(ApplyError) as caught:
        writer.sync(KIND, {WEB: body(), DNS: body()})

    assert str(caught.value) == f"{writer.path_of(KIND, DNS)}: cannot be written: Is a directory"
    assert yaml.safe_load(writer.path_of(KIND, WEB).read_text()) == body()


def test_findings_are_written_whole(tmp_path: Path) -> None:
    finding = Finding(
        "a.yaml", 3, "Service default/web", "spec.type", "wrong", Severity.ERROR, Cause.BAD_VALUE,
        "x", is_kept=True,
    )  # fmt: skip
    writer = StatusWriter(tmp_path, "n1")

    assert writer.write_findings([finding])
    assert not writer.write_findings([finding])

    told = yaml.safe_load((tmp_path / ".status/nodes/n1/findings.yaml").read_text())
    assert told == {
        "findings": [
            {
                "file": "a.yaml", "line": 3, "object": "Service default/web", "field": "spec.type",
                "message": "wrong", "severity": "error", "cause": "bad_value", "value": "x",
                "kept": True,
            }
        ]
    }  # fmt: skip


def test_what_a_controller_writes_is_what_the_source_reads(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad(), service(vips="")))
    given = yaml.safe_load(service(vips="", status=("192.0.2.9",)))

    StatusWriter(tmp_path).write("Service", WEB, given)

    assert vips(read_directory(tmp_path)) == ["192.0.2.9"]


def test_what_nodes_write_is_not_read_as_manifests(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad()))
    StatusWriter(tmp_path, "n1").write("Service", WEB, yaml.safe_load(service()))

    seen = read_directory(tmp_path)

    assert seen.services == {}
    assert seen.findings == ()
