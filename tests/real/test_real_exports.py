"""The programs whose formats are exported, asked themselves: llama-benchy and sparkrun (`scripts/peers/install.sh llama-benchy sparkrun`),
and vLLM (`make engines`). With HARNESS_UPDATE_GOLDEN=1 they write what `tests/report/test_exports.py` holds the exports against.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import runpy
import subprocess
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.report.exports import benchy, vllm_bench
from harness.schema.request import TOKEN_KINDS, Record
from tests.measure import streams
from tests.paced_server import paced
from tests.report import exported
from tests.report.test_exports import DATA

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".peers"
ENGINES = Path(os.environ.get("HARNESS_ENGINES", ROOT / ".engines")).absolute()

LLAMA_BENCHY = """
import json, sys
from llama_benchy.client import LLMClient, RequestResult
from llama_benchy.results import BenchmarkMetadata, BenchmarkReport, BenchmarkResults

told = json.load(sys.stdin)
report = BenchmarkReport.model_validate_json(told["ours"], strict=True)
results, client = BenchmarkResults(), LLMClient("", "", "")

def answer(said):
    found = RequestResult(start_ts=said["send"], prompt_tokens=said["prompt"], end_ts=said["end"])
    found.first_response_ts, found.first_token_ts = said["first"], said["chunks"][0]["timestamp"]
    client._finalize_stream_tokens(found, said["chunks"], said["tokens"])
    return found

for cell in told["cells"]:
    batches = [[answer(said) for said in batch] for batch in cell["batches"]]
    results.add(report.model, cell["pp"], cell["tg"], cell["depth"], cell["c"], batches, 0.0, cell["expected"])
results.metadata = BenchmarkMetadata(**report.model_dump(exclude={"benchmarks"}))
results.save_report(sys.argv[1], "json")
"""

VLLM = """
import json, sys, warnings
from vllm.benchmarks.lib.endpoint_request_func import RequestFuncOutput
from vllm.benchmarks.serve import calculate_metrics

told = json.load(sys.stdin)
outputs = [RequestFuncOutput(success=True, **said) for said in told["outputs"]]
metrics, _ = calculate_metrics([], outputs, told["duration"], None, [90, 95, 99], {})
found = {"total_input_tokens": metrics.total_input, "total_output_tokens": metrics.total_output}
found |= {name: getattr(metrics, name) for name in (
    "completed", "failed", "request_throughput", "output_throughput", "total_token_throughput")}
for name in ("ttft", "tpot", "itl", "e2el"):
    found |= {f"{part}_{name}_ms": getattr(metrics, f"{part}_{name}_ms") for part in ("mean", "median", "std")}
    found |= {f"p{percent}_{name}_ms": value for percent, value in getattr(metrics, f"percentiles_{name}_ms")}
json.dump(found, open(sys.argv[1], "w"), indent=2)
"""


def _python(place: Path, how: str) -> Path:
    if not place.exists():
        pytest.skip(f"not installed: {how}")
    return place


def _ask(python: Path, program: str, told: object, out: Path) -> Any:
    done = subprocess.run(
        [python, "-c", program, out], input=json.dumps(told), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def _keep(name: str, data: bytes) -> None:
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        (DATA / name).write_bytes(data)
    assert (DATA / name).read_bytes() == data


def test_llama_benchys_own_schema_and_arithmetic(tmp_path: Path) -> None:
    python = _python(PEERS / "llama-benchy/bin/python", "scripts/peers/install.sh llama-benchy")
    result, plan, records = exported.grid()
    cells = []
    for found in result.cells:
        cell, size = found.cell, found.cell.concurrency or 1
        runs = [
            [record for record in records[trial.index] if record.phase == "measure"]
            for trial in result.trials
            if trial.cell == cell.id
        ]
        batches = [run[start : start + size] for run in runs for start in range(0, len(run), size)]
        expected = cell.pp if cell.prefix_caching else cell.prompt_tokens
        said = [[_benchy_answer(record) for record in batch] for batch in batches]
        cells.append({"pp": cell.pp, "tg": cell.tg, "depth": cell.depth, "c": size, "expected": expected, "batches": said})
    ours = benchy.as_json(result, plan, records).text
    _ask(python, LLAMA_BENCHY, {"ours": ours, "cells": cells}, tmp_path / "theirs.json")
    _keep("grid-by-llama-benchy.json", (tmp_path / "theirs.json").read_bytes())


def _benchy_answer(record: Record) -> dict[str, Any]:
    """What llama-benchy sees of a stream: an event with text and its token ids."""
    chunks = [
        {"text": event.text, "timestamp": event.t_ns / 1e9, "token_ids": list(range(event.tokens or 0))}
        for event in record.events
        if event.kind in TOKEN_KINDS
    ]
    assert record.usage is not None
    return {
        "send": record.t_send_ns / 1e9,
        "end": record.t_end_ns / 1e9,
        "first": record.events[0].t_ns / 1e9,
        "prompt": record.usage.prompt_tokens,
        "tokens": record.usage.completion_tokens,
        "chunks": chunks,
    }


def test_sparkruns_own_csv() -> None:
    source = _python(PEERS / "sparkrun/sparkrun/benchmarking/llama_benchy.py", "scripts/peers/install.sh sparkrun")
    convert = _functions(source.read_text(), {"json_to_csv", "_generate_csv_rows", "_CSV_HEADERS"})["json_to_csv"]
    for made in (exported.grid(), exported.everything()):
        theirs = convert(json.loads(benchy.as_json(*made).text))
        assert benchy.as_csv(*made).text == theirs
    _keep("grid-by-sparkrun.csv", convert(json.loads(benchy.as_json(*exported.grid()).text)).encode())


def _functions(source: str, names: set[str]) -> dict[str, Any]:
    """These alone: the package as a whole needs Python 3.12 and much else."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if names & set(_defined(node))]
    found: dict[str, Any] = {"csv": csv, "io": io, "Any": Any}
    exec(compile(tree, "sparkrun", "exec"), found)
    return found


def _defined(node: ast.stmt) -> Iterable[str]:
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


@pytest.mark.engines
def test_vllms_own_arithmetic(tmp_path: Path) -> None:
    python = _python(ENGINES / "vllm/bin/python", "make engines")
    result, plan, records = exported.result((streams.cell(), exported.many()))
    outputs = []
    for record in records[0]:
        stamps = [event.t_ns / 1e9 for event in record.events if event.kind in TOKEN_KINDS]
        send = record.t_send_ns / 1e9
        usage = record.usage
        assert usage is not None
        gaps = [two - one for one, two in pairwise(stamps)]
        said = {"ttft": stamps[0] - send, "latency": stamps[-1] - send, "itl": gaps, "start_time": send}
        outputs.append({**said, "prompt_len": usage.prompt_tokens, "output_tokens": usage.completion_tokens})
    duration = max(record.t_end_ns for record in records[0]) / 1e9
    theirs = _ask(python, VLLM, {"outputs": outputs, "duration": duration}, tmp_path / "theirs.json")
    _keep("many-by-vllm.json", (tmp_path / "theirs.json").read_bytes())
    ours = json.loads(vllm_bench.as_json(result, plan, records).text)
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=1e-9)


@pytest.mark.engines
def test_what_vllm_bench_serve_writes_has_the_keys_that_are_exported(tmp_path: Path) -> None:
    vllm = _python(ENGINES / "vllm/bin/vllm", "make engines")
    runpy.run_path(str(ROOT / "scripts/peers/words.py"))["write_tokenizer"](tmp_path / "tokenizer")
    with paced(ttft_ms=20, tpot_ms=2) as server:
        words = ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--base-url", server.url, "--model", "paced"]
        words += ["--tokenizer", str(tmp_path / "tokenizer"), "--dataset-name", "random", "--random-input-len", "16"]
        words += ["--random-output-len", "8", "--num-prompts", "4", "--max-concurrency", "2", "--disable-tqdm", "--ignore-eos"]
        words += [
            "--percentile-metrics",
            "ttft,tpot,itl,e2el",
            "--save-result",
            "--result-filename",
            str(tmp_path / "real.json"),
        ]
        done = subprocess.run([vllm, "bench", "serve", *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    real = json.loads((tmp_path / "real.json").read_text())
    assert real.keys() == json.loads((DATA / "vllm-chat.json").read_text()).keys()
