"""Asking an engine for its flags: whom, how often, and what is made of a poor answer. Engines are small programs in a folder of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.hosts.local import LocalHost
from harness.launch import flags
from harness.launch.flags import Asked, ask
from harness.schema.flags import Flags, Option
from harness.schema.machine import Machine

ANSWER = {"engine": "vllm", "version": "9.9", "options": [{"names": ["--port"], "kind": "integer"}]}


def machine(engines: dict[str, str], docker: str | None = None) -> Machine:
    return Machine(
        hostname="h", os="o", kernel="k", arch="a", cpu_model="c", cpu_count=1, memory_bytes=1, engines=engines, docker=docker
    )


class Engine:
    """A folder like an installed wheel's; its Python notes that it was asked, and answers."""

    def __init__(self, folder: Path, does: str = f"echo '{json.dumps(ANSWER)}'", name: str = "python3") -> None:
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.info = folder / "lib/python3.11/site-packages/vllm-9.9.dist-info"
        for path in (self.bin, self.info):
            path.mkdir(parents=True)
        (self.info / "RECORD").write_text("vllm/__init__.py,sha256=abc,1\n")
        program = self.bin / name
        program.write_text(f'#!/bin/sh\necho "$1 $3" >> {self.calls}\n{does}\n')
        program.chmod(0o755)
        self.machine = machine({"vllm": str(self.bin), "llamacpp": str(self.bin)})

    def asked(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


def test_an_installed_engine_is_asked_once(tmp_path: Path) -> None:
    engine, said = Engine(tmp_path / "vllm"), list[str]()
    first = ask(LocalHost(), engine.machine, "vllm", None, kept=tmp_path / "kept", say=said.append)
    assert first == Asked(Flags(engine="vllm", version="9.9", options=(Option(names=("--port",), kind="integer"),)), own=True)
    assert (engine.calls.read_text(), len(said)) == ("-c vllm\n", 1)
    again = ask(LocalHost(), engine.machine, "vllm", "an/image:1", kept=tmp_path / "kept", say=said.append)
    assert (again.flags, again.own, engine.asked(), len(said)) == (first.flags, False, 1, 1)
    (engine.info / "RECORD").write_text("vllm/__init__.py,sha256=def,1\n")
    ask(LocalHost(), engine.machine, "vllm", None, kept=tmp_path / "kept", say=said.append)
    assert (engine.asked(), len(list((tmp_path / "kept").iterdir()))) == (2, 2)


def test_an_earlier_answer_is_at_hand_and_a_slow_one_is_not_waited_for(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "vllm")
    assert ask(LocalHost(), engine.machine, "vllm", None, kept=tmp_path / "kept") == Asked(
        None, reason=f"{engine.bin}/python3 was not asked yet"
    )
    assert engine.asked() == 0
    ask(LocalHost(), engine.machine, "vllm", None, kept=tmp_path / "kept", say=print)
    assert ask(LocalHost(), engine.machine, "vllm", None, kept=tmp_path / "kept").flags is not None
    assert ask(LocalHost(), engine.machine, "vllm", None, kept=None).flags is None


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("echo Traceback >&2; echo 'ImportError: no vllm' >&2; exit 1", "does not tell its flags: ImportError: no vllm"),
        ("exit 1", "does not tell its flags: it said nothing"),
        ("echo '{\"engine\": 3}'", "does not tell its flags: Expected `str`, got `int` - at `$.engine`"),
        ("echo hello", "does not tell its flags: JSON is malformed"),
    ],
)
def test_a_poor_answer_is_a_reason_and_is_not_kept(tmp_path: Path, does: str, reason: str) -> None:
    engine = Engine(tmp_path / "vllm", does)
    found = ask(LocalHost(), engine.machine, "vllm", None, kept=tmp_path / "kept", say=print)
    assert found.flags is None
    assert found.reason.startswith(f"{engine.bin}/python3 {reason}")
    assert not (tmp_path / "kept").exists()


def test_what_is_kept_is_read_with_care(tmp_path: Path) -> None:
    engine, kept = Engine(tmp_path / "vllm"), tmp_path / "kept"
    ask(LocalHost(), engine.machine, "vllm", None, kept=kept, say=print)
    (file,) = kept.iterdir()
    file.write_text("{")
    assert ask(LocalHost(), engine.machine, "vllm", None, kept=kept, say=print).flags is not None
    assert engine.asked() == 2
    (tmp_path / "file").write_text("in the way")
    assert ask(LocalHost(), engine.machine, "vllm", None, kept=tmp_path / "file", say=print).flags is not None


def test_llama_server_is_always_asked_as_it_is_quick(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "llama", "echo '-c,    --ctx-size N          size'", name="llama-server")
    found = ask(LocalHost(), engine.machine, "llamacpp", None, kept=tmp_path / "kept")
    assert found.flags is not None
    assert (found.flags.options[0].names, found.flags.abbreviations, found.own) == (("-c", "--ctx-size"), False, True)


@pytest.mark.parametrize(("engine", "flag"), [("embedded", "--ctx-size"), ("paced", "--tpot-ms")])
def test_our_own_say_it_themselves(tmp_path: Path, engine: str, flag: str) -> None:
    found = ask(LocalHost(), machine({}), engine, None, kept=tmp_path)
    assert found.own
    assert found.flags is not None
    assert any(flag in option.names for option in found.flags.options)


def test_nobody_to_ask(tmp_path: Path) -> None:
    assert ask(LocalHost(), machine({}), "sglang", "an/image:1", kept=tmp_path) == Asked(
        None, reason="sglang is not installed here"
    )


DOCKER = """#!/bin/sh
echo "$@" >> {calls}
case "$1" in
image) [ "$5" = here/vllm:1 ] && echo sha256:0123 ;;
run) {run} ;;
esac
"""


def docker(folder: Path, monkeypatch: pytest.MonkeyPatch, run: str) -> Path:
    """A `docker` on the PATH that has one image, and notes how it was called."""
    program = folder / "docker"
    program.write_text(DOCKER.format(calls=folder / "docker-calls", run=run))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "docker-calls"


def test_the_recipes_own_image_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tmp_path / "vllm")
    calls = docker(tmp_path, monkeypatch, f"echo '{json.dumps(ANSWER)}'")
    both = msgspec.structs.replace(engine.machine, docker="28")
    found = ask(LocalHost(), both, "vllm", "here/vllm:1", kept=tmp_path / "kept", say=print)
    assert (found.own, found.flags is not None, engine.asked()) == (True, True, 0)
    asked, ran = calls.read_text().split("\n", 1)
    assert asked == "image inspect --format {{.Id}} here/vllm:1"
    assert ran.startswith("run --rm --pull never --name spark-harness-flags-")
    assert " --network none --entrypoint python3 sha256:0123 -c " in ran
    assert ask(LocalHost(), both, "vllm", "here/vllm:1", kept=tmp_path / "kept").own  # by its digest
    elsewhere = ask(LocalHost(), both, "vllm", "not/here:1", kept=tmp_path / "kept", say=print)
    assert (elsewhere.own, elsewhere.flags is not None, engine.asked()) == (False, True, 1)
    assert calls.read_text().count("run --rm") == 1


def test_llama_cpps_image_prints_its_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = docker(tmp_path, monkeypatch, "echo '-c,    --ctx-size N          size'")
    found = ask(LocalHost(), machine({}, docker="28"), "llamacpp", "here/vllm:1", kept=tmp_path / "kept", say=print)
    assert (found.own, found.flags is not None) == (True, True)
    assert "--entrypoint sh sha256:0123 -c exec" in calls.read_text()
    assert ask(LocalHost(), machine({}, docker="28"), "llamacpp", "here/vllm:1", kept=None).flags is None, (
        "a container is not started unasked"
    )


def test_an_image_that_does_not_answer_leaves_the_installed_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tmp_path / "vllm")
    more = 'Run "docker run --help" for more information'.replace('"', "'\\''")
    docker(tmp_path, monkeypatch, f"echo 'docker: exec: python3: not found\n\n{more}' >&2; exit 127")
    found = ask(LocalHost(), msgspec.structs.replace(engine.machine, docker="28"), "vllm", "here/vllm:1", kept=None, say=print)
    assert (found.own, found.flags is not None) == (False, True)
    alone = ask(LocalHost(), machine({}, docker="28"), "vllm", "here/vllm:1", kept=None, say=print)
    assert alone.reason == "here/vllm:1 does not tell its flags: docker: exec: python3: not found"


def test_a_container_that_does_not_answer_in_time_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = docker(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(flags, "LIMIT_S", 0.5)
    found = ask(LocalHost(), machine({}, docker="28"), "vllm", "here/vllm:1", kept=None, say=print)
    assert found.reason == "here/vllm:1 does not tell its flags: docker did not end within 0.5 s"
    last, name = calls.read_text().splitlines()[-1], calls.read_text().partition("--name ")[2].split()[0]
    assert last == f"rm -f {name}"


RECIPE = """\
model: org/m
runtime: vllm
env: {VLLM_CPU_KVCACHE_SPACE: 1}
command: |
  vllm serve {model} \\
    --port {port} --prot 3
defaults: {port: 18923}
"""


def test_bench_starts_nothing_that_is_known_to_be_refused(tmp_path: Path) -> None:
    """Only once it is known: nobody waits for a parser that takes as long as the engine's own refusal."""
    engine = Engine(tmp_path / "vllm")
    (engine.bin / "vllm").write_text("#!/bin/sh\necho started; exit 7\n")
    (engine.bin / "vllm").chmod(0o755)
    (tmp_path / "x.yaml").write_text(RECIPE)
    env = {**os.environ, "HARNESS_ENGINES": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def harness(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "harness", *words]
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    unknown = harness("bench", "x.yaml")
    assert (unknown.returncode, "exit code 7" in unknown.stderr, engine.asked()) == (5, True, 0)
    linted = harness("recipes", "lint", "x.yaml")
    assert linted.returncode == 3
    assert "x.yaml:6: error: vLLM 9.9 does not know --prot; did you mean --port?" in linted.stdout
    assert "Flags by vLLM 9.9" in linted.stdout
    known = harness("bench", "x.yaml")
    assert (known.returncode, known.stderr) == (
        3,
        "harness: x.yaml:6: vLLM 9.9 does not know --prot; did you mean --port?\n"
        "Hint: correct that line; `harness recipes lint` shows all of them\n",
    )
    set_wrong = harness("bench", "x.yaml", "--set", "port=x")
    assert set_wrong.returncode == 2
