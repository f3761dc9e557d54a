"""The same on PostgreSQL: a server of the test's own, on a socket in its folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.collect import rows
from harness.errors import MachineError
from tests.collect import hostile
from tests.collect.collector import Collector, Maker, serving, submission
from tests.collect.crash import Clients
from tests.collect.test_storm import backup

pytestmark = pytest.mark.postgresql
OWNER = "postgres"
"""PostgreSQL does not run as root."""


def programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's programs are not here (apt install postgresql)")
    return found[-1].parent


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    where, user = programs(), OWNER if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path has 107 bytes
    if user:
        shutil.chown(folder, user)
    try:
        data = folder / "data"
        make = [str(where / "initdb"), "-D", str(data), "-A", "trust", "-U", OWNER, "-E", "UTF8", "--no-sync"]
        subprocess.run(make, user=user, check=True, capture_output=True, cwd=folder)
        serve = [str(where / "postgres"), "-D", str(data), "-k", str(folder), "-h", ""]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(serve, user=user, stdout=log, stderr=log, cwd=folder)
        try:
            while subprocess.run([where / "pg_isready", "-q", "-h", folder], check=False).returncode:
                assert server.poll() is None, (folder / "log").read_text()
            yield f"postgresql://{OWNER}@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def new(database: str, name: str) -> str:
    engine = rows.opened(database).engine
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql(f"CREATE DATABASE {name}")
    return database.replace("/postgres?", f"/{name}?")


def test_bundles_and_backups(database: str, tmp_path: Path, maker: Maker, key: Path) -> None:
    """A backup of it is SQLite, and comes back into another PostgreSQL."""
    one, other = ("--db", new(database, "one")), ("--db", new(database, "other"))
    with serving(tmp_path / "served", *one, "--pages-after", "3600") as served:
        ann = served.add("ann", key)
        name, data, again = submission(), maker.bundle("d00001", key), submission()
        assert [served.put(name, ann, data).status for _ in range(2)] == [201, 200]
        assert served.put(name, ann, maker.bundle("d00002", key)).status == 409
        assert served.put(submission(), ann, maker.bundle("d00001", None)).status == 403
        assert served.put(again, ann, data).status == 201
        assert list(served.accepted()) == [again]
        assert served.put(submission(), ann, hostile.scripted(maker, key)).status == 201
        backup(served, tmp_path, maker, key, ann, *other)
        assert not (tmp_path / "served" / "collector.sqlite").exists()


def test_killed(database: str, tmp_path: Path, maker: Maker, key: Path) -> None:
    collector = Collector(
        tmp_path / "killed", "--db", new(database, "killed"), "--per-minute", "100000", "--pages-after", "3600"
    )
    clients = Clients(collector, collector.add("ann", key), maker, key, seed=3)
    for _ in range(3):
        collector.start()
        clients.run(3, clients.random.uniform(0.6, 2.5))
    collector.start()
    try:
        clients.check()
    finally:
        collector.end()


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        rows.opened(f"postgresql://ann:pass@/x?host={tmp_path}")
    assert "postgresql://ann:***@/x" in str(caught.value)
    assert "pass@" not in str(caught.value)
