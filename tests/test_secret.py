"""What is a secret: one answer for recipes, --set, lint and servers' own settings."""

from __future__ import annotations

import pytest

from harness import secret
from harness.launch.environment import for_child


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "HF_TOKEN_RO",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "OPENAI_API_KEY_2",
        "DB_PASSWORD",
        "x-api-key",
        "key",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert secret.in_name(name)
    assert secret.in_name(name.lower())
    assert secret.in_variable(name, "pa$word")
    assert not secret.in_variable(name, "$SOME_NAME")
    assert not secret.in_variable(name, "")


@pytest.mark.parametrize(
    "name", ["max_tokens", "eos_token", "eos_token_id", "num_experts_per_token", "tokenizer", "monkey", "keyboard"]
)
def test_names_of_settings(name: str) -> None:
    assert not secret.in_name(name)


@pytest.mark.parametrize("text", ["hf_" + "a" * 20, "x --api-key abc", "x --admin_api_key=abc", "['--hf-token', 'abc']"])
def test_texts_with_secrets(text: str) -> None:
    assert secret.in_text(text)
    assert secret.in_variable("args", text)


@pytest.mark.parametrize("text", ["--api-key {key}", "--api-key '{key}'", '--api-key "$KEY"', "--api-key-env NAME", "hf_short"])
def test_texts_without(text: str) -> None:
    assert not secret.in_text(text)


@pytest.mark.parametrize(
    ("value", "reference"), [("$A_1", True), ("${A_1}", True), ("$1", False), ("${A", False), ("a$A_1", False)]
)
def test_what_a_reference_is_the_server_is_given_so(value: str, reference: bool) -> None:
    assert bool(secret.REFERENCE.fullmatch(value)) == reference
    assert for_child({"A_1": "x", "1": "y"}, {"B": value}, "vllm", "run")["B"] == ("x" if reference else value)
