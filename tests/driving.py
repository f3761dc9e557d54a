"""Jobs for the load driver, and the driver run inside the test's own process."""

from __future__ import annotations

import io
from collections.abc import Mapping

import msgspec

from harness.load.driver import Driver
from harness.schema.job import Ask, Job, Stage
from harness.schema.request import Record
from harness.schema.run import ClientReport

CHAT = "/v1/chat/completions"


def body(words: int, tokens: int, fields: Mapping[str, object] | None = None, *, chat: bool = True) -> str:
    """A request whose prompt has `words` words, so that the server's log tells which it was."""
    said = " ".join(["word"] * words)
    prompt: dict[str, object] = {"messages": [{"role": "user", "content": said}]} if chat else {"prompt": said}
    usage = {"include_usage": True, "continuous_usage_stats": True}
    whole = {"model": "m", **prompt, "max_tokens": tokens, "stream": True, "stream_options": usage, **(fields or {})}
    return msgspec.json.encode(whole).decode()


def job(
    port: int,
    requests: int = 1,
    *,
    tokens: int = 16,
    concurrency: int = 1,
    timeout_s: float = 30.0,
    fields: Mapping[str, object] | None = None,
) -> Job:
    """Request i has i + 1 words."""
    asks = tuple(Ask("measure", body(words, tokens, fields)) for words in range(1, requests + 1))
    return Job(host="127.0.0.1", port=port, path=CHAT, stages=(Stage(concurrency, asks),), timeout_s=timeout_s)


def run(what: Job, api_key: str | None = None) -> tuple[list[Record], ClientReport]:
    """Records in the order of the job."""
    out = io.BytesIO()
    driver = Driver(what, out, api_key, lambda progress: None)
    driver.run()
    records = [msgspec.json.decode(line, type=Record) for line in out.getvalue().splitlines()]
    return sorted(records, key=lambda record: record.index), driver.report()
