"""Which changes of a node make a new plan."""

from ipaddress import ip_address

import pytest

from speaker.snapshot import node_change_matters
from stentor.cluster.objects import Node

NODE = Node("n1", {"zone": "a"})


@pytest.mark.parametrize(
    ("old", "new", "matters"),
    [
        pytest.param(None, NODE, True, id="appears"),
        pytest.param(NODE, None, True, id="goes"),
        pytest.param(None, None, False, id="never_was"),
        pytest.param(NODE, Node("n1", {"zone": "a"}), False, id="heartbeat"),
        pytest.param(NODE, Node("n1", {"zone": "b"}), True, id="label"),
        pytest.param(
            NODE, Node("n1", {"zone": "a"}, network_unavailable=True), True, id="network_lost"
        ),
        pytest.param(
            NODE,
            Node("n1", {"zone": "a"}, internal_ips=(ip_address("192.0.2.1"),)),
            False,
            id="address",
        ),
    ],
)
def test_node_change(old: Node | None, new: Node | None, matters: bool) -> None:
    assert matters is node_change_matters(old, new)
