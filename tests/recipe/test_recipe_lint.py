"""What lint says, and where."""

from __future__ import annotations

import pytest

from harness.recipe.lint import lint
from harness.recipe.load import loads

BASE = "model: org/m\nmodel_revision: abc\nruntime: {runtime}\ncommand: |\n  {command}\n"
"""The command stands in line 5; what follows begins in line 6."""
DIALECT = "rendered by sparkrun 0.4's rules"
"""Said of every command with {model_revision}; test_recipe_older.py looks at it."""


def said(
    more: str = "", *, runtime: str = "vllm", command: str = "vllm serve {model} --revision {model_revision}"
) -> list[str]:
    text = BASE.replace("{runtime}", runtime).replace("  {command}", "  " + command.replace("\n", "\n  "))
    found = [str(finding).removeprefix("x.yaml:") for finding in lint(loads(text + more, "x.yaml"))]
    return [line for line in found if DIALECT not in line]


def test_a_sound_recipe_has_no_findings() -> None:
    assert said() == []
    assert said("container: ghcr.io/a/b:20260609\n") == []
    assert said("container: ghcr.io/a/b:latest@sha256:00\n") == []
    assert said("env: {HF_TOKEN: $HF_TOKEN, VLLM_CPU_KVCACHE_SPACE: 1}\n") == []


@pytest.mark.parametrize(
    ("more", "finding"),
    [
        ("defaults: {port: 8000, zork: 1}\n", "6: note: the command does not use 'zork'"),
        (
            "container: ghcr.io/a/b:latest\n",
            "6: warning: 'ghcr.io/a/b:latest' is a moving tag: name a dated tag, or better a digest (…@sha256:…)",
        ),
        (
            "container: localhost:5000/a/b\n",
            "6: warning: 'localhost:5000/a/b' is a moving tag: name a dated tag, or better a digest (…@sha256:…)",
        ),
        ("container: ghcr.io/a/b:cu130-nightly\n", "6: warning: 'ghcr.io/a/b:cu130-nightly' is a moving tag"),
        ("container: vllm-node\n", "6: warning: 'vllm-node' is a local build: its name does not say what is in it"),
        ("env:\n  A: 1\n  MY_API_KEY: abc\n", "8: error: a secret in plain text: write MY_API_KEY: $MY_API_KEY"),
        ("env:\n  A: hf_abcdefghijklmnopqrstuvwxyz\n", "7: error: a secret in plain text"),
        (
            "defaults:\n  token: hf_abcdefghijklmnopqrstuvwxyz\n",
            "7: error: a secret in plain text: take it from the environment",
        ),
        ("mods: [mods/x]\n", "6: note: 'mods' is not applied: the author's server may differ"),
        ("mine: 1\n", "6: note: 'mine' is not a key of the format; kept, not acted on"),
        ("runtime: sglang\n", "6: warning: 'runtime' stands twice; the value of line 6 counts"),
        ("executor_config:\n  privileged: true\n", "7: note: executor_config.privileged is not applied: it opens this machine"),
        ("volumes: ['/var/run/docker.sock:/var/run/docker.sock']\n", "6: error: it hands Docker's socket to the container"),
        ('recipe_version: "7"\n', "6: note: recipe_version '7' is not a version of the format; read as \"2\""),
        (
            "harness:\n  published:\n    - {metric: decode_tok_s, value: 41, unit: tok/s, source: x, date: spring}\n",
            "8: warning: decode_tok_s has no date (YYYY-MM-DD)",
        ),
        (
            "harness:\n  published:\n    - {metric: a, value: 41, low: 50, unit: x, source: '', date: 2026-05}\n",
            "8: warning: a has no source",
        ),
    ],
)
def test_findings(more: str, finding: str) -> None:
    assert any(line.startswith(finding) for line in said(more)), said(more)


@pytest.mark.parametrize(
    ("runtime", "command", "finding"),
    [
        (
            "vllm",
            "vllm serve {model} --revision {model_revision}\n  --port {prot}",
            "6: error: the command's {prot} has no value; add 'prot:' under 'defaults:'",
        ),
        ("vllm", "vllm serve {model}", "2: warning: the command does not pass it on: add --revision {model_revision}"),
        (
            "vllm",
            "vllm serve {model} \\\n  --mxfp4-backend CUTLASS",
            "6: warning: --mxfp4-backend exists only in a fork of vLLM",
        ),
        (
            "sglang",
            "sglang serve \\\n  --x 1 \\\n  --cuda-graph-max-bs 32",
            "7: warning: --cuda-graph-max-bs is ambiguous in SGLang 0.5.23",
        ),
        ("atlas", "atlas serve", "3: error: the harness cannot start the runtime 'atlas'"),
        ("openai", "serve", "3: note: the harness does not start such a server: it measures one that runs, with --url"),
        ("sglng", "sglang serve", "3: error: the harness cannot start the runtime 'sglng'; did you mean 'sglang'?"),
        ("vllm", "vllm serve && true", "4: note: the command needs a shell: it runs as bash -c"),
        ("vllm", "vllm serve --x '{{}}'", "4: note: {{ }} is version 1's way to write braces"),
        (
            "vllm",
            "vllm serve x \\  \n  --y",
            "4: warning: blanks after a line's last backslash end the command there in a shell",
        ),
        ("vllm", "vllm serve x --api-key abc", "4: error: a secret in plain text"),
        ("sglang", "sglang serve --admin_api_key=abc", "4: error: a secret in plain text"),
        ("sglang", "SGLANG_SIMULATE_ACC_LEN=3 sglang serve", "4: warning: it fakes the acceptance of drafts"),
    ],
)
def test_findings_in_the_command(runtime: str, command: str, finding: str) -> None:
    lines = said(runtime=runtime, command=command)
    assert any(line.startswith(finding) for line in lines), lines


def test_flags_are_whole_words() -> None:
    assert not any(
        "--cuda-graph-max-bs is" in line
        for line in said(runtime="sglang", command="sglang serve --cuda-graph-max-bs-decode 32")
    )
    assert not any("--tp " in line for line in said(runtime="sglang", command="sglang serve --tp-size 1"))


def test_a_recipe_without_a_command_or_pin() -> None:
    findings = [str(finding) for finding in lint(loads("model: org/m\n", "x.yaml"))]
    assert "x.yaml:1: error: the recipe has no command" in findings
    assert "x.yaml:1: note: no model_revision: the weights may change under the same name" in findings


def test_findings_come_by_line() -> None:
    lines = [
        finding.line for finding in lint(loads("container: a\nmodel: org/m\nenv: {X_TOKEN: a}\ncommand: x {y}\n", "x.yaml"))
    ]
    assert lines == sorted(lines)
    assert len(lines) >= 4
