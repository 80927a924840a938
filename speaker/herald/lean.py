"""
Keeps what the herald does not need out of its memory; to be done before anything else is loaded.

msgspec takes typing_extensions where it is installed (4.6 MB of anonymous memory) and does
without where it is not; asyncio takes ssl (0.9 MB) in the same way. Measured with Python 3.11.2.
"""

import sys
from typing import Any

_UNWANTED = ("typing_extensions", "ssl")


def keep_out(modules: dict[str, Any] = sys.modules) -> None:
    """Make `import` fail for modules that their users can do without; not for loaded ones."""
    for name in _UNWANTED:
        modules.setdefault(name, None)
