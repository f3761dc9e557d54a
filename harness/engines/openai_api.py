"""Any OpenAI-compatible endpoint about which nothing else is known: no counters, no tokenizer, no way to force a length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.engines.base import Diagnosis, ServerFacts
from harness.engines.diagnosis import diagnose_with
from harness.errors import EngineError
from harness.schema.memory import Claim

NAME = "openai"
HEALTH = "/v1/models"
METRICS: str | None = None


def request_fields(*, tokens: int, salt: str, prefix_caching: bool) -> dict[str, object]:
    """`ignore_eos` and the like are refused by some providers, so the model may stop early: such requests are excluded by
    name."""
    return {"max_tokens": tokens, "stream_options": {"include_usage": True}}


def tokenize_request(text: str, model: str) -> tuple[str, object] | None:
    return None


def tokenize_count(reply: object) -> int:
    return count_from(reply)


def counters(metrics: str) -> dict[str, float]:
    return {}


def facts(get: Callable[[str], object | None]) -> ServerFacts:
    return ServerFacts()


def context_limit(argv: Sequence[str]) -> int | None:
    return None


def memory(argv: Sequence[str], env: Mapping[str, str]) -> Claim | None:
    return None


def needs_gpu(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    return False


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    return diagnose_with((), log)


def count_from(reply: object) -> int:
    """`{"count": n}`, else the length of `{"tokens": […]}`: what vLLM, SGLang and llama.cpp answer. Raises `EngineError`
    otherwise."""
    match reply:
        case {"count": int(count)}:
            return count
        case {"tokens": list(tokens)}:
            return len(tokens)
        case _:
            raise EngineError(
                f"the server's /tokenize answered in another shape: {str(reply)[:120]}",
                "check that the engine named in the recipe is the one that answers",
            )
