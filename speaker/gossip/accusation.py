"""
Deaths that were found by other means than pings, told to the ring as memberlist tells them.

    accuse ──> suspect, told to it and to all ──REFUTE_S──> dead, told to all
                 └── it was heard with a higher incarnation, or is gone ──> nothing more

A dead message is believed at once by every member, so the accused is asked first, with a ping in
the same datagram: whoever lives refutes in what it piggybacks on the ack, a round trip later. One
that refutes when it was declared dead is back from then on, as memberlist has it.
"""

from typing import Final

import attrs

from speaker.gossip.members import Node
from speaker.gossip.membership import Membership
from speaker.gossip.messages import Dead, PacketMessage, Suspect
from speaker.gossip.outputs import SendPacket
from speaker.gossip.probe import PMAX_CRC, Prober

REFUTE_S: Final = 0.1  # a round trip and a busy loop
TOLD_MAX: Final = 64  # members that are told by a datagram of their own; gossip tells the others


@attrs.define
class Accusations:
    """Those under way: the incarnation that is accused, and when its time is up."""

    membership: Membership
    prober: Prober
    _pending: dict[str, tuple[int, float]] = attrs.field(factory=dict)

    def accuse(self, name: str, now: float) -> None:
        """Suspect a member; nothing for one that is unknown, gone, ourselves or accused already."""
        member = self.membership
        node = member.nodes.get(name)
        if node is None or node is member.me or node.is_gone or name in self._pending:
            return
        self._pending[name] = (node.incarnation, now + REFUTE_S)
        message = Suspect(node.incarnation, name, member.me.name)
        member.suspect(message, now)
        self._send(node, message, self.prober.ping_of(name))
        self._tell(message)

    def next_wakeup(self) -> float:
        """When `tick` is due."""
        return min((due for _, due in self._pending.values()), default=float("inf"))

    def forgive(self, late_s: float) -> None:
        """Our own loop stood still: a refutation may not have been read yet."""
        self._pending = {n: (i, due + late_s) for n, (i, due) in self._pending.items()}

    def tick(self, now: float) -> None:
        """Declare dead who has not refuted."""
        for name, (incarnation, due) in list(self._pending.items()):
            if now < due:
                continue
            del self._pending[name]
            node = self.membership.nodes.get(name)
            if node is None or node.is_gone or node.incarnation != incarnation:
                continue
            message = Dead(incarnation, name, self.membership.me.name)
            self.membership.dead(message, now)
            self._send(node, message)
            self._tell(message)

    def _tell(self, message: Suspect | Dead) -> None:
        """Tell the others by datagram, beside the gossip that goes to three every 200 ms."""
        member = self.membership
        passed_over = {member.me.name, message.node}
        up = [n for n in member.nodes if not n.is_gone and n.name not in passed_over]
        for node in up[:TOLD_MAX]:
            self._send(node, message)

    def _send(self, node: Node, *messages: PacketMessage) -> None:
        with_crc = node.protocol_max >= PMAX_CRC
        self.membership.out.append(SendPacket(node.endpoint, messages, with_crc))
