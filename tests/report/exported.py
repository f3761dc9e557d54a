"""A result made by hand, with its raw events, for the tests of the exports."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from harness.measure import metrics
from harness.report.exports.base import Records
from harness.schema.health import Health, Reason
from harness.schema.machine import Gpu, Machine
from harness.schema.plan import Image, Plan
from harness.schema.request import CONTENT, OTHER, ROLE, Record
from harness.schema.result import Finding, Result
from harness.schema.run import Trial
from harness.schema.workload import Cell
from tests.measure import streams
from tests.store import sample_run

Made = tuple[Result, Plan, Records]


def answer(
    send: float, index: int, *, ttft: float = 100.0, counts: Sequence[int] = (1,) * 8, step: float = 10.0, **more: object
) -> Record:
    """An event each `step` ms with so many tokens; the role comes just before the first, the finish just after the last."""
    arrivals: list[tuple[float, str, int | None]] = [(ttft - 0.1, ROLE, None)]
    arrivals += [(ttft + place * step, CONTENT, count) for place, count in enumerate(counts)]
    arrivals.append((ttft + len(counts) * step - step + 0.2, OTHER, None))
    return streams.stream(*arrivals, send=send, index=index, **more)  # type: ignore[arg-type]


def plain() -> list[list[Record]]:
    """One stream, one token an event: three runs of four requests at uneven paces."""
    luck = random.Random(7)
    runs = []
    for _ in range(3):
        at, records = 0.0, []
        for index in range(4):
            ttft, step = luck.uniform(80, 120), luck.uniform(9, 11)
            records.append(answer(at, index, ttft=ttft, step=step))
            at += ttft + 8 * step
        runs.append(records)
    return runs


def speculative() -> list[list[Record]]:
    """One stream, several tokens an event; one answer takes longer than a second."""
    return [
        [answer(0, 0, counts=(3, 2, 3), step=50), answer(300, 1, counts=(2, 1, 4, 1), step=400)],
        [answer(0, 0, counts=(1, 3, 1, 3), step=30), answer(300, 1, counts=(4, 4), step=70)],
    ]


def primed() -> list[list[Record]]:
    """Rounds of two that begin together on contexts of 4,096 tokens, each after its priming."""
    runs = []
    for late in (0.0, 3.0):
        records = []
        for turn in range(2):
            at = turn * 1000.0
            records += [answer(at, 4 * turn + slot, counts=(1,), tokens=1, asked=1, phase="prime") for slot in range(2)]
            records += [
                answer(
                    at + 300 + slot * late,
                    4 * turn + 2 + slot,
                    ttft=60 + 5 * slot + turn,
                    counts=(2, 3, 2, 1),
                    prompt=4608,
                    cached=4096,
                )
                for slot in range(2)
            ]
        for place, record in enumerate(records):
            asked = record.asked_prompt_tokens if record.phase == "prime" else 4096 + 512
            records[place] = msgspec.structs.replace(record, asked_prompt_tokens=asked)
        runs.append(records)
    return runs


def staggered() -> list[list[Record]]:
    """Two slots that go on as they become free."""
    return [[answer(slot * 90 + turn * 180, 2 * turn + slot) for turn in range(3) for slot in range(2)]]


def early() -> list[list[Record]]:
    """One stream whose empty first event comes half-way to the token."""
    return [[streams.even(index * 200.0, index=index) for index in range(2)]]


def many(number: int = 700) -> list[list[Record]]:
    """Enough for a p99."""
    luck = random.Random(11)
    return [[answer(200.0 * n, n, ttft=luck.uniform(50, 90), step=luck.uniform(8, 12)) for n in range(number)]]


def result(*cells: tuple[Cell, list[list[Record]]]) -> Made:
    """Of such cells, called valid."""
    trials: list[Trial] = []
    records: dict[int, list[Record]] = {}
    found = []
    for cell, runs in cells:
        own = []
        for run in runs:
            ends = [record.t_end_ns for record in run]
            trial = msgspec.structs.replace(streams.trial(len(trials), cell_id=cell.id), t_end_ns=max(ends))
            own.append(trial)
            records[trial.index] = run
            trials.append(trial)
        said = metrics.cell_result(cell, own, records, stopped_by="runs")
        found.append(msgspec.structs.replace(said, verdict="valid", findings=()))
    made = msgspec.structs.replace(
        sample_run.result(), model="org/model-7b", trials=tuple(trials), cells=tuple(found), skipped=()
    )
    plan = sample_run.plan()
    profile = msgspec.structs.replace(plan.workload.profile, prefix_caching=any(cell.prefix_caching for cell, _ in cells))
    work = msgspec.structs.replace(plan.workload, profile=profile, cells=tuple(cell for cell, _ in cells), skipped=())
    return made, msgspec.structs.replace(plan, workload=work), records


def grid() -> Made:
    """What llama-benchy's format can tell."""
    context = msgspec.structs.replace(streams.cell(2, depth=4096, prefix_caching=True), requests=4)
    return result((streams.cell(), plain()), (streams.cell(tg=8, pp=513), speculative()), (context, primed()))


def everything() -> Made:
    """With cells that no other format tells, on a machine with a name."""
    open_loop = msgspec.structs.replace(streams.cell(pp=514), id="open", concurrency=None, rate=2.0, arrivals="poisson")
    made, plan, records = result(
        (streams.cell(), plain()),
        (streams.cell(2), staggered()),
        (streams.cell(pp=515), early()),
        (open_loop, plain()),
        (streams.cell(pp=516), plain()),
    )
    bad = msgspec.structs.replace(
        made.cells[-1], verdict="invalid", findings=(Finding(code="cache_hits", severity="invalid", text="SECRET 49 % hits"),)
    )
    machine = Machine(
        hostname="SECRET-box",
        os="DGX OS 7",
        kernel="6.17.0-1032-nvidia",
        arch="aarch64",
        cpu_model="Cortex-X925",
        cpu_count=20,
        memory_bytes=128 * 2**30,
        product="NVIDIA_DGX_Spark",
        gpus=(Gpu(index=0, name="NVIDIA GB10", uuid="GPU-SECRET"),),
        gpu_driver="580.173.02",
        home="/home/SECRET",
        hf_home="/home/SECRET/hf",
    )
    made = msgspec.structs.replace(
        made,
        cells=(*made.cells[:-1], bad),
        machine=machine,
        model="/home/SECRET/models/model-7b",
        image=Image(name="SECRET.corp:5000/vllm/vllm-openai:v0.32.0", id="sha256:abc"),
        health=Health(verdict="degraded", reasons=(Reason(code="foreign_process", text="others used it: SECRET's trainer"),)),
        findings=(Finding(code="slo_capacity", severity="note", text="SECRET"),),
    )
    plan = msgspec.structs.replace(
        plan,
        recipe_path="/home/SECRET/recipes/sample.yaml",
        host="SECRET",
        url="http://SECRET:8000",
        overrides={"port": "SECRET"},
    )
    return made, plan, records
