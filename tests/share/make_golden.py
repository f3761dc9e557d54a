"""Makes `golden.tar`, by which later versions show that they still verify what this one measured: `python -m tests.share.make_golden`.

Only to be run when that may no longer be read. It measures the 135M model on the CPU, and puts other words for this machine's names
and folders; figures do not rest on these. The version that it names is one before the release.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from harness.share import bundle
from harness.store import folder

GOLDEN = Path(__file__).parent / "golden.tar"
VERSION = "0.1.0.dev0"
GRID = ("--pp", "64", "--tg", "8", "--concurrency", "1,2", "--requests", "4", "--runs", "3", "--profile", "quick")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        words = ["bench", "smollm2-135m-cpu", *GRID, "--results", name]
        subprocess.run([sys.executable, "-m", "harness", *words], check=True)
        (path,) = Path(name).glob("[!.]*/*")
        files = {name: scrubbed(file, path) for name, file in folder.evidence(path).items()}
        about = bundle.manifest(files, result=folder.read_result(path).id, harness_version=VERSION)
        bundle.write(GOLDEN, files, about)


def scrubbed(file: Path, path: Path) -> bytes:
    """The file without what tells of this machine; of its log only the beginning."""
    data = file.read_bytes()
    if file.suffix == ".parquet":
        return data
    machine = folder.read_result(path).machine
    project = Path(__file__).parents[2]
    for own, other in (
        (str(path), "/home/user/results/run"),
        (str(project), "/home/user/spark-harness"),
        (machine.home, "/home/user"),
        (machine.hostname, "box"),
    ):
        data = data.replace(own.encode(), other.encode())
    if file.name == "result.json":
        result = msgspec.json.decode(data, type=type(folder.read_result(path)))
        data = msgspec.json.encode(msgspec.structs.replace(result, harness_version=VERSION))
    return b"".join(data.splitlines(keepends=True)[:20]) if file.suffix == ".log" else data


if __name__ == "__main__":
    main()
