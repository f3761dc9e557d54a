"""A run as people have them, whose recipe, environment, log and file names are full of what must not leave: from its start to the bytes
that would be sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness import verify, whose
from harness.schema.doctor import FAIL
from harness.share import bundle, redact, scan
from harness.share.names import Question
from harness.store import folder
from tests.share.planted import ALL, IDENTIFIERS, OWN, SECRETS, mixed, parts

ROOT = Path(__file__).parents[2]
TOKEN = f"hf_{mixed(34)[::-1]}"
"""What `$HF_TOKEN` stands for: no file may have it."""
GRID = ("--profile", "quick", "--pp", "32", "--tg", "8", "--concurrency", "1,2", "--requests", "2", "--runs", "2")


def recipe(secrets: Path) -> str:
    lines = "".join(f"  # {line}\n" for planted in ALL.values() for line in planted.splitlines())
    env = "".join(f"  VLLM_PLANTED_{n}: {planted!r}\n" for n, planted in enumerate(SECRETS.values()) if "\n" not in planted)
    env += "".join(f"  NCCL_{n}: {planted!r}\n" for n, planted in enumerate(IDENTIFIERS.values()))
    return f"""\
{lines}recipe_version: "2"
name: {OWN[0]}
description: {IDENTIFIERS["e-mail"]}
model: acme/{OWN[1]}-7b
runtime: openai
metadata: {{owner: {IDENTIFIERS["e-mail"]}, model_params: 7B, model_dtype: bf16}}
defaults: {{port: 8000, served_model_name: {OWN[0]}-chat, file: {secrets}, note: "{SECRETS["GitHub"]}"}}
env:
  HF_TOKEN: $HF_TOKEN
  {OWN[1].upper()}_KEY: {SECRETS["Anthropic"]}
{env}harness: {{engine: paced, notes: ["{IDENTIFIERS["URL with credentials"]}"], sanity: false}}
command: |
  cat {{file}} >&2; exec paced --host 127.0.0.1 --port {{port}} --ttft-ms 5 --tpot-ms 2 --log {secrets}.truth
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("run") / f"{OWN[1]}-{OWN[3]}"
    home.mkdir()
    secrets = home / f"{OWN[0]}.txt"
    secrets.write_text("\n".join(ALL.values()) + "\n")
    (home / "r.yaml").write_text(recipe(secrets))
    words = [sys.executable, "-m", "harness", "bench", "r.yaml", "--set", f"port={_port()}", *GRID]
    env = {**os.environ, "HF_TOKEN": TOKEN, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=home, env=env, capture_output=True, text=True, check=False)
    found = list(home.glob("results/*/*"))
    assert len(found) == 1, done.stdout + done.stderr
    return found[0]


def _port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_nothing_of_it_is_in_any_byte_that_would_leave(run: Path, tmp_path: Path) -> None:
    stored = folder.read(run)
    names = whose.names(stored, sorted((ROOT / "recipes").glob("*.yaml")), {})
    names = msgspec.structs.replace(names, own=names.own | frozenset(OWN))
    assert redact.questions(stored, names) == [Question("model", f"acme/{OWN[1]}-7b"), Question("recipe", OWN[0])]
    shared = redact.shareable(stored, names)
    outgoing = {"shared.tar": shared.bundle, "recipe.yaml": shared.recipe.encode()}
    assert scan.scan(outgoing, names.own) == []
    (tmp_path / "shared.tar").write_bytes(shared.bundle)
    with bundle.opened(tmp_path / "shared.tar") as opened:
        again = folder.read(opened.folder)
    said = f"{shared.bundle!r} {shared.recipe} {again}".casefold()
    left = [part for planted in ALL.values() for part in parts(planted) if part.casefold() in said]
    assert not left
    assert [check.text for check in verify.checks(tmp_path / "shared.tar") if check.status == FAIL] == []
    assert "$HF_TOKEN" in shared.recipe


def test_what_it_has_been_redacted_from_does_hold_them(run: Path) -> None:
    """Else the test above would show nothing: the scanner finds all of them in the run's own files, in every one of its texts."""
    files = {name: path.read_bytes() for name, path in folder.evidence(run).items()}
    for name in ("recipe.yaml", "logs/engine.log", "plan.json"):
        found = {hit.kind for hit in scan.scan({name: files[name]}, OWN)}
        assert {
            "Hugging Face token",
            "GitHub token",
            "e-mail address",
            "IPv4 address",
            "MAC address",
            "home folder",
        } <= found, name
    log = files["logs/engine.log"].decode()
    assert all(line in log for planted in ALL.values() for line in planted.splitlines())
    assert all(scan.scan({"log": line.encode()}, OWN) for line in log.splitlines() if line.strip() in ALL.values())
    assert not [name for name, data in files.items() if TOKEN.encode() in data]
