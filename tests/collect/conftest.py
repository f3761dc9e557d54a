"""One collector for tests that leave it as usable as it was, and what it takes to send to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collect.collector import Collector, Maker, new_key, serving


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here (apt install openssh-client)")
    return new_key(tmp_path_factory.mktemp("key"), "ann")


@pytest.fixture(scope="session")
def other_key(key: Path) -> Path:
    return new_key(key.parent, "bob")


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory, key: Path, other_key: Path) -> Iterator[Collector]:
    folder = tmp_path_factory.mktemp("collector")
    allowed = folder / "allowed"
    allowed.write_text(f"bob@example.org {Path(f'{other_key}.pub').read_text()}")
    options = (
        "--allowed-signers",
        str(allowed),
        "--per-minute",
        "10000",
        "--url",
        "https://example.org/bench",
        "--pages-after",
        "4",
    )
    with serving(folder / "served", *options) as found:
        yield found


@pytest.fixture(scope="module")
def ann(collector: Collector, key: Path) -> str:
    """Her token; her own key must sign."""
    return collector.add("ann", key)


@pytest.fixture(scope="module")
def bob(collector: Collector) -> str:
    """His token; somebody in the file of allowed signers must have signed."""
    return collector.add("bob")


@pytest.fixture(scope="module")
def root(collector: Collector) -> str:
    return collector.add("root", role="admin")
