"""Diagnosis of logs that real servers left behind (shortened; paths replaced)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engines import embedded, sglang, vllm
from harness.engines.base import Diagnosis, Engine
from harness.engines.diagnosis import diagnose_with, strip

DATA = Path(__file__).parent / "data"
ENGINES: dict[str, Engine] = {"vllm": vllm, "sglang": sglang, "embedded": embedded}

CASES = {
    "vllm-unknown-flag": ("unrecognized arguments: --max-modl-len 12", "does not know --max-modl-len"),
    "vllm-bad-json": ("argument --speculative-config/-sc", "refuses the value of --speculative-config"),
    "vllm-port-taken": ("Address already in use", "another program has the port"),
    "vllm-model-path-missing": ("HFValidationError", "there is no such model"),
    "vllm-model-id-not-cached": ("LocalEntryNotFoundError", "the model is not on this machine"),
    "vllm-max-model-len-too-large": ("User-specified max_model_len", "a context of 100000 tokens, the model holds 8192"),
    "vllm-kv-cache-too-small": ("ValueError: To serve at least one request", "does not hold one request of 100000 tokens"),
    "vllm-tp-too-many": ("attention heads (9) must be divisible", "9 attention heads cannot be split over 2"),
    "sglang-unknown-flag": ("unrecognized arguments: --max-modl-len 12", "does not know --max-modl-len"),
    "sglang-bad-value": ("argument --dtype: invalid choice: 'float17'", "refuses the value of --dtype"),
    "sglang-port-taken": ("error while attempting to bind on address", "another program has the port"),
    "sglang-model-path-missing": ("HFValidationError", "there is no such model"),
    "sglang-model-id-not-cached": ("LocalEntryNotFoundError", "the model is not on this machine"),
    "sglang-max-model-len-too-large": ("User-specified context_length", "a context of 100000 tokens, the model holds 8192"),
    "sglang-kv-cache-too-small": (
        "ValueError: Loaded weights leave no GPU memory",
        "a memory fraction of 0.001 leaves nothing",
    ),
    "sglang-libcuda-missing": ("Could not load any common_ops library", "no usable NVIDIA driver"),
    "sglang-killed-startup-scheduler-SIGKILL": ("scheduler died during initialization", "was killed"),
    "embedded-missing": ("failed to open GGUF file '/models/nope.gguf'", "/models/nope.gguf cannot be opened"),
    "embedded-truncated": ("gguf_init_from_reader: failed to read", "not a whole GGUF file"),
    "embedded-notgguf": ("invalid magic characters", "not a whole GGUF file"),
    "embedded-port": ("couldn't bind HTTP server socket", "another program has the port"),
    "embedded-flag": ("unrecognized arguments: --ctxsize 5", "does not know --ctxsize"),
}


@pytest.mark.parametrize(
    "line",
    [
        "urllib.error.URLError: <urlopen error [Errno 101] Network is unreachable>",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
    ],
)
def test_there_is_no_network(line: str) -> None:
    """As Python ends in `harness bench --airtight`."""
    found = vllm.diagnose(["Traceback (most recent call last):", '  File "x.py", line 1, in <module>', line])
    assert found is not None
    assert "wanted something from the network" in found.meaning


def diagnose(name: str) -> Diagnosis | None:
    log = (DATA / f"{name}.log").read_text().splitlines()
    return ENGINES[name.split("-", 1)[0]].diagnose(log)


@pytest.mark.parametrize("name", CASES)
def test_real_failure(name: str) -> None:
    line, meaning = CASES[name]
    found = diagnose(name)
    assert found is not None
    assert line in found.line
    assert meaning in found.meaning
    assert found.advice
    assert "{" not in found.meaning + found.advice


@pytest.mark.parametrize("name", ["vllm-killed-startup-main-SIGKILL", "vllm-stopped", "sglang-stopped"])
def test_a_log_without_a_cause_gets_none(name: str) -> None:
    """Full of warnings that quote errors; the second also has the errors of a server that was told to stop."""
    assert diagnose(name) is None


def test_every_log_of_the_folder_is_tested() -> None:
    tested = {*CASES, "vllm-killed-startup-main-SIGKILL", "vllm-stopped", "sglang-stopped"}
    assert {path.stem for path in DATA.glob("*.log")} == tested


def first(log: str) -> Diagnosis:
    found = diagnose_with((), log.strip("\n").splitlines())
    assert found is not None
    return found


def test_the_first_error_counts_and_not_the_last() -> None:
    found = first("""
INFO all is well
torch.OutOfMemoryError is mentioned here without being raised
Traceback (most recent call last):
  File "a.py", line 1, in <module>
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.
Traceback (most recent call last):
  File "b.py", line 1, in <module>
OSError: [Errno 98] Address already in use
""")
    assert found.line.startswith("torch.OutOfMemoryError")
    assert "memory ran out" in found.meaning


def test_of_a_direct_cause_the_first_counts() -> None:
    found = first("""
Traceback (most recent call last):
  File "a.py", line 1
ValueError: the odd thing that happened

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 1
RuntimeError: something failed
""")
    assert found.line == "ValueError: the odd thing that happened"


def test_of_exceptions_during_handling_the_known_one_counts_else_the_last() -> None:
    log = """
Traceback (most recent call last):
  File "a.py", line 1
KeyError: 'llama5'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 1
ValueError: {}
"""
    assert first(log.format("no such thing as llama5")).line == "ValueError: no such thing as llama5"
    assert first(log.format("No module named 'triton'")).meaning == "the Python package triton is missing"


def test_an_unknown_error_is_shown_without_a_guess() -> None:
    found = first("ERROR 11-23 09:08:03 [core.py:12] the flux capacitor is empty")
    assert found.line == "the flux capacitor is empty"
    assert "no explanation" in found.meaning


def test_an_exception_outranks_the_vague_error_line_before_it() -> None:
    found = first("""
ERROR 11-23 09:08:03 [core.py:12] something went wrong
Traceback (most recent call last):
  File "a.py", line 1
PermissionError: [Errno 13] Permission denied: '/models'
""")
    assert found.line.startswith("PermissionError")


TRITON = "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 131072, Hardware limit: 101376."


@pytest.mark.parametrize(
    "log",
    [
        f"Traceback (most recent call last):\n  File 'x'\n{TRITON}",
        f"Traceback (most recent call last):\n  File 'x'\nRuntimeError: {TRITON.partition(': ')[2]}",
        f"ERROR 11-23 10:00:00 [x.py:1] {TRITON.rpartition('errors.')[2]}",
    ],
)
def test_memory_on_the_chip_is_not_dev_shm(log: str) -> None:
    found = first(log)
    assert "out of resource: shared memory" in found.line
    assert "on-chip" in found.meaning
    assert "--shm-size" not in found.advice


@pytest.mark.parametrize(
    ("line", "helps"),
    [
        ("RuntimeError: unable to open shared memory object </torch_1_2> in read-write mode", True),
        ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error.", True),
        ("RuntimeError: Error while creating shared memory segment /dev/shm/nccl-x (size 9637888)", True),
        ("RuntimeError: CUDA error: the shared memory carveout is invalid", False),
    ],
)
def test_only_dev_shm_is_helped_by_its_size(line: str, helps: bool) -> None:
    found = first(f"Traceback (most recent call last):\n  File 'x'\n{line}")
    assert ("--shm-size" in found.advice) == helps


@pytest.mark.parametrize(
    "line", ["torch._dynamo.exc.Unsupported: call of a skipped function", "socket.gaierror: [Errno -3] Try again"]
)
def test_what_ends_a_traceback_is_its_error_whatever_it_is_called(line: str) -> None:
    found = first(f"Traceback (most recent call last):\n  File 'x'\n{line}\nbash: foo: command not found")
    assert found.line == line


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ('docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].', "hand a GPU"),
        (
            "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "does not run",
        ),
        ("Error response from daemon: manifest for x/y:z not found: manifest unknown", "image is not there"),
        (
            'docker: Error response from daemon: Conflict. The container name "/harness-x" is already in use by container',
            "harness-x",
        ),
        ("bash: line 1: vllm: command not found", "no program vllm"),
        ("/usr/bin/python3: No module named sglang", "package sglang is missing"),
        ("Killed", "memory ran out"),
        ("exec /usr/bin/vllm: exec format error", "another processor"),
    ],
)
def test_last_words_of_others(line: str, meaning: str) -> None:
    assert meaning in first(line).meaning


@pytest.mark.parametrize(
    ("line", "level", "rest"),
    [
        (
            "(EngineCore pid=11799) ERROR 11-23 09:09:59 [core.py:1510] EngineCore failed to start.",
            "ERROR",
            "EngineCore failed to start.",
        ),
        ("(Worker_TP1 pid=7) WARNING 11-23 09:09:59 [core.py:1510] careful", "WARNING", "careful"),
        ("[2026-11-23 09:22:22 TP0] INFO:     Started server process [15692]", "INFO", "Started server process [15692]"),
        ("0.00.003.070 E srv         start: couldn't bind", "E", "srv         start: couldn't bind"),
        ("[W1123 09:04:56.766054742 utils.cpp:68] Warning: NUMA", "W", "Warning: NUMA"),
        ("plain", None, "plain"),
    ],
)
def test_prefixes_are_taken_off(line: str, level: str | None, rest: str) -> None:
    assert strip(line) == (level, rest)


def test_a_long_line_is_cut() -> None:
    assert len(first("error: " + "x" * 5000).line) == 300
