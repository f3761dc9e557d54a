"""Our own server of exactly known speed: the truth that the harness is tested and calibrated against.

`python -m harness.engines.paced --ttft-ms 50 --tpot-ms 10` speaks the OpenAI API as vLLM does, on an absolute schedule, prints
one JSON line with its URL when it listens, and writes one line per request to `--log` with what really happened, on CLOCK_MONOTONIC. A
token is a word. `--behave` makes it misbehave, see `behaviours.BEHAVIOURS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.engines import vllm
from harness.engines.base import Diagnosis, ServerFacts
from harness.engines.paced.behaviours import CONTEXT_TOKENS
from harness.schema.memory import Claim

NAME = "paced"
HEALTH = "/health"
METRICS: str | None = "/metrics"
request_fields = vllm.request_fields
tokenize_request = vllm.tokenize_request
tokenize_count = vllm.tokenize_count
counters = vllm.counters


def facts(get: Callable[[str], object | None]) -> ServerFacts:
    return ServerFacts(version="1", context_limit=CONTEXT_TOKENS)


def context_limit(argv: Sequence[str]) -> int | None:
    return CONTEXT_TOKENS


def memory(argv: Sequence[str], env: Mapping[str, str]) -> Claim | None:
    return None


def needs_gpu(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    return False


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    return vllm.diagnose(log)
