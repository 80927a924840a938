"""`stentor validate`: findings on standard output, the verdict in the exit code."""

from pathlib import Path

from click.testing import CliRunner

from speaker.exits import ExitCode
from stentor.cli.main import main

POOL = """\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lab, namespace: metallb-system}
spec:
  addresses: ["%s"]
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lab, namespace: metallb-system}
"""


def test_good_manifests_pass_in_silence(tmp_path: Path) -> None:
    (tmp_path / "pool.yaml").write_text(POOL % "192.0.2.0/28")

    result = CliRunner().invoke(main, ["validate", str(tmp_path)])

    assert (result.exit_code, result.stdout) == (ExitCode.OK, "")


def test_a_bad_range_is_named_with_its_file_line_and_field(tmp_path: Path) -> None:
    (tmp_path / "pool.yaml").write_text(POOL % "192.0.2.9-192.0.2.1")

    result = CliRunner().invoke(main, ["validate", str(tmp_path)])

    assert result.exit_code == ExitCode.CONFIG
    assert "pool.yaml:5" in result.stdout
    assert "spec.addresses[0]" in result.stdout
    assert "192.0.2.9-192.0.2.1" in result.stdout
