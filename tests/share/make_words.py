"""Makes `harness/share/words.txt` and `shipped.txt`: `python -m tests.share.make_words ENGINES…`, with folders of installed engines whose
names of flags and variables are to be known. Words that are there already stay: others' results may say them.

A word is public because the harness says it itself, a shipped recipe, an engine's parser or `--help`, or because it names hardware that
anybody can buy.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness import whose
from harness.share import bundle, grammar
from harness.store import folder
from tests.share.make_golden import GOLDEN

ROOT = Path(__file__).parents[2]
SILENT = {"cli", "report", "facts", "library", "doctor", "share", "site", "board", "secret.py", "whose.py"}
"""Rooms whose words are in no result."""
HARDWARE = """
acer agx amd arm arrow asus ampere ascent atom blackwell bookworm centos core cores cortex cpu debian dell dgx duo edgexpert edition epyc
fedora founders gaming geforce ghz gigabyte gnu gold grace gx hbm hopper hp hpe intel jammy jetson laptop lenovo linux lts max mi msi
nano neoverse noble nvidia nvl nvlink optimus orin os pc pcie pgx platinum pro processor quad rdna red rhel rocky rtx ryzen server silver
spark standard studio super sxm system tesla thinkstation thor threadripper ti titan toolkit trixie ubuntu ultra unified veriton
workstation xe xeon zgx
"""
VARIABLES = re.compile(
    r"\b(?:VLLM|SGLANG|SGL|NCCL|CUDA|TORCH|PYTORCH|TORCHINDUCTOR|FLASHINFER|TRITON|OMP|UCX|GLOO|HF|TRANSFORMERS|LLAMA|GGML|RAY|NVIDIA)"
    r"_[A-Z][A-Z0-9_]{2,40}\b"
)
PERSONS = frozenset(
    ["admin", "sam", "mark", "rich", "root", "user", "users", "home", "art", "frank", "grant", "jack", "chase", "will"]
)
"""Words that also name people and their folders: none of these is worth a doubt."""


def literals(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value
        elif isinstance(node, ast.AnnAssign | ast.ClassDef):
            yield node.name if isinstance(node, ast.ClassDef) else ast.unparse(node.target)


def said(engines: list[Path]) -> Iterator[str]:
    for path in (ROOT / "harness").rglob("*.py"):
        if path.relative_to(ROOT / "harness").parts[0] not in SILENT:
            yield from literals(path)
    for recipe in sorted((ROOT / "recipes").glob("*.yaml")):
        yield re.sub(r"(?m)(^|\s)#.*$|https?://\S+", " ", recipe.read_text().partition("\nharness:")[0])
    yield re.sub(r"https?://\S+", " ", (ROOT / "tests/recipe/data/llama-server-help.txt").read_text())
    with bundle.opened(GOLDEN) as golden:
        yield " ".join(folder.read(golden.folder).result.engine.settings)
    for engine in engines:
        for path in engine.rglob("*.py"):
            text = path.read_text(errors="ignore")
            yield " ".join(VARIABLES.findall(text))
            yield " ".join(re.findall(r"[\"'](--[a-z][a-z0-9-]+)[\"']", text))
    for flags in sorted(Path.home().glob(".cache/spark-harness/*.json")):
        for option in msgspec.json.decode(flags.read_bytes())["options"]:
            yield " ".join((*option["names"], *option["choices"]))
    yield HARDWARE


def main(engines: list[str]) -> None:
    known = set(grammar.words())
    for text in said([Path(name) for name in engines]):
        for word in re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()):
            if re.fullmatch(r"[a-z]{2,16}|[a-z]{1,8}\d{1,3}[a-z]{0,3}(\d[a-z]?)?", word) and not re.fullmatch(
                "[a-f0-9]{6,}", word
            ):
                known.add(word.rstrip("0123456789") if re.fullmatch(r"[a-z]{2,}\d+", word) else word)
    found = sorted(known - PERSONS)
    grammar.WORDS.write_text(textwrap.fill(" ".join(found), 128) + "\n")
    shipped = sorted((ROOT / "recipes").glob("*.yaml"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stem}\n" for path in shipped]
    whose.SHIPPED.write_text("".join(lines))
    print(f"{len(found)} words, {len(lines)} recipes")


if __name__ == "__main__":
    main(sys.argv[1:])
