"""Many at once, hostile bundles, and SIGKILL; `scripts/bench_collect.py` does the same with fifty clients and a thousand bundles."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.collect import backup as saving
from harness.collect import rows
from harness.collect.depot import Depot
from harness.collect.examine import ALLOWED, BUNDLE, examine, reasons
from harness.collect.gate import MOST, Rate, whose
from harness.errors import StoreError, UsageError, one_line
from tests.collect import hostile
from tests.collect.collector import Collector, Maker, serving, submission
from tests.collect.crash import Clients

CLIENTS, BUNDLES, KILLS = 8, 8, 2
MOST_RSS = 400 << 20


def test_many_at_once(collector: Collector, maker: Maker, key: Path, ann: str) -> None:
    sent = {submission(): maker.bundle(f"b{number:05x}", key) for number in range(BUNDLES)}
    answers: dict[str, int] = {}

    def client(names: list[str]) -> None:
        for name in names:
            answers[name] = collector.put(name, ann, sent[name]).status

    names = list(sent)
    threads = [threading.Thread(target=client, args=(names[start::CLIENTS],)) for start in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers.values()) == {201}
    known = collector.accepted()
    assert {name: known[name]["sha256"] for name in sent} == {
        name: hashlib.sha256(data).hexdigest() for name, data in sent.items()
    }
    depot = Depot(collector.folder)
    assert all(depot.file(known[name]["sha256"]).read_bytes() == data for name, data in sent.items())


def test_the_same_submission_from_many_at_once(collector: Collector, maker: Maker, key: Path, ann: str) -> None:
    name, data, other = submission(), maker.bundle("b10000", key), maker.bundle("b10001", key)
    answers: list[tuple[bool, int]] = []
    threads = [
        threading.Thread(target=lambda own=own: answers.append((own is data, collector.put(name, ann, own).status)))
        for own in (data, other, data, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for _, status in answers) == [200, 201, 409, 409]
    assert len({first for first, status in answers if status in (200, 201)}) == 1


def test_hostile_bundles(maker: Maker, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, in this process; what the process's bounds are for is below."""
    (tmp_path / ALLOWED).write_text(f"ann {Path(f'{key}.pub').read_text()}")
    monkeypatch.chdir(tmp_path)
    before = psutil.Process().children()
    for what, data, said in hostile.bundles(maker, key):
        (tmp_path / BUNDLE).write_bytes(data)
        found = examine(Path(), "ann")
        why = " ".join(reasons(found))
        assert found.about is None, what
        assert said in why, f"{what}: {why}"
        assert str(tmp_path) not in why
    assert psutil.Process().children() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ALLOWED, BUNDLE])


def test_hostile_bundles_cost_the_server_nothing(collector: Collector, maker: Maker, key: Path, ann: str) -> None:
    assert collector.process is not None
    _, data, said = next(hostile.large(maker, key))
    found = collector.put(submission(), ann, data)
    assert found.status == 422
    assert said in " ".join(found.said["reasons"])
    name = submission()
    assert collector.put(name, ann, hostile.scripted(maker, key)).status == 201
    while (page := collector.ask("GET", f"/results/{name}.html")).status != 200:
        assert page.status == 404
        clock.sleep(0.2)
    assert b"<script>alert" not in page.body
    assert b"&lt;script&gt;alert" in page.body
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert collector.accepted()[name]["recipe"] == one_line(hostile.WORDS)
    board = collector.ask("GET", "/").body
    assert b"<script>alert" not in board
    assert collector.ask("DELETE", f"/v1/bundles/{name}", ann).status == 200
    assert collector.ask("GET", f"/results/{name}.html").status == 404  # at once, whenever the pages are made again
    assert psutil.Process(collector.process.pid).memory_info().rss < MOST_RSS
    assert not list(collector.folder.glob("incoming/*"))


def test_killed_at_random_moments(tmp_path: Path, maker: Maker, key: Path) -> None:
    collector = Collector(tmp_path / "killed", "--per-minute", "100000", "--pages-after", "3600")
    clients = Clients(collector, collector.add("ann", key), maker, key, seed=7)
    for _ in range(KILLS):
        collector.start()
        clients.run(3, clients.random.uniform(0.6, 1.6))
    collector.start()
    try:
        clients.check()
        for name, data in list(clients.open.items()):  # a broken upload is sent again as a whole
            assert collector.put(name, clients.token, data).status in (200, 201)
            clients.there[name] = clients.open.pop(name)
        accepted, _ = clients.check()
        assert accepted
    finally:
        collector.end()


DYING = """
import os, signal, sys
from pathlib import Path
from harness.collect import rows
from harness.collect.depot import Depot
from harness.schema.collect import Held
class Dying(rows.Rows):
    def keep(self, held):
        if sys.argv[2] == "after":
            super().keep(held)
        os.kill(os.getpid(), signal.SIGKILL)
depot = Depot(Path(sys.argv[1]))
part = depot.incoming / "part"
part.write_bytes(b"x")
held = Held(submission="a" * 26, user="ann", sha256="ab12", bytes=1, state="accepted", received="2026-11-25T00:00:00Z")
depot.keep(part, held, Dying(rows.opened(depot.database).engine))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_the_moment_of_the_row(tmp_path: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", DYING, str(tmp_path), when], check=False)
    assert done.returncode == -signal.SIGKILL
    depot = Depot(tmp_path)
    table = rows.opened(depot.database)
    assert depot.file("ab12").exists()  # the file is there before the row says so
    assert depot.recover(table) == []
    assert [one.sha256 for one in table.shown()] == (["ab12"] if when == "after" else [])
    assert depot.file("ab12").exists() == (when == "after")


def test_backup_while_it_runs(tmp_path: Path, maker: Maker, key: Path, collector: Collector, ann: str) -> None:
    """It is served as it is, and restored into a new collector; the token is good there, too."""
    backup(collector, tmp_path, maker, key, ann)


def backup(collector: Collector, folder: Path, maker: Maker, key: Path, token: str, *options: str) -> None:
    name, meanwhile = submission(), submission()
    assert collector.put(name, token, maker.bundle("c00001", key)).status == 201
    data = maker.bundle("c00002", key)
    busy = threading.Thread(target=lambda: collector.put(meanwhile, token, data))
    busy.start()
    done = collector.command("backup", str(folder / "saved"))
    busy.join()
    assert done.returncode == 0, done.stderr
    before = collector.accepted()[name]
    assert collector.ask("DELETE", f"/v1/bundles/{name}", token).status == 200
    with serving(folder / "saved", "--pages-after", "3600") as served:
        assert served.accepted()[name] == before
        assert served.ask("GET", f"/v1/bundles/{name}", token).said["state"] == "accepted"
    again = Collector(folder / "restored", *options)
    done = again.command("restore", str(folder / "saved"))
    assert done.returncode == 0, done.stderr
    shown = {one.submission: one.sha256 for one in served.rows.shown()}
    assert {one.submission: one.sha256 for one in again.rows.shown()} == shown
    for sha256 in shown.values():
        file = again.folder / "bundles" / sha256[:2] / f"{sha256}.tar"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    with pytest.raises(StoreError, match="users or bundles already"):
        saving.restore(folder / "saved", Depot(again.folder), again.rows)
    with pytest.raises(UsageError, match="is there already"):
        saving.save(Depot(collector.folder), collector.rows, folder / "saved")


def test_a_backup_tells_of_a_damaged_bundle(tmp_path: Path, collector: Collector, maker: Maker, key: Path, ann: str) -> None:
    name = submission()
    assert collector.put(name, ann, maker.bundle("c20000", key)).status == 201
    saving.save(Depot(collector.folder), collector.rows, tmp_path / "copy")
    copy = Collector(tmp_path / "copy")
    depot, sha256 = Depot(copy.folder), collector.accepted()[name]["sha256"]
    depot.file(sha256).write_bytes(depot.file(sha256).read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=f"{sha256}.tar: an accepted bundle is missing or damaged"):
        saving.save(depot, copy.rows, tmp_path / "second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]
    assert depot.recover(copy.rows) == []
    depot.file(sha256).unlink()
    assert depot.recover(copy.rows) == [sha256]


def test_rates() -> None:
    rate = Rate(60)
    assert [rate.wait_s("a", 0.0) for _ in range(61)] == [0] * 60 + [1]
    assert rate.wait_s("b", 0.0) == 0
    assert rate.wait_s("a", 0.5) == 1
    assert [rate.wait_s("a", 2.0) for _ in range(3)] == [0, 0, 1]
    assert [rate.wait_s("a", 1e6) for _ in range(61)] == [0] * 60 + [1]  # it holds no more than a minute's
    for number in range(MOST + 5):
        rate.wait_s(str(number), 1e6)
    assert len(rate._left) == MOST
    assert whose("2001:db8::1") == whose("2001:db8::ffff") != whose("2001:db8:0:1::1")
    assert (whose("192.0.2.1"), whose("x" * 99)) == ("192.0.2.1", "x" * 64)
