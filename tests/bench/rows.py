"""One line of a benchmark's table."""

import attrs


@attrs.frozen
class Row:
    """A figure with its spread, and its aim where it has one."""

    name: str
    unit: str
    reference: str  # what it was measured against in the same run; "" for an absolute figure
    minimum: float
    median: float
    maximum: float
    aim: str = ""
    met: bool | None = None  # None: no aim
