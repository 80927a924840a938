"""`stentor validate`: findings on standard output, the verdict in the exit code."""

import json
from pathlib import Path

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from crds.decode import KINDS
from stentor.cli.main import main
from stentor.cli.validate import FOUND, UNREADABLE
from stentor.exits import ExitCode

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

    assert result.exit_code == FOUND
    assert "pool.yaml:5" in result.stdout
    assert "spec.addresses[0]" in result.stdout
    assert "192.0.2.9-192.0.2.1" in result.stdout


def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
    """Exit code and findings."""
    result = CliRunner().invoke(main, ["validate", *arguments], input=stdin)
    return result.exit_code, result.stdout


PEER = """\
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: tor, namespace: metallb-system}
spec:
  myASN: 64500
  peerASN: 64501
  peerAddress: 192.0.2.300
  bfdProfile: fast
"""


def test_bgp_kinds_are_checked_and_what_they_refer_to(tmp_path: Path) -> None:
    """Both faults of the peer are told at once, though the first makes it unreadable."""
    (tmp_path / "peer.yaml").write_text(PEER)

    code, output = run(str(tmp_path))

    assert code == FOUND
    assert output.splitlines() == [
        "peer.yaml:7: error: BGPPeer metallb-system/tor: spec.peerAddress: "
        "'192.0.2.300' is not an IPv4 or IPv6 address",
        "peer.yaml:8: error: BGPPeer metallb-system/tor: spec.bfdProfile: "
        "there is no BFDProfile fast",
    ]


def test_a_fault_of_a_pool_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "pool.yaml").write_text(POOL % "192.0.2.9-192.0.2.1")

    _, output = run(str(tmp_path))

    assert output.count("error") == 1


def test_standard_input_and_files_are_read(tmp_path: Path) -> None:
    """A pool on standard input that overlaps one in a file."""
    (tmp_path / "a.yaml").write_text(POOL % "192.0.2.0/28")
    other = (POOL % "192.0.2.8/32").replace("name: lab", "name: other")

    code, output = run(str(tmp_path / "a.yaml"), "-", stdin=other)

    assert code == FOUND
    assert "<stdin>:5: error: IPAddressPool metallb-system/other: spec.addresses[0]" in output


def test_what_kubectl_prints_of_a_cluster_is_read_beside_manifests(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POOL % "198.18.0.0/28")
    cluster = """\
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: ServiceCIDR
  metadata: {name: kubernetes}
  spec: {cidrs: [198.18.0.0/16]}
"""

    code, output = run(str(tmp_path), "-", stdin=cluster)

    assert code == 0
    assert "holds 198.18.0.0/16, cluster IPs by ServiceCIDR kubernetes" in output


def test_findings_come_as_json(tmp_path: Path) -> None:
    (tmp_path / "peer.yaml").write_text(PEER)

    code, output = run("--json", str(tmp_path))

    assert code == FOUND
    assert [(each["line"], each["field"]) for each in json.loads(output)] == [
        (7, "spec.peerAddress"),
        (8, "spec.bfdProfile"),
    ]


def test_a_backend_is_asked_for_what_it_cannot_do(tmp_path: Path) -> None:
    (tmp_path / "peer.yaml").write_text(PEER.replace(".300", ".30") + "  vrf: red\n")

    _, output = run("--bgp-backend", "native", str(tmp_path))

    assert "spec.vrf: is not for the native backend" in output


def test_a_path_that_is_not_there_is_told_apart(tmp_path: Path) -> None:
    code, output = run(str(tmp_path / "nowhere.yaml"))

    assert code == UNREADABLE
    assert "nowhere.yaml: error: " in output


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | st.text(max_size=6)
    | st.sampled_from(["192.0.2.0/24", "v1", "metallb.io/v1beta1", "layer2", "90s"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["apiVersion", "kind", "metadata", "name", "namespace", "items", "spec",
                         "addresses", "podCIDRs", "cidrs", "annotations", "labels", "x.y/z"]),
        inner, max_size=4),
)  # fmt: skip


@given(
    documents=st.lists(
        _JSON
        | st.builds(
            lambda named, rest: {**rest, "kind": named[0], "apiVersion": named[1]},
            st.sampled_from([(kind, version) for kind in KINDS for version in KINDS[kind]]),
            st.dictionaries(st.sampled_from(["metadata", "spec", "status", "data"]), _JSON),
        ),
        max_size=3,
    )
)
def test_any_json_ends_in_findings(documents: list[object]) -> None:
    """Exit code and findings, never a traceback."""
    text = "\n---\n".join(json.dumps(each) for each in documents)

    result = CliRunner().invoke(main, ["validate", "--json", "-"], input=text)

    assert isinstance(result.exception, SystemExit | None), text
    assert result.exit_code in {0, FOUND}
    assert all(each["message"] for each in json.loads(result.stdout))
