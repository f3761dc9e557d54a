"""What is done with recipes and results asks nothing of a network: its kernel counts every packet that has no way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.errors import MachineError, UsageError
from harness.hosts import airtight
from harness.measure import egress
from harness.store import folder
from tests.nowhere import Nowhere, needed, nowhere

__all__ = ["nowhere"]
PACED = """
recipe_version: "2"
name: paced
model: paced
runtime: openai
command: paced --ttft-ms 5 --tpot-ms 2
harness:
  engine: paced
  profile: short
  profiles:
    short: {pp: [64], tg: [16], concurrency: [1], requests: 4, runs: 2, max_runs: 2, target: null, idle_seconds: 0}
"""
LEAVES = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect_ex(('192.0.2.1', 9))"


def harness(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


@needed
def test_nothing_leaves(nowhere: Nowhere, tmp_path: Path) -> None:
    (tmp_path / "paced.yaml").write_text(PACED)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(*words: str) -> None:
        done = nowhere.run(sys.executable, *words, cwd=tmp_path, env=env)
        assert (done.returncode, nowhere.tried_to_leave()) == (0, 0), (words, done.stdout, done.stderr)

    run("-m", "harness", "plan", "paced.yaml")
    run("-m", "harness", "bench", "paced.yaml")
    (result,) = tmp_path.glob("results/*/2*")
    for words in (
        ("verify", str(result)),
        ("results", "list"),
        ("results", "show", result.name),
        ("board",),
        ("site", "--out", "pages"),
        ("cost", result.name),
        ("sovereignty",),
        ("facts", "list"),
        ("recipes", "list"),
    ):
        run("-m", "harness", *words)
    done = nowhere.run(sys.executable, "-c", LEAVES, cwd=tmp_path, env=env)
    assert (done.returncode, nowhere.tried_to_leave() > 0) == (0, True), "it counts what does leave"


@needed
def test_airtight(tmp_path: Path) -> None:
    (tmp_path / "paced.yaml").write_text(PACED)
    done = harness("bench", "paced.yaml", "--airtight", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("results/*/2*")
    seen = folder.read_result(path).egress
    assert seen is not None
    assert (seen.tight, seen.sent_bytes) == (True, 0)
    assert egress.left(seen)[0] is False
    assert "no network but loopback" in " ".join(done.stdout.split())

    done = harness("bench", "paced.yaml", "--results", "plain", cwd=tmp_path)
    (path,) = tmp_path.glob("plain/*/2*")
    seen = folder.read_result(path).egress
    assert seen is not None
    assert not seen.tight or not Path("/proc/net/route").read_text().splitlines()[1:]


@needed
def test_neither_root_nor_any_right_is_needed() -> None:
    """For another user, where the system lets users have namespaces."""
    python = "/usr/bin/python3"
    tried = (
        "import socket, sys; sys.dont_write_bytecode = True; sys.path.insert(0, '.')\n"
        "from harness.hosts import airtight; airtight.enter()\n"
        "server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())\n"
        "print(socket.socket().connect_ex(('192.0.2.1', 9)))"
    )
    as_user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if subprocess.run([*as_user, python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode:
        pytest.skip(f"no {python} that other users may run")
    if subprocess.run([*as_user, "unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("users may not have namespaces here")
    source = Path(airtight.__file__).parents[2]
    done = subprocess.run([*as_user, python, "-c", tried], cwd=source, capture_output=True, text=True, check=False)
    if "No module named 'harness'" in done.stderr:
        pytest.skip("other users may not read this checkout")
    assert (done.stdout.strip(), done.stderr) == ("101", ""), "ENETUNREACH"


def test_threads_that_would_stay_outside() -> None:
    tried = (
        "import threading; from harness.hosts import airtight; from harness.errors import MachineError\n"
        "done = threading.Event(); threading.Thread(target=done.wait).start()\n"
        "try: airtight.enter()\n"
        "except MachineError as error: print(error.message)\n"
        "finally: done.set()"
    )
    done = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, check=False)
    assert "threads of this process already run" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--url", "http://127.0.0.1:1"), "no network but loopback of its own"),
        (("--hosts", "spark-1,spark-2"), "no network but loopback of its own"),
        (("--plug", "shelly://127.0.0.1"), "no network but loopback of its own"),
        (("--sense-host", "spark-2"), "no network but loopback of its own"),
        (("mistral-small-4-nvfp4-eagle",), "runs in a container"),
    ],
)
@needed
def test_what_cannot_be_reached_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = harness("bench", *words, "--airtight", cwd=tmp_path)
    assert (done.returncode, said in done.stderr, len(done.stderr.splitlines())) == (UsageError.exit_code, True, 2)


def test_a_system_that_gives_none(tmp_path: Path) -> None:
    """As in a container whose rules forbid it."""
    if os.getuid() != 0 or subprocess.run(["setpriv", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("needs root, to give rights away")
    (tmp_path / "paced.yaml").write_text(PACED)
    words = [sys.executable, "-m", "harness", "bench", "paced.yaml", "--airtight"]
    without = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    done = subprocess.run([*without, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == MachineError.exit_code
    assert "this system gives no network namespace" in done.stderr
    assert not (tmp_path / "results").exists()


def test_what_a_result_says_of_it() -> None:
    """`tight` is stored, and read from results that were made before it was."""
    from harness.schema.egress import Egress
    from harness.typed import decoded

    old = {
        "method": "m", "period_s": 0.25, "looks": 3, "longest_s": 0.1, "t_start_ns": 0, "t_end_ns": 9, "cpu_s": 0.0, "processes": 2,
        "spaces": 1, "connections": [],
    }  # fmt: skip
    assert decoded(msgspec.json.encode(old), Egress).tight is False
    assert "no network but loopback" in egress.sentence(decoded(msgspec.json.encode(old | {"tight": True}), Egress))
