"""Flags judged as their parser judges them: argparse itself is asked, and so is what real llama.cpp printed."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines import llamacpp_help, tell_flags
from harness.recipe import flags
from harness.recipe.lint import lint, refused
from harness.recipe.load import loads
from harness.schema.flags import Flags

HELP = (Path(__file__).parent / "data" / "llama-server-help.txt").read_text()
"""Of llama.cpp b10434, cut to a few of its flags."""


def mapping(text: str) -> object:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return value


def size(text: str) -> int:
    return -1 if text == "auto" else int(text.removesuffix("k"))


def parser(*, model: bool = True) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("engine")
    add = made.add_argument
    if model:
        add("model", nargs="?")
    add("--port", type=int)
    add("--tensor-parallel-size", "-tp", type=int, default=1)
    add("--max-model-len", type=size)
    add("--max-num-seqs", type=int)
    add("--memory", type=float)
    add("--dtype", choices=["auto", "half", "bfloat16"])
    add("--moe-backend", choices=["auto", "marlin", "flash_infer"], type=lambda s: s.lower().replace("-", "_"))
    add("--speculative-config", "-sc", type=json.loads)
    add("--compilation-config", "-cc", type=mapping)
    add("--optimization-level", type=int, choices=[0, 1, 2, 3])
    add("--served-model-name", nargs="+")
    add("--sizes", nargs="*", type=int)
    add("--pair", nargs=2)
    add("--log", nargs="?")
    add("--eager", action="store_true", help="Deprecated: use --no-graphs.")
    add("--prefix-caching", action=argparse.BooleanOptionalAction)
    add("--graph-bs-decode", type=int)
    add("--graph-bs-prefill", type=int)
    return made


def known(engine: str, *, model: bool = True) -> Flags:
    return msgspec.convert(tell_flags.told(engine, "1.2", parser(model=model)), Flags)


def texts(line: str, engine: str = "vllm") -> list[str]:
    return [flaw.text for flaw in flags.flaws(line.split(), known(engine, model=engine == "vllm"))]


@pytest.mark.parametrize(
    "line",
    [
        "m --port 80 -tp 2 --dtype half",
        "m --port=80 -tp=2 --max-model-len 8k --max-model-len auto",
        "m --max_model_len 8 --speculative_config {}",
        "m -O3",
        "m -O 3",
        "m -O=2",
        "m --speculative-config.method mtp --speculative-config.n=3 -cc.mode 3",
        "m --served-model-name a b --port 1",
        "m --sizes --pair a b --log --no-prefix-caching",
        'm --speculative-config {"a":1} -sc [1] -cc {}',
        "m --moe-backend MARLIN --moe-backend Flash-Infer",
        "m --max-model-len -1 --memory .9",
    ],
)
def test_what_passes(line: str) -> None:
    assert texts(line) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("m --prot 80", "vLLM 1.2 does not know --prot; did you mean --port?"),
        ("m --mxfp4-layers a", "vLLM 1.2 does not know --mxfp4-layers: it exists only in a fork of vLLM"),
        ("m --model-name x", "vLLM 1.2 does not know --model-name: use --served-model-name"),
        ("m --zzzz", "vLLM 1.2 does not know --zzzz"),
        ("m --graph-bs 3", "--graph-bs is ambiguous in vLLM 1.2: --graph-bs-decode, --graph-bs-prefill"),
        ("m --max-num-seq 4", "--max-num-seq passes only as an abbreviation: use --max-num-seqs"),
        ("m --dtype hlaf", "--dtype hlaf: vLLM 1.2 takes auto, half, bfloat16; did you mean half?"),
        ("m --port eighty", "--port eighty: vLLM 1.2 wants a whole number"),
        ("m --memory much", "--memory much: vLLM 1.2 wants a number"),
        ("m --max-model-len long", "--max-model-len long: vLLM 1.2 wants a whole number, perhaps with k, M or G or auto"),
        ("m -sc {'a':1}", "-sc {'a':1}: vLLM 1.2 wants JSON"),
        ("m --compilation-config 3", "--compilation-config 3: vLLM 1.2 wants JSON in braces"),
        ("m --port.x 3", "--port.x {}: vLLM 1.2 wants a whole number"),
        ("m --port", "--port has no value"),
        ("m --pair a", "--pair has no value"),
        ("m --eager=1", "--eager takes no value, and gets 1"),
        ("m --prefix-caching true", "'true' belongs to no flag"),
        ("m -O9", "-O9 9: vLLM 1.2 takes 0, 1, 2, 3"),
        ("m --eager", "--eager: vLLM 1.2 says: Deprecated: use --no-graphs."),
    ],
)
def test_what_does_not(line: str, said: str) -> None:
    assert said in texts(line)


def test_underscores_and_dots_are_vllms_own() -> None:
    assert texts("--max_num_seqs 4", "sglang") == ["SGLang 1.2 does not know --max_num_seqs; did you mean --max-num-seqs?"]
    assert texts("--compilation-config.mode 3", "sglang")


LINE = """m x 8 8k -1 1.5 auto {} [1] half --port --port=8 --por --tensor-parallel-size -tp -tp2 --max-num-seqs --max-num-seq --memory
    --dtype --dtype=half --moe-backend MARLIN marlin -sc -cc --served-model-name --sizes --pair --log --log=x --eager --eager=1
    --prefix-caching --no-prefix-caching --graph-bs --graph-bs-decode --nope --nope=1 -x -x=1 --s --optimization-level
    --speculative-config={} -"""
WORDS = st.sampled_from(LINE.split())


@given(st.lists(WORDS, max_size=6))
def test_argparse_agrees(words: list[str]) -> None:
    """What argparse refuses is refused here, and the other way round."""
    real = parser(model=False)
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            real.parse_args(words)
            passes = True
        except SystemExit:
            passes = False
    flaws = list(flags.flaws(words, known("sglang", model=False)))
    assert passes == all(flaw.severity != flags.ERROR for flaw in flaws), flaws


@pytest.mark.parametrize(
    ("command", "engine", "found"),
    [
        ("vllm serve m --port 8", "vllm", "m --port 8"),
        ("/x/bin/vllm serve m", "vllm", "m"),
        ("vllm bench latency", "vllm", None),
        ("python3 -m vllm.entrypoints.openai.api_server --model m", "vllm", "--model m"),
        ("python3 -m vllm.entrypoints.grpc_server m", "vllm", None),
        ("python3 -m sglang.launch_server --tp 1", "sglang", "--tp 1"),
        ("sglang serve --tp 1", "sglang", "--tp 1"),
        ("export A=1 && vllm serve m --port 8 ; sleep 1", "vllm", "m --port 8"),
        ("vllm serve m 2>&1 | tee log", "vllm", "m"),
        ("env A=1 /app/llama-server -m x", "llamacpp", "-m x"),
        ("embedded --port 1", "embedded", "--port 1"),
        ("cd vllm && vllm serve m", "vllm", "m"),
        ("sleep 1", "vllm", None),
    ],
)
def test_the_words_that_reach_the_parser(command: str, engine: str, found: str | None) -> None:
    line = flags.server(command.split(), engine)
    assert (line.arguments if line else None) == (None if found is None else found.split())


def test_llama_servers_help() -> None:
    read = llamacpp_help.flags(HELP, "b10434")
    by_name = {name: option for option in read.options for name in option.names}
    values = {"--ctx-size": "1", "-c": "1", "--perf": "0", "--no-perf": "0", "-nkvo": "0", "--split-mode": "1", "--mlock": "0"}
    values |= {"--control-vector-layer-range": "2", "--n-predict": "1", "-ctkd": "1", "--docker-repo": "1"}
    assert {name: by_name[name].values for name in values} == values
    assert by_name["--mmap"].deprecated.startswith("DEPRECATED in favor of `--load-mode`")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--ctx-size 8 --ctx_size 8 -c -1 --rpc -x --no-mmap", []),
        ("--ctx-size=8", ["llama.cpp b10434 does not know --ctx-size=8; did you mean --ctx-size?"]),
        ("--ctx-siz 8", ["llama.cpp b10434 does not know --ctx-siz; did you mean --ctx-size?"]),
        ("-c8", ["llama.cpp b10434 does not know -c8; did you mean -c?"]),
        ("--control-vector-layer-range 1", ["--control-vector-layer-range has no value"]),
        ("--perf x", ["'x' belongs to no flag"]),
    ],
)
def test_llama_server_refuses(line: str, said: list[str]) -> None:
    found = flags.flaws(line.split(), llamacpp_help.flags(HELP, "b10434"))
    assert [flaw.text for flaw in found if flaw.severity == flags.ERROR] == said


RECIPE = """\
model: org/m
runtime: vllm
defaults: {dtype: hlaf}
command: |
  vllm serve {model} \\
    --port 8000 \\
    --dtype {dtype} \\
    --mxfp4-layers moe \\
    --max-num-seq 4
harness:
  needs_image:
    --mxfp4-layers: a fork, of which this image is the only build
    --gone: it was taken out
"""


def said(known: Flags | None, *, own: bool = False, text: str = RECIPE) -> list[str]:
    found = lint(loads(text, "x.yaml"), known, own=own)
    return [str(finding).removeprefix("x.yaml:") for finding in found if "--" in finding.text]


def test_lint_says_it_with_line_and_weight() -> None:
    others = said(known("vllm"))
    assert others == [
        "7: warning: --dtype hlaf: vLLM 1.2 takes auto, half, bfloat16; did you mean half? (the recipe's own engine was not asked)",
        "8: note: vLLM 1.2 does not know --mxfp4-layers: it exists only in a fork of vLLM (this recipe's image takes it: "
        "a fork, of which this image is the only build)",
        "9: warning: --max-num-seq passes only as an abbreviation: use --max-num-seqs",
        "13: warning: the command has no --gone",
    ]
    own = said(known("vllm"), own=True)
    assert [line.split(":")[1].strip() for line in own] == ["error", "error", "warning", "warning"]


def test_a_program_that_is_named_by_its_path_is_another_one() -> None:
    elsewhere = "model: org/m\nruntime: vllm\ncommand: /opt/vllm/bin/vllm serve {model} --prot 8\n"
    assert [line.split(":")[1].strip() for line in said(known("vllm"), own=True, text=elsewhere)] == ["warning"]
    in_image = said(known("vllm"), own=True, text=elsewhere + "container: a/b:1\n")
    assert [line.split(":")[1].strip() for line in in_image] == ["error"]


def test_without_a_parser_lint_knows_some_by_heart() -> None:
    assert said(None) == [
        "8: note: --mxfp4-layers exists only in a fork of vLLM (this recipe's image takes it: "
        "a fork, of which this image is the only build)",
        "9: warning: --max-num-seq passes only as an abbreviation: use --max-num-seqs",
        "13: warning: the command has no --gone",
    ]


def test_what_a_shell_does_to_its_words_is_not_known() -> None:
    script = (
        "model: org/m\nruntime: vllm\ncommand: |\n  X=1 vllm serve $M stray --prot 8 --port $PORT --memory $(free) && true\n"
    )
    assert said(known("vllm"), own=True, text=script) == ["4: warning: vLLM 1.2 does not know --prot; did you mean --port?"]
    assert refused(loads(script, "x.yaml"), known("vllm")) is None


def test_a_refusal_is_an_error_of_the_recipe() -> None:
    error = refused(loads(RECIPE, "x.yaml"), known("vllm"))
    assert error is not None
    assert error.message == "x.yaml:7: --dtype hlaf: vLLM 1.2 takes auto, half, bfloat16; did you mean half?"
    assert error.exit_code == 3
