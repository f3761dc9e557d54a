"""The paced server as a child process, for tests: `with paced(ttft_ms=50) as server: … server.url … server.truth()`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.engines.paced.server import Truth


class Paced(msgspec.Struct, frozen=True):
    url: str
    port: int
    log: Path
    pid: int

    def truth(self) -> list[Truth]:
        """What happened to each request so far, in the order of their ends."""
        return [msgspec.json.decode(line, type=Truth) for line in self.log.read_bytes().splitlines()]


@contextmanager
def paced(
    *,
    ttft_ms: float = 50,
    tpot_ms: float = 10,
    tokens_per_event: int = 1,
    behave: str = "",
    api_key: str | None = None,
    says: str = "words",
    stranger: bool = False,
    refuses: str = "",
    jitter: float = 0.0,
    port: int = 0,
) -> Iterator[Paced]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "truth.jsonl"
        log.touch()
        words = ["--ttft-ms", str(ttft_ms), "--tpot-ms", str(tpot_ms), "--tokens-per-event", str(tokens_per_event)]
        words += ["--behave", behave, "--log", str(log), "--port", str(port)]
        words += ["--says", says, "--jitter", str(jitter), "--refuses", refuses]
        words += ["--stranger"] if stranger else []
        if api_key is not None:
            words += ["--api-key", api_key]
        child = subprocess.Popen([sys.executable, "-m", "harness.engines.paced", *words], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            url = msgspec.json.decode(child.stdout.readline())["url"]
            yield Paced(url, int(url.rpartition(":")[2]), log, child.pid)
        finally:
            child.terminate()
            child.communicate()
