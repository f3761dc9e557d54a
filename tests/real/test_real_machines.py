"""Real vLLM over two machines: tensor parallel 2 from a recipe to a stored result, and nothing left on either (`make test-engines`).

The machines are network namespaces with sshd; the model is random and tiny, and lies where both see it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.errors import EngineError
from harness.store import folder
from tests.machines import LACKS, Machines, machines

ROOT = Path(__file__).parents[2]
ENGINES = Path(os.environ.get("HARNESS_ENGINES", ROOT / ".engines")).absolute()
NAME = "tiny-vllm-cpu-2-machines"
WORDS = (
    "bench",
    f"{ROOT}/recipes/{NAME}.yaml",
    "--hosts",
    "spark-1,spark-2",
    "--load-python",
    sys.executable,
    "--sense-python",
    sys.executable,
)

pytestmark = [pytest.mark.engines, pytest.mark.skipif(LACKS is not None, reason=f"needs {LACKS}")]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Machines]:
    with machines(tmp_path, 2) as made:
        yield made
        assert made.empty(60), [made.processes(name) for name in made.names]


def test_vllm_over_two_machines(two: Machines) -> None:
    code, out, err = two.harness(*WORDS, HARNESS_ENGINES=str(ENGINES))
    assert code == 0, out + err
    assert two.empty(5), "all had ended before the harness did"
    (path,) = (two.folder / "results" / NAME).iterdir()
    stored = folder.read(path)
    assert stored.result.state == "complete"
    assert [cell.verdict for cell in stored.result.cells] == ["valid"]
    assert stored.result.engine.name == "vllm"
    assert "--headless" in stored.plan.workers[0].argv
    assert {trial.client.host for trial in stored.result.trials} == {"spark-1"}
    assert {"cpu@spark-1", "cpu@spark-2"} <= {sample.source for sample in stored.samples}
    for log, rank in (("engine.log", 0), ("engine-rank1.log", 1)):
        assert f"world_size=2 rank={rank}" in (path / "logs" / log).read_text()
    verified = subprocess.run(
        [sys.executable, "-m", "harness", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stderr


def test_a_rank_of_vllm_is_killed_under_load(two: Machines) -> None:
    """Rank 0 learns of it by a closed connection, if at all, and rank 1's own worker had renamed itself."""
    child = two.command(*WORDS, "--tg", "1500", HARNESS_ENGINES=str(ENGINES))
    start = clock.now()
    while not two.find("spark-1", "harness.load"):
        assert clock.since(start) < 400
        assert child.poll() is None, child.communicate()
        clock.sleep(0.5)
    clock.sleep(2.0)
    killed = [process for process in two.processes("spark-2") if _is_engine(process)]
    assert any("VLLM::" in process.name() or "VLLM::" in " ".join(process.cmdline()) for process in killed), killed
    for process in killed:
        process.kill()
    began = clock.now()
    _, err = child.communicate()
    assert clock.since(began) < 90
    assert child.returncode == EngineError.exit_code, err
    said, hint = err.strip().splitlines()[-2:]
    assert "rank 1 on spark-2: vllm was killed (signal SIGKILL)" in said
    assert hint.startswith("Hint: ")


def _is_engine(process: psutil.Process) -> bool:
    words = " ".join(process.cmdline())
    return "vllm serve" in words or "VLLM::" in words or process.name().startswith("VLLM::")
