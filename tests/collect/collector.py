"""A real collector in a process of its own on loopback, users, and bundles to send: for tests and for `scripts/bench_collect.py`."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from harness.collect import keys, rows
from harness.collect.depot import Depot
from harness.share import bundle, sign
from harness.share.bundle import Content
from harness.share.tar import BLOCK, END, header
from tests.share import forger

HARNESS = (sys.executable, "-m", "harness")
SERVING = re.compile(r"Serving .* at http://127\.0\.0\.1:(\d+) ")


def submission() -> str:
    return base64.b32encode(os.urandom(16)).decode().rstrip("=").lower()


def new_key(folder: Path, name: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)], check=True)
    return folder / name


class Maker:
    """Bundles like the golden one, each of another run."""

    def __init__(self, folder: Path) -> None:
        run = forger.unpacked(folder)
        self.files = {file.relative_to(run).as_posix(): file.read_bytes() for file in run.rglob("*") if file.is_file()}
        self.result: dict[str, Any] = msgspec.json.decode(self.files["result.json"])

    def bundle(self, ident: str, key: Path | None, **changed: object) -> bytes:
        """`changed`: of `result.json`."""
        result = self.result | {"id": ident} | changed
        return self.of(self.files | {"result.json": msgspec.json.encode(result)}, ident, key)

    def of(self, files: Mapping[str, Content], ident: str, key: Path | None) -> bytes:
        about = bundle.manifest(files, result=ident, harness_version=self.result["harness_version"])
        data = bundle.encoded(about)
        parts = [header(bundle.MANIFEST, len(data)), data, bytes(-len(data) % BLOCK)]
        for name in sorted(files):
            content = files[name]
            assert isinstance(content, bytes)
            parts += [header(name, len(content)), content, bytes(-len(content) % BLOCK)]
        made = b"".join(parts) + END
        return made if key is None else bundle.signed(made, partial(sign.sign, key=key))


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return msgspec.json.decode(self.body)


class Collector:
    def __init__(self, folder: Path, *options: str, code: str = "") -> None:
        """`code`: Python that serves, instead of the command."""
        self.folder, self.options, self.code = folder, options, code
        self.port = 0
        self.log = folder.parent / f"{folder.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        db = [word for pair in zip(self.options, self.options[1:], strict=False) if pair[0] == "--db" for word in pair]
        return subprocess.run(
            [*HARNESS, "collect", *words, "--folder", str(self.folder), *db], capture_output=True, text=True, check=False
        )

    @property
    def rows(self) -> rows.Rows:
        db = dict(zip(self.options, self.options[1:], strict=False)).get("--db")
        return rows.opened(db or Depot(self.folder).database)

    def add(self, name: str, key: Path | None = None, role: str = "sender") -> str:
        """A user; their token."""
        return keys.add(self.rows, name, role, [Path(f"{key}.pub")] if key else [])

    def start(self) -> None:
        serve = ("-m", "harness", "collect", "serve", "--bind", f"127.0.0.1:{self.port}")
        words = ("-c", self.code) if self.code else serve
        log = self.log.open("ab")
        start = log.tell()
        with log:
            self.process = subprocess.Popen(
                [sys.executable, *words, "--folder", str(self.folder), *self.options], stdout=log, stderr=log
            )
        while not (found := SERVING.search(self.said()[start:])):
            assert self.process.poll() is None, self.said()
            try:
                self.process.wait(0.02)
            except subprocess.TimeoutExpired:
                pass
        self.port = int(found[1])

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def end(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)

    def ask(self, method: str, path: str, token: str = "", data: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"authorization": f"Bearer {token}"} if token else {}
        try:
            try:
                connection.request(method, path, data, sent)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have answered already
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
        finally:
            connection.close()

    def put(self, name: str, token: str, data: bytes, **headers: str) -> Answer:
        about = {"content_type": "application/x-tar", "x_bundle_sha256": hashlib.sha256(data).hexdigest()} | headers
        return self.ask("PUT", f"/v1/bundles/{name}", token, data, **about)

    def accepted(self) -> dict[str, Any]:
        """By submission, from page to page."""
        found: dict[str, Any] = {}
        after: str | None = ""
        while after is not None:
            page = self.ask("GET", f"/v1/bundles?after={after}").said
            found |= {one["submission"]: one for one in page["bundles"]}
            after = page["next"]
        return found


@contextmanager
def serving(folder: Path, *options: str, code: str = "") -> Iterator[Collector]:
    collector = Collector(folder, *options, code=code)
    collector.start()
    try:
        yield collector
    finally:
        if collector.process is not None and collector.process.poll() is None:
            collector.end()
