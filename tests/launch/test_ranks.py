"""A server of two ranks on two machines, by the command itself: what is measured, what is said when a rank or a cable is lost, and that
nothing is left. The engine is a stand-in (`tests/standin_vllm.py`) behind vLLM's own flags; the machines, sshd and processes are real."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from harness import clock
from harness.errors import EngineError, MachineError
from harness.store import folder
from tests.machines import LACKS, Machines, machines

pytestmark = pytest.mark.skipif(LACKS is not None, reason=f"needs {LACKS}")
ROOT = Path(__file__).parents[2]
RECIPE = """
recipe_version: "2"
name: spread
model: {model}
runtime: vllm
env: {{VLLM_CPU_KVCACHE_SPACE: "1", SECRET: $SECRET}}
defaults: {{tensor_parallel: 2, port: 8000, fault: none}}
command: |
  vllm serve {{model}} -tp {{tensor_parallel}} --port {{port}} --fault "{{fault}}"
"""
DOCKER = """#!/bin/sh
echo "$@" >> "$HOME/calls"
case "$1 $2" in
"run "*) while [ "$1" != sha256:1d ]; do shift; done; shift; exec "$@" ;;
"image inspect") case "$*" in
  *"{{json .}}"*) echo '{"Id": "sha256:1d"}' ;;
  *) echo "[\\"r/i@sha256:d1\\"] $(cat "$HOME/id" 2>/dev/null || echo sha256:1d)" ;;
  esac ;;
esac
"""
"""Runs the command itself, and notes how it was called."""
QUICK = ("--profile", "quick", "--pp", "64", "--tg", "8", "--concurrency", "2", "--requests", "4", "--runs", "1")
LONG = (*QUICK, "--tg", "2000", "--requests", "20")
THERE = ("--load-python", sys.executable, "--sense-python", sys.executable, "--set", "stop_grace_s=1")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    place = tmp_path_factory.mktemp("machines")
    program = place / "engine" / "vllm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/standin_vllm.py "$@"\n')
    program.chmod(0o755)
    docker = place / "engine" / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text("{}")
    with machines(place, 2, str(program.parent)) as made:
        text = RECIPE.format(model=place / "model")
        (place / "x.yaml").write_text(text)
        (place / "docker.yaml").write_text(text.replace("runtime:", "container: r/i:1\nruntime:"))
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_left(two: Machines) -> Iterator[None]:
    yield
    assert two.empty(60), [two.processes(name) for name in two.names]


def bench(two: Machines, *words: str, hosts: str = "spark-1,spark-2") -> tuple[int, str, str]:
    return two.harness("bench", "x.yaml", "--hosts", hosts, *THERE, *words, SECRET="hush-hush")


def lines(err: str) -> list[str]:
    """The error's two."""
    return err.strip().splitlines()[-2:]


def wait_for(what: Callable[[], object]) -> None:
    start = clock.now()
    while not what():
        assert clock.since(start) < 60
        clock.sleep(0.1)


def test_two_ranks_from_a_recipe_to_a_result(two: Machines, tmp_path: Path) -> None:
    code, out, err = bench(two, *QUICK, "--results", str(tmp_path))
    assert code == 0, out + err
    (path,) = tmp_path.glob("spread/*")
    stored = folder.read(path)
    assert stored.result.cells[0].valid == 4
    assert {trial.client.host for trial in stored.result.trials} == {"spark-1"}, "requests are sent beside the server"
    assert [node.address for node in stored.plan.nodes] == ["10.77.0.1", "10.77.0.2"]
    assert [worker.host for worker in stored.plan.workers] == ["spark-2"]
    assert (path / "logs" / "engine.log").read_text().startswith("rank 0 of 2 on spark-1 as 10.77.0.1\n")
    assert (path / "logs" / "engine-rank1.log").read_text().startswith("rank 1 of 2 on spark-2 as 10.77.0.2\n")
    sources = {sample.source for sample in stored.samples}
    assert {"memory@spark-1", "memory@spark-2"} <= sources
    assert "memory" not in sources, "this machine carries no rank"
    assert "machines" in {finding.code for finding in stored.result.findings}
    assert not [file for file in path.rglob("*") if file.is_file() and b"hush-hush" in file.read_bytes()]


@pytest.mark.machines
def test_this_machine_may_be_the_head(two: Machines) -> None:
    code, out, err = bench(two, *QUICK, hosts="localhost,spark-2")
    assert code == 0, out + err
    assert "Client   ran on" not in out, "the load driver is here, beside the head"


@pytest.mark.machines
def test_rank_1_dies_at_start(two: Machines) -> None:
    code, _, err = bench(two, *QUICK, "--set", "fault=1:dies at start")
    assert code == EngineError.exit_code
    said, hint = lines(err)
    assert "rank 1 on spark-2: vllm ended with exit code 1: torch.OutOfMemoryError" in said
    assert hint.startswith("Hint: ask for less")
    assert "engine-rank1.log" in hint


@pytest.mark.machines
def test_rank_1_dies_under_load(two: Machines) -> None:
    """The head complains too, and louder."""
    code, _, err = bench(two, *LONG, "--set", "fault=1:dies after 8")
    assert code == EngineError.exit_code
    said, _ = lines(err)
    assert "rank 1 on spark-2: vllm ended with exit code 1: ModuleNotFoundError: No module named 'torch'" in said


@pytest.mark.machines
def test_rank_1_is_killed_under_load(two: Machines) -> None:
    """It says nothing; the head says that its peer has gone."""
    child = two.command("bench", "x.yaml", "--hosts", "spark-1,spark-2", *THERE, *LONG)
    wait_for(lambda: two.find("spark-1", "harness.load"))
    clock.sleep(1.0)
    (engine,) = [process for process in two.find("spark-2", "--node-rank") if not process.name().startswith("VLLM")]
    engine.send_signal(signal.SIGKILL)
    _, err = child.communicate()
    assert child.returncode == EngineError.exit_code
    assert "rank 1 on spark-2: vllm was killed (signal SIGKILL)" in lines(err)[0]


@pytest.mark.machines
def test_the_harness_is_killed_under_load(two: Machines) -> None:
    child = two.command("bench", "x.yaml", "--hosts", "spark-1,spark-2", *THERE, *LONG)
    wait_for(lambda: two.find("spark-1", "harness.load"))
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()  # and what the fixture looks for: nothing is left


@pytest.mark.machines
def test_containers_are_removed_on_each_machine_even_when_the_harness_is_killed(two: Machines) -> None:
    child = two.command("serve", "docker.yaml", "--hosts", "spark-1,spark-2", "--set", "stop_grace_s=1")
    assert child.stderr is not None
    wait_for(lambda: two.find("spark-1", "--node-rank") and two.find("spark-2", "--node-rank"))
    child.kill()
    child.communicate()
    assert two.empty(60)
    calls = {name: (two.home_folder(name) / "calls").read_text().splitlines() for name in two.names}
    for name, expected in zip(two.names, ("spark-harness-spread-8000", "spark-harness-spread-8000-rank1"), strict=True):
        own = re.fullmatch(rf"rm -f -v ({expected}-[0-9a-f]{{8}})", calls[name][-1])
        assert own, calls[name]
        assert [call for call in calls[name] if f" --name {own[1]} " in call and call.startswith("run ")]
    for called in calls.values():
        assert not [call for call in called if "hush" in call]


@pytest.mark.machines
def test_the_image_of_a_far_head_is_recorded_and_run_by_its_id(two: Machines, tmp_path: Path) -> None:
    words = ("bench", "docker.yaml", "--hosts", "spark-1,spark-2", *THERE, *QUICK, "--results", str(tmp_path))
    code, out, err = two.harness(*words)
    assert code == 0, out + err
    (path,) = tmp_path.glob("spread/*")
    stored = folder.read(path)
    assert stored.result.image is not None
    assert (stored.result.image.name, stored.result.image.id) == ("r/i:1", "sha256:1d")
    assert all("sha256:1d" in worker.argv for worker in stored.plan.workers)
    (two.home_folder("spark-2") / "id").write_text("sha256:2d")
    code, _, err = two.harness(*words)
    (two.home_folder("spark-2") / "id").unlink()
    assert code == MachineError.exit_code
    assert "the image r/i:1 differs: sha256:1d on spark-1; sha256:2d on spark-2" in err


@pytest.mark.machines
def test_a_host_that_is_not_there(two: Machines) -> None:
    for words in (("plan", "x.yaml"), ("bench", "x.yaml")):
        code, _, err = two.harness(*words, "--hosts", "spark-1,10.77.0.77")
        assert code == MachineError.exit_code
        assert lines(err)[0].startswith("harness: 10.77.0.77 cannot be reached by ssh: ")
        assert lines(err)[1].startswith("Hint: ")


def test_a_host_whose_key_is_not_known(two: Machines) -> None:
    known = (two.folder / "known").read_text()
    two.forget("spark-2")
    try:
        code, _, err = bench(two, *QUICK)
    finally:
        (two.folder / "known").write_text(known)
    assert code == MachineError.exit_code
    assert lines(err)[0] == "harness: the host key of spark-2 is not known to ssh, and nobody is there to compare it"
    assert "ssh-keyscan" in lines(err)[1]


@pytest.mark.machines
def test_a_taken_port_names_its_machine(two: Machines) -> None:
    holder = subprocess.Popen(
        two.there(
            "spark-1",
            sys.executable,
            "-c",
            "import socket, time; s = socket.create_server(('127.0.0.1', 8000)); time.sleep(600)",
        )
    )
    try:
        wait_for(lambda: "8000" in two.on("spark-1", "ss", "-ltn"))
        code, _, err = bench(two, *QUICK)
    finally:
        holder.kill()
        holder.wait()
    assert code == MachineError.exit_code
    assert lines(err)[0].startswith("harness: port 8000 on spark-1 is taken")


@pytest.mark.machines
@pytest.mark.parametrize("name", ["spark-1", "spark-2"])
def test_a_cable_is_pulled_under_load(two: Machines, name: str) -> None:
    child = two.command("bench", "x.yaml", "--hosts", "spark-1,spark-2", *THERE, *LONG)
    wait_for(lambda: two.find("spark-1", "harness.load"))
    clock.sleep(1.0)
    two.cut(name)
    began = clock.now()
    try:
        _, err = child.communicate(timeout=100)
        assert clock.since(began) < 60
        assert child.returncode == MachineError.exit_code, err
        assert f"harness: the connection to {name} is lost" in err
        assert f"harness: {name}: what ran there is not seen to have ended" in err
        assert lines(err)[1].startswith("Hint: look at its network")
        assert two.empty(60)
    finally:
        two.cut(name, up=True)
        clock.sleep(2.0)


@pytest.mark.machines
def test_serve_ends_with_ctrl_c(two: Machines) -> None:
    child = two.command("serve", "x.yaml", "--hosts", "spark-1,spark-2", "--set", "stop_grace_s=1")
    assert child.stderr is not None
    said = []
    for line in child.stderr:
        said.append(line)
        if "answers at" in line:
            break
    assert "answers at http://127.0.0.1:8000/v1" in said[-1], said
    answer = subprocess.run(
        ["ip", "netns", "exec", two.home, "curl", "-s", "http://127.0.0.1:8000/v1/models"], capture_output=True, check=False
    )
    assert msgspec.json.decode(answer.stdout)["data"]
    child.send_signal(signal.SIGINT)
    child.communicate()
    assert child.returncode == 130
