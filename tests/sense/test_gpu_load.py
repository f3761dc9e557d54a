from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.schema.sensors import Absent
from harness.sense import gpu_load
from tests.fake_cuda import (
    GB10_FLOPS,
    GB10_UUID,
    HANGS,
    INVALID_PTX,
    LAUNCH_FAILED,
    NO_DEVICE,
    OUT_OF_MEMORY,
    UNKNOWN_ERROR,
    built,
    environment,
    packaged,
)
from tests.fake_nvml import STUCK_LOW_POWER, FakeNvml, healthy_gb10

BUSY = """
import sys
import msgspec
from harness.sense.gpu_load import busy
print(msgspec.json.encode(busy(float(sys.argv[1]), sys.argv[2] or None, patience_s=float(sys.argv[3]))).decode())
"""
WATCHED = """
import threading
from harness import clock
from harness.sense import gpu_load, nvml

def seen():
    return next(value for source in sources for _, name, value, _ in source.read() if name == "gpu0.clock")

sources = nvml.sources()
before = seen()
thread = threading.Thread(target=gpu_load.busy, args=(0.6,))
thread.start()
meanwhile = []
while thread.is_alive():
    meanwhile.append(seen())
    clock.sleep(0.005)
print(before, *sorted(set(meanwhile)), seen())
print(meanwhile.count(611))
"""
SECOND_GPU = "GPU-66666666-7777-8888-9999-000000000000"
IN_LOOP = gpu_load.CHAINS * gpu_load.DEPTH


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("cuda"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "cuda.txt"


def busy(env: Mapping[str, str], duration_s: float = 0.3, uuid: str = "", patience_s: float = 20.0) -> float | Absent:
    child = [sys.executable, "-c", BUSY, str(duration_s), uuid, str(patience_s)]
    done = subprocess.run(child, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return msgspec.json.decode(done.stdout, type=float | Absent)


def launches(log: Path) -> list[tuple[int, int, int, int]]:
    """Blocks, threads, rounds, ns of each."""
    found = re.findall(r"launch (\d+) (\d+) (\d+) (\d+)\n", log.read_text())
    return [(int(blocks), int(threads), int(rounds), int(ns)) for blocks, threads, rounds, ns in found]


@pytest.mark.parametrize("flops", [GB10_FLOPS, GB10_FLOPS * 611 / 2400])
def test_a_gpu_of_known_speed_is_measured_right(library: Path, log: Path, flops: float) -> None:
    reached = busy(environment(os.environ, library, log, flops=flops), 0.6)
    assert isinstance(reached, float)
    assert 0.6 * flops < reached <= flops  # the way there and back, on a machine with other work, takes its part


def test_launches_fill_the_gpu_and_are_short(library: Path, log: Path) -> None:
    busy(environment(os.environ, library, log), 0.6)
    done = launches(log)
    assert {(blocks, threads) for blocks, threads, _, _ in done} == {(4 * 48, 256)}
    assert done[0][3] < 2e6  # the first of them finds out how fast the GPU is
    assert max(ns for *_, ns in done) < 50e6
    assert sum(ns > 15e6 for *_, ns in done) >= 5


def test_a_slow_gpu_is_not_kept_for_longer(library: Path, log: Path) -> None:
    busy(environment(os.environ, library, log, flops=2.5e11), 0.6)  # the first launch alone takes 100 ms
    assert max(ns for *_, ns in launches(log)[1:]) < 50e6


def test_flop_of_a_round_are_those_of_the_docstring(library: Path, log: Path) -> None:
    busy(environment(os.environ, library, log), 0.1)
    blocks, threads, rounds, ns = launches(log)[-1]
    assert round(ns / 1e9 * GB10_FLOPS / rounds) == pytest.approx(25_165_824, rel=1e-4)
    assert 2 * IN_LOOP * blocks * threads == 25_165_824


def test_the_gpu_is_chosen_by_uuid(library: Path, log: Path) -> None:
    env = environment(os.environ, library, log, GB10_UUID, SECOND_GPU)
    for uuid in [SECOND_GPU, GB10_UUID, ""]:
        assert isinstance(busy(env, 0.01, uuid), float)
    assert re.findall(r"create (\d)", log.read_text()) == ["1", "0", "0"]
    hidden = busy(environment(os.environ, library, log, GB10_UUID), 0.01, SECOND_GPU)
    assert isinstance(hidden, Absent)
    assert (hidden.code, SECOND_GPU in hidden.text) == ("no_device", True)


@pytest.mark.parametrize(
    ("call", "error", "code", "name"),
    [
        ("cuInit", NO_DEVICE, "no_device", "CUDA_ERROR_NO_DEVICE (100)"),
        ("cuInit", UNKNOWN_ERROR, "no_driver", "CUDA_ERROR_UNKNOWN (999)"),
        ("cuInit", 12345, "no_driver", "error (12345)"),
        ("cuCtxCreate_v2", OUT_OF_MEMORY, "refused", "CUDA_ERROR_OUT_OF_MEMORY (2)"),
        ("cuModuleLoadData", INVALID_PTX, "refused", "CUDA_ERROR_INVALID_PTX (218)"),
        ("cuModuleGetFunction", UNKNOWN_ERROR, "refused", "CUDA_ERROR_UNKNOWN (999)"),
        ("cuLaunchKernel", LAUNCH_FAILED, "refused", "CUDA_ERROR_LAUNCH_FAILED (719)"),
        ("cuCtxSynchronize", (LAUNCH_FAILED, 4), "refused", "CUDA_ERROR_LAUNCH_FAILED (719)"),
    ],
)
def test_each_refusal_has_its_reason_and_the_context_is_given_back(
    library: Path, log: Path, call: str, error: int | tuple[int, int], code: str, name: str
) -> None:
    refused = busy(environment(os.environ, library, log, fail={call: error}))
    text = f"the GPU cannot be put under load: {call} answers {name}"
    assert refused == Absent(source="cuda", scope="gpu", code=code, text=text)
    lines = log.read_text().splitlines() if log.exists() else []
    assert lines == [] or (lines[0], lines[-1]) == ("create 0", "destroy")


def test_a_gpu_that_never_answers_is_given_up(library: Path, log: Path) -> None:
    env = environment(os.environ, library, log, fail={"cuCtxSynchronize": (HANGS, 3)})
    given_up = busy(env, 0.1, patience_s=0.5)
    assert isinstance(given_up, Absent)
    assert given_up.code == "unreachable"
    assert len(launches(log)) == 3


def test_an_interrupt_ends_it_at_once_and_the_context_is_given_back(library: Path, log: Path) -> None:
    command = [sys.executable, "-c", BUSY, "60", "", "20"]
    with subprocess.Popen(command, env=environment(os.environ, library, log), stderr=subprocess.PIPE, text=True) as child:
        while not (log.exists() and len(launches(log)) > 3):
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGINT
    assert "fake CUDA" not in errors
    assert log.read_text().splitlines()[-1] == "destroy"


def test_sensors_are_read_meanwhile_and_see_the_load(library: Path, log: Path, tmp_path: Path) -> None:
    """The stuck low-power state as it was met: a clock that looks well until work begins."""
    (tmp_path / "load").mkdir()
    nvml = FakeNvml(tmp_path, healthy_gb10().at(0, {"clock": 2216}))
    under_load = FakeNvml(tmp_path / "load", healthy_gb10().at(0, STUCK_LOW_POWER))
    env = environment(os.environ | nvml.env, library, log, swap=(nvml.script, under_load.script))
    done = subprocess.run([sys.executable, "-c", WATCHED], env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    before, *meanwhile, after, loaded = map(float, done.stdout.split())
    assert (before, after) == (2216, 2216)
    assert set(meanwhile) <= {2216, 611}
    assert loaded > 40  # of about 100: more than one for each launch, so a launch does not hold Python up


def test_without_a_library_there_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / gpu_load.LIBRARY).write_text("not a library")  # found before any real one
    absent = busy(dict(os.environ) | {"LD_LIBRARY_PATH": str(tmp_path)})
    assert isinstance(absent, Absent)
    assert (absent.code, gpu_load.LIBRARY in absent.text) == ("no_library", True)


def test_a_library_that_lacks_a_function_is_none(tmp_path: Path, library: Path) -> None:
    """`library` says that there is a compiler."""
    subprocess.run(["gcc", "-shared", "-x", "c", "/dev/null", "-o", str(tmp_path / gpu_load.LIBRARY)], check=True)
    absent = busy(dict(os.environ) | {"LD_LIBRARY_PATH": str(tmp_path)})
    assert isinstance(absent, Absent)
    assert (absent.code, "cuGetErrorName" in absent.text) == ("no_library", True)


@pytest.mark.parametrize("target", ["sm_75", "sm_80", "sm_90", "sm_120", "sm_121"])
def test_nvidias_assembler_keeps_the_whole_loop_in_registers(tmp_path: Path, target: str) -> None:
    ptxas = packaged("ptxas", "nvidia-cuda-nvcc-cu12", "nvidia-cuda-nvcc")
    nvdisasm = packaged("nvdisasm", "nvidia-cuda-nvdisasm")
    if not ptxas or not nvdisasm:
        pytest.skip("NVIDIA's assembler is missing: pip install nvidia-cuda-nvcc-cu12 nvidia-cuda-nvdisasm")
    text, binary = tmp_path / "busy.ptx", tmp_path / "busy.cubin"
    text.write_text(gpu_load.ptx())
    assembled = subprocess.run([ptxas, "-v", "-arch", target, text, "-o", binary], capture_output=True, text=True)
    assert assembled.returncode == 0, assembled.stderr
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in assembled.stderr
    used = re.search(r"Used (\d+) registers", assembled.stderr)
    assert used
    assert int(used[1]) <= 65536 // (gpu_load.THREADS * gpu_load.BLOCKS)  # all blocks of a multiprocessor at once
    code = subprocess.run([nvdisasm, "-c", binary], capture_output=True, text=True, check=True).stdout
    loop = re.search(r"(\.L_x_\d+):\n((?:(?!\.L_x).*\n)*?.*BRA.*\1)", code)
    assert loop
    instructions = re.findall(r"/\*[0-9a-f]{4}\*/\s+(?:@!?U?P\d )?\s*(\w+)", loop[2])
    assert instructions.count("FFMA") == IN_LOOP
    assert len(instructions) <= IN_LOOP + 4


def test_the_numbers_keep_moving_and_stay_in_bounds() -> None:
    """The kernel's arithmetic: a product of two 32-bit floats is exact in 64 bits, so this is a fused step."""
    thread = np.arange(gpu_load.THREADS) / 1024
    chains = [thread, *(thread / 2 + chain / 32 for chain in range(1, gpu_load.CHAINS))]
    x, step = np.array(chains, np.float32), np.float64(np.float32(gpu_load.STEP))
    for _ in range(20_000):
        before, x = x, (x.astype(np.float64) ** 2 + step).astype(np.float32)
        assert step <= x.min()
        assert x.max() < 1.7101
    assert np.mean(np.abs(x - before) > 0.1) > 0.8
    assert np.unique(x).size > 300
    assert np.abs(x).max() * gpu_load.CHAINS < gpu_load.MOST_SUM
