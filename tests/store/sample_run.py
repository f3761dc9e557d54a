"""A small run made by hand, for the tests of store and report."""

from __future__ import annotations

from collections.abc import Sequence

from harness.schema.machine import Machine
from harness.schema.plan import Launch, Plan, TimeEstimate
from harness.schema.request import Event, Record, ServerTimings, Usage
from harness.schema.result import CellResult, Figure, Finding, Result
from harness.schema.run import Anchor, ClientReport, EngineFacts, Trial
from harness.schema.sensors import Sample
from harness.schema.workload import Cell, Profile, Sampling, Skipped, Workload

RECIPE = "recipe_version: '2'\nmodel: m\n"


def cell(concurrency: int = 1) -> Cell:
    return Cell(
        id=f"d0-pp128-tg4-c{concurrency}",
        depth=0,
        pp=128,
        tg=4,
        concurrency=concurrency,
        prompt_class="prose",
        prefix_caching=False,
        requests=2,
        warmup=1,
    )


def plan(argv: Sequence[str] = ("vllm", "serve", "m", "--port", "8000")) -> Plan:
    work = Workload(
        profile_name="quick",
        profile=Profile(runs=3),
        cells=(cell(), cell(4)),
        skipped=(Skipped(cell(16), "needs 9,000 tokens of context, the server has 2048"),),
        seed=0,
        sampling=Sampling(),
    )
    return Plan(
        recipe_name="sample",
        recipe_path="recipes/sample.yaml",
        recipe_sha256="0" * 64,
        engine="vllm",
        model="m",
        model_revision=None,
        served_model="m",
        host="127.0.0.1",
        port=8000,
        url="http://127.0.0.1:8000",
        launch=Launch(executor="process", argv=tuple(argv), env={"HF_HUB_OFFLINE": "1", "NOTE": "two words"}),
        requires=("gpu", "port:8000"),
        context_limit=2048,
        workload=work,
        overrides={},
        notes=("It binds 127.0.0.1 instead of 0.0.0.0: only this machine can ask it; --set host=0.0.0.0 opens it.",),
        estimate=TimeEstimate(seconds=65.0, basis="decode 100 tok/s"),
    )


def records(trial: int, number: int = 3) -> list[Record]:
    start = trial * 10**9
    return [
        Record(
            index=index,
            phase="measure",
            slot=0,
            t_sched_ns=start,
            t_send_ns=start,
            t_hdr_ns=start + 5,
            t_end_ns=start + 99,
            status=200,
            finish_reason="length",
            usage=Usage(prompt_tokens=128, completion_tokens=2),
            timings=ServerTimings(prefill_tokens=128, prefill_ms=1.5, decode_tokens=2, decode_ms=0.25) if index else None,
            token_source="token_ids",
            stamps="kernel",
            events=(Event(start + 7, "role", "", None), Event(start + 9, "content", f"wörd \U0001f600 {index}", 1)),
        )
        for index in range(number)
    ]


def trial(index: int) -> Trial:
    report = ClientReport(
        wall_s=1.0,
        cpu_s=0.01,
        send_lag_p50_ns=1,
        send_lag_p99_ns=2,
        send_lag_max_ns=3,
        loop_lag_p99_ns=4,
        clock_step_ns=0,
        stamps="kernel",
        peak_in_flight=1,
    )
    return Trial(
        index=index,
        cell=cell().id,
        block=index,
        t_start_ns=index * 10**9,
        t_end_ns=(index + 1) * 10**9,
        client=report,
        counters_before={},
        counters_after={"generation_tokens": 8.0},
    )


def samples(index: int) -> list[Sample]:
    return [Sample(index * 10**9, "memory", "host", "available", 1.5e10, "bytes")]


def result(trials: int = 3, state: str = "complete", ident: str = "abc123") -> Result:
    def figure(
        value: float | None, unit: str, half: float | None = None, basis: str = "runs", reason: str | None = None
    ) -> Figure:
        low, high = (None, None) if value is None or half is None else (value - half, value + half)
        return Figure(value=value, unit=unit, low=low, high=high, n=3, basis=basis, reason=reason)

    one = {
        "decode_tok_s": figure(104.2871, "tok/s", 0.8712),
        "ttft_p50_ms": figure(52.114, "ms", 1.3, "requests"),
        "ttft_p90_ms": figure(None, "ms", reason="needs 53 more requests"),
        "prefill_tok_s": figure(2456.7, "tok/s", 31.0),
        "output_tok_s": figure(98.43, "tok/s", 0.9),
        "acceptance_length": figure(None, "tok/step", reason="the engine counted no drafts"),
    }
    lag = Finding(code="send_lag", severity="invalid", text="requests left late: p99 4.1 ms, allowed 1 ms")
    return Result(
        id=ident,
        state=state,
        harness_version="0.1.0",
        recipe_name="sample",
        recipe_sha256="0" * 64,
        model="m",
        anchor=Anchor(wall=f"2026-11-23T09:00:0{trials}.000+00:00", mono_ns=0),
        finished="2026-11-23T09:01:00.000+00:00",
        machine=Machine(
            hostname="box",
            os="DGX OS 7",
            kernel="6.17",
            arch="aarch64",
            cpu_model="Cortex-X925",
            cpu_count=20,
            memory_bytes=128 * 2**30,
        ),
        engine=EngineFacts(name="vllm", version="0.32.0", start_s={"port": 20.5, "health": 75.1, "first_token": 76.0}),
        trials=tuple(trial(index) for index in range(trials)),
        cells=(
            CellResult(
                cell=cell(),
                verdict="valid",
                findings=(),
                trials=3,
                stopped_by="runs",
                sent=6,
                valid=6,
                excluded={},
                figures=one,
            ),
            CellResult(
                cell=cell(4),
                verdict="invalid",
                findings=(lag,),
                trials=3,
                stopped_by="runs",
                sent=24,
                valid=23,
                excluded={"timeout": 1},
                figures={**one, "decode_tok_s": figure(38.0, "tok/s", 2.4)},
            ),
        ),
        skipped=plan().workload.skipped,
    )
