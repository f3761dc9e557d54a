"""run.py [CLIENT ...]: runs the clients against the paced server and writes docs/peers.md.

Without names all are run. Each result is stored in .peers/results/ as soon as it is there; a client that is run alone keeps the others'.
`--keep` also keeps what a run that was broken off has measured; `--page` only writes the page. HARNESS_ENGINES moves .engines/.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from string import Template

import msgspec
import numpy as np
import page
import words
from cells import SCENARIOS, TOKENS, WORDS, Cell, Measured, Truth, cells
from clients import BOOK, CLIENTS, Client, write_book
from meter import measured
from msgspec.structs import replace

from harness import clock
from harness.engines.paced.server import Truth as Logged
from harness.typed import decoded

HERE = Path(__file__).resolve().parents[2]
PEERS = HERE / ".peers"
ENGINES = Path(os.environ.get("HARNESS_ENGINES") or HERE / ".engines")
RESULTS = PEERS / "results"
TIMEOUT_S = 180.0


def main() -> None:
    parser = argparse.ArgumentParser("run.py", description="Runs load clients against the paced server, writes docs/peers.md.")
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)} (default: all)")
    parser.add_argument("--keep", action="store_true", help="keep what is measured already")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cells whose name contains it, such as plain-64")
    options = parser.parse_args()
    if unknown := set(options.clients) - set(CLIENTS):
        parser.error(f"there is no client {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}")
    if not options.page:
        _prepare()
        names = options.clients or list(CLIENTS)
        plan = [(cell, name) for cell, name in product(cells(), names) if options.only in cell.name]
        if options.keep:
            plan = [(cell, name) for cell, name in plan if not _path(cell, name).exists()]
        start = clock.now()
        for place, (cell, name) in enumerate(plan, 1):
            print(f"[{place}/{len(plan)} {clock.since(start):4.0f} s] {cell.name:16} {name:13}", end=" ", flush=True)
            found = _measure(cell, name)
            _path(cell, name).write_bytes(msgspec.json.format(msgspec.json.encode(found)))
            print(page.line(found), flush=True)
    page.write(HERE / "docs/peers.md", _stored())


def _prepare() -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    words.write_tokenizer(PEERS / "tokenizer")
    write_book(PEERS / "home", (HERE / "harness/load/corpus/prose.txt").read_text(encoding="utf-8"))


def _path(cell: Cell, name: str) -> Path:
    return RESULTS / f"{cell.name}-{name}.json"


def _stored() -> list[Measured]:
    paths = [_path(cell, name) for cell, name in product(cells(), CLIENTS)]
    return [decoded(path.read_bytes(), Measured) for path in paths if path.exists()]


def _measure(cell: Cell, name: str) -> Measured:
    client, date = CLIENTS[name], f"{clock.utc_now():%Y-%m-%d}"
    found = Measured(client=name, scenario=cell.scenario, concurrency=cell.concurrency, requests=cell.requests, date=date)
    python = Path(_fill(client.python, {}))
    if not python.exists():
        return replace(found, failed=_why_missing(name))
    found = replace(found, version=_version(client, python))
    folder = PEERS / "run" / f"{cell.name}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _paced(cell, folder / "truth.jsonl") as (url, pid):
        report = folder / "report"
        argv = [_fill(word, _values(cell, url, python, report)) for word in shlex.split(client.call)]
        cost = measured(argv, _environment(client), folder, timeout_s=TIMEOUT_S, not_it=pid)
        log = [decoded(line, Logged) for line in (folder / "truth.jsonl").read_bytes().splitlines()]
    if cost.code != 0:
        return replace(found, failed=_why_failed(cost.code, folder))
    try:
        reported, truth = client.read(_written(report)), _truth(log, cell.requests)
    except (OSError, LookupError, TypeError, ValueError) as error:
        return replace(found, failed=f"its report cannot be read ({type(error).__name__})")
    return replace(
        found,
        reported=reported,
        truth=truth,
        lost=cell.requests + (cell.concurrency if "$all" in client.call else 0) - reported.done,
        cpu_s=cost.cpu_s,
        tokens=sum(line.tokens for line in log),
        peak_mb=cost.peak_mb,
        wall_s=cost.wall_s,
        start_s=(min(line.t_received_ns for line in log) - cost.t_start_ns) / 1e9,
    )


def _written(report: Path) -> Path:
    """The report: a file with an ending, or a folder."""
    return next((path for path in map(report.with_suffix, (".json", ".jsonl")) if path.exists()), report)


def _truth(log: list[Logged], requests: int) -> Truth:
    """Of the last whole answers: those before are warm-up."""
    whole = sorted((line for line in log if line.tokens == TOKENS and line.t_end_ns), key=lambda line: line.t_received_ns)
    whole = whole[-requests:]
    ttft = [(line.t_first_ns - line.t_received_ns) / 1e6 for line in whole if line.t_first_ns]
    content = [(line.t_content_ns - line.t_received_ns) / 1e6 for line in whole if line.t_content_ns]
    pace = [
        (line.t_last_ns - line.t_first_ns) / 1e6 / (line.tokens - line.first_tokens)
        for line in whole
        if line.t_last_ns and line.t_first_ns
    ]
    p50, p99 = np.percentile(ttft, (50, 99))
    return Truth(
        requests=len(whole),
        ttft_mean_ms=statistics.fmean(ttft),
        ttft_p50_ms=float(p50),
        ttft_p99_ms=float(p99),
        content_p50_ms=statistics.median(content),
        tpot_ms=statistics.fmean(pace),
    )


def _fill(text: str, values: Mapping[str, str]) -> str:
    return Template(text).safe_substitute(values, peers=str(PEERS), engines=str(ENGINES), here=str(HERE))


def _values(cell: Cell, url: str, python: Path, report: Path) -> dict[str, str]:
    return {
        "url": url,
        "c": str(cell.concurrency),
        "n": str(cell.requests),
        "all": str(cell.requests + cell.concurrency),
        "batches": str(cell.requests // cell.concurrency),
        "tokens": str(TOKENS),
        "words": str(WORDS),
        "tokenizer": str(PEERS / "tokenizer"),
        "book": BOOK,
        "report": str(report),
        "python": str(python),
        "bin": str(python.parent),
    }


def _environment(client: Client) -> dict[str, str]:
    """Nothing of the user's but the path: no tokens, no proxies, no caches."""
    offline = {"HF_HUB_OFFLINE": "1"} if client.offline else {}
    ours = {"PYTHONPATH": str(HERE)} if client.package is None else {}
    return {"PATH": os.environ["PATH"], "HOME": str(PEERS / "home"), "LANG": "C.UTF-8", **offline, **ours, **client.environment}


def _version(client: Client, python: Path) -> str:
    if client.package is None:
        return "of this page"
    code = f"import importlib.metadata as m; print(m.version({client.package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]


def _why_missing(name: str) -> str:
    part = name.removesuffix("-rust")
    said = PEERS / f"{part}.failed"
    return said.read_text().strip() if said.exists() else f"not installed (scripts/peers/install.sh {part})"


def _why_failed(code: int | None, folder: Path) -> str:
    if code is None:
        return f"did not end within {TIMEOUT_S:.0f} s"
    lines = (folder / "output.txt").read_text("utf-8", "replace").strip().splitlines()
    said = lines[-1].strip().replace(f"{HERE}/", "").replace(f"{ENGINES}/", "") if lines else "it said nothing"
    return f"ended with code {code}: {said[:200]}"


@contextmanager
def _paced(cell: Cell, log: Path) -> Iterator[tuple[str, int]]:
    """The server of this cell, as (URL, process)."""
    argv = [sys.executable, "-m", "harness.engines.paced", *shlex.split(SCENARIOS[cell.scenario].server), "--log", str(log)]
    log.touch()
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=HERE)
    try:
        assert child.stdout is not None
        yield msgspec.json.decode(child.stdout.readline())["url"], child.pid
    finally:
        child.terminate()
        child.communicate()


if __name__ == "__main__":
    main()
