"""docs/peers.md: the stored runs as tables, with how they were made."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from cells import SCENARIOS, TOKENS, WORDS, Measured, Scenario
from clients import CLIENTS, Client

P99_REQUESTS = 100
_DASH = "–"

_HEAD = """# Clients side by side

Load clients against a server of known speed. Written by `make peers` (`scripts/peers/`) from one run on one machine; run it on yours.

**How to read it.** A cell says what the client reports and, in brackets, what the server's log says of the same requests. The difference
is the client's error, on a machine whose cores it shares with the server. TTFT is the time to the first token of any kind, "answer" that
to the first which is not reasoning, ms per token the time between tokens after those of the first event. CPU is that of all the client's
processes from start to end, per token that the server sent to it, warm-up included; with one stream it is mostly the start. Memory is
the largest sum of its processes' resident sets. Start is the time until the server got the first request. Lost are requests that it was
to send and does not count as answered. A dash is a figure that the client does not give, or a p99 of fewer than {p99} requests. Most of
these programs do much that is not measured here.
"""


def line(found: Measured) -> str:
    """One result for the terminal."""
    said, truth = found.reported, found.truth
    if said is None or truth is None:
        return found.failed or ""
    return (
        f"TTFT p50 {_pair(said.ttft_p50_ms, truth.ttft_p50_ms)} p99 {_pair(said.ttft_p99_ms, truth.ttft_p99_ms)} ms, "
        f"{_pair(said.tpot_ms, truth.tpot_ms, 3)} ms per token; {_cpu(found)} µs per token, {found.peak_mb:.0f} MB, "
        f"start {found.start_s:.1f} s, {found.lost} lost"
    )


def write(path: Path, stored: Sequence[Measured]) -> None:
    parts = [_HEAD.format(p99=P99_REQUESTS)]
    for name, scenario in SCENARIOS.items():
        parts.append(_scenario(name, scenario, [found for found in stored if found.scenario == name]))
    parts.append(_how(stored))
    path.write_text("\n".join(parts), encoding="utf-8")


def _scenario(name: str, scenario: Scenario, stored: Sequence[Measured]) -> str:
    content = name == "reasoning"
    head = ["streams", "client", "TTFT mean, ms", "TTFT p50, ms", "TTFT p99, ms"]
    head += ["answer p50, ms"] if content else []
    head += ["ms per token", "CPU, s", "CPU, µs/token", "memory, MB", "start, s", "lost"]
    rows = [_row(found, content=content) for found in sorted(stored, key=lambda found: found.concurrency)]
    failed = [
        f"- {CLIENTS[found.client].title}, {_streams(found.concurrency)}: {found.failed}." for found in stored if found.failed
    ]
    counts = ", ".join(f"{count} with {_streams(streams)}" for streams, count in scenario.requests.items())
    lead = ["", scenario.says, f"{TOKENS} tokens per answer; measured requests: {counts}. Server: `{scenario.server}`.", ""]
    return "\n".join([f"## {scenario.title}", *lead, *_table(head, rows), "", *failed, *([""] if failed else [])])


def _row(found: Measured, *, content: bool) -> list[str]:
    cells = [str(found.concurrency), CLIENTS[found.client].title]
    said, truth = found.reported, found.truth
    if said is None or truth is None:
        return cells + [_DASH] * (10 if content else 9)
    enough = found.requests >= P99_REQUESTS
    cells += [_pair(said.ttft_mean_ms, truth.ttft_mean_ms), _pair(said.ttft_p50_ms, truth.ttft_p50_ms)]
    cells += [_pair(said.ttft_p99_ms, truth.ttft_p99_ms) if enough else _DASH]
    cells += [_pair(said.content_p50_ms, truth.content_p50_ms)] if content else []
    cells += [
        _pair(said.tpot_ms, truth.tpot_ms, 3),
        f"{found.cpu_s:.1f}",
        _cpu(found),
        f"{found.peak_mb:.0f}",
        f"{found.start_s:.1f}",
    ]
    return [*cells, str(found.lost)]


def _pair(said: float | None, truth: float, digits: int = 1) -> str:
    return f"{_DASH if said is None else f'{said:.{digits}f}'} ({truth:.{digits}f})"


def _cpu(found: Measured) -> str:
    assert found.cpu_s is not None
    return f"{found.cpu_s * 1e6 / found.tokens:.1f}" if found.tokens else _DASH


def _streams(count: int) -> str:
    return f"{count} stream{'s' if count > 1 else ''}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _how(stored: Sequence[Measured]) -> str:
    rows = []
    for name, client in CLIENTS.items():
        own = [found for found in stored if found.client == name]
        versions = sorted({found.version for found in own if found.version})
        dates = sorted({found.date for found in own})
        when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else _DASH
        rows.append([client.title, ", ".join(versions) or _DASH, when, client.note])
    return "\n".join(
        [
            "## How it was run",
            "",
            f"Machine: {_machine()}.",
            "The server runs on the same cores, anew for every row. No network: a local tokenizer, for which a token is a word as for the",
            f"server, and prompts of about {WORDS} words. Every client has a first round, a request for each stream, that does not count.",
            "",
            *_table(["client", "version", "date", "remarks"], rows),
            "",
            "`$c` streams, `$n` measured requests (`$all` with the warm-up), `$batches` of c:",
            "",
            "```",
            *map(_call, CLIENTS.values()),
            "```",
            "",
        ]
    )


def _call(client: Client) -> str:
    """As one would type it."""
    words = [*(f"{key}={value}" for key, value in client.environment.items()), client.call]
    return " ".join(words).replace("$python ", "python ").replace("$bin/", "").replace("$here/", "")


def _machine() -> str:
    rows = (row.partition(":") for row in Path("/proc/cpuinfo").read_text().splitlines())
    model = next((value.strip() for name, _, value in rows if name.strip() == "model name"), platform.machine())
    release = platform.release().partition("-")[0]
    return f"{len(os.sched_getaffinity(0))} cores of {model}, Linux {release}, Python {platform.python_version()}"
