"""Suite l2/arp-responder, through the BPF program itself (BPF_PROG_TEST_RUN, needs root)."""

from ipaddress import ip_address

import attrs

from tests.bpf.frames import BROADCAST, Arp
from tests.bpf.harness import OWN_LLADDR, Program, Responder, Verdict
from tests.conformance.cases import Adapter, Case, Json

OPERATIONS = {"request": 1, "reply": 2}  # RFC 826


@attrs.frozen
class Question:
    """An ARP frame, and whether its target is a VIP that this node holds."""

    frame: Arp
    is_announced: bool


# What silences the responder, in MetalLB's order of checks, and the same question without it.
DROP_REASONS = {
    "arpReply": lambda q: attrs.evolve(q, frame=attrs.evolve(q.frame, op=OPERATIONS["request"])),
    "ethernetDestination": lambda q: attrs.evolve(q, frame=attrs.evolve(q.frame, dest=BROADCAST)),
    "notAnnounced": lambda q: attrs.evolve(q, is_announced=True),
}


def arp_responder(case: Case) -> Json:
    """Whether the program answers, and if not, which of MetalLB's reasons alone silences it."""
    question = question_of(case.input)
    with Responder.loaded() as responder:
        if is_answered(responder, question):
            return {"reply": True}
        for reason in DROP_REASONS:
            otherwise_sound = question
            for other, mend in DROP_REASONS.items():
                if other != reason:
                    otherwise_sound = mend(otherwise_sound)
            if not is_answered(responder, otherwise_sound):
                return {"reply": False, "dropReason": reason}
    return {"reply": False, "dropReason": "another"}


def question_of(data: Json) -> Question:
    """The frame that a case describes."""
    frame = Arp(
        dest=lladdr(data["dstMAC"]),
        op=OPERATIONS[data["operation"]],
        spa=ip_address(data["senderIP"]).packed,
        tpa=ip_address(data["targetIP"]).packed,
    )
    return Question(frame, data["ipIsAnnounced"])


def lladdr(text: str) -> bytes:
    """An LLADDR in text; "own" is the interface's."""
    return OWN_LLADDR if text == "own" else bytes.fromhex(text.replace(":", ""))


def is_answered(responder: Responder, question: Question) -> bool:
    """Whether the program sends an answer with our LLADDR."""
    responder.reset()
    if question.is_announced:
        responder.put(question.frame.tpa)
    outcome = responder.run(Program.XDP, question.frame.build())
    return outcome.verdict is Verdict.TX and outcome.frame[22:28] == OWN_LLADDR


ADAPTERS: dict[str, Adapter] = {"l2/arp-responder": arp_responder}
