"""For every test."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.guard import sitecustomize as guard

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # others may use the machine
settings.load_profile("here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that none is left alone at the end."""
    items.sort(key=lambda item: "tests/real/" not in item.nodeid)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_works() -> None:
    """Shells start what runs in the background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


FREE = ("airgap", "browser", "docker", "engines", "machines")
"""Markers of tests that fetch something first."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: while a test runs, neither this process nor a Python that it starts may speak to another machine."""
    os.environ.pop(guard.VARIABLE, None)
    if any(item.get_closest_marker(name) for name in FREE):
        return
    os.environ[guard.VARIABLE] = f"{_caught()}:{guard.space()}"
    folder, path = str(Path(guard.__file__).parent), os.environ.get("PYTHONPATH", "")
    if folder not in path.split(os.pathsep):
        os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{path}" if path else folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    yield
    if (caught := _caught()).exists():
        said = caught.read_text()
        caught.unlink()
        pytest.fail(f"spoke to another machine:\n{said}")


def _caught() -> Path:
    """Of this worker."""
    return Path(_folder().name) / "caught"


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when Python ends."""
    return tempfile.TemporaryDirectory(prefix="guard-")
