"""What all tests share: what a machine lacks skips on a laptop and fails in CI."""

import os

import pytest
from hypothesis import settings

# Times belong into `make bench`: a busy machine must not fail a property.
settings.register_profile("stentor", deadline=None)
settings.load_profile("stentor")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need root when there is none; CI (which sets CI) must have it."""
    if os.geteuid() == 0 or os.environ.get("CI"):
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root (namespaces and BPF)"))
