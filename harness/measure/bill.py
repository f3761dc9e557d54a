"""The most that requests can cost before they are sent, and what they did cost after. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from harness.schema.bill import Bill
from harness.schema.job import Ask, Job
from harness.schema.request import Record
from harness.schema.workload import WARMUP_ROUNDS, Cell, Workload

MARGIN = 1.1
"""Prompts are made to a length by an estimate of the server's tokenizer."""
BESIDE = Bill(requests=20, input_tokens=20_000, output_tokens=4_000)
"""Questions before the run, canaries, and what measures the tokenizer."""


def of_workload(work: Workload) -> Bill:
    """The most that a whole plan can cost: every cell with all the runs that it may have."""
    return sum((_of_cell(cell, work) for cell in work.cells), BESIDE)


def _of_cell(cell: Cell, work: Workload) -> Bill:
    runs = work.profile.max_runs
    warmup = (runs + WARMUP_ROUNDS - 1) * cell.warmup
    if work.trace:
        prompts, answers = [row.prompt_tokens for row in work.trace], [row.output_tokens for row in work.trace]
        return Bill(
            requests=runs * len(prompts) + warmup,
            input_tokens=round((runs * sum(prompts) + warmup * max(prompts)) * MARGIN),
            output_tokens=runs * sum(answers) + warmup * max(answers),
        )
    number = runs * cell.requests + warmup
    if cell.prefix_caching:
        number *= 2  # each context goes into the cache by a request of its own
    longest = cell.context_tokens - cell.tg
    return Bill(requests=number, input_tokens=round(number * longest * MARGIN), output_tokens=number * cell.tg)


def of_job(job: Job) -> Bill:
    """The most that a trial can cost."""
    return sum(_of_asks(job), Bill())


def _of_asks(job: Job) -> list[Bill]:
    asks = [ask for stage in job.stages for ask in (*stage.warmup, *stage.asks)]
    sent = [_sent(ask) for ask in asks]
    known = [
        ask.asked_prompt_tokens / max(1, _text_bytes(body))
        for ask, body in zip(asks, sent, strict=True)
        if ask.asked_prompt_tokens is not None
    ]
    return [_of_ask(ask, body, max(known, default=None)) for ask, body in zip(asks, sent, strict=True)]


def _of_ask(ask: Ask, sent: Mapping[str, Any], tokens_a_byte: float | None) -> Bill:
    """A prompt of unknown length has as many tokens to each byte of text as those of the same job whose length is known; else a token is
    a byte at least. An answer that is put into the prompt later has at most as many as were asked for."""
    longest = int(sent.get("max_tokens") or sent.get("max_completion_tokens") or 0)
    if ask.asked_prompt_tokens is not None:
        prompt = round(ask.asked_prompt_tokens * MARGIN)
    elif tokens_a_byte is not None:
        prompt = round(_text_bytes(sent) * tokens_a_byte * MARGIN)
    else:
        prompt = len(ask.body)
    return Bill(requests=1, input_tokens=prompt + ask.turn * longest, output_tokens=longest)


def _sent(ask: Ask) -> dict[str, Any]:
    """Its fields, with empty answers where those of the same conversation go."""
    found: dict[str, Any] = msgspec.json.decode(ask.body.replace("\0", '""'))
    return found


def _text_bytes(sent: Mapping[str, Any]) -> int:
    return sum(len(message["content"].encode()) for message in sent["messages"])


def of_records(records: Iterable[Record], job: Job) -> Bill:
    """What a trial did cost: by usage, or the most that a request without one can have cost."""
    each = _of_asks(job)
    dearest = Bill(
        requests=1,
        input_tokens=max((bill.input_tokens for bill in each), default=0),
        output_tokens=max((bill.output_tokens for bill in each), default=0),
    )
    return sum((_of_record(record, dearest) for record in records), Bill())


def _of_record(record: Record, dearest: Bill) -> Bill:
    usage = record.usage
    if usage is not None and usage.prompt_tokens is not None and usage.completion_tokens is not None:
        return Bill(requests=1, input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
    if record.status is not None and record.status >= 400:
        return Bill(requests=1)  # refused before anything was worked out
    return dearest
