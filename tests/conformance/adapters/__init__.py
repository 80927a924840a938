"""
How each suite drives the product: area/suite -> adapter.

An adapter turns a case's input into the product's own values, calls the product's own functions
and returns what they said in the words of the case. It decides nothing by itself.
"""

from tests.conformance.adapters import configuration, l2_arp, l2_planner
from tests.conformance.cases import Adapter

ADAPTERS: dict[str, Adapter] = {
    **l2_planner.ADAPTERS,
    **l2_arp.ADAPTERS,
    **configuration.ADAPTERS,
}
