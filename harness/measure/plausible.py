"""Whether what agrees with itself can be true, too: clocks, tokens, the memory's bandwidth, acceptance, money. Pure.

`fail`: it cannot be so. `warn`: it need not be so, and the result says it itself. `skip`: it cannot be told, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice, pairwise

from harness.measure import speculation
from harness.measure.given import Given
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check
from harness.schema.plan import Plan
from harness.schema.request import Record
from harness.schema.result import CellResult, Result
from harness.schema.run import Trial
from harness.schema.sensors import Sample
from harness.schema.weights import METADATA
from harness.units import seconds

SLACK_NS = 1_000_000
"""Between stamps of two kinds, the kernel's and the program's, with what the wall clock was moved by on top."""
WALL_SLACK_S = 2.0
"""Between the wall clock's account of a run and the monotonic one's: it is set right now and then."""
SHOWN = 3
DISAGREE = frozenset(
    (
        "counter_generation_tokens",
        "counter_requests_finished",
        "counter_ttft",
        "engine_timings",
        "engine_timings_tokens",
        "event_counts",
        "impossible_acceptance",
        "retokenized",
    )
)
"""Findings that say that two accounts of the same tokens differ."""
CACHES_BYTES = 1 << 28
"""A model that reads less than this a token may sit in the processor's own caches, which are faster than the memory."""


def checks(
    result: Result,
    plan: Plan,
    records: Mapping[int, Sequence[Record]],
    samples: Sequence[Sample],
    given: Given,
    *,
    as_stored: bool,
) -> Iterator[Check]:
    """`result` must have been recomputed. `as_stored`: the model's weights are in memory as in its files."""
    yield clocks(result, records, samples)
    yield tokens(result, records)
    yield roofline(result.cells, given, result.nodes, as_stored=as_stored)
    yield acceptance(result, plan)
    if result.spent is not None:
        yield spent(result, records)


def clocks(result: Result, records: Mapping[int, Sequence[Record]], samples: Sequence[Sample]) -> Check:
    wrong = list(islice(_disorder(result, records, samples), SHOWN))
    if wrong:
        return Check("clocks", FAIL, "; ".join(wrong))
    said, passed = _wall_s(result), _span_s(result)
    if said is not None and passed - said > WALL_SLACK_S:
        return Check(
            "clocks",
            WARN,
            f"the trials ended {passed:.1f} s after the run began, which ended after {said:.1f} s by the wall clock",
        )
    number = sum(map(len, records.values()))
    return Check("clocks", PASS, f"monotone in {len(result.trials)} trials, {number} requests and {len(samples)} readings")


def _disorder(result: Result, records: Mapping[int, Sequence[Record]], samples: Sequence[Sample]) -> Iterator[str]:
    before = result.anchor.mono_ns
    for trial in result.trials:
        if not before <= trial.t_start_ns <= trial.t_end_ns:
            yield f"trial {trial.index} begins before what came before it had ended, or ends before it begins"
        before = trial.t_end_ns
        if trial.client.wall_s > (took := seconds(trial.t_end_ns - trial.t_start_ns + SLACK_NS)):
            yield f"trial {trial.index} took {took:.3f} s, in which its load driver says that it ran for {trial.client.wall_s:.3f} s"
        busy: dict[int, int] = {}
        for record in sorted(records.get(trial.index, ()), key=lambda record: record.t_send_ns):
            if said := _backwards(record, trial):
                yield f"trial {trial.index}, request {record.index}: {said}"
            if record.t_send_ns < busy.get(record.slot, record.t_send_ns) - SLACK_NS:
                yield f"trial {trial.index}, request {record.index}: it was sent on a connection that had not yet answered another"
            busy[record.slot] = record.t_end_ns
    last: dict[tuple[str, str], int] = {}
    for sample in samples:
        key = (sample.source, sample.name)
        if sample.t_ns < last.get(key, sample.t_ns):
            yield f"readings of {sample.name} ({sample.source}) go back in time"
        last[key] = sample.t_ns


def _backwards(record: Record, trial: Trial) -> str:
    """Which of its instants comes before the one that it must follow; empty: none."""
    slack = SLACK_NS + abs(trial.client.clock_step_ns)
    far = slack + trial.client.clock_error_ns
    if record.t_send_ns < trial.t_start_ns - far or record.t_end_ns > trial.t_end_ns + far:
        return "it lies outside its trial"
    if record.t_send_ns < record.t_sched_ns - slack:
        return "it was sent before it was due"
    stamps = [("it was sent", record.t_send_ns), *([("its headers came", record.t_hdr_ns)] if record.t_hdr_ns else [])]
    stamps += [(f"event {number} came", event.t_ns) for number, event in enumerate(record.events)]
    stamps.append(("it ended", record.t_end_ns))
    return next((f"{then} before {first}" for (first, one), (then, two) in pairwise(stamps) if two < one - slack), "")


def _wall_s(result: Result) -> float | None:
    """By the wall clock; None: it does not say."""
    try:
        first, last = (datetime.fromisoformat(said or "") for said in (result.anchor.wall, result.finished))
        return (last - first).total_seconds()
    except (ValueError, TypeError):
        return None


def _span_s(result: Result) -> float:
    return seconds(max((trial.t_end_ns for trial in result.trials), default=result.anchor.mono_ns) - result.anchor.mono_ns)


def tokens(result: Result, records: Mapping[int, Sequence[Record]]) -> Check:
    differ = [
        f"{cell.cell.id}: {finding.text}" for cell in result.cells for finding in cell.findings if finding.code in DISAGREE
    ]
    if differ:
        more = f"; and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
        return Check("tokens", WARN, "; ".join(differ[:SHOWN]) + more)
    usage = [record.usage.completion_tokens for each in records.values() for record in each if record.usage is not None]
    known = [count for count in usage if count is not None]
    if not known:
        return Check("tokens", SKIP, "the server's usage names no generated tokens to hold others against")
    counted = [
        trial.counters_after["generation_tokens"] - trial.counters_before["generation_tokens"]
        for trial in result.trials
        if "generation_tokens" in trial.counters_before and "generation_tokens" in trial.counters_after
    ]
    if not counted or not sum(counted):
        return Check(
            "tokens", SKIP, f"{sum(known):,} generated by usage; the engine's counters do not tell how many it counted itself"
        )
    return Check("tokens", PASS, f"{sum(known):,} generated by usage, {sum(counted):,.0f} by the engine's counters")


def roofline(cells: Sequence[CellResult], given: Given, nodes: int, *, as_stored: bool) -> Check:
    """One stream's passes per second against those that the memory allows for the weights alone. Several streams share a pass, so none
    of them can be faster either."""
    name = "roofline"
    spec, weights = given.memory_spec_bytes_s, given.weights
    bandwidth = spec or given.memory_read_bytes_s
    if weights is None or bandwidth is None:
        why = given.weights_reason if weights is None else "what this machine's memory gives is not known"
        return Check(name, SKIP, f"whether decode is faster than the memory allows cannot be told: {why}")
    shares = {
        cell.cell.id: steps * weights.step_bytes / (bandwidth * nodes)
        for cell in cells
        if (steps := _steps_s(cell)) is not None
    }
    if not shares:
        return Check(
            name, SKIP, "no cell has a decode rate to hold against the memory, or how many tokens a pass gave is not known"
        )
    most = max(shares, key=lambda cell: shares[cell])
    gives = "is specified to give" if spec else "was measured to give"
    text = f"decode reads weights at {shares[most]:.0%} of what the memory {gives} ({most})"
    if shares[most] <= 1:
        return Check(name, PASS, text)
    sure = spec is not None and as_stored and weights.source != METADATA and weights.step_bytes > CACHES_BYTES
    return Check(name, FAIL if sure else WARN, text)


def _steps_s(cell: CellResult) -> float | None:
    """Passes over the model per second of one stream."""
    figures = {name: figure.value for name, figure in cell.figures.items()}
    rate = figures.get("decode_tok_s")
    length = figures.get("acceptance_length") or figures.get("acceptance_length_timings")
    if length is None and (figures.get("tokens_per_event") or 1.0) > 1.0:
        return None  # several tokens a pass, or a pass an event: nobody says
    return None if rate is None else rate / (length or 1.0)


def acceptance(result: Result, plan: Plan) -> Check:
    """Of drafts, whose faking leaves no trace in times."""
    name, settings = "acceptance", result.engine.settings
    for launch in (plan.launch, *plan.workers):
        if (switch := speculation.faked(launch, settings)) is not None:
            return Check(
                name, FAIL, f"the server was told to fake the acceptance of drafts ({switch}): these are no model's speeds"
            )
    if plan.launch is None:
        told = "its settings, as it tells them, do not fake it" if settings else "it does not tell its settings"
        return Check(name, SKIP, f"somebody else started the server, and {told}: whether acceptance is a model's is not known")
    return Check(name, PASS, "neither the command nor the server's settings fake the acceptance of drafts")


def spent(result: Result, records: Mapping[int, Sequence[Record]]) -> Check:
    """Against the answers' own usage. What was asked besides (questions, canaries) is not stored, so it may only be more."""
    name, said = "money", result.spent
    assert said is not None
    usage = [record.usage for each in records.values() for record in each if record.usage is not None]
    read = sum(one.prompt_tokens or 0 for one in usage)
    written = sum(one.completion_tokens or 0 for one in usage)
    if said.bill.input_tokens < read or said.bill.output_tokens < written:
        return Check(name, FAIL, f"the bill has fewer tokens than the answers' usage ({read:,} in, {written:,} out)")
    usd = said.bill.usd(said.rates)
    if abs(usd - said.usd) > 1e-9 * max(1.0, usd):
        return Check(name, FAIL, f"${said.usd:g} are not what the bill comes to: ${usd:g}")
    return Check(name, PASS, f"${said.usd:.4g} follow from the bill and the rates, and no answer's usage is missing in it")
