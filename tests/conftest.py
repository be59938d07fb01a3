"""Rules for the whole suite."""

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what asserts a refusal to ``scripts/test-unprivileged``: root is refused nothing."""
    if os.geteuid() != 0:
        return
    skip = pytest.mark.skip(reason="root is refused nothing: scripts/test-unprivileged runs this")
    for item in items:
        if item.get_closest_marker("permissions"):
            item.add_marker(skip)
