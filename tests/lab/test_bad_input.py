"""What a network and an operator can do wrong, while VIPs stay answered."""

import subprocess
import sys
import time

import pytest
import yaml

from stentor.lab import client, views
from stentor.lab.lab import Lab, python_path
from stentor.lab.probe import Kind
from stentor.lab.topology import Host
from tests.eventually import DEADLINES, eventually
from tests.lab.conftest import MakeLab
from tests.lab.seen import neighbour, owner_of, settled

pytestmark = pytest.mark.root

# Sent from inside the client's namespace: UDP of all sizes, TCP that starts like memberlist or not.
FLOOD = """
import random, socket, sys
rng, target = random.Random(7), (sys.argv[1], 7946)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(400):
    size = rng.choice([0, 1, 2, 17, 200, 1400])
    udp.sendto(bytes([n % 15]) * (size > 0) + rng.randbytes(max(0, size - 1)), target)
for n in range(20):
    tcp = socket.create_connection(target, timeout=2)
    tcp.sendall(bytes([n]) + rng.randbytes(300))
    tcp.close()
"""


def test_garbage_on_the_gossip_port_costs_no_answer_and_no_member(trio: Lab) -> None:
    vip = trio.topology.vips[0][0]
    owners = settled(trio)
    owner = owner_of(trio, vip)
    enter = ["ip", "netns", "exec", trio.topology.client.namespace]

    with client.asking(trio, Kind.ARP, vip) as asking:
        eventually(lambda: asking.tally(0.0).by, within_s=DEADLINES.answered)
        since = time.monotonic()
        subprocess.run([*enter, sys.executable, "-c", FLOOD, str(owner.v4)], check=True)
        tally = asking.tally(since)

    assert tally.asked > 0
    assert (tally.lost, tally.by) == (0, (owner.lladdr_text,))
    assert settled(trio) == owners
    view = views.view(trio, owner)
    assert view is not None
    assert {member.name for member in view.members} == {n.name for n in trio.topology.nodes}


def test_the_younger_of_two_nodes_with_one_name_ends_and_names_both(trio: Lab) -> None:
    """Run as n1 on another host of the segment: the client's, which is no node."""
    owners = settled(trio)
    impostor = Host("n1", trio.topology.client.namespace, trio.topology.client.number)

    done = run_speaker_once(trio, impostor)

    assert done.returncode != 0
    assert "192.0.2.11" in done.stderr
    assert "192.0.2.2" in done.stderr
    assert settled(trio) == owners


def run_speaker_once(lab: Lab, host: Host) -> "subprocess.CompletedProcess[str]":
    """A speaker with directories of its own on `host`, run until it ends by itself."""
    own = lab.directory / f"{host.name}-again"
    flags = [
        *("--node-name", host.name),
        *("--manifests", str(lab.manifests)),
        *("--state-dir", str(own / "state")),
        *("--bpffs", str(own / "bpf")),
        *("--ml-bindaddr", str(host.v4)),
        *("--join", str(lab.topology.node("n2").v4)),
    ]
    return subprocess.run(
        [
            *("ip", "netns", "exec", host.namespace, "env", f"PYTHONPATH={python_path()}"),
            *(sys.executable, "-m", "stentor.cli.main", "speaker", *flags),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINES.process_up,
    )


@pytest.mark.parametrize("whose", ["router", "n2"], ids=["gateway", "another_node"])
def test_a_vip_that_is_the_address_of_a_host_is_never_touched(
    make_lab: MakeLab, whose: str
) -> None:
    """The host itself goes on answering for it, and the status of every node says why."""
    lab = make_lab(count=2, services=1)
    host = lab.topology.host(whose)
    eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined)

    claim(lab, str(host.v4))

    eventually(lambda: reasons(lab, str(host.v4)) == {"address_of_a_host"}, within_s=10.0)
    assert host.lladdr_text == neighbour(lab, host.v4)
    assert client.answers(lab, host.v4) == (host.lladdr_text,)
    assert settled(lab)


def claim(lab: Lab, vip: str) -> None:
    """Add a Service that wants `vip`, and a pool that admits it."""
    pool = lab.manifests / "pool.yaml"
    objects = list(yaml.safe_load_all(pool.read_text()))
    objects[0]["spec"]["addresses"].append(f"{vip}/32")
    pool.write_text(yaml.safe_dump_all(objects))
    [template] = yaml.safe_load_all((lab.manifests / "services.yaml").read_text())
    template["metadata"]["name"] = "greedy"
    template["spec"] |= {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}
    template["status"]["loadBalancer"]["ingress"] = [{"ip": vip}]
    (lab.manifests / "greedy.yaml").write_text(yaml.safe_dump(template))


def reasons(lab: Lab, vip: str) -> set[str]:
    """What the nodes say about a VIP."""
    seen = (views.view(lab, node) for node in lab.topology.nodes)
    return {seat.reason for view in seen if view for seat in view.seats if seat.vip == vip}
