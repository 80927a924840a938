"""Gossip messages in the form in which captured vectors show them."""

import ipaddress
from typing import Any, assert_never

from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Message,
    NackResp,
    NodeState,
    Ping,
    PushNode,
    PushPull,
    Suspect,
    User,
)


def describe(message: Message) -> dict[str, Any]:  # noqa: PLR0911  # one case a message
    """A message as the vectors show it."""
    match message:
        case Ping():
            return {
                "type": "ping",
                "Node": message.node,
                "SeqNo": message.seq_no,
                **describe_source(message),
            }
        case IndirectPing():
            return {
                "type": "indirectPing",
                "Nack": message.nack,
                "Node": message.node,
                "Port": message.port,
                "SeqNo": message.seq_no,
                **describe_source(message),
                "Target": describe_address(message.target),
            }
        case AckResp():
            payload = describe_octets(message.payload)
            return {"type": "ackResp", "Payload": payload, "SeqNo": message.seq_no}
        case NackResp():
            return {"type": "nackResp", "SeqNo": message.seq_no}
        case Suspect() | Dead():
            return {
                "type": type(message).__name__.lower(),
                "From": message.sender,
                "Incarnation": message.incarnation,
                "Node": message.node,
            }
        case Alive():
            return {"type": "alive", "Node": message.node, **describe_member(message)}
        case User():
            return {"type": "user", "payload": describe_octets(message.payload)}
        case Err():
            return {"type": "err", "Error": message.error}
        case PushPull():
            return describe_push_pull(message)
        case _:
            assert_never(message)


def describe_push_pull(message: PushPull) -> dict[str, Any]:
    """A push/pull as the vectors show it."""
    return {
        "type": "pushPull",
        "header": {
            "Join": message.join,
            "Nodes": len(message.nodes) + message.unreadable,
            "UserStateLen": len(message.user_state),
        },
        "nodes": [
            {
                "Name": node.name,
                "State": f"{node.state}/{NodeState(node.state).name.lower()}",
                **describe_member(node),
            }
            for node in message.nodes
        ],
        "userState": describe_octets(message.user_state),
        "trailing": 0,
    }


def describe_member(member: Alive | PushNode) -> dict[str, Any]:
    """What an alive and a push/pull node share."""
    return {
        "Addr": describe_address(member.addr),
        "Incarnation": member.incarnation,
        "Meta": describe_octets(member.meta),
        "Port": member.port,
        "Vsn": list(member.vsn) or None,
    }


def describe_source(message: Ping | IndirectPing) -> dict[str, Any]:
    """The optional fields that are there."""
    fields = {
        "SourceAddr": describe_address(message.source_addr),
        "SourceNode": message.source_node,
        "SourcePort": message.source_port,
    }
    return {key: value for key, value in fields.items() if value}


def describe_address(address: bytes) -> str | None:
    """Text of 4 or 16 bytes, hex of other lengths, None for none."""
    if len(address) in {4, 16}:
        return str(ipaddress.ip_address(address))
    return describe_octets(address) if address else None


def describe_octets(value: bytes | None) -> str | None:
    """`hex:` and the bytes; None for nil."""
    return None if value is None else f"hex:{value.hex()}"
