"""The load client against the paced server, at the loads of a plan: what its figures are worth on this machine."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from harness import __version__, clock
from harness.engines import paced
from harness.engines.paced.server import Truth
from harness.errors import EngineError
from harness.hosts.local import LocalHost
from harness.launch import server
from harness.load import arrivals, drive
from harness.measure.latency import timing
from harness.order import Observer, Order
from harness.recipe import cells
from harness.schema.calibration import Calibration, Point
from harness.schema.job import Ask, Job, Stage
from harness.schema.plan import Launch, Plan
from harness.schema.request import Record
from harness.schema.run import ClientReport
from harness.schema.workload import Cell
from harness.typed import decoded

TTFT_MS = 50.0
TOKENS = 128
SECONDS = 5.0
"""Of each load, about."""
ROUNDS = 3
MODEL = "paced"


def calibrate(order: Order, observer: Observer) -> Calibration:
    """Each load of the order's plan once, at the speeds that the plan expects of its server. Raises `EngineError`, `MachineError`."""
    plan = order.plan()
    decode = cells.decode_tok_s(order.recipe)
    points = []
    for cell in {cell.load: cell for cell in plan.workload.cells if cell.arrivals != "trace"}.values():
        observer.say(f"{cell.load}: the client against a server of known speed")
        points.append(_point(order, plan, cell, decode))
    return Calibration(
        when=clock.utc_now().isoformat(timespec="seconds"),
        harness_version=__version__,
        cpu_model=order.machine.cpu_model,
        cpu_count=order.machine.cpu_count,
        kernel=order.machine.kernel,
        driver_cpus=plan.driver_cpus,
        points=tuple(points),
    )


def _point(order: Order, plan: Plan, cell: Cell, decode: float) -> Point:
    """Batching is taken to win √c, as in the plan's estimate, so each stream runs at decode / √c."""
    streams = cell.concurrency or max(1, math.ceil((cell.rate or 1.0) * (TTFT_MS / 1000 + TOKENS / decode)))
    tpot_ms = 1000 * math.sqrt(streams) / decode
    with tempfile.TemporaryDirectory(prefix="harness-") as name:
        folder = Path(name)
        port = server.free_port("127.0.0.1")
        url = f"http://127.0.0.1:{port}"
        words = ("--port", port, "--ttft-ms", TTFT_MS, "--tpot-ms", tpot_ms, "--log", folder / "truth.jsonl")
        argv = (sys.executable, "-m", "harness.engines.paced", *map(str, words))
        launch = Launch(executor="process", argv=argv, env={})
        with server.serve(
            launch, paced, url, MODEL, LocalHost(), folder / "paced.log", lambda *_: None, environment=order.environment
        ):
            before = len(_truth(folder))  # the first token of the readiness check is in it
            job = Job(
                host="127.0.0.1",
                port=port,
                path="/v1/chat/completions",
                stages=(_stage(cell, streams, TTFT_MS / 1000 + TOKENS * tpot_ms / 1000),),
                cpus=plan.driver_cpus or None,
            )
            report = drive.drive(job, folder / "records", lambda _: None, environment=order.environment, api_key=None)
            records = drive.read_records(folder / "records")
        return compare(cell.load, records, _truth(folder)[before:], report)


def compare(load: str, records: Sequence[Record], truth: Sequence[Truth], report: ClientReport) -> Point:
    """Both in the order in which requests left and arrived, on one clock. Raises `EngineError` when none can be compared."""
    sound = [record for record in records if record.error is None]
    if not sound or len(truth) != len(records):
        raise EngineError(
            f"{load}: of {len(records)} requests {len(sound)} were answered, and {len(truth)} are in the server's log",
            "the machine may be out of connections or memory: try fewer streams",
        )
    ours = [timing(record) for record in sorted(records, key=lambda record: record.t_send_ns)]
    pairs = list(zip(ours, sorted(truth, key=lambda true: true.t_received_ns), strict=True))
    ttft, errors, rates = [], [], []
    for told, true in pairs:
        if told.ttft_ns is None or told.decode_ns is None or true.t_first_ns is None or true.t_last_ns is None:
            continue
        ttft.append((true.t_first_ns - true.t_received_ns) / 1e6)
        errors.append(told.ttft_ns / 1e6 - ttft[-1])
        rates.append((true.t_last_ns - true.t_first_ns) / told.decode_ns - 1)
    tokens = sum(true.tokens for true in truth)
    first, last = min(true.t_received_ns for true in truth), max(true.t_last_ns or 0 for true in truth)
    return Point(
        load=load,
        requests=len(records),
        lost=len(records) - len(sound),
        tok_s=tokens * 1e9 / (last - first),
        ttft_ms=median(ttft),
        ttft_error_p50_ms=median(errors),
        ttft_error_p99_ms=sorted(map(abs, errors))[math.ceil(0.99 * len(errors)) - 1],
        decode_error=median(rates),
        send_lag_p99_ms=report.send_lag_p99_ns / 1e6,
        cpu_us_per_token=report.cpu_s * 1e6 / tokens,
    )


def _stage(cell: Cell, streams: int, one_s: float) -> Stage:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "what is said does not matter"}],
        "max_tokens": TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }
    ask = Ask("measure", msgspec.json.encode(body).decode())
    if cell.rate is None:
        return Stage(streams, (ask,) * (streams * max(ROUNDS, round(SECONDS / one_s))))
    number = max(ROUNDS, round(SECONDS * cell.rate))
    due = arrivals.offsets(cell.arrivals, cell.rate, cell.burstiness, number, "calibrate")
    return Stage(None, tuple(msgspec.structs.replace(ask, due_ns=at) for at in due))


def _truth(folder: Path) -> list[Truth]:
    return [decoded(line, Truth) for line in (folder / "truth.jsonl").read_bytes().splitlines()]
