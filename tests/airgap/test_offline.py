"""--offline: what engines are told, what is refused, and what is missed before a start."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness import offline
from harness.errors import MachineError, UsageError
from harness.pack import goes_to, kept_name
from harness.weights import hub
from tests.recipe.plans import MACHINE, VLLM, plan

REVISION = "0123456789abcdef0123456789abcdef01234567"
RECIPE = f"""
model: example-org/smol
model_revision: {REVISION}
runtime: llama-cpp
harness: {{engine: embedded}}
command: llama-server -m {{model}} --port 18714
# {{model_revision}} is not used
"""


def harness(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, **env}
    return subprocess.run(
        [sys.executable, "-m", "harness", *words], cwd=cwd, env=whole, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("words", "env"), [(("--offline",), {}), ((), {"HF_HUB_OFFLINE": "yes"})])
def test_engines_are_told(tmp_path: Path, words: tuple[str, ...], env: dict[str, str]) -> None:
    (tmp_path / "x.yaml").write_text("model: org/m\nruntime: vllm\ncontainer: x/y:1\ncommand: vllm serve {model} --port 8000\n")
    made = msgspec.json.decode(harness("plan", "x.yaml", *words, "--json", cwd=tmp_path, **env).stdout)
    line = " ".join(made["launch"]["argv"])
    assert "-e HF_HUB_OFFLINE=1 -e TRANSFORMERS_OFFLINE=1 -e VLLM_NO_USAGE_STATS=1" in line
    plain = harness("plan", "x.yaml", "--json", cwd=tmp_path, HF_HUB_OFFLINE="0").stdout
    assert "OFFLINE" not in plain


@pytest.mark.parametrize(
    "words",
    [
        ("--url", "https://api.example.org"),
        ("--url", "http://spark-2:8000"),
        ("--load-host", "spark-2"),
        ("--sense-host", "spark-2"),
        ("--plug", "shelly://192.0.2.1"),
    ],
)
def test_other_machines_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = harness("bench", *words, "--offline", cwd=tmp_path)
    assert done.returncode == UsageError.exit_code
    assert f"{' '.join(words)}: that is another machine, and nothing leaves this one (--offline)" in done.stderr


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.0.0.2", True), ("::1", True), ("192.0.2.1", False), ("spark", False), (None, False)],
)
def test_names_are_not_asked_for(host: str | None, here: bool) -> None:
    assert offline.is_here(host) == here


def test_a_missing_model_is_named_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(RECIPE)
    done = harness("bench", "x.yaml", "--offline", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == MachineError.exit_code
    assert "example-org/smol: it is not on this machine, and nothing may be fetched (--offline)" in done.stderr
    assert done.stderr.rstrip().endswith("Hint: hf download example-org/smol")
    assert not (tmp_path / "results").exists()


def test_a_model_is_found_where_hf_hub_cache_says(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(RECIPE)
    folder = tmp_path / "models/models--example-org--smol"
    (folder / "snapshots" / REVISION).mkdir(parents=True)
    (folder / "snapshots" / REVISION / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(REVISION)
    done = harness("bench", "x.yaml", "--offline", cwd=tmp_path, HF_HUB_CACHE=str(tmp_path / "models"))
    assert f"{folder}/snapshots/{REVISION} lacks any weights, and nothing may be fetched" in done.stderr


@pytest.mark.parametrize(
    ("name", "there"), [("/m/x.gguf", "/m/x.gguf"), ("./a/../x.gguf", "x.gguf"), ("x", ".engines/models/y.gguf")]
)
def test_a_models_file_is_unpacked_to_where_its_recipe_looks(name: str, there: str) -> None:
    assert goes_to(name, Path("/somewhere/y.gguf")) == there


@pytest.mark.parametrize("model", ["~/x.gguf", "../x.gguf", "./../x.gguf"])
def test_a_model_whose_place_is_another_there_is_not_packed(tmp_path: Path, model: str) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "x.gguf").write_text("")
    (tmp_path / "w/x.yaml").write_text(
        f"model: {model}\nruntime: llama-cpp\nharness: {{engine: embedded}}\ncommand: llama-server -m {{model}}\n"
    )
    done = harness("pack", "x.yaml", "--to", "pack", cwd=tmp_path / "w", HOME=str(tmp_path))
    assert done.returncode == MachineError.exit_code, done.stderr
    assert f"{model} has another place on each machine\nHint: write its whole path" in done.stderr
    assert not (tmp_path / "w/pack").exists()


def test_a_file_that_is_not_what_its_revision_has_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(RECIPE)
    folder = tmp_path / "hf/hub/models--example-org--smol"
    (folder / "blobs").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(REVISION)
    (folder / "snapshots" / REVISION).mkdir(parents=True)
    name = hashlib.sha256(b"weights").hexdigest()
    (folder / "blobs" / name).write_bytes(b"weighty")
    (folder / "snapshots" / REVISION / "x.gguf").symlink_to(f"../../blobs/{name}")
    done = harness("pack", "x.yaml", "--to", "pack", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == MachineError.exit_code
    assert (
        f"x.gguf is not what revision {REVISION[:12]} has: it hashes to {hashlib.sha256(b'weighty').hexdigest()}" in done.stderr
    )
    assert f"Hint: hf download example-org/smol x.gguf --revision {REVISION} --force-download" in done.stderr
    assert not (tmp_path / "pack/pack.json").exists()


def test_a_file_that_no_blob_vouches_for_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(RECIPE)
    folder = tmp_path / "hf/hub/models--example-org--smol"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(REVISION)
    (folder / "snapshots" / REVISION).mkdir(parents=True)
    (folder / "snapshots" / REVISION / "x.gguf").write_bytes(b"weights")
    done = harness("pack", "x.yaml", "--to", "pack", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == MachineError.exit_code
    assert "x.gguf is no link to a blob: what its revision has is not known" in done.stderr


@pytest.mark.parametrize(
    ("more", "others"),
    [
        ("", ()),
        ("""--speculative-config '{"method": "eagle3", "model": "org/head"}'""", ("org/head",)),
        ("""--speculative-config '{"method": "ngram"}'""", ()),
        ("--speculative-config not-json", ()),
        ("""-sc '{"method": "eagle3", "model": "org/head"}' --tokenizer-path=org/words""", ("org/head", "org/words")),
    ],
)
def test_drafts_and_tokenizers_are_models_too(more: str, others: tuple[str, ...]) -> None:
    made = plan(f"{VLLM.rstrip()} {more}\n")
    assert offline.models(made) == (("org/m", None), *((name, None) for name in others))


@pytest.mark.parametrize(
    ("runtime", "command"),
    [
        (
            "sglang",
            "python3 -m sglang.launch_server --model-path {model} --speculative-draft-model-path org/draft --tokenizer org/m",
        ),
        ("llama-cpp", "llama-server -m {model} -md org/draft"),
    ],
)
def test_each_engine_has_its_own_word_for_a_draft(runtime: str, command: str) -> None:
    made = plan(f"model: org/m\nruntime: {runtime}\ncommand: {command} --port 8000\n")
    assert offline.models(made) == (("org/m", None), ("org/draft", None))


def test_a_blob_is_known_by_its_name_large_or_small(tmp_path: Path) -> None:
    """`printf '{}\\n' | git hash-object --stdin`, and `sha256sum`."""
    for name in (
        "0967ef424bce6791893e9a57bb952f80fd536e93",
        "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356",
    ):
        (tmp_path / name).write_text("{}\n")
        assert hub.changed(tmp_path / name) is None
        (tmp_path / name).write_text("[]\n")
        assert hub.changed(tmp_path / name) not in (None, name)


def test_a_file_whose_blob_is_gone_is_absent(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/tokenizer.json").symlink_to(tmp_path / "blobs/0967ef42")
    assert hub.absent(tmp_path) == ["sub/tokenizer.json"]


@pytest.mark.parametrize(
    ("there", "more", "lacks"),
    [
        (("config.json", "tokenizer.json"), "", "any weights"),
        (("model.safetensors",), "", None),
        (("pytorch_model.bin",), "", None),
        (("Q4/x-00001-of-00003.gguf", "Q4/x-00003-of-00003.gguf"), "", "Q4/x-00002-of-00003.gguf"),
        (("model-00001-of-00002.safetensors",), "", "model-00002-of-00002.safetensors"),
        (("model.safetensors",), " --tokenizer org/words", None),
        (("tokenizer.json",), " --tokenizer org/m", "any weights"),
    ],
)
def test_a_model_that_is_not_whole(tmp_path: Path, there: tuple[str, ...], more: str, lacks: str | None) -> None:
    """A download that was cut off, or a configuration that some program fetched alone; a tokenizer needs no weights."""
    for name, files in (("m", there), ("words", ("tokenizer.json",))):
        folder = tmp_path / f"hub/models--org--{name}"
        for file in files:
            (folder / "snapshots" / REVISION / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "snapshots" / REVISION / file).write_text("")
        (folder / "refs").mkdir()
        (folder / "refs/main").write_text(REVISION)
    found = offline.missing(plan(f"{VLLM.rstrip()}{more}\n"), msgspec.structs.replace(MACHINE, hf_home=str(tmp_path)))
    said = f"org/m: {tmp_path}/hub/models--org--m/snapshots/{REVISION} lacks {lacks}"
    assert found == (None if lacks is None else (said, "hf download org/m"))


def test_the_revision_counts_where_the_command_names_it() -> None:
    text = "model: org/m\nmodel_revision: abc\nruntime: vllm\ncommand: vllm serve {model} --port 8000"
    assert offline.models(plan(text)) == (("org/m", None),)
    assert offline.models(plan(f"{text} --revision {{model_revision}}")) == (("org/m", "abc"),)
    assert offline.missing(plan(text), MACHINE) == ("org/m: it is not on this machine", "hf download org/m")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("ghcr.io/a/b:1", "ghcr.io/a/b:1"),
        ("localhost:5000/b", "localhost:5000/b:latest"),
        ("vllm-node", "vllm-node:latest"),
        ("ghcr.io/a/b:1@sha256:0123456789abcdef", "ghcr.io/a/b:0123456789ab"),
    ],
)
def test_an_images_name_that_docker_keeps(name: str, kept: str) -> None:
    assert kept_name(name) == kept
