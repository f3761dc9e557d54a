"""ours.py URL CONCURRENCY REQUESTS TOKENS REPORT: spark-harness's load driver and figures, as a program like the peers'.

All of it counts: starting, the driver's process, storing the raw records, reading them again, and computing the figures from them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from harness.load.drive import drive, read_records
from harness.measure.latency import excluded, timing
from harness.schema.job import Ask, Job, Stage

_PROMPT = " ".join(f"wörd{n}" for n in range(16))


def main(url: str, concurrency: int, requests: int, tokens: int, report: Path) -> None:
    place = urlsplit(url)
    body = {
        "model": "paced",
        "messages": [{"role": "user", "content": _PROMPT}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "return_token_ids": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    warmup, measure = (Ask(phase, json.dumps(body), asked_tokens=tokens) for phase in ("warmup", "measure"))
    stage = Stage(concurrency, (measure,) * requests, warmup=(warmup,) * concurrency, warmup_round=concurrency)
    job = Job(host=place.hostname or "", port=place.port or 80, path="/v1/chat/completions", stages=(stage,))
    records_path = report.with_name("records.jsonl")
    drive(job, records_path, lambda progress: None, environment=os.environ, api_key=None)
    records = [record for record in read_records(records_path) if record.phase == "measure"]
    timed = [(record, timing(record)) for record in records]
    good = [timing for record, timing in timed if excluded(record, timing) is None]
    ttft = [timing.ttft_ns / 1e6 for timing in good if timing.ttft_ns is not None]
    content = [timing.ttft_content_ns / 1e6 for timing in good if timing.ttft_content_ns is not None]
    found = {
        "done": len(good),
        "ttft_mean_ms": float(np.mean(ttft)),
        "ttft_p50_ms": float(np.percentile(ttft, 50)),
        "ttft_p99_ms": float(np.percentile(ttft, 99)),
        "content_p50_ms": float(np.percentile(content, 50)),
        "tpot_ms": float(np.mean([timing.tpot_ns / 1e6 for timing in good if timing.tpot_ns is not None])),
    }
    report.write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
