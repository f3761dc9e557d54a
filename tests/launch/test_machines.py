"""Four machines looked at before a run, by `harness doctor` and `harness plan`: each thing that may differ between them is made to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from harness.errors import MachineError, RecipeError, UsageError
from harness.hosts import nodes as look
from harness.hosts.cluster import Place
from harness.hosts.local import LocalHost
from harness.launch import machines as preflight
from harness.recipe.cells import GridOverrides
from harness.recipe.load import loads
from harness.recipe.resolve import resolve
from harness.schema.doctor import Check
from harness.schema.node import Link
from tests.engines.test_topology import VLLM, spark
from tests.machines import LACKS, Machines, machines
from tests.recipe.plans import MACHINE

needs_machines = pytest.mark.skipif(LACKS is not None, reason=f"needs {LACKS}")
FOUR = "spark-1,spark-2,spark-3,spark-4"
RECIPE = """
recipe_version: "2"
name: four
model: org/tiny
runtime: vllm
min_nodes: 4
env: {VLLM_CPU_KVCACHE_SPACE: "1"}
defaults: {tensor_parallel: 4, port: 8000}
command: vllm serve {model} -tp {tensor_parallel} --port {port} --host 127.0.0.1
"""
DOCKER = """#!/bin/sh
case "$1 $2" in
"image inspect") [ -e "$HOME/no-image" ] && exit 1; echo "[\\"r/i@sha256:$(cat "$HOME/digest" 2>/dev/null || echo aaaa)\\"] sha256:id" ;;
*) exit 0 ;;
esac
"""
SITE = """
import datetime, os
if os.path.exists(os.path.expanduser("~/clock-is-off")):
    class Off(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(2000, 1, 1, tzinfo=tz)
    datetime.datetime, datetime.datetime.__base__ = Off, datetime.datetime
"""


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    place = tmp_path_factory.mktemp("four")
    for name, text in (("vllm", "#!/bin/sh\n"), ("docker", DOCKER)):
        program = place / "engine" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    (place / "four.yaml").write_text(RECIPE)
    (place / "docker.yaml").write_text(RECIPE.replace("min_nodes", "container: r/i:1\nmin_nodes"))
    with machines(place, 4, str(place / "engine")) as made:
        for name in made.names:
            snapshot(made, name)
        yield made


def snapshot(four: Machines, name: str, weights: bytes = b"w" * (2 << 20), config: str = "{}") -> None:
    """The model in that machine's Hugging Face cache, as the hub's client lays it."""
    folder = four.home_folder(name) / ".cache/huggingface/hub/models--org--tiny"
    commit = folder / "snapshots" / "c0ffee"
    commit.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("c0ffee")
    (commit / "config.json").write_text(config)
    (commit / "model.safetensors").write_bytes(weights)


def doctor(four: Machines, recipe: str = "four.yaml", hosts: str = FOUR) -> tuple[int, list[Check]]:
    code, out, err = four.harness("doctor", recipe, "--hosts", hosts, "--json")
    return code, msgspec.json.decode(out, type=list[Check]) if out else [Check("error", "fail", err)]


def failed(checks: list[Check]) -> str:
    (check,) = [check for check in checks if check.status == "fail"]
    assert check.advice
    return check.text


@needs_machines
def test_four_that_agree(four: Machines) -> None:
    code, checks = doctor(four)
    assert code == 0, checks
    said = {check.name: check.text for check in checks}
    assert set(said) == {"machine", "engine", "model", "clock", "link", "port", "memory", "recipe", "flags", "memory fit"}
    assert said["model"].startswith("org/tiny is the same on spark-1, spark-2, spark-3, spark-4")
    assert [check.text for check in checks if check.name == "link"][3] == "spark-4 is tied to the others by fast0 (10 Gb/s)"
    ports = ["8000 is free on spark-1", "8000 is free on this machine", "25000 is free on spark-1"]
    assert [check.text for check in checks if check.name == "port"] == ports
    code, out, _ = four.harness("plan", "four.yaml", "--hosts", FOUR)
    assert code == 0
    assert [f"Rank {rank} on spark-{rank + 1}, command" in out for rank in range(4)] == [True] * 4
    assert "--nnodes 4" in out


@needs_machines
@pytest.mark.machines
def test_a_model_that_differs_is_named_with_its_file(four: Machines) -> None:
    for changes, said in (
        ({"config": "[]"}, "org/tiny differs between spark-1 and spark-3: config.json"),
        ({"weights": b"w"}, "org/tiny differs between spark-1 and spark-3: model.safetensors"),
    ):
        snapshot(four, "spark-3", **changes)
        code, checks = doctor(four)
        snapshot(four, "spark-3")
        assert code == MachineError.exit_code
        assert failed(checks).startswith(said)
    hub = four.home_folder("spark-4") / ".cache"
    hub.rename(hub.with_name("away"))
    try:
        _, checks = doctor(four)
    finally:
        hub.with_name("away").rename(hub)
    assert failed(checks) == "org/tiny is on spark-1, spark-2, spark-3, and not on spark-4"


@needs_machines
@pytest.mark.machines
def test_images_must_have_one_digest(four: Machines) -> None:
    _, checks = doctor(four, "docker.yaml")
    assert "sha256:aaaa" in next(check.text for check in checks if check.name == "image")
    for file, said in (
        ("digest", "the image r/i:1 differs: sha256:aaaa on spark-1"),
        ("no-image", "the image r/i:1 is not on spark-2"),
    ):
        (four.home_folder("spark-2") / file).write_text("bbbb")
        _, checks = doctor(four, "docker.yaml")
        (four.home_folder("spark-2") / file).unlink()
        assert failed(checks).startswith(said)


@needs_machines
@pytest.mark.machines
def test_a_clock_that_is_off(four: Machines) -> None:
    (four.folder / "site").mkdir(exist_ok=True)
    (four.folder / "site" / "sitecustomize.py").write_text(SITE)
    (four.home_folder("spark-4") / "clock-is-off").touch()
    _, checks = doctor(four)
    (four.home_folder("spark-4") / "clock-is-off").unlink()
    assert failed(checks).startswith("the clock of spark-4 is ")
    assert "s behind ours" in failed(checks)


@needs_machines
@pytest.mark.machines
def test_a_taken_meeting_point(four: Machines) -> None:
    code = "import socket, time; s = socket.create_server(('10.77.0.1', 25000)); print(1, flush=True); time.sleep(600)"
    holder = subprocess.Popen(four.there("spark-1", sys.executable, "-c", code), stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        _, checks = doctor(four)
    finally:
        holder.kill()
        holder.communicate()
    assert failed(checks).startswith("port 25000 on spark-1 is taken")


@needs_machines
@pytest.mark.machines
def test_the_engine_of_the_head_is_asked_for_its_flags(four: Machines, tmp_path: Path) -> None:
    """Once, by doctor; a run goes by what it said, and ends before anything is started."""
    told = {"engine": "vllm", "version": "9.9", "positionals": -1, "options": [{"names": [n]} for n in ("--host", "-tp")]}
    engine = tmp_path / "engines" / "vllm" / "bin"
    engine.mkdir(parents=True)
    (engine.parent / "lib/python3.11/site-packages/vllm-9.9.dist-info").mkdir(parents=True)
    (engine.parent / "lib/python3.11/site-packages/vllm-9.9.dist-info/RECORD").write_text("x")
    for name, text in (
        ("vllm", "#!/bin/sh\n"),
        ("python3", f"#!/bin/sh\nuname -n >> {tmp_path}/asked\necho '{json.dumps(told)}'\n"),
    ):
        (engine / name).write_text(text)
        (engine / name).chmod(0o755)
    at = {"HARNESS_ENGINES": str(tmp_path / "engines"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    code, out, _ = four.harness("doctor", "four.yaml", "--hosts", FOUR, "--json", **at)
    assert code == MachineError.exit_code
    assert (tmp_path / "asked").read_text() == "spark-1\n"
    assert "vLLM 9.9 does not know --port" in failed(msgspec.json.decode(out, type=list[Check]))
    code, _, err = four.harness("serve", "four.yaml", "--hosts", FOUR, **at)
    assert (code, (tmp_path / "asked").read_text()) == (RecipeError.exit_code, "spark-1\n"), err
    assert "vLLM 9.9 does not know --port" in err
    assert "Starting vllm" not in err


@needs_machines
@pytest.mark.machines
def test_the_port_is_wanted_here_too(four: Machines) -> None:
    """A far head's is brought to this machine: sooner said than after its weights are loaded."""
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 8000)); print(1, flush=True); time.sleep(600)"
    with four.inside():
        holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        _, checks = doctor(four)
    finally:
        holder.kill()
        holder.communicate()
    assert failed(checks).startswith("port 8000 on this machine is taken by python")


@needs_machines
@pytest.mark.machines
def test_without_a_network_the_model_must_be_there(four: Machines) -> None:
    text = (four.folder / "four.yaml").read_text().replace("org/tiny", "org/other")
    (four.folder / "other.yaml").write_text(text)
    _, checks = doctor(four, "other.yaml")
    assert [(check.status, check.advice.split(",")[0]) for check in checks if check.name == "model"] == [
        ("warn", "hf download org/other on each")
    ]
    code, _, err = four.harness("serve", "other.yaml", "--hosts", FOUR, "--offline")
    assert code == MachineError.exit_code
    assert "org/other is on none of the machines\nHint: hf download org/other" in err


@needs_machines
@pytest.mark.machines
def test_a_cluster_file(four: Machines, tmp_path: Path) -> None:
    path = tmp_path / "spark-harness" / "clusters.yaml"
    path.parent.mkdir()
    path.write_text("four:\n  hosts: [spark-4, spark-3, spark-2, spark-1]\n  interfaces: {spark-4: fast0}\n")
    at = {"XDG_CONFIG_HOME": str(tmp_path)}
    code, out, err = four.harness("plan", "four.yaml", "--cluster", "four", **at)
    assert code == 0, err
    assert "Rank 0 on spark-4, command" in out
    for words, said in (
        (("--cluster", "fuor"), "did you mean 'four'?"),
        (("--cluster", "four", "--hosts", "a"), "--hosts and --cluster both name machines"),
        (("--hosts", "a,,b"), "not a list of machines"),
        (("--hosts", "-oProxyCommand=x"), "not a list of machines"),
        (("--hosts", "spark-1,spark-1"), "spark-1 is named twice"),
        (("--hosts", "spark-1", "--url", "http://x"), "--hosts is for a server that is started"),
    ):
        code, _, err = four.harness("plan", "four.yaml", *words, **at)
        assert code == UsageError.exit_code
        assert said in err
    path.write_text("four: {host: [a]}\n")
    code, _, err = four.harness("plan", "four.yaml", "--cluster", "four", **at)
    assert code == UsageError.exit_code
    assert "clusters.yaml: Object contains unknown field `host`" in err


def links(*of_second: Link, named: dict[str, str] | None = None) -> list[Check]:
    """What is said of the links of two machines; the second one's are these. Both are this machine, which has no such links."""
    tied = look.tie([spark(1), spark(2, *of_second)], named or {})
    recipe = loads(VLLM, "x.yaml")
    plan = resolve(recipe, MACHINE, overrides={}, profile=None, grid=GridOverrides(), seed=0, url=None, nodes=tied)
    places = [Place(node.host, LocalHost(), {}, None) for node in tied]
    return [check for check in preflight.look(plan, places, None) if check.name == "link"]


def test_a_slow_link_beside_a_fast_one() -> None:
    """A cable without an address: vLLM would run over 10 Gb/s and not say so."""
    first, second = links(
        Link(name="enP7s7", addresses=("10.0.0.2/24",), speed_mbit=10_000),
        Link(name="enp1s0f0np0", addresses=(), speed_mbit=200_000, rdma="rocep1s0f0"),
    )
    assert first.text.startswith(
        "spark-1 is tied to the others by enP7s7 (10 Gb/s), though enp1s0f1np1 (200 Gb/s, RDMA) is connected"
    )
    assert second.status == "fail"
    assert "though enp1s0f0np0 (200 Gb/s, RDMA) is connected" in second.text
    assert "cluster file" in second.advice
    with pytest.raises(MachineError, match="though enp1s0f1np1"):
        preflight.require([first, second])


def test_a_link_that_the_user_chose_is_his() -> None:
    slow = Link(name="enP7s7", addresses=("10.0.0.2/24",), speed_mbit=10_000)
    first, second = links(slow, named={"spark-1": "enP7s7", "spark-2": "enP7s7"})
    assert first.status == "pass"
    assert second.status == "warn", "this machine has no route by it"
