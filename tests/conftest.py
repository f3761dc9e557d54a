"""For every test."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # others may use the machine
settings.load_profile("here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that none is left alone at the end."""
    items.sort(key=lambda item: "tests/real/" not in item.nodeid)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_works() -> None:
    """Shells start what runs in the background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
