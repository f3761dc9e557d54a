"""Git repositories for tests, made here by `git` itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

RECIPE = "model: org/{name}\nruntime: vllm\ncommand: vllm serve {{model}} --port 8000\n"
MANIFEST = """\
registries:
  - name: main-ones
    description: The good ones
    recipes: good
    tuning: tuning
  - {name: hidden-ones, subpath: odd/deeper, visible: false}
  - {name: off, recipes: good, enabled: false}
  - {name: foreign, recipes: good, format: other}
"""


def recipe(name: str) -> str:
    return RECIPE.format(name=name)


def git(folder: Path, *words: str, data: bytes | None = None) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_GLOBAL": "/dev/null"}
    env |= {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", "-C", str(folder), *words], input=data, capture_output=True, env=env, check=True)
    return done.stdout.decode().strip()


def repository(folder: Path, files: dict[str, str | bytes]) -> str:
    """Its address."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, files)
    return folder.as_uri()


def commit(folder: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")
