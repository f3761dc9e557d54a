"""What is measured: scenarios of the paced server, streams and requests; and what is kept of each run."""

from __future__ import annotations

import msgspec
from clients import Reported

TOKENS = 128
WORDS = 16


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    server: str
    """Options of the paced server."""
    says: str
    requests: dict[int, int]
    """By streams."""


SCENARIOS = {
    "plain": Scenario(
        title="Plain",
        server="--ttft-ms 50 --tpot-ms 10",
        says="First token after 50 ms, one every 10 ms, each an event of its own. The role event leaves with the first token.",
        requests={1: 8, 64: 512, 256: 1024},
    ),
    "speculative": Scenario(
        title="Speculative decoding",
        server="--ttft-ms 50 --tpot-ms 24.39 --tokens-per-event 3",
        says="Three tokens in each event, 41 tok/s. The last event carries two: 24.58 ms per token after the first event. A client that "
        "divides by N-1 tokens, where N-3 came after the first event, finds 24.20 ms.",
        requests={1: 5, 64: 256, 256: 512},
    ),
    "reasoning": Scenario(
        title="Reasoning first",
        server="--ttft-ms 50 --tpot-ms 10 --behave reasoning:30",
        says="As plain, but the first 30 tokens are reasoning (`reasoning_content`): the answer begins after 350 ms.",
        requests={1: 8, 64: 512, 256: 1024},
    ),
    "role": Scenario(
        title="Early role event",
        server="--ttft-ms 50 --tpot-ms 10 --behave early_role:20",
        says="As plain, but the role event leaves 20 ms after the request, as some servers and proxies do. It carries no token.",
        requests={64: 512},
    ),
}


class Cell(msgspec.Struct, frozen=True):
    scenario: str
    concurrency: int
    requests: int

    @property
    def name(self) -> str:
        return f"{self.scenario}-{self.concurrency}"


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's log says of the same requests."""

    requests: int
    ttft_mean_ms: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    content_p50_ms: float
    tpot_ms: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One client in one cell."""

    client: str
    scenario: str
    concurrency: int
    requests: int
    date: str
    version: str | None = None
    failed: str | None = None
    """Why there is nothing else."""
    reported: Reported | None = None
    truth: Truth | None = None
    lost: int | None = None
    """Requests that it was told to send and does not count as answered."""
    cpu_s: float | None = None
    tokens: int | None = None
    """All that the server sent to it, warm-up included: what its CPU time was spent on."""
    peak_mb: float | None = None
    wall_s: float | None = None
    start_s: float | None = None
    """From its start to the first request that the server got."""


def cells() -> list[Cell]:
    return [Cell(name, streams, count) for name, scenario in SCENARIOS.items() for streams, count in scenario.requests.items()]
