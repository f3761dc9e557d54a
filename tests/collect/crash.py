"""Clients that send, and take back, while the server is killed at random moments: what must hold after each."""

from __future__ import annotations

import hashlib
import random
import signal
import sqlite3
import threading
from http.client import HTTPException
from pathlib import Path

from tests.collect.collector import Collector, Maker, submission

WRONG = (OSError, HTTPException)


class Clients:
    """They know what they were told: `there` by 200 or 201, `gone` by the answer to DELETE, `open`: no answer came."""

    def __init__(self, collector: Collector, token: str, maker: Maker, key: Path, seed: int) -> None:
        self.collector, self.token, self.maker, self.key, self.random = collector, token, maker, key, random.Random(seed)
        self.there: dict[str, bytes] = {}
        self.open: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.leaving: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._number = 0

    def run(self, many: int, seconds: float) -> None:
        """Until the server is killed."""
        self._stop.clear()
        threads = [threading.Thread(target=self._one, daemon=True) for _ in range(many)]
        for thread in threads:
            thread.start()
        self._stop.wait(seconds)
        self._stop.set()
        self.collector.end(signal.SIGKILL)
        for thread in threads:
            thread.join()

    def _one(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._number += 1
                ident, back = f"{self._number:06x}", self.random.random() < 0.3
                again = self.random.choice(list(self.open)) if self.open and self.random.random() < 0.5 else None
                name, data = (again, self.open[again]) if again else (submission(), b"")
            data = data or self.maker.bundle(ident, self.key)
            with self._lock:
                self.open[name] = data
            try:
                status = self.collector.put(name, self.token, data).status
                if status in (200, 201):
                    with self._lock:
                        self.open.pop(name, None)
                        self.there[name] = data
                    if back:
                        self._take_back(name)
            except WRONG:
                return

    def _take_back(self, name: str) -> None:
        with self._lock:
            self.leaving.add(name)
        if self.collector.ask("DELETE", f"/v1/bundles/{name}", self.token).status == 200:
            with self._lock:
                self.gone.add(name)

    def check(self) -> tuple[int, int]:
        """After a restart. Gives (accepted, open)."""
        known = self.collector.accepted()
        for name, data in self.there.items():
            if name not in self.leaving:
                assert known[name]["sha256"] == hashlib.sha256(data).hexdigest(), f"{name} is lost"
        assert not self.gone & known.keys(), "what was taken back is there"
        assert known.keys() <= self.there.keys() | self.open.keys(), "something that nobody sent is there"
        for name, one in known.items():
            file = self.collector.folder / "bundles" / one["sha256"][:2] / f"{one['sha256']}.tar"
            assert hashlib.sha256(file.read_bytes()).hexdigest() == one["sha256"], f"{name} is not whole"
        files = {file.stem for file in self.collector.folder.glob("bundles/*/*")}
        assert files == {one["sha256"] for one in known.values()}, "a file that no row has"
        assert not list(self.collector.folder.glob("incoming/*"))
        database = self.collector.folder / "collector.sqlite"
        if database.exists():
            assert sqlite3.connect(database).execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return len(known), len(self.open)
