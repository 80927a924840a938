"""Suite l2/arp-responder, through the BPF program itself."""

from tests.conformance.cases import Adapter

ADAPTERS: dict[str, Adapter] = {}
