"""`make bench-client`: what the load driver's figures are worth and what it costs, against the paced server and a bare loop beside it.

The bare loop is the least that could be done: epoll, one `recvmsg` with the kernel's stamp per segment, nothing read until the end, and
then only its events counted. The driver's CPU time per token is held against the bare loop's of the same run, so a busy machine fails
nobody. Ends with 1 when the driver costs more than `MOST` times as much at 1,024 streams, loses a request, or errs by more than the limits.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import clock
from harness.calibrate import compare
from harness.engines.paced.server import Truth
from harness.load import arrivals, drive, stamps
from harness.schema.calibration import Point
from harness.schema.job import Ask, Job, Stage
from harness.typed import decoded

MOST = 1.6
"""Driver's CPU per token over the bare loop's, at 1,024 streams. It reads every event besides, but looks at many streams in one turn:
0.8 to 1.1 were measured."""
TOKENS = 128
CASES = (  # name, streams, requests, ms per token, tokens per event
    ("c64", 64, 512, 10.0, 1),
    ("c256", 256, 1024, 10.0, 1),
    ("c1024", 1024, 4096, 20.0, 1),
    ("k=3, 41 tok/s", 1, 4, 24.39, 3),
)
LIMITS_MS = {"c64": (0.6, 1.5), "c256": (1.0, 4.0), "c1024": (2.0, 8.0)}
"""(p50, p99) of the error of TTFT."""
DECODE_LIMIT = 0.005
ARRIVALS_S = 20.0
RATE = 300.0

BODY = json.dumps(
    {
        "model": "paced",
        "messages": [{"role": "user", "content": "what is said does not matter"}],
        "max_tokens": TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "return_token_ids": True,
    }
)


@contextmanager
def paced(tpot_ms: float, k: int) -> Iterator[tuple[int, Path]]:
    """(port, log)"""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "truth.jsonl"
        log.touch()
        words = ("--ttft-ms", "50", "--tpot-ms", str(tpot_ms), "--tokens-per-event", str(k), "--log", str(log))
        child = subprocess.Popen([sys.executable, "-m", "harness.engines.paced", *words], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            yield int(json.loads(child.stdout.readline())["url"].rpartition(":")[2]), log
        finally:
            child.terminate()
            child.communicate()


def children() -> tuple[float, float]:
    """(CPU seconds, largest resident set in MB) of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def driven(stage: Stage, port: int, log: Path) -> tuple[Point, float]:
    """The driver on this stage: its errors, and the CPU µs per token of its whole process, start and writing included."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(host="127.0.0.1", port=port, path="/v1/chat/completions", stages=(stage,))
        before = children()[0]
        report = drive.drive(job, Path(folder) / "records", lambda _: None, environment=os.environ, api_key=None)
        cpu_s = children()[0] - before
        records = drive.read_records(Path(folder) / "records")
    truth = [decoded(line, Truth) for line in log.read_bytes().splitlines()]
    return compare("", records, truth, report), cpu_s * 1e6 / sum(true.tokens for true in truth)


def bare(port: int, streams: int, requests: int) -> None:
    """The reference, as a process of its own; prints CPU µs per token."""
    request = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n{BODY}".encode()
    epoll, socks, got, left = select.epoll(), {}, {}, requests
    start = clock.cpu()
    for _ in range(streams):
        sock = socket.create_connection(("127.0.0.1", port))
        stamps.ask_for(sock)
        sock.setblocking(False)
        socks[sock.fileno()], got[sock.fileno()] = sock, []
        epoll.register(sock.fileno(), select.EPOLLIN)
        sock.send(request)
        left -= 1
    answers: list[list[tuple[bytes, int]]] = []
    while len(answers) < requests:
        for fd, _ in epoll.poll():
            data, ancillary, _, _ = socks[fd].recvmsg(65536, stamps.ANCILLARY_BYTES)
            got[fd].append((data, stamps.of(ancillary)))
            if data.endswith(b"0\r\n\r\n"):
                answers.append(got[fd])
                got[fd] = []
                if left > 0:
                    left -= 1
                    socks[fd].send(request)
    tokens = sum(b"".join(data for data, _ in answer).count(b'"content":" ') for answer in answers)
    print((clock.cpu() - start) / 1e3 / tokens)


def closed(name: str, streams: int, requests: int, tpot_ms: float, k: int) -> list[str]:
    """One row; what is wrong with it."""
    with paced(tpot_ms, k) as (port, log):
        point, cpu_us = driven(Stage(streams, (Ask("measure", BODY),) * requests), port, log)
    reference = ""
    ratio = 0.0
    if streams > 1:
        with paced(tpot_ms, k) as (port, _):
            argv = [sys.executable, __file__, "bare", str(port), str(streams), str(requests)]
            reference_us = float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
        ratio = point.cpu_us_per_token / reference_us
        reference = f"{reference_us:6.2f}  {ratio:5.2f}"
    print(
        f"{name:14} {point.tok_s:8,.0f} {point.ttft_error_p50_ms:+9.3f} {point.ttft_error_p99_ms:9.3f} {point.decode_error:+9.4%} "
        f"{point.cpu_us_per_token:7.2f} {cpu_us:8.2f}  {reference}",
        flush=True,
    )
    p50, p99 = LIMITS_MS.get(name, (1.0, 5.0))
    wrong = [f"{point.lost} requests were lost"] if point.lost else []
    wrong += [f"TTFT is off by {point.ttft_error_p50_ms:+.3f} ms"] if abs(point.ttft_error_p50_ms) > p50 else []
    wrong += [f"TTFT p99 is off by {point.ttft_error_p99_ms:.3f} ms"] if point.ttft_error_p99_ms > p99 else []
    wrong += [f"decode is off by {point.decode_error:+.2%}"] if abs(point.decode_error) > DECODE_LIMIT else []
    wrong += [f"it costs {ratio:.2f} times the bare loop"] if name == "c1024" and ratio > MOST else []
    return [f"{name}: {what}" for what in wrong]


def at_rate(kind: str) -> list[str]:
    number = round(RATE * ARRIVALS_S)
    body = BODY.replace(f'"max_tokens": {TOKENS}', '"max_tokens": 16')
    due = arrivals.offsets(kind, RATE, 1.0, number, "bench")
    with paced(10.0, 1) as (port, log):
        point, _ = driven(Stage(None, tuple(Ask("measure", body, due_ns=at) for at in due)), port, log)
    print(f"{kind:14} {point.requests:8,} {point.send_lag_p99_ms:9.3f} {point.ttft_error_p99_ms:9.3f}", flush=True)
    return [f"{kind}: {point.lost} requests were lost"] if point.lost else []


def main() -> None:
    if sys.argv[1:2] == ["bare"]:
        bare(*map(int, sys.argv[2:]))
        return
    print("                          TTFT error, ms      decode     CPU µs per token: driver,")
    print("load              tok/s       p50       p99      error    loop  process    bare  ratio")
    wrong = [what for case in CASES for what in closed(*case)]
    print(f"\n{RATE:g} requests/s  requests  send lag  TTFT error, p99 ms")
    wrong += [what for kind in ("constant", "poisson") for what in at_rate(kind)]
    if wrong:
        sys.exit("bench-client: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
