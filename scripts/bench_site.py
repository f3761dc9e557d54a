"""What a site of a thousand results costs: seconds, where they go, and how large its pages are. Ends with 1 beyond 20 s or 2 MB.

    python scripts/bench_site.py [--count 1000] [--out DIR]

Ten real runs against the paced server, one of them with the sensors of a simulated GB10, are copied under other ids.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter  # noqa: TID251

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.paced_server import paced
from tests.simulated import healthy_gb10

MOST_S, MOST_BYTES = 20.0, 2_000_000
REAL = 10


def measure(root: Path, count: int) -> None:
    """Real runs, the first with sensors."""
    with paced(ttft_ms=20) as server:
        for number in range(count):
            env = dict(os.environ) | (healthy_gb10(root.parent / "gb10") if number == 0 else {})
            loads = ("1,2,4,8", "1,4", "1,16", "2,8")[number % 4]
            grid = ("--pp", str(64 << number % 3), "--tg", "32", "--concurrency", loads, "--runs", "2", "--requests", "8")
            command = (sys.executable, "-m", "harness", "bench", "--url", server.url, *grid, "--results", str(root), "--json")
            subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def copies(real: list[Path], root: Path, count: int) -> None:
    for number in range(count):
        source, ident = real[number % len(real)], f"{number:06x}"
        found = json.loads((source / "result.json").read_bytes())
        found |= {"id": ident, "recipe_name": f"recipe-{number % 40}"}
        target = root / f"recipe-{number % 40}" / f"20261125T000000Z-{ident}"
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("logs", "report.html"), copy_function=os.link)
        (target / "result.json").unlink()
        (target / "result.json").write_text(json.dumps(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = asked.out or folder / "site"
        measure(folder / "real", REAL)
        real = [file.parent for file in (folder / "real").glob("*/*/result.json")]
        copies(real, folder / "many", asked.count)
        started = perf_counter()
        command = (sys.executable, "-m", "harness", "site", "--results", str(folder / "many"), "--out", str(out))
        subprocess.run(command, check=True)
        took = perf_counter() - started
        where(real)
        largest = max(page.stat().st_size for page in out.rglob("*.html"))
    print(f"{asked.count} results: {took:.1f} s on {os.cpu_count()} cores; largest page {largest / 1000:.0f} kB")
    return int(took > MOST_S or largest > MOST_BYTES)


def where(real: list[Path]) -> None:
    """Milliseconds of one page, by part."""
    from harness import site
    from harness.store import folder, series

    db = series.open_tables()
    site.result_page(real[0], db, in_site=True)  # the templates are compiled
    for name, part in (
        ("result.json and plan.json", lambda path: (folder.read_result(path), folder.read_origin(path))),
        ("sensors and pauses", lambda path: series.read(path, db)),
        ("the whole page", lambda path: site.result_page(path, db, in_site=True)),
    ):
        started = perf_counter()
        for path in real:
            part(path)
        print(f"{name}: {(perf_counter() - started) / len(real) * 1000:.1f} ms a result")


if __name__ == "__main__":
    sys.exit(main())
