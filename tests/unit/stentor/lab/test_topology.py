"""Names and addresses of a lab."""

from pathlib import Path

import attrs
import pytest

from stentor.lab.errors import LabError
from stentor.lab.topology import MAX_NODES, Topology, is_lab, load


def test_addresses_of_a_host_end_alike() -> None:
    """So that a person reading a capture knows the host at sight."""
    node = Topology().node("n2")

    assert (str(node.v4), str(node.v6), node.lladdr_text) == (
        "192.0.2.12",
        "2001:db8::12",
        "02:00:5e:00:00:12",
    )


def test_no_two_hosts_or_vips_share_an_address() -> None:
    largest = Topology(count=MAX_NODES, services=99)

    addresses = [a for host in largest.hosts for a in (host.v4, host.v6)]
    addresses += [vip for pair in largest.vips for vip in pair]

    assert len(set(addresses)) == len(addresses)
    assert len({host.lladdr_text for host in largest.hosts}) == len(largest.hosts)


@pytest.mark.parametrize("count", [0, MAX_NODES + 1])
def test_a_number_of_nodes_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(LabError, match=f"{count} nodes, need 1 to {MAX_NODES}"):
        Topology(count=count)


@pytest.mark.parametrize("prefix", ["lab", "st-", "st-Ä", "st-a b", "../x"])
def test_a_prefix_that_could_hit_what_is_not_ours_is_refused(prefix: str) -> None:
    with pytest.raises(LabError, match="need st-"):
        Topology(prefix=prefix)


@pytest.mark.parametrize("ask", ["host", "node"])
def test_an_unknown_name_is_answered_with_the_known_ones(ask: str) -> None:
    with pytest.raises(LabError, match=r"'n9' in this lab; there are .*n1, n2, n3"):
        getattr(Topology(), ask)("n9")


def test_the_client_is_a_host_but_no_node() -> None:
    assert Topology().host("client").namespace == "st-lab-client"
    with pytest.raises(LabError, match="no node 'client'"):
        Topology().node("client")


@pytest.mark.parametrize(
    ("namespace", "ours"),
    [
        ("st-lab-sw", True),
        ("st-lab-n12", True),
        ("st-lab-2-n1", False),
        ("st-lab2-n1", False),
        ("st-lab-n1x", False),
        ("other-n1", False),
    ],
)
def test_only_namespaces_of_this_very_prefix_are_ours(namespace: str, ours: bool) -> None:
    """`down` removes what is ours: a lab beside this one must survive it."""
    assert ours is Topology().owns_namespace(namespace)


def test_the_shape_survives_the_command_that_made_it(tmp_path: Path) -> None:
    topology = Topology(count=5, prefix="st-x", directory=tmp_path / "lab", services=2)

    topology.save()

    assert topology == load(tmp_path / "lab")
    assert topology != attrs.evolve(load(tmp_path / "lab"), count=4)


def test_commands_without_a_lab_say_how_to_start_one(tmp_path: Path) -> None:
    assert not is_lab(tmp_path)
    with pytest.raises(LabError, match="run `stentor lab up` first"):
        load(tmp_path)


def test_a_damaged_state_file_is_a_lab_that_can_only_be_removed(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text("{")

    assert is_lab(tmp_path)
    with pytest.raises(LabError, match="run `stentor lab down`"):
        load(tmp_path)
