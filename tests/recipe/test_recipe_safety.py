"""What a recipe must not do unseen: open a port, store a secret, name another model than it serves, grow without end."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import msgspec
import pytest

from harness.engines import embedded
from harness.errors import RecipeError, UsageError
from harness.recipe import render
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
    with pytest.raises(UsageError, match="--set model=c/d: the recipe's model_revision is another model's") as caught:
        plan(PINNED, {"model": "c/d"})
    assert "--set model_revision=COMMIT" in caught.value.hint
    assert (
        plan(LITERAL.replace("serve org/m", "serve {model}") + "model_revision: abc\n", {"model": "c/d"}).model_revision is None
    )
    both = plan(PINNED, {"model": "c/d", "model_revision": "fff"})
    assert "vllm serve c/d --revision fff" in argv(both)
    assert (both.model, both.model_revision) == ("c/d", "fff")


@pytest.mark.parametrize("command", ["cd /x && vllm serve org/m --port 8000", "env A=1 vllm serve org/m --port 8000"])
def test_a_script_that_opens_a_port_is_told(command: str) -> None:
    made = plan(f"model: org/m\nruntime: vllm\ncommand: {command}\n")
    assert any("binds 0.0.0.0: other machines can reach the server" in note for note in made.notes)


def test_the_last_of_several_hosts_is_closed_too() -> None:
    made = plan("model: org/m\nruntime: vllm\ncommand: vllm serve org/m --host 127.0.0.1 --host 0.0.0.0\n")
    assert (argv(made).count("--host 127.0.0.1"), made.host) == (2, "127.0.0.1")


@pytest.mark.parametrize(
    ("more", "closed"), [("container: x/y:1", True), ("env: {LLAMA_ARG_HOST: 0.0.0.0}", True), ("", False)]
)
def test_llamacpp_is_told_its_address_where_a_variable_may_open_it(more: str, closed: bool) -> None:
    made = plan(f"model: org/m\nruntime: llama-cpp\ncommand: llama-server -m org/m\n{more}\n")
    assert argv(made).endswith(" --host 127.0.0.1") == closed


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_model_len", "8 --api-key abc"),
        ("api_key", "verysecret"),
        ("env.DB_PASSWORD", "pa$word"),
        ("env.AWS_SECRET_ACCESS_KEY", "x"),
        ("env.HF_TOKEN_RO", "x"),
    ],
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


def test_no_pass_over_a_command_takes_much_memory() -> None:
    """One more pass over a default of 24 kB that holds itself 8000 times would make 190 MB."""
    recipe = loads(f"model: m\ncommand: vllm serve {{a}}\ndefaults: {{a: '{'{a}' * 8000}'}}\n", "x.yaml")
    tracemalloc.start()
    try:
        with pytest.raises(RecipeError, match=r"x.yaml:2: the command grows beyond"):
            render.command(recipe, render.namespace(recipe))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


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


def test_a_shells_variable_of_a_defaults_name_is_filled_in_and_the_error_is_the_commands() -> None:
    with pytest.raises(RecipeError, match=r"x.yaml:4: --port \$8000 is not a port"):
        plan("model: org/m\nruntime: vllm\ndefaults: {port: 8000}\ncommand: port=9000; vllm serve org/m --port ${port}\n")


def test_the_embedded_server_listens_where_the_plan_says() -> None:
    made = plan("model: m\nharness: {engine: embedded}\ncommand: llama-server -m {model}\n")
    assert made.port == embedded.parser().parse_args(["-m", "m"]).port


def test_a_large_file_is_not_called_wrongly_encoded(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(("a:  " + "ü" * 200_000).encode())
    with pytest.raises(RecipeError, match="larger than 256 KiB"):
        load(path)


@pytest.mark.parametrize("said", ["entrypoint: [bash, -c]", "user: {a: b}"])
def test_docker_settings_that_are_no_text(said: str) -> None:
    with pytest.raises(RecipeError, match="expected text"):
        plan(VLLM + f"container: x/y:1\nexecutor_config: {{{said}}}\n")


def test_a_relative_model_means_another_folder_in_a_container() -> None:
    with pytest.raises(RecipeError, match=r"\./m means another folder in a container"):
        plan("model: ./m\nruntime: vllm\ncontainer: x/y:1\ncommand: vllm serve {model} --port 8000\n")


@pytest.mark.parametrize("name", ["A B", "É", "1A"])
def test_a_variable_needs_a_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' is not a variable's name"):
        plan(VLLM, {f"env.{name}": "2"})
    with pytest.raises(RecipeError, match=f"'{name}' is not a variable's name"):
        loads(f"model: m\nenv: {{'{name}': 2}}\n", "x.yaml")


def test_a_default_that_the_command_never_reaches_cannot_be_changed() -> None:
    text = "model: m\nruntime: vllm\ndefaults: {a: '{b}', b: 1, c: '{d}', d: 2}\ncommand: vllm serve m --port 8000 --x {c}\n"
    assert "--x 3" in argv(plan(text, {"d": "3"}))
    with pytest.raises(RecipeError, match="would change nothing"):
        plan(text, {"b": "3"})


def test_lint_and_result_agree_on_what_fakes_acceptance() -> None:
    faked = VLLM.rstrip() + " --speculative-config '{\"synthetic_acceptance_rates\": [0.9]}'\n"
    assert any("fakes the acceptance" in finding.text for finding in lint(loads(faked, "x.yaml")))
    off = VLLM + "env: {SGLANG_SIMULATE_ACC_LEN: 0}\n"
    assert not any("fakes the acceptance" in finding.text for finding in lint(loads(off, "x.yaml")))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"defaults: {{x: 0x{'f' * 5000}}}", "not a usable number"),
        ("harness: {expect: {decode_tok_s: -5}}", "decode_tok_s must be above 0"),
        ("harness: {profiles: {p: {min_seconds: .inf}}}", "min_seconds must be 0 or more"),
        ("harness: {profiles: {p: {max_seconds: -5}}}", "max_seconds must be above 0"),
        ("harness: {profiles: {p: {target: .nan}}}", "target must be above 0"),
        ("harness: {profiles: {p: {pp: [100000000000]}}}", "needs numbers of at most 10000000"),
        ("harness: {profiles: {p: {rate: [0]}}}", "needs requests per second above 0"),
        ("harness: {profiles: {p: {arrivals: often}}}", "arrivals 'often' does not exist"),
        ("harness: {profiles: {p: {until_slo: true}}}", "until_slo needs rates and an SLO"),
        ("harness: {profiles: {p: {sessions: 3}}}", "sessions only mean something with turns"),
        ("harness: {profiles: {p: {mix: [{pp: 0, tg: 5}]}}}", "must be above 0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused_with_their_line(line: str, said: str) -> None:
    with pytest.raises(RecipeError, match=rf"x.yaml:3: .*{said}"):
        loads(f"model: m\ncommand: vllm serve m\n{line}\n", "x.yaml")
