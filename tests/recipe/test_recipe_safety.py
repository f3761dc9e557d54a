"""What a recipe must not do unseen: open a port, store a secret, name another model than it serves, grow without end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.errors import RecipeError, UsageError
from harness.recipe.lint import ERROR, lint
from harness.recipe.load import load, loads
from harness.schema.machine import Gpu
from tests.recipe.plans import MACHINE, VLLM, argv, plan

LITERAL = "model: org/m\nruntime: vllm\ncommand: vllm serve org/m --port 8000\n"
PINNED = "model: org/m\nmodel_revision: abc\nruntime: vllm\ncommand: vllm serve {model} --revision {model_revision}\n"


@pytest.mark.parametrize("key", ["model", "model_revision"])
def test_a_model_that_the_command_does_not_use_cannot_be_changed(key: str) -> None:
    with pytest.raises(RecipeError, match=rf"the command does not use {{{key}}}"):
        plan(LITERAL, {key: "other/x"})


def test_another_model_does_not_keep_the_revision() -> None:
    with pytest.raises(RecipeError, match=r"{model_revision} has no value"):
        plan(PINNED, {"model": "c/d"})
    both = plan(PINNED, {"model": "c/d", "model_revision": "fff"})
    assert "vllm serve c/d --revision fff" in argv(both)
    assert (both.model, both.model_revision) == ("c/d", "fff")


@pytest.mark.parametrize("command", ["cd /x && vllm serve org/m --port 8000", "env A=1 vllm serve org/m --port 8000"])
def test_a_script_that_opens_a_port_is_told(command: str) -> None:
    made = plan(f"model: org/m\nruntime: vllm\ncommand: {command}\n")
    assert any("binds 0.0.0.0: other machines can reach the server" in note for note in made.notes)


@pytest.mark.parametrize(
    ("key", "value"),
    [("api_key", "verysecret"), ("env.DB_PASSWORD", "pa$word"), ("env.AWS_SECRET_ACCESS_KEY", "x"), ("env.HF_TOKEN_RO", "x")],
)
def test_secrets_are_not_taken_from_the_command_line(key: str, value: str) -> None:
    text = VLLM.rstrip() + " --api-key {api_key}\n"
    with pytest.raises(UsageError, match="a secret"):
        plan(text, {key: value})


def test_lint_finds_secrets_among_the_defaults() -> None:
    text = "model: org/m\nruntime: vllm\ndefaults: {api_key: verysecret, max_tokens: 5}\ncommand: vllm serve {model} --api-key {api_key}\n"
    found = [finding for finding in lint(loads(text, "x.yaml")) if finding.severity == ERROR]
    assert [finding.text for finding in found] == ["a secret in plain text: take it from the environment"]


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(UsageError) as caught:
        plan(VLLM, url="http://user:s3cret@127.0.0.1:9")
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_a_container_gets_the_gpu_that_there_is() -> None:
    text = "model: org/m\nruntime: llama-cpp\ncontainer: ghcr.io/x/y:1\ncommand: llama-server -m {model} --port 8080\n"
    assert "--gpus" not in argv(plan(text, machine=msgspec.structs.replace(MACHINE, gpus=())))
    with_gpu = msgspec.structs.replace(MACHINE, gpus=(Gpu(index=0, name="NVIDIA GB10"),))
    assert "--gpus all" in argv(plan(text, machine=with_gpu))


def test_a_command_cannot_grow_without_end() -> None:
    text = f"model: org/m\nruntime: vllm\ndefaults: {{a: '{'{a}' * 10}'}}\ncommand: vllm serve {{model}} {{a}}\n"
    with pytest.raises(RecipeError, match="the command grows beyond"):
        plan(text)


def test_the_local_model_is_found_in_a_joined_flag() -> None:
    machine = msgspec.structs.replace(MACHINE, models={"SmolLM2": "/m/smol"})
    made = plan("model: SmolLM2\nruntime: vllm\ncommand: vllm serve --model=SmolLM2 --port 8000\n", machine=machine)
    assert "--model=/m/smol" in argv(made)
    assert "--served-model-name SmolLM2" in argv(made)


def test_the_paced_server_is_told_its_port_and_no_name() -> None:
    text = "model: m\nruntime: openai\ndefaults: {served_model_name: x}\nharness: {engine: paced}\ncommand: paced\n"
    assert argv(plan(text)).endswith("-m harness.engines.paced --port 8000")


def test_a_port_that_is_none_is_found_in_the_command() -> None:
    with pytest.raises(RecipeError, match=r"x.yaml:3: --port \$\{PORT:-8000\} is not a port"):
        plan("model: org/m\nruntime: vllm\ncommand: vllm serve org/m --port ${PORT:-8000}\n")


def test_a_large_file_is_not_called_wrongly_encoded(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(("a: " + "ü" * 200_000).encode())
    with pytest.raises(RecipeError, match="larger than 256 KiB"):
        load(path)
